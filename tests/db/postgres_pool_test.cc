// Pool: who gets a connection, when, and in what state, on a real server.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/base/status.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/pool.h"
#include "server/db/postgres/reactor.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/postgres.h"

namespace sluice::postgres {
namespace {

using absl::StatusCode;
using test::Fails;
using test::IsOk;
using test::Started;

constexpr char kPid[] = "SELECT pg_backend_pid()";

// The leases of a test have names.
class PostgresPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEED_POSTGRES();
    server_.emplace();
  }

  void TearDown() override {
    if (pool_ == nullptr) return;
    GiveAll();
    executor_.Run(OnReactor<bool>(reactor_, ctx_, [&](Caller&) { return CloseNow(*this); }));
  }

  void Open(int max, int overflow = 0, PoolOptions options = {}) {
    auto target = std::make_shared<ConnectTarget>();
    target->hosts = {{server_->host(), port_.value_or(server_->port())}};
    target->database = server_->name();
    target->user = server_->user();
    target->password = server_->address().password;
    target->trusted = true;
    options.max = max;
    options.overflow = overflow;
    pool_ = std::make_unique<Pool>(reactor_, std::move(target), Egress(), options);
  }

  // Leases a connection.
  absl::Status Take(const std::string& name) { return executor_.Run(TakeSoon(name, ctx_)); }

  // The same, not waited for: he has it, or waits for it.
  std::unique_ptr<Started<absl::Status>> BeginTake(const std::string& name, Context ctx = {}) {
    auto taking =
        std::make_unique<Started<absl::Status>>(executor_, TakeSoon(name, std::move(ctx)));
    // The reactor does one thing after the other.
    executor_.Run(OnReactor<bool>(reactor_, ctx_, [](Caller&) { return Done(); }));
    return taking;
  }

  void Give(const std::string& name, Hygiene hygiene = Hygiene::kClean) {
    executor_.Run(OnReactor<bool>(reactor_, ctx_, [&](Caller&) {
      Lease lease = std::move(leases_[name]);
      leases_.erase(name);
      lease.Leaves(hygiene);
      lease.Release();
      return Done();
    }));
  }

  void GiveAll() {
    executor_.Run(OnReactor<bool>(reactor_, ctx_, [&](Caller&) {
      leases_.clear();
      return Done();
    }));
  }

  // The first value of the last result.
  std::string Ask(const std::string& name, const std::string& sql) {
    return executor_.Run(OnReactor<std::string>(
        reactor_, ctx_, [&](Caller& caller) { return AskNow(leases_[name], caller, sql); }));
  }

  // Leases a connection, asks, and gives it back.
  std::string AskOnce(const std::string& sql, Hygiene hygiene = Hygiene::kClean) {
    const absl::Status taken = Take("once");
    EXPECT_THAT(taken, IsOk());
    if (!taken.ok()) return "";
    std::string answer = Ask("once", sql);
    Give("once", hygiene);
    return answer;
  }

  static Task<absl::Status> Closing(Pool& pool) {
    co_await pool.Close();
    co_return absl::OkStatus();
  }

  ManualExecutor executor_;
  const Context ctx_ = Context();
  Reactor& reactor_ = Reactor::Shared();
  std::optional<test::TestDatabase> server_;
  std::optional<int> port_;  // another than the server's
  std::unique_ptr<Pool> pool_;
  bool closed_ = false;

 private:
  static Task<bool> Done() { co_return true; }

  static Task<bool> CloseNow(PostgresPoolTest& test) {
    if (!test.closed_) co_await test.pool_->Close();
    test.pool_.reset();
    co_return true;
  }

  Task<absl::Status> TakeSoon(std::string name, Context ctx) {
    const absl::Status status = co_await OnReactor<absl::Status>(
        reactor_, ctx, [this, &name](Caller& caller) { return TakeNow(*this, caller, name); });
    co_return status;
  }

  static Task<absl::Status> TakeNow(PostgresPoolTest& test, Caller& caller, std::string name) {
    CO_TRY(Lease lease, co_await test.pool_->Acquire(caller));
    test.leases_[name] = std::move(lease);
    co_return absl::OkStatus();
  }

  static Task<std::string> AskNow(Lease& lease, Caller& caller, std::string sql) {
    lease.connection().Run(sql);
    const std::shared_ptr<Trip> trip = lease.connection().Sync();
    const Trip::End end = co_await lease.Await(trip, caller);
    if (end != Trip::End::kDone || trip->results.empty()) co_return std::string("lost");
    const Result& result = trip->results.back();
    if (result.failed()) co_return std::string(result.error().sqlstate);
    if (result.rows() == 0) co_return std::string();
    co_return std::string(result.text(0, 0));
  }

