// Transactions of the SQLite driver that end in another way than their owner meant: the database is
// closed, the disk fails, the snapshot is behind.
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include <sqlite3.h>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/clock.h"
#include "tests/db/crash_vfs.h"
#include "tests/db/sqlite_session.h"
#include "tests/db/sqlite_transaction_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using Operation = CrashVfs::Operation;

class SqliteTransactionEnd : public SqliteTransactionTest {
 protected:
  // Closes the database on another thread, while the executor goes on.
  void CloseMeanwhile(const std::function<void()>& meanwhile) {
    std::thread closer([&] { database_->Close(); });
    meanwhile();
    closer.join();
  }
};

// What a statement may be told that the close of its database ended, or that came too late.
bool WasClosed(const absl::Status& status) {
  const std::string reason = errors::ReasonOf(status);
  const std::string executed = errors::MetadataOf(status, "executed");
  if (reason == "POOL_CLOSED") return executed == "no";
  return reason == "SERVER_DRAINING" && executed == "rolled_back";
}

TEST_F(SqliteTransactionEnd, ACloseEndsAnIdleOne) {
  OpenWithTables();
  const auto transaction = BeginHolding();
  database_->Close();
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_THAT(transaction->standing().why, Fails(StatusCode::kAborted, "SERVER_DRAINING"));
  EXPECT_THAT(In(*transaction, "SELECT 1"), Fails(StatusCode::kAborted, "SERVER_DRAINING"));
  EXPECT_THAT(Commit(*transaction), Fails(StatusCode::kAborted, "SERVER_DRAINING"));
  EXPECT_EQ(Stats().hold, nullptr);
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item"), 1);
}

TEST_F(SqliteTransactionEnd, ACloseEndsWhatRunsInOne) {
  for (const char* const endless : {kEndless, kSlowInsert}) {
    if (database_ == nullptr) {
      OpenWithTables();
    } else {
      Open();
    }
    const auto transaction = BeginHolding();
    ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    const bool writes = endless == kSlowInsert;
    Pending& pending =
        writes ? StartIn(*transaction, endless, {Int(kForever)}) : StartIn(*transaction, endless);
    CloseMeanwhile([&] {
      EXPECT_THAT(pending.Wait(), Fails(StatusCode::kAborted, "SERVER_DRAINING"));
      EXPECT_THAT(pending.Wait(), WasExecuted("rolled_back"));
    });
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item"), 1);
  }
}

