// What the tests of the SQLite driver share: a file, a Database on it, and another process's view.
#ifndef SLUICE_TESTS_DB_SQLITE_FIXTURE_H_
#define SLUICE_TESTS_DB_SQLITE_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/db/database.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"

namespace sluice::test {

// Runs until it is stopped.
inline constexpr char kEndless[] =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

// Outsider: a connection that is none of the driver's, as another program would have.
class Outsider {
 public:
  explicit Outsider(const std::string& path) {
    EXPECT_EQ(sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE, nullptr), SQLITE_OK);
  }

  ~Outsider() { sqlite3_close(db_); }

  Outsider(const Outsider&) = delete;
  Outsider& operator=(const Outsider&) = delete;

  int Run(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
  }

  // The first value of the first row; -1 if there is none.
  int64_t Number(const std::string& sql) {
    sqlite3_stmt* stmt = nullptr;
    sqlite3_prepare_v2(db_, sql.c_str(), -1, &stmt, nullptr);
    const int64_t number =
        sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : int64_t{-1};
    sqlite3_finalize(stmt);
    return number;
  }

 private:
  sqlite3* db_ = nullptr;
};

// Call: a call that the test can stop.
class Call {
 public:
  explicit Call(absl::Time deadline = absl::InfiniteFuture())
      : ctx_(scope_.MakeContext(deadline, "")) {}

  const Context& ctx() const { return ctx_; }

  void Cancel() { scope_.Stop(StopCause::kCancelled); }

 private:
  CallScope scope_;
  const Context ctx_;
};

class SqliteTest : public ::testing::Test {
 protected:
  ~SqliteTest() override {
    executor_.RunUntilIdle();  // the end of its last drain
    if (database_ != nullptr) database_->Close();
  }

  void Open(const db::SqliteSettings& settings = {}) {
    auto opened = OpenSqlite(executor_, path_, settings);
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
  }

  absl::StatusOr<pb::QueryResponse> Ask(absl::string_view sql,
                                        std::initializer_list<pb::Value> params = {}) {
    return Execute(executor_, *database_, sql, params);
  }

  int64_t Number(absl::string_view sql) {
    const auto reply = Ask(sql);
    EXPECT_THAT(reply, IsOk());
    return reply.ok() && reply->rows_size() > 0 ? reply->rows(0).values(0).int64_value() : -1;
  }

  // A table `number` with n = 1 … count.
  void MakeNumbers(int count) {
    ASSERT_THAT(Ask("CREATE TABLE number (n INTEGER PRIMARY KEY, word TEXT)"), IsOk());
    ASSERT_THAT(Ask(absl::StrCat("INSERT INTO number (n, word) WITH RECURSIVE c(x) AS (SELECT 1 "
                                 "UNION ALL SELECT x + 1 FROM c WHERE x < ",
                                 count, ") SELECT x, 'word ' || x FROM c")),
                IsOk());
  }

  // Runs the statement until it runs on the calling executor: then it is done without a wait.
  bool WarmUp(ManualExecutor& executor, absl::string_view sql) {
    return RunUntil(executor, [&] {
      Pending pending(executor, *database_, sql);
      const bool at_once = pending.done();
      EXPECT_THAT(pending.Wait(), IsOk());
      return at_once;
    });
  }

  // Waits until so many statements run.
  bool UntilActive(int64_t count) {
    return RunUntil(executor_, [&] { return database_->Load().active == count; });
  }

  // Waits until so many statements wait, those included that were taken up and wait for a lock of
  // another process.
  bool UntilQueued(int64_t count) {
    return RunUntil(executor_, [&] { return database_->Load().queued == count; });
  }

  TempDir dir_;
  const std::string path_ = dir_.File("test.db");
  ManualExecutor executor_;
  std::shared_ptr<db::Database> database_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_SQLITE_FIXTURE_H_
