// Copies of a whole database: one moment of it, whatever goes on, and no trace of one that failed.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/status.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

namespace fs = std::filesystem;

using absl::StatusCode;
using SnapshotPtr = std::unique_ptr<db::Snapshot>;

Task<absl::StatusOr<std::string>> ReadWhole(const Context& ctx, db::Snapshot& snapshot) {
  std::string bytes;
  for (;;) {
    CO_TRY(const std::string piece, co_await snapshot.Read(ctx, 100'000));
    if (piece.empty()) co_return bytes;
    bytes += piece;
  }
}

// PendingCopy: a copy on its way; it goes on only while the executor runs.
class PendingCopy {
 public:
  PendingCopy(ManualExecutor& executor, db::Database& database, Context ctx = {})
      : executor_(executor), ctx_(std::move(ctx)) {
    executor_.Start(Run(database));
  }

  bool done() const { return result_.has_value(); }

  absl::StatusOr<SnapshotPtr>& Wait() {
    RunUntil(executor_, [&] { return done(); });
    return *result_;
  }

 private:
  Task<void> Run(db::Database& database) {
    auto snapshot = co_await database.Copy(ctx_);
    result_.emplace(std::move(snapshot));
  }

  ManualExecutor& executor_;
  const Context ctx_;
  std::optional<absl::StatusOr<SnapshotPtr>> result_;
};

class SqliteBackup : public SqliteTest {
 protected:
  SqliteBackup() {
    fs::create_directory(scratch_);
    settings_.scratch = scratch_;
  }

  absl::StatusOr<SnapshotPtr> Copy() { return executor_.Run(database_->Copy(Context())); }

  // A copy as a file, alone in a folder of its own.
  std::string Save(db::Snapshot& snapshot) {
    const std::string folder = dir_.File(absl::StrCat("copy", ++saved_));
    fs::create_directory(folder);
    const auto bytes = executor_.Run(ReadWhole(Context(), snapshot));
    EXPECT_THAT(bytes, IsOk());
    if (bytes.ok()) {
      EXPECT_EQ(static_cast<int64_t>(bytes->size()), snapshot.size());
      std::ofstream(folder + "/copy.db", std::ios::binary) << *bytes;
    }
    return folder + "/copy.db";
  }

  std::string SaveCopy() {
    const auto snapshot = Copy();
    EXPECT_THAT(snapshot, IsOk());
    return snapshot.ok() ? Save(**snapshot) : "";
  }

  static void ExpectWhole(const std::string& path) {
    EXPECT_EQ(Outsider(path).Number("SELECT count(*) FROM pragma_integrity_check WHERE "
                                    "integrity_check = 'ok'"),
              1);
  }

  // Several megabytes, so several steps.
  void Fill() {
    ASSERT_THAT(Ask("CREATE TABLE big (id INTEGER PRIMARY KEY, body BLOB)"), IsOk());
    ASSERT_THAT(Ask("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < "
                    "2000) INSERT INTO big SELECT x, randomblob(3000) FROM c"),
                IsOk());
  }

  // Lets a copy begin, and stops amid it.
  bool Begin(PendingCopy& copy) {
    return RunUntil(executor_, [&] { return copy.done() || !fs::is_empty(scratch_); }) &&
           !copy.done();
  }

  bool UntilScratchIsEmpty() {
    return RunUntil(executor_, [&] { return fs::is_empty(scratch_); });
  }

  const std::string scratch_ = dir_.File("scratch");
  db::SqliteSettings settings_;
  int saved_ = 0;
};

TEST_F(SqliteBackup, ACopyHoldsWhatIsNotCheckpointedYet) {
  Open(settings_);
  MakeNumbers(500);
  ASSERT_GT(fs::file_size(path_ + "-wal"), 0u);
  const std::string path = SaveCopy();
  EXPECT_TRUE(fs::is_empty(scratch_));
  EXPECT_EQ(Outsider(path).Number("SELECT count(*) FROM number"), 500);
  ExpectWhole(path);
}

TEST_F(SqliteBackup, ACopyOpensAsADatabaseAndCanBeWritten) {
  Open(settings_);
  MakeNumbers(3);
  const std::string path = SaveCopy();
  const auto copy = OpenSqlite(executor_, path, settings_);
  ASSERT_THAT(copy, IsOk());
  EXPECT_THAT(Execute(executor_, **copy, "INSERT INTO number (n) VALUES (4)"), IsOk());
  (*copy)->Close();
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
}

TEST_F(SqliteBackup, ACopyIsOneMomentWhileOthersWrite) {
  Open(settings_);
  ASSERT_THAT(Ask("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, padding BLOB)"),
              IsOk());
  // Rows far apart, so that the two of a transfer are seldom in one step.
  ASSERT_THAT(Ask("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 1000) "
                  "INSERT INTO account SELECT x, 100, randomblob(3000) FROM c"),
              IsOk());
  ASSERT_THAT(Ask("CREATE TABLE transfer (id INTEGER PRIMARY KEY, source INTEGER, target INTEGER, "
                  "amount INTEGER)"),
              IsOk());
  ASSERT_THAT(Ask("CREATE TRIGGER move AFTER INSERT ON transfer BEGIN "
                  "UPDATE account SET balance = balance - NEW.amount WHERE id = NEW.source; "
                  "UPDATE account SET balance = balance + NEW.amount WHERE id = NEW.target; END"),
              IsOk());
  std::atomic<bool> stop{false};
  std::atomic<int64_t> transfers{0};
  std::thread writer([&] {
    ManualExecutor executor;
    for (int64_t i = 0; !stop; ++i) {
      ASSERT_THAT(Execute(executor, *database_,
                          "INSERT INTO transfer (source, target, amount) VALUES (?, ?, ?)",
                          {Int(i * 7 % 500 + 1), Int(1000 - i * 11 % 500), Int(i % 13)}),
                  IsOk());
      transfers = i + 1;
    }
  });
  for (int i = 0; i < 5; ++i) {
    const int64_t before = transfers;
    const std::string path = SaveCopy();
    const int64_t after = transfers;
    Outsider copy(path);
    EXPECT_EQ(copy.Number("SELECT sum(balance) FROM account"), 100'000);
    const int64_t seen = copy.Number("SELECT count(*) FROM transfer");
    EXPECT_GE(seen, before);
    EXPECT_LE(seen, after + 1);
    EXPECT_EQ(copy.Number("SELECT sum(abs(balance - 100)) > 0 FROM account"), seen > 1 ? 1 : 0);
    ExpectWhole(path);
    RunUntil(executor_, [&] { return transfers > after + 10; });
  }
  stop = true;
  writer.join();
}

TEST_F(SqliteBackup, ACopyKeepsItsMomentFromItsFirstStepOn) {
  Open(settings_);
  Fill();
  PendingCopy copy(executor_, *database_);
  ASSERT_TRUE(Begin(copy));
  ManualExecutor other;
  ASSERT_THAT(Execute(other, *database_, "DELETE FROM big WHERE id > 10"), IsOk());
  ASSERT_THAT(Execute(other, *database_, "CREATE TABLE later (a)"), IsOk());
  ASSERT_THAT(copy.Wait(), IsOk());
  const std::string path = Save(**copy.Wait());
  EXPECT_EQ(Outsider(path).Number("SELECT count(*) FROM big"), 2000);
  EXPECT_EQ(Outsider(path).Number("SELECT count(*) FROM sqlite_schema"), 1);
  ExpectWhole(path);
}

TEST_F(SqliteBackup, ASecondCopyAtATimeIsRefused) {
  Open(settings_);
  Fill();
  PendingCopy first(executor_, *database_);
  ASSERT_TRUE(Begin(first));
  ManualExecutor other;
  const auto second = other.Run(database_->Copy(Context()));
  EXPECT_THAT(second, Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  EXPECT_THAT(second, WasExecuted("no"));
  ASSERT_THAT(first.Wait(), IsOk());
  EXPECT_THAT(Copy(), IsOk());  // while the first is still being read
}

TEST_F(SqliteBackup, CopiesThatNobodyTakesAreBounded) {
  Open(settings_);
  std::vector<SnapshotPtr> kept;
  for (int i = 0; i < 4; ++i) {
    auto copy = Copy();
    ASSERT_THAT(copy, IsOk());
    kept.push_back(*std::move(copy));
  }
  EXPECT_THAT(Copy(), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  kept.pop_back();
  EXPECT_THAT(Copy(), IsOk());
}

TEST_F(SqliteBackup, OthersReadAndWriteWhileACopyWaits) {
  Open(settings_);
  Fill();
  PendingCopy copy(executor_, *database_);
  ASSERT_TRUE(Begin(copy));
  ManualExecutor other;
  EXPECT_THAT(Execute(other, *database_, "SELECT sum(length(body)) FROM big"), IsOk());
  EXPECT_THAT(Execute(other, *database_, "INSERT INTO big VALUES (9000, 'x')"), IsOk());
  EXPECT_FALSE(copy.done());
  EXPECT_THAT(copy.Wait(), IsOk());
}

TEST_F(SqliteBackup, ACancelledCopyLeavesNoFile) {
  Open(settings_);
  Fill();
  Call call;
  PendingCopy copy(executor_, *database_, call.ctx());
  ASSERT_TRUE(Begin(copy));
  call.Cancel();
  EXPECT_EQ(copy.Wait().status().code(), StatusCode::kCancelled);
  EXPECT_THAT(copy.Wait(), WasExecuted("no"));
  EXPECT_TRUE(UntilScratchIsEmpty());
  EXPECT_THAT(Copy(), IsOk());
}

TEST_F(SqliteBackup, ACopyEndsAtItsDeadlineAndLeavesNoFile) {
  Open(settings_);
  Fill();
  const absl::Time deadline = absl::Now() + absl::Milliseconds(300);
  Call call(deadline);
  PendingCopy copy(executor_, *database_, call.ctx());
  ASSERT_TRUE(Begin(copy));
  ManualExecutor other;
  RunUntil(other, [&] { return absl::Now() > deadline; });
  EXPECT_EQ(copy.Wait().status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(UntilScratchIsEmpty());
  EXPECT_THAT(Copy(), IsOk());
}

TEST_F(SqliteBackup, CloseEndsACopyAndStillEmptiesTheJournal) {
  Open(settings_);
  Fill();
  PendingCopy copy(executor_, *database_);
  ASSERT_TRUE(Begin(copy));
  database_->Close();
  EXPECT_TRUE(fs::is_empty(scratch_));
  EXPECT_FALSE(fs::exists(path_ + "-wal") && fs::file_size(path_ + "-wal") > 0);
  EXPECT_THAT(copy.Wait(), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  ExpectWhole(path_);
}

TEST_F(SqliteBackup, AFinishedCopyOutlivesItsDatabase) {
  Open(settings_);
  Fill();
  auto copy = Copy();
  ASSERT_THAT(copy, IsOk());
  ASSERT_THAT(executor_.Run((*copy)->Read(Context(), 4096)), IsOk());
  database_->Close();
  database_.reset();
  EXPECT_THAT(executor_.Run((*copy)->Read(Context(), 4096)),
              Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  copy->reset();
}

TEST_F(SqliteBackup, AnEmptyDatabaseCanBeCopied) {
  Open(settings_);
  const std::string path = SaveCopy();
  EXPECT_EQ(Outsider(path).Number("SELECT count(*) FROM sqlite_schema"), 0);
  ExpectWhole(path);
}

TEST_F(SqliteBackup, ADatabaseThatIsOnlyReadCanBeCopied) {
  std::ofstream(path_) << "";
  ASSERT_EQ(Outsider(path_).Run("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)"), SQLITE_OK);
  const std::string empty_path = dir_.File("empty.db");
  std::ofstream(empty_path) << "";
  for (const std::string& path : {path_, empty_path}) {
    auto opened = OpenSqlite(executor_, path, settings_, {{"readonly", "on"}});
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
    const std::string copy = SaveCopy();
    EXPECT_EQ(Outsider(copy).Number("SELECT count(*) FROM sqlite_schema"), path == path_ ? 1 : 0);
    ExpectWhole(copy);
    database_->Close();
  }
}

TEST_F(SqliteBackup, TheServersOwnTablesAreInTheCopy) {
  Open(settings_);
  Outsider(path_).Run("CREATE TABLE _sluice_test (a); INSERT INTO _sluice_test VALUES (1)");
  const std::string path = SaveCopy();
  EXPECT_EQ(Outsider(path).Number("SELECT a FROM _sluice_test"), 1);
}

TEST_F(SqliteBackup, AFolderThatIsGoneIsTold) {
  Open(settings_);
  fs::remove(scratch_);
  EXPECT_EQ(Copy().status().code(), StatusCode::kInternal);
  fs::create_directory(scratch_);
  EXPECT_THAT(Copy(), IsOk());
}

}  // namespace
}  // namespace sluice::test
