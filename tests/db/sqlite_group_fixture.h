// What the tests of the writer share: a writer that is busy for as long as the test wants, so that
// writes queue up behind it and are committed together.
#ifndef SLUICE_TESTS_DB_SQLITE_GROUP_FIXTURE_H_
#define SLUICE_TESTS_DB_SQLITE_GROUP_FIXTURE_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tests/db/sqlite_fixture.h"

namespace sluice::test {

// Counts up to its parameter.
inline constexpr char kSlowInsert[] =
    "INSERT INTO plug (n) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < "
    "$1) SELECT count(*) FROM c";
inline constexpr int64_t kForever = int64_t{1} << 60;

class SqliteGroupTest : public SqliteTest {
 protected:
  ~SqliteGroupTest() override {
    if (plug_ != nullptr) Release();
  }

  // With `item`, whose ids the tests give, and `plug`, which is the fixture's own.
  void OpenWithTables(const db::SqliteSettings& settings = {}) {
    Open(settings);
    ASSERT_THAT(Ask("CREATE TABLE plug (n INTEGER)"), IsOk());
    ASSERT_THAT(Ask("CREATE TABLE item (id INTEGER PRIMARY KEY, word TEXT, "
                    "CHECK (word <> 'refused'))"),
                IsOk());
    ASSERT_THAT(Ask(kSlowInsert, {Int(1)}), IsOk());  // known to write from here on
    ASSERT_THAT(Ask(kInsert, {Int(0), Text("zero")}), IsOk());
    if (settings.loop_budget > 0) Settle();
  }

  // Waits until the loop has its reader, so that nothing but what a test starts is active.
  void Settle() { ASSERT_TRUE(WarmUp(executor_, "SELECT 42")); }

  // Lets the driver learn that the statement writes: from here on it goes straight to the writer.
  void Know(absl::string_view sql) {
    db::Statement statement(sql);
    statement.validate_only = true;
    EXPECT_THAT(Execute(executor_, *database_, statement), IsOk()) << sql;
  }

  // Keeps the writer busy until Release.
  void Hold() {
    hold_ = std::make_unique<Call>();
    const std::initializer_list<pb::Value> forever = {Int(kForever)};
    plug_ = std::make_unique<Pending>(executor_, *database_, kSlowInsert, hold_->ctx(), forever);
    ASSERT_TRUE(UntilActive(1));
  }

  void Release() {
    hold_->Cancel();
    EXPECT_EQ(plug_->Wait().status().code(), absl::StatusCode::kCancelled);
    plug_.reset();
    hold_.reset();
  }

  // Waits until so many writes wait behind the one that runs.
  bool UntilQueued(int64_t count) {
    return RunUntil(executor_, [&] {
      const db::DatabaseLoad load = database_->Load();
      return load.queued == count && load.active == 1;
    });
  }

  // Starts a write and leaves it on its way.
  Pending& Start(absl::string_view sql,
                 std::initializer_list<pb::Value> params = {},
                 Context ctx = {},
                 Pending::Amend amend = nullptr) {
    started_.push_back(std::make_unique<Pending>(executor_, *database_, sql, std::move(ctx), params,
                                                 std::move(amend)));
    return *started_.back();
  }

  db::WriterStats Stats() { return *database_->Load().writer; }

  int64_t Items() { return Number("SELECT count(*) FROM item"); }

  static constexpr char kInsert[] = "INSERT INTO item (id, word) VALUES ($1, $2)";

  std::vector<std::unique_ptr<Pending>> started_;

 private:
  std::unique_ptr<Call> hold_;
  std::unique_ptr<Pending> plug_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_SQLITE_GROUP_FIXTURE_H_
