// The journal: copied into the database by the writer alone, and bounded whoever reads.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/mutex.h"
#include "tests/db/crash_vfs.h"
#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;

constexpr int64_t kMegabyte = 1 << 20;

// Up to where the journal grows when nobody is in the way: a thousand pages and a group.
constexpr int64_t kAlone = 9 * kMegabyte;

class SqliteJournal : public SqliteGroupTest {
 protected:
  int64_t JournalSize() const {
    std::error_code none;
    const auto size = fs::file_size(path_ + "-wal", none);
    return none ? 0 : static_cast<int64_t>(size);
  }

  // Writes so many megabytes over and over the same rows, and says how large the journal became.
  int64_t Churn(int64_t megabytes) {
    int64_t largest = 0;
    for (int64_t i = 0; i < megabytes * 4; ++i) {
      // What stays the same is not written.
      const pb::Value blob = Bytes(std::string(256 << 10, static_cast<char>(++churned_)));
      EXPECT_THAT(Ask("UPDATE item SET word = $1 WHERE id = 0", {blob}), IsOk());
      largest = std::max(largest, JournalSize());
    }
    return largest;
  }

  std::unique_ptr<db::Cursor> OpenLong() {
    db::Statement statement("SELECT n, word FROM number ORDER BY n");
    statement.chunk_bytes = 4096;
    auto cursor = executor_.Run(database_->Open(ctx_, statement));
    EXPECT_THAT(cursor, IsOk());
    EXPECT_THAT(executor_.Run((*cursor)->Next(ctx_)), IsOk());
    return *std::move(cursor);
  }

  Context ctx_;
  int churned_ = 0;
};

TEST_F(SqliteJournal, ItStaysShortUnderWritesThatNeverEnd) {
  OpenWithTables();
  EXPECT_LE(Churn(60), kAlone);
  const db::WriterStats stats = Stats();
  EXPECT_GE(stats.checkpoints, 10);
  EXPECT_GT(stats.checkpoint_total, absl::ZeroDuration());
  EXPECT_GE(stats.checkpoint_total, stats.checkpoint_longest);
  EXPECT_LE(stats.journal_bytes, kAlone);
  EXPECT_EQ(stats.journal_reliefs, 0);
}

TEST_F(SqliteJournal, ShortReadsAreNotInItsWayAndAreNotEnded) {
  OpenWithTables();
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      ManualExecutor executor;
      while (!stop) {
        const auto reply = Execute(
            executor, *database_,
            i == 0 ? "SELECT count(*) FROM item" : "SELECT length(word) FROM item WHERE id = 0");
        if (!reply.ok()) ++failed;
        ++done;
      }
    });
  }
  // It starts over, again and again.
  int started_over = 0;
  int64_t before = 0;
  for (int megabytes = 0; started_over < 5 && megabytes < 200; ++megabytes) {
    Churn(1);
    const int64_t now = Stats().journal_bytes;
    if (now < before) ++started_over;
    before = now;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(started_over, 5);
  EXPECT_EQ(failed, 0);
  EXPECT_GT(done, 100);
  EXPECT_EQ(Stats().journal_reliefs, 0);
}

TEST_F(SqliteJournal, AReaderThatPinsItStopsNoWrite) {
  OpenWithTables();
  MakeNumbers(5000);
  std::unique_ptr<db::Cursor> cursor = OpenLong();
  ASSERT_THAT(Ask("DELETE FROM number WHERE n > 10"), IsOk());
  EXPECT_GT(Churn(30), 25 * kMegabyte);
  EXPECT_EQ(Stats().journal_reliefs, 0);
  int64_t rows = 0;
  for (bool end = false; !end;) {
    const auto chunk = executor_.Run(cursor->Next(ctx_));
    ASSERT_THAT(chunk, IsOk());
    rows += chunk->count;
    end = chunk->end;
  }
  EXPECT_GT(rows, 4000);  // what was there when it began
  cursor.reset();
  // Nobody is in the way any more: it starts over.
  ASSERT_TRUE(RunUntil(executor_, [&] {
    Churn(1);
    return Stats().journal_bytes < 2 * kMegabyte;
  }));
}

