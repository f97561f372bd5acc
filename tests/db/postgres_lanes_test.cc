// Lanes: which statements share a connection, and what they notice of it, on a real server.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/db/database.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/postgres.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

constexpr char kPid[] = "SELECT pg_backend_pid()";
constexpr char kAlone[] = "SELECT pg_backend_pid() /* advisory: a connection of its own */";

class PostgresLanesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEED_POSTGRES();
    server_.emplace();
    server_->Psql("CREATE TABLE t(a int PRIMARY KEY)");
    settings_.lanes = 1;
    settings_.pool_max = 3;
    settings_.pool_overflow = 0;
  }

  void TearDown() override {
    if (database_ != nullptr) database_->Close();
  }

  void Open() {
    auto opened = OpenPostgres(executor_, *server_, settings_);
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
  }

  absl::StatusOr<pb::QueryResponse> Run(absl::string_view sql,
                                        std::initializer_list<pb::Value> params = {}) {
    return Execute(executor_, *database_, sql, params);
  }

  // The only value of the answer; -1: there is none.
  int64_t Number(absl::string_view sql, std::initializer_list<pb::Value> params = {}) {
    const auto response = Run(sql, params);
    EXPECT_THAT(response, IsOk()) << sql;
    if (!response.ok() || response->rows_size() != 1) return -1;
    return response->rows(0).values(0).int64_value();
  }

  // The shared connection's.
  int64_t Shared() {
    const int64_t alone = Number(kAlone);
    int64_t found = alone;
    for (int i = 0; i < 1000 && found == alone; ++i) found = Number(kPid);
    return found;
  }

  // Runs it until it shares the connection: on a busy machine it may seem slow at first.
  bool Shares(int64_t shared, absl::string_view sql, std::initializer_list<pb::Value> params) {
    for (int i = 0; i < 1000; ++i) {
      if (Number(sql, params) == shared) return true;
    }
    return false;
  }

  ManualExecutor executor_;
  db::PostgresSettings settings_;
  std::optional<TestDatabase> server_;
  std::shared_ptr<db::Database> database_;
};

TEST_F(PostgresLanesTest, ShortStatementsShareAConnection) {
  Open();
  const int64_t shared = Shared();
  std::vector<std::unique_ptr<Pending>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.push_back(std::make_unique<Pending>(executor_, *database_, kPid));
  }
  int shared_by = 0;
  for (const std::unique_ptr<Pending>& call : calls) {
    const auto response = Parse(call->Wait());
    ASSERT_THAT(response, IsOk());
    if (response->rows(0).values(0).int64_value() == shared) ++shared_by;
  }
  EXPECT_GT(shared_by, 10) << "but for what seemed slow on a busy machine";
  EXPECT_EQ(database_->Load().active, 0);
}

TEST_F(PostgresLanesTest, WhatMayLeaveSomethingBehindHasAConnectionOfItsOwn) {
  Open();
  const int64_t shared = Shared();
  EXPECT_NE(Number(kAlone), shared);
}

TEST_F(PostgresLanesTest, WithoutLanesEveryStatementHasAConnectionOfItsOwn) {
  settings_.lanes = 0;
  Open();
  EXPECT_EQ(Number(kPid), Number(kAlone));
}

TEST_F(PostgresLanesTest, NoStatementSharesWhereEveryoneIsToFindASessionAsNew) {
  server_->Psql(
      "CREATE FUNCTION sets() RETURNS text LANGUAGE sql AS "
      "'SELECT set_config(''a.b'', ''left'', false)'");
  settings_.strict_hygiene = true;
  Open();
  for (int i = 0; i < 5; ++i) {
    ASSERT_THAT(Run("SELECT sets()"), IsOk());
    const auto found = Run("SELECT coalesce(current_setting('a.b', true), '')");
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ(found->rows(0).values(0).string_value(), "");
  }
}

TEST_F(PostgresLanesTest, TheLastConnectionOfAPoolIsNoLane) {
  settings_.pool_max = 1;
  Open();
  EXPECT_EQ(Number(kPid), Number(kAlone));
}

