// A disk that fails under the writer: nobody is told that a write is there unless it is, and work
// goes on as soon as the disk does.
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/crash_vfs.h"
#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using Operation = CrashVfs::Operation;

class SqliteDeviceFault : public SqliteGroupTest {
 protected:
  // The file system goes only once no file is open.
  ~SqliteDeviceFault() override { CloseDatabase(); }

  void SetUp() override {
    vfs_.emplace(dir_.path());
    OpenWithTables();
  }

  void CloseDatabase() {
    executor_.RunUntilIdle();
    started_.clear();
    if (database_ != nullptr) database_->Close();
    database_ = nullptr;
  }

  // Ten writes that are committed together.
  void StartGroup(int64_t first) {
    started_.clear();
    Hold();
    for (int64_t i = 0; i < 10; ++i) Start(kInsert, {Int(first + i), Text("w")});
    ASSERT_TRUE(UntilQueued(10));
    Release();
  }

  // Items that a power cut leaves now, as often as chance is asked.
  void ExpectAfterCuts(int64_t items, uint64_t cuts = 20) {
    for (uint64_t seed = 1; seed <= cuts; ++seed) {
      const TempDir cut;
      vfs_->Cut(seed, cut.path());
      Outsider left(cut.File("test.db"));
      EXPECT_EQ(left.Number("SELECT count(*) FROM item"), items) << "seed " << seed;
      EXPECT_EQ(left.Number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = "
                            "'ok'"),
                1);
    }
  }

  std::optional<CrashVfs> vfs_;
};

// The disk works again when the writer looks: then it can say that nothing remains.
TEST_F(SqliteDeviceFault, Fault57_ASyncThatFailsFailsAllThatWouldHaveBeenCommittedWithIt) {
  StartGroup(1);
  for (const auto& write : started_) ASSERT_THAT(write->Wait(), IsOk());
  const db::WriterStats before = Stats();
  vfs_->Fail(Operation::kSyncJournal, SQLITE_IOERR_FSYNC, 1);
  StartGroup(101);
  for (const auto& write : started_) {
    EXPECT_THAT(write->Wait(), Fails(StatusCode::kDataLoss, "DEVICE_FAULT"));
    EXPECT_THAT(write->Wait(), WasExecuted("rolled_back"));
  }
  EXPECT_EQ(Stats().groups, before.groups);
  EXPECT_EQ(Items(), 11);
  ExpectAfterCuts(11);  // what was told is so on the disk, too

  StartGroup(201);
  for (const auto& write : started_) EXPECT_THAT(write->Wait(), IsOk());
  EXPECT_EQ(Items(), 21);
  ExpectAfterCuts(21);
}

TEST_F(SqliteDeviceFault, Fault57_WhereNothingCanBeProvenTheOutcomeIsUnknown) {
  vfs_->Fail(Operation::kSyncJournal, SQLITE_IOERR_FSYNC, kForever);
  for (int64_t round = 1; round <= 3; ++round) {
    StartGroup(round * 100);
    for (const auto& write : started_) {
      EXPECT_THAT(write->Wait(), Fails(StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN"));
      EXPECT_THAT(write->Wait(), WasExecuted("unknown"));
    }
    EXPECT_EQ(Items(), 1);  // reads go on
  }
  vfs_->Fail(Operation::kSyncJournal, SQLITE_OK, 0);
  StartGroup(901);
  for (const auto& write : started_) EXPECT_THAT(write->Wait(), IsOk());
  EXPECT_EQ(Items(), 11);
  ExpectAfterCuts(11);
}

TEST_F(SqliteDeviceFault, Fault56_AFullDiskIsToldToEveryMemberAndReadsGoOn) {
  vfs_->Fail(Operation::kWriteJournal, SQLITE_FULL, kForever);
  StartGroup(1);
  for (const auto& write : started_) {
    EXPECT_THAT(write->Wait(), Fails(StatusCode::kResourceExhausted, "DISK_FULL"));
    EXPECT_THAT(write->Wait(), WasExecuted("rolled_back"));
  }
  EXPECT_EQ(Items(), 1);
  vfs_->Fail(Operation::kWriteJournal, SQLITE_OK, 0);
  StartGroup(1);
  for (const auto& write : started_) EXPECT_THAT(write->Wait(), IsOk());
  EXPECT_EQ(Items(), 11);
  ExpectAfterCuts(11);
}

// More than the page cache holds goes to the journal before the commit.
TEST_F(SqliteDeviceFault, Fault57_AFaultInTheMiddleOfAMemberFailsAllOfTheGroup) {
  constexpr char kLarge[] =
      "INSERT INTO item (id, word) WITH RECURSIVE c(x) AS (SELECT 1000 UNION ALL SELECT x + 1 FROM "
      "c WHERE x < 3000) SELECT x, hex(zeroblob(2000)) FROM c";
  Know(kLarge);
  for (const int code : {SQLITE_IOERR_WRITE, SQLITE_OK}) {
    started_.clear();
    Hold();
    Start(kInsert, {Int(1), Text("before")});
    Start(kLarge);
    Start(kInsert, {Int(2), Text("after")});
    ASSERT_TRUE(UntilQueued(3));
    vfs_->Fail(Operation::kWriteJournal, code, code == SQLITE_OK ? 0 : 1);
    Release();
    for (const auto& write : started_) {
      if (code == SQLITE_OK) {
        EXPECT_THAT(write->Wait(), IsOk());
      } else {
        EXPECT_THAT(write->Wait(), Fails(StatusCode::kInternal, "SQL_ERROR"));
        EXPECT_THAT(write->Wait(), WasExecuted("rolled_back"));
      }
    }
  }
  EXPECT_EQ(Items(), 1 + 2 + 2001);
  ExpectAfterCuts(1 + 2 + 2001, 4);
}

TEST_F(SqliteDeviceFault, ACheckpointThatFailsHarmsNobodyAndIsDoneLater) {
  constexpr char kPage[] = "UPDATE item SET word = $1 WHERE id = 0";
  int times = 0;
  // What stays the same is not written.
  const auto large = [&] {
    return Text(std::string(200'000, static_cast<char>('a' + ++times % 26)));
  };
  for (const Operation operation : {Operation::kWriteDatabase, Operation::kSyncDatabase}) {
    vfs_->Fail(operation, SQLITE_IOERR_WRITE, kForever);
    const int64_t checkpoints = Stats().checkpoints;
    for (int i = 0; i < 60; ++i) ASSERT_THAT(Ask(kPage, {large()}), IsOk());
    EXPECT_GT(Stats().checkpoints, checkpoints);
    EXPECT_EQ(Items(), 1);
    ExpectAfterCuts(1, 4);
    vfs_->Fail(operation, SQLITE_OK, 0);
    ASSERT_TRUE(RunUntil(executor_, [&] {
      EXPECT_THAT(Ask(kPage, {large()}), IsOk());
      return Stats().journal_bytes < 1'000'000;
    }));
    ExpectAfterCuts(1, 4);
  }
  CloseDatabase();
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
}

}  // namespace
}  // namespace sluice::test