  std::map<std::string, Lease> leases_;  // the reactor's
};

TEST_F(PostgresPoolTest, TheConnectionUsedLastIsTheNext) {
  Open(/*max=*/2);
  ASSERT_THAT(Take("a"), IsOk());
  ASSERT_THAT(Take("b"), IsOk());
  const std::string a = Ask("a", kPid);
  const std::string b = Ask("b", kPid);
  EXPECT_NE(a, b);
  Give("a");
  Give("b");
  EXPECT_EQ(AskOnce(kPid), b);
  EXPECT_EQ(AskOnce(kPid), b);
  EXPECT_EQ(pool_->open(), 2);
}

TEST_F(PostgresPoolTest, OneThatWasMadeForNobodyIsTheLast) {
  Open(/*max=*/2);
  ASSERT_THAT(Take("a"), IsOk());
  Ask("a", kPid);
  const auto waits = BeginTake("b");
  Give("a");
  ASSERT_THAT(waits->Wait(), IsOk());
  const std::string b = Ask("b", kPid);
  Give("b");
  ASSERT_TRUE(test::RunUntil(executor_, [&] { return pool_->open() == 2; }));
  EXPECT_EQ(AskOnce(kPid), b);
}

TEST_F(PostgresPoolTest, WhoWaitsIsServedInOrder) {
  Open(/*max=*/1);
  ASSERT_THAT(Take("first"), IsOk());
  const auto second = BeginTake("second");
  const auto third = BeginTake("third");
  EXPECT_EQ(pool_->waiting(), 2);
  Give("first");
  EXPECT_THAT(second->Wait(), IsOk());
  EXPECT_FALSE(third->done());
  Give("second");
  EXPECT_THAT(third->Wait(), IsOk());
  EXPECT_EQ(pool_->open(), 1);
}

TEST_F(PostgresPoolTest, NobodyPassesWhoWaits) {
  Open(/*max=*/1);
  ASSERT_THAT(Take("first"), IsOk());
  const auto second = BeginTake("second");
  Give("first");
  const auto late = BeginTake("late");
  EXPECT_THAT(second->Wait(), IsOk());
  EXPECT_FALSE(late->done());
  Give("second");
  EXPECT_THAT(late->Wait(), IsOk());
}