TEST_F(PostgresLanesTest, WhatTurnsOutSlowIsRunAgainByItself) {
  settings_.lane_allowance = absl::Milliseconds(50);
  Open();
  const int64_t shared = Shared();
  constexpr char kSleeps[] = "SELECT pg_backend_pid() FROM pg_sleep($1)";
  ASSERT_TRUE(Shares(shared, kSleeps, {Real(0)}));
  EXPECT_NE(Number(kSleeps, {Real(0.2)}), shared);
  EXPECT_NE(Number(kSleeps, {Real(0)}), shared) << "it is known now";
  EXPECT_TRUE(Shares(shared, kPid, {})) << "others share on";
}

TEST_F(PostgresLanesTest, AWriteThatTurnsOutSlowIsDoneOnce) {
  settings_.lane_allowance = absl::Milliseconds(50);
  Open();
  constexpr char kInserts[] = "INSERT INTO t SELECT $1 FROM pg_sleep($2)";
  ASSERT_THAT(Run(kInserts, {Int(1), Real(0)}), IsOk());
  const auto response = Run(kInserts, {Int(2), Real(0.2)});
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->rows_affected(), 1);
  EXPECT_EQ(server_->Psql("SELECT count(*) FROM t"), "2");
}

TEST_F(PostgresLanesTest, AReadThatIsToWriteNothingWritesNothing) {
  Open();
  server_->Psql(
      "CREATE FUNCTION sneaks() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING "
      "a'");
  db::Statement statement("SELECT sneaks()");
  statement.read_only = true;
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Execute(executor_, *database_, statement),
                Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  }
  EXPECT_EQ(Number("SELECT sneaks()"), 1) << "nothing of it is left on the connection";
}

TEST_F(PostgresLanesTest, WhoIsStoppedGoesAndHisNeighboursStay) {
  Open();
  constexpr char kSleeps[] = "SELECT pg_backend_pid() FROM pg_sleep($1)";
  const int64_t shared = Shared();
  ASSERT_TRUE(Shares(shared, kSleeps, {Real(0)}));
  CallScope call;
  Pending stopped(executor_, *database_, kSleeps,
                  call.MakeContext(absl::InfiniteFuture(), "request"), {Real(0.1)});
  Pending neighbour(executor_, *database_, kSleeps, Context(), {Real(0)});
  call.Stop(StopCause::kCancelled);
  EXPECT_THAT(stopped.Wait(), Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  const auto response = Parse(neighbour.Wait());
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->rows(0).values(0).int64_value(), shared);
}

TEST_F(PostgresLanesTest, ALaneThatWasLostIsMadeAnew) {
  Open();
  for (int i = 0; i < 5; ++i) {
    const int64_t shared = Shared();
    server_->Psql(absl::StrCat("SELECT pg_terminate_backend(", shared, ", 5000)"));
    const int64_t next = Number(kPid);
    EXPECT_NE(next, shared);
    EXPECT_GT(next, 0);
  }
}

TEST_F(PostgresLanesTest, AFailureIsItsOwnCallers) {
  Open();
  constexpr char kDivides[] = "SELECT 10 / $1::int";
  Number(kDivides, {Int(1)});
  Shared();
  std::vector<std::unique_ptr<Pending>> calls;
  for (int i = 0; i < 21; ++i) {
    calls.push_back(std::make_unique<Pending>(executor_, *database_, kDivides, Context(),
                                              std::initializer_list<pb::Value>{Int(i % 3)}));
  }
  for (int i = 0; i < 21; ++i) {
    const auto response = Parse(calls[i]->Wait());
    if (i % 3 == 0) {
      EXPECT_THAT(response, Fails(StatusCode::kInvalidArgument, "SQL_ERROR")) << i;
    } else {
      ASSERT_THAT(response, IsOk()) << i;
      EXPECT_EQ(response->rows(0).values(0).int64_value(), 10 / (i % 3));
    }
  }
}

}  // namespace
}  // namespace sluice::test