TEST_F(SqliteTransactionEnd, ACloseRefusesOneThatWaits) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  Pending& pending = StartIn(*waiter, kInsert, {Int(1), Text("w")});
  ASSERT_TRUE(UntilQueued(1));
  CloseMeanwhile([&] {
    EXPECT_THAT(pending.Wait(), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
    EXPECT_THAT(pending.Wait(), WasExecuted("no"));
  });
  EXPECT_THAT(In(*waiter, "SELECT 1"), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_EQ(database_->Load().queued, 0);
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item"), 1);
}

TEST_F(SqliteTransactionEnd, ACloseEndsThoseThatOnlyRead) {
  db::SqliteSettings settings;
  settings.readers = 1;
  OpenWithTables(settings);
  const auto unread = Begin("tx_unread", /*read_only=*/true);
  const auto idle = Begin("tx_idle", /*read_only=*/true);
  ASSERT_THAT(In(*idle, "SELECT 1"), IsOk());
  const auto busy = Begin("tx_busy", /*read_only=*/true);
  const auto streaming = Begin("tx_streaming", /*read_only=*/true);
  const auto cursor = executor_.Run(streaming->Open(ctx_, db::Statement("SELECT id FROM item")));
  ASSERT_THAT(cursor, IsOk());
  StartIn(*busy, kEndless);
  ASSERT_TRUE(UntilActive(1));
  const auto waiting = Begin("tx_waiting", /*read_only=*/true);
  StartIn(*waiting, "SELECT 1");
  ASSERT_TRUE(UntilQueued(1));
  CloseMeanwhile([&] {
    for (const auto& pending : started_) {
      EXPECT_TRUE(WasClosed(pending->Wait().status())) << pending->Wait().status();
    }
  });
  for (const auto* const each : {&unread, &idle, &busy, &streaming, &waiting}) {
    EXPECT_EQ(StateOf(**each), State::kGone);
    EXPECT_TRUE(WasClosed((*each)->standing().why));
    EXPECT_TRUE(WasClosed(In(**each, "SELECT 1").status()));
  }
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item"), 1);
}

// Statements come at the very moment of the close: each is answered, and the close ends.
TEST_F(SqliteTransactionEnd, ACloseMeetsEveryMomentOfATransaction) {
  db::SqliteSettings settings;
  settings.readers = 1;
  OpenWithTables(settings);
  std::minstd_rand random(5);
  for (int round = 0; round < 100; ++round) {
    if (database_ == nullptr) Open(settings);
    started_.clear();
    const auto holder = BeginHolding();
    const auto waiter = Begin("tx_two");
    const auto reader = Begin("tx_three", /*read_only=*/true);
    ASSERT_THAT(In(*reader, "SELECT 1"), IsOk());
    const auto spin = [](int64_t nanos) {
      const absl::Time until = absl::Now() + absl::Nanoseconds(nanos);
      while (absl::Now() < until) {
      }
    };
    const auto pause = static_cast<int64_t>(random() % 1'000'000);
    std::thread closer([&] { database_->Close(); });
    spin(pause);
    for (const auto* const each : {&holder, &waiter, &reader}) StartIn(**each, kEndless);
    for (const auto& pending : started_) {
      EXPECT_TRUE(WasClosed(pending->Wait().status())) << pending->Wait().status();
    }
    closer.join();
    database_ = nullptr;
  }
}

class SqliteTransactionDisk : public SqliteTransactionTest {
 protected:
  // The file system goes only once no file is open.
  ~SqliteTransactionDisk() override {
    executor_.RunUntilIdle();
    started_.clear();
    if (database_ != nullptr) database_->Close();
    database_ = nullptr;
  }

  void SetUp() override {
    vfs_.emplace(dir_.path());
    OpenWithTables();
  }

  // Items that a power cut leaves now, as often as chance is asked.
  void ExpectAfterCuts(int64_t items) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const TempDir cut;
      vfs_->Cut(seed, cut.path());
      Outsider left(cut.File("test.db"));
      EXPECT_EQ(left.Number("SELECT count(*) FROM item"), items) << "seed " << seed;
    }
  }

  std::optional<CrashVfs> vfs_;
};

// More than the page cache holds.
constexpr char kLarge[] =
    "INSERT INTO item (id, word) WITH RECURSIVE c(x) AS (SELECT 2000 UNION ALL SELECT x + 1 FROM c "
    "WHERE x < 5000) SELECT x, hex(zeroblob(2000)) FROM c";

TEST_F(SqliteTransactionDisk, Fault57_ACommitWhoseSyncFailsLeavesNothingAndSaysSo) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = BeginHolding();
  vfs_->Fail(Operation::kSyncJournal, SQLITE_IOERR_FSYNC, 1);
  const absl::Status failed = Commit(*transaction, &key);
  EXPECT_THAT(failed, Fails(StatusCode::kDataLoss, "DEVICE_FAULT"));
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Stats().hold, nullptr);
  EXPECT_EQ(Items(), 1);
  ExpectAfterCuts(1);
  const auto recalled = executor_.Run(database_->Recall(ctx_, key));
  ASSERT_THAT(recalled, IsOk());
  EXPECT_FALSE(recalled->has_value());
  const auto next = BeginHolding();
  ASSERT_THAT(Commit(*next), IsOk());
  EXPECT_EQ(Items(), 2);
  ExpectAfterCuts(2);
}