TEST_F(PostgresPoolTest, AWaitEndsInTime) {
  PoolOptions options;
  options.acquire_timeout = absl::Seconds(1);
  Open(/*max=*/1, /*overflow=*/0, options);
  ASSERT_THAT(Take("a"), IsOk());
  EXPECT_THAT(Take("b"), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  EXPECT_EQ(pool_->waiting(), 0);
  Give("a");
  EXPECT_THAT(Take("b"), IsOk());
}

TEST_F(PostgresPoolTest, OnlySoManyMayWait) {
  PoolOptions options;
  options.waiters = 1;
  Open(/*max=*/1, /*overflow=*/0, options);
  ASSERT_THAT(Take("a"), IsOk());
  const auto waiting = BeginTake("b");
  EXPECT_THAT(Take("c"), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  Give("a");
  EXPECT_THAT(waiting->Wait(), IsOk());
}

TEST_F(PostgresPoolTest, WhoIsStoppedWaitsNoLongerAndTakesNothing) {
  Open(/*max=*/1);
  ASSERT_THAT(Take("a"), IsOk());
  CallScope call;
  const auto stopped = BeginTake("b", call.MakeContext(absl::InfiniteFuture(), ""));
  const auto next = BeginTake("c");
  call.Stop(StopCause::kCancelled);
  EXPECT_THAT(stopped->Wait(), Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_FALSE(next->done());
  Give("a");
  EXPECT_THAT(next->Wait(), IsOk());
}

TEST_F(PostgresPoolTest, OverflowIsUsedWhenTheRestIsLeased) {
  Open(/*max=*/1, /*overflow=*/1);
  ASSERT_THAT(Take("a"), IsOk());
  ASSERT_THAT(Take("b"), IsOk());
  const auto third = BeginTake("c");
  EXPECT_FALSE(third->done());
  EXPECT_EQ(pool_->open(), 2);
  GiveAll();
  EXPECT_THAT(third->Wait(), IsOk());
}

TEST_F(PostgresPoolTest, WhatLeavesNothingBehindIsNotReset) {
  Open(/*max=*/1);
  AskOnce("PREPARE mine AS SELECT 1", Hygiene::kClean);
  EXPECT_EQ(AskOnce("SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'"), "1");
}

TEST_F(PostgresPoolTest, WhatIsLeftBehindIsForgottenBeforeTheNextHasIt) {
  Open(/*max=*/1);
  const std::string pid = AskOnce(kPid);
  AskOnce("PREPARE mine AS SELECT 1", Hygiene::kReset);
  EXPECT_EQ(AskOnce("SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'"), "0");
  EXPECT_EQ(AskOnce(kPid), pid);
}

TEST_F(PostgresPoolTest, ASettingThatTheServerReportsIsSeenAndReset) {
  Open(/*max=*/1);
  const std::string zone = AskOnce("SHOW TimeZone");
  AskOnce("SET TimeZone = 'Asia/Kolkata'", Hygiene::kClean);
  EXPECT_EQ(AskOnce("SHOW TimeZone"), zone);
}

TEST_F(PostgresPoolTest, ATransactionThatIsLeftOpenIsRolledBack) {
  server_->Psql("CREATE TABLE t(a int)");
  Open(/*max=*/1);
  const std::string pid = AskOnce(kPid);
  ASSERT_THAT(Take("a"), IsOk());
  Ask("a", "BEGIN");
  Ask("a", "INSERT INTO t VALUES (1)");
  Give("a", Hygiene::kClean);
  EXPECT_EQ(AskOnce("SELECT count(*) FROM t"), "0");
  EXPECT_EQ(AskOnce(kPid), pid);
  EXPECT_EQ(server_->Psql("SELECT count(*) FROM t"), "0");
}

TEST_F(PostgresPoolTest, ATransactionThatFailedIsRolledBack) {
  Open(/*max=*/1);
  ASSERT_THAT(Take("a"), IsOk());
  Ask("a", "BEGIN");
  Ask("a", "SELECT 1 / 0");
  Give("a", Hygiene::kClean);
  EXPECT_EQ(AskOnce("SELECT 1"), "1");
}

TEST_F(PostgresPoolTest, WhatIsNotTrustedIsClosed) {
  Open(/*max=*/1);
  const std::string pid = AskOnce(kPid, Hygiene::kClose);
  EXPECT_NE(AskOnce(kPid), pid);
  EXPECT_EQ(pool_->open(), 1);
}

TEST_F(PostgresPoolTest, AConnectionThatWasLostIsNotHandedOn) {
  Open(/*max=*/1);
  for (int i = 0; i < 5; ++i) {
    const std::string pid = AskOnce(kPid);
    server_->Psql(absl::StrCat("SELECT pg_terminate_backend(", pid, ", 5000)"));
    EXPECT_NE(AskOnce(kPid), pid);
  }
}

TEST_F(PostgresPoolTest, AConnectionThatIsLostWhileItIsLeasedMakesRoom) {
  Open(/*max=*/1);
  ASSERT_THAT(Take("a"), IsOk());
  const std::string pid = Ask("a", kPid);
  server_->Psql(absl::StrCat("SELECT pg_terminate_backend(", pid, ", 5000)"));
  Give("a");
  EXPECT_NE(AskOnce(kPid), pid);
  EXPECT_EQ(pool_->open(), 1);
}

TEST_F(PostgresPoolTest, WhatIsTooOldIsMadeAnew) {
  PoolOptions options;
  options.recycle = absl::Nanoseconds(1);
  Open(/*max=*/1, /*overflow=*/0, options);
  EXPECT_NE(AskOnce(kPid), AskOnce(kPid));
}

TEST_F(PostgresPoolTest, WhoWaitsForAServerThatIsNotThereIsToldSo) {
  port_ = 1;
  Open(/*max=*/1);
  EXPECT_THAT(Take("a"), Fails(StatusCode::kUnavailable, "BACKEND_LOST"));
  EXPECT_THAT(Take("b"), Fails(StatusCode::kUnavailable, "BACKEND_LOST"));
  EXPECT_EQ(pool_->open(), 0);
  EXPECT_EQ(pool_->leased(), 0);
}

TEST_F(PostgresPoolTest, ClosingRefusesWhoWaitsAndAwaitsWhatIsLeased) {
  Open(/*max=*/1);
  ASSERT_THAT(Take("a"), IsOk());
  const auto waiting = BeginTake("b");
  Started<absl::Status> closed(
      executor_, OnReactor<absl::Status>(reactor_, ctx_, [&](Caller&) { return Closing(*pool_); }));
  EXPECT_THAT(waiting->Wait(), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_THAT(Take("c"), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_FALSE(closed.done());
  Give("a");
  EXPECT_THAT(closed.Wait(), IsOk());
  closed_ = true;
  EXPECT_EQ(pool_->open(), 0);
}

}  // namespace
}  // namespace sluice::postgres