TEST_F(SqliteJournal, Fault62_ReadersInItsWayAreEndedAtItsLimitAndWritesGoOn) {
  db::SqliteSettings settings;
  settings.journal_limit = 8 * kMegabyte;
  OpenWithTables(settings);
  MakeNumbers(5000);
  for (int round = 0; round < 3; ++round) {
    const int64_t reliefs = Stats().journal_reliefs;
    std::unique_ptr<db::Cursor> idle = OpenLong();
    std::unique_ptr<db::Cursor> other = OpenLong();
    Pending endless(executor_, *database_, kEndless);
    ASSERT_TRUE(UntilActive(1));
    int64_t largest = 0;
    ASSERT_TRUE(RunUntil(executor_, [&] {
      largest = std::max(largest, Churn(1));
      return Stats().journal_reliefs > reliefs;
    }));
    EXPECT_GE(largest, settings.journal_limit);
    largest = std::max(largest, Churn(20));
    EXPECT_LE(largest, 2 * settings.journal_limit + kMegabyte);
    EXPECT_LE(Stats().journal_reliefs, reliefs + 2);
    EXPECT_THAT(endless.Wait(), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
    EXPECT_THAT(executor_.Run(idle->Next(ctx_)), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
    EXPECT_EQ(Number("SELECT count(*) FROM number"), 5000);
  }
}

// In this version of SQLite a commit on one connection during a checkpoint on another can destroy
// the file.
TEST_F(SqliteJournal, EveryChangeOfTheFilesIsMadeOnTheWritersThread) {
  Mutex mu;
  std::set<std::thread::id> seen;
  int64_t changes = 0;
  const CrashVfs vfs(dir_.path(), [&] {
    MutexLock lock(&mu);
    seen.insert(std::this_thread::get_id());
    ++changes;
  });
  OpenWithTables();
  MakeNumbers(5000);
  std::thread reading([&] {
    ManualExecutor executor;
    for (int i = 0; i < 300; ++i) {
      EXPECT_THAT(Execute(executor, *database_, "SELECT count(*) FROM number"), IsOk());
    }
  });
  for (int i = 0; i < 20; ++i) {
    std::unique_ptr<db::Cursor> cursor = OpenLong();
    Churn(2);
    if (i % 2 == 0) Outsider(path_).Number("SELECT count(*) FROM number");
  }
  reading.join();
  EXPECT_GT(Stats().checkpoints, 5);
  executor_.RunUntilIdle();
  database_->Close();
  database_ = nullptr;
  EXPECT_FALSE(fs::exists(path_ + "-wal"));  // emptied by the same thread
  MutexLock lock(&mu);
  EXPECT_GT(changes, 1000);
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen.count(std::this_thread::get_id()), 0u);
}

TEST_F(SqliteJournal, ATransactionLargerThanItsLimitIsCommitted) {
  db::SqliteSettings settings;
  settings.journal_limit = 2 * kMegabyte;
  OpenWithTables(settings);
  constexpr char kLarge[] =
      "INSERT INTO item (id, word) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
      "WHERE x < 2000) SELECT x, hex(zeroblob(2000)) FROM c";
  ASSERT_THAT(Ask(kLarge), IsOk());
  EXPECT_GT(JournalSize(), settings.journal_limit);
  ASSERT_TRUE(RunUntil(executor_, [&] {
    Churn(1);
    return Stats().journal_bytes < settings.journal_limit;
  }));
  Outsider outsider(path_);
  EXPECT_EQ(outsider.Number("SELECT count(*) FROM item"), 2001);
}

}  // namespace
}  // namespace sluice::test