TEST_F(SqliteTransactionDisk, Fault57_WhereNothingCanBeProvenTheOutcomeOfACommitIsUnknown) {
  const auto transaction = BeginHolding();
  vfs_->Fail(Operation::kSyncJournal, SQLITE_IOERR_FSYNC, kForever);
  const absl::Status failed = Commit(*transaction);
  EXPECT_THAT(failed, Fails(StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN"));
  EXPECT_THAT(failed, WasExecuted("unknown"));
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Stats().hold, nullptr);
  vfs_->Fail(Operation::kSyncJournal, SQLITE_OK, 0);
  const auto next = BeginHolding("tx_two", 1);
  ASSERT_THAT(Commit(*next), IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id = 1"), 1);
}

TEST_F(SqliteTransactionDisk, Fault56_ACommitOnAFullDiskLeavesNothingAndSaysSo) {
  const auto transaction = BeginHolding();
  vfs_->Fail(Operation::kWriteJournal, SQLITE_FULL, kForever);
  const absl::Status failed = Commit(*transaction);
  EXPECT_THAT(failed, Fails(StatusCode::kResourceExhausted, "DISK_FULL"));
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Items(), 1);
  vfs_->Fail(Operation::kWriteJournal, SQLITE_OK, 0);
  ASSERT_THAT(Commit(*BeginHolding()), IsOk());
  EXPECT_EQ(Items(), 2);
  ExpectAfterCuts(2);
}

// Whether a savepoint is set or not: what was there before it cannot be counted on any more.
TEST_F(SqliteTransactionDisk, Fault56_AStatementOnAFullDiskFailsItsTransaction) {
  for (const bool guarded : {false, true}) {
    const auto transaction = BeginHolding();
    if (guarded) {
      ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    }
    vfs_->Fail(Operation::kWriteJournal, SQLITE_FULL, kForever);
    const auto failed = In(*transaction, kLarge);
    vfs_->Fail(Operation::kWriteJournal, SQLITE_OK, 0);
    EXPECT_THAT(failed, Fails(StatusCode::kResourceExhausted, "DISK_FULL"));
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_NE(StateOf(*transaction), State::kOpen);
    Rollback(*transaction);
    EXPECT_EQ(Stats().hold, nullptr);
    EXPECT_EQ(Items(), 1);
  }
  ASSERT_THAT(Commit(*BeginHolding()), IsOk());
  ExpectAfterCuts(2);
}

TEST_F(SqliteTransactionDisk, Fault57_AFaultUnderAStatementEndsItsTransaction) {
  for (const bool guarded : {false, true}) {
    const auto transaction = BeginHolding();
    if (guarded) {
      ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    }
    vfs_->Fail(Operation::kWriteJournal, SQLITE_IOERR_WRITE, 1);
    const auto failed = In(*transaction, kLarge);
    EXPECT_THAT(failed, Fails(StatusCode::kInternal, "SQL_ERROR"));
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_EQ(Stats().hold, nullptr);
    EXPECT_EQ(Items(), 1);
  }
  ASSERT_THAT(Commit(*BeginHolding()), IsOk());
  EXPECT_EQ(Items(), 2);
  ExpectAfterCuts(2);
}

// The driver itself never meets it, since its transactions have the writer before they read.
TEST(SqliteTransactionConflict, Fault60_ASnapshotThatIsBehindIsToldAtOnceAndCanBeRunAgain) {
  const sqlite::TemporaryFolder folder;
  sqlite::ConnectionOptions options = sqlite::Writer(folder.File("a.db"));
  options.busy_timeout = absl::Seconds(30);
  sqlite::TestSession first(options);
  ASSERT_THAT(first.Try("CREATE TABLE t(a)"), IsOk());
  sqlite::TestSession second(options);
  ASSERT_THAT(first->Run("BEGIN"), IsOk());
  ASSERT_THAT(first.Try("SELECT * FROM t"), IsOk());
  ASSERT_THAT(second.Try("INSERT INTO t VALUES(1)"), IsOk());
  const absl::Duration begin = Clock::System().Steady();
  const absl::Status behind = first.Try("INSERT INTO t VALUES(2)");
  EXPECT_LT(Clock::System().Steady() - begin, absl::Seconds(10));  // no wait for the lock helps
  EXPECT_THAT(behind, Fails(StatusCode::kAborted, "SERIALIZATION_FAILURE"));
  EXPECT_THAT(behind, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(behind, "sqlstate"), "40001");
  EXPECT_TRUE(errors::IsConflict(behind));
  ASSERT_THAT(first->Run("ROLLBACK"), IsOk());
  EXPECT_THAT(first.Try("INSERT INTO t VALUES(2)"), IsOk());
}

class SqliteTransactionOrder : public SqliteTransactionTest {};

// One that reads first and writes then has seen what it writes about.
TEST_F(SqliteTransactionOrder, Fault60_OneThatReadsFirstAndThenWritesMeetsNoConflict) {
  OpenWithTables();
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, "SELECT word FROM item WHERE id = 0"), IsOk());
  Pending& other = StartIn(*database_, "UPDATE item SET word = word || '!'");
  EXPECT_THAT(In(*transaction, "UPDATE item SET word = word || '?'"), IsOk());
  EXPECT_THAT(Commit(*transaction), IsOk());
  EXPECT_THAT(other.Wait(), IsOk());
  EXPECT_EQ(Ask("SELECT word FROM item")->rows(0).values(0).string_value(), "zero?!");
}

}  // namespace
}  // namespace sluice::test
