// The database as a whole: opening, sharing, damage, load and close.
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

namespace fs = std::filesystem;

using absl::StatusCode;
using ::testing::HasSubstr;
using Options = std::map<std::string, std::string>;

// A hundred thousand calls take two seconds, or ten times that without optimization or with a
// sanitizer.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
constexpr bool kOptimized = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kOptimized = false;
#else
constexpr bool kOptimized = true;
#endif
#else
constexpr bool kOptimized = true;
#endif

class SqliteDatabase : public SqliteTest {
 protected:
  absl::Status TryOpen(const std::string& path, Options options = {}) {
    auto opened = OpenSqlite(executor_, path, {}, std::move(options));
    if (opened.ok()) (*opened)->Close();
    return opened.status();
  }
};

TEST_F(SqliteDatabase, TwoNamesOfOneFileShareOneDatabase) {
  Open();
  fs::create_hard_link(path_, dir_.File("other.db"));
  const auto same = OpenSqlite(executor_, path_);
  const auto linked = OpenSqlite(executor_, dir_.File("other.db"));
  ASSERT_THAT(same, IsOk());
  ASSERT_THAT(linked, IsOk());
  EXPECT_EQ(same->get(), database_.get());
  EXPECT_EQ(linked->get(), database_.get());
}

TEST_F(SqliteDatabase, AFileThatIsOpenedFromManyThreadsIsOpenedOnce) {
  std::vector<std::shared_ptr<db::Database>> found(8);
  std::vector<std::thread> threads;
  for (auto& each : found) {
    threads.emplace_back([&] {
      ManualExecutor executor;
      auto opened = OpenSqlite(executor, path_);
      ASSERT_THAT(opened, IsOk());
      each = *std::move(opened);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& each : found) EXPECT_EQ(each.get(), found[0].get());
  found[0]->Close();
}

TEST_F(SqliteDatabase, ASecondGatewayIsTurnedAway) {
  // Another gateway's lock: on another description of the file, which is what counts.
  const std::string lock_path = path_ + ".sluice-lock";
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(write(fd, "4242\n", 5), 5);

  struct flock whole_file {};

  whole_file.l_type = F_WRLCK;
  ASSERT_EQ(fcntl(fd, F_OFD_SETLK, &whole_file), 0);

  const auto failed = OpenSqlite(executor_, path_);
  EXPECT_THAT(failed, Fails(StatusCode::kFailedPrecondition, "CONNECTION_IN_USE"));
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("process 4242"));
  close(fd);
  EXPECT_THAT(TryOpen(path_), IsOk());
}

TEST_F(SqliteDatabase, AfterCloseTheFileIsWholeAndCanBeOpenedAgain) {
  for (int i = 0; i < 3; ++i) {
    Open();
    if (i == 0) MakeNumbers(100);
    EXPECT_EQ(Number("SELECT count(*) FROM number"), 100);
    EXPECT_TRUE(fs::exists(path_ + ".sluice-lock"));
    database_->Close();
    EXPECT_FALSE(fs::exists(path_ + ".sluice-lock"));
    EXPECT_FALSE(fs::exists(path_ + "-wal") && fs::file_size(path_ + "-wal") > 0);
  }
}

TEST_F(SqliteDatabase, WhatIsNoDatabaseFileIsRefused) {
  ASSERT_EQ(mkfifo(dir_.File("fifo").c_str(), 0600), 0);
  fs::create_directory(dir_.File("folder"));
  fs::create_symlink(dir_.File("target.db"), dir_.File("link"));
  for (const std::string& path :
       {dir_.File("fifo"), dir_.File("folder"), dir_.File("link"), dir_.File("missing/test.db"),
        std::string("/dev/null"), std::string(), dir_.path() + "/", std::string("a\0b", 3),
        dir_.File(std::string(300, 'n'))}) {
    EXPECT_THAT(TryOpen(path), Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"))
        << path;
  }
  EXPECT_FALSE(fs::exists(dir_.File("target.db")));
}

TEST_F(SqliteDatabase, OptionsAreChecked) {
  EXPECT_THAT(TryOpen(path_, Options{{"journal", "off"}}),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_THAT(TryOpen(path_, Options{{"readonly", "maybe"}}),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_THAT(TryOpen(path_, Options{{"readonly", "on"}}),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_FALSE(fs::exists(path_));  // a connection that only reads makes nothing
}

TEST_F(SqliteDatabase, AReadOnlyConnectionReadsAndDoesNotWrite) {
  Open();
  MakeNumbers(3);
  EXPECT_THAT(OpenSqlite(executor_, path_, {}, Options{{"readonly", "on"}}),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  database_->Close();
  database_.reset();

  auto opened = OpenSqlite(executor_, path_, {}, Options{{"readonly", "on"}});
  ASSERT_THAT(opened, IsOk());
  database_ = *std::move(opened);
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Ask("DELETE FROM number"),
                Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  }
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
}

TEST_F(SqliteDatabase, ForeignKeysAreAnOption) {
  for (const bool on : {true, false}) {
    Options options;
    if (!on) options["foreign_keys"] = "off";
    auto opened = OpenSqlite(executor_, dir_.File(on ? "on.db" : "off.db"), {}, options);
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
    ASSERT_THAT(Ask("CREATE TABLE parent (id INTEGER PRIMARY KEY)"), IsOk());
    ASSERT_THAT(Ask("CREATE TABLE child (parent INTEGER REFERENCES parent (id))"), IsOk());
    EXPECT_EQ(Ask("INSERT INTO child (parent) VALUES (1)").ok(), !on);
    database_->Close();
  }
}

TEST_F(SqliteDatabase, MemoryIsPrivateAndGoesWithItsConnection) {
  ASSERT_EQ(setenv("TMPDIR", dir_.path().c_str(), 1), 0);
  auto first = OpenSqlite(executor_, ":memory:");
  auto second = OpenSqlite(executor_, ":memory:");
  unsetenv("TMPDIR");
  ASSERT_THAT(first, IsOk());
  ASSERT_THAT(second, IsOk());
  ASSERT_THAT(Execute(executor_, **first, "CREATE TABLE t (x INTEGER)"), IsOk());
  EXPECT_FALSE(Execute(executor_, **second, "SELECT * FROM t").ok());
  EXPECT_FALSE(fs::is_empty(dir_.path()));
  (*first)->Close();
  (*second)->Close();
  EXPECT_TRUE(fs::is_empty(dir_.path()));
}

TEST_F(SqliteDatabase, Fault58_ARemovedFileIsNotMadeAnew) {
  Open();
  MakeNumbers(3);
  fs::rename(path_, dir_.File("away.db"));
  EXPECT_THAT(Ask("DELETE FROM number"),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  RunUntil(executor_, [&] { return !Ask("SELECT n FROM number").ok(); });
  EXPECT_THAT(Ask("SELECT n FROM number"),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_THAT(ReadAll(executor_, *database_, db::Statement("SELECT n FROM number")),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_FALSE(fs::exists(path_));

  fs::rename(dir_.File("away.db"), path_);  // put back, it is itself again
  EXPECT_THAT(Ask("DELETE FROM number WHERE n = 1"), IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 2);
}

TEST_F(SqliteDatabase, Fault58_AnotherFileInItsPlaceIsNotTakenForIt) {
  Open();
  MakeNumbers(3);
  fs::rename(path_, dir_.File("away.db"));
  std::ofstream(path_).close();
  EXPECT_THAT(Ask("DELETE FROM number"),
              Fails(StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"));
  EXPECT_EQ(fs::file_size(path_), 0u);
  // Nor is the new file opened as a second view of the old one.
  auto other = OpenSqlite(executor_, path_);
  EXPECT_FALSE(other.ok());
}

TEST_F(SqliteDatabase, Fault64_ADamagedFileIsQuarantinedAndOthersAreNot) {
  Open();
  MakeNumbers(20'000);
  database_->Close();
  database_.reset();
  {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<int64_t>(fs::file_size(path_));
    for (int64_t page = 4096 * 3; page < size; page += 4096) {
      file.seekp(page);
      file.write("\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    }
  }
  Open();
  EXPECT_THAT(Ask("SELECT sum(length(word)) FROM number"),
              Fails(StatusCode::kDataLoss, "DATABASE_CORRUPT"));
  EXPECT_THAT(Ask("SELECT 1"), Fails(StatusCode::kDataLoss, "DATABASE_CORRUPT"));
  EXPECT_THAT(Ask("CREATE TABLE t (x INTEGER)"), Fails(StatusCode::kDataLoss, "DATABASE_CORRUPT"));

  auto other = OpenSqlite(executor_, dir_.File("other.db"));
  ASSERT_THAT(other, IsOk());
  EXPECT_THAT(Execute(executor_, **other, "SELECT 1"), IsOk());
  (*other)->Close();
}

TEST_F(SqliteDatabase, Fault64_AFileThatIsNoDatabaseIsNotOpened) {
  std::ofstream(path_) << std::string(10'000, 'x');
  EXPECT_THAT(TryOpen(path_), Fails(StatusCode::kDataLoss, "DATABASE_CORRUPT"));
}

TEST_F(SqliteDatabase, CloseAnswersEverythingThatWaitsOrRuns) {
  db::SqliteSettings settings;
  settings.readers = 1;
  Open(settings);
  MakeNumbers(3);
  Pending running(executor_, *database_, kEndless);
  ASSERT_TRUE(UntilActive(1));
  Pending queued(executor_, *database_, "SELECT 1");
  executor_.RunUntilIdle();
  Pending collected(executor_, *database_, "SELECT 2");
  database_->Close();
  executor_.RunUntilIdle();
  for (Pending* const pending : {&running, &queued, &collected}) {
    ASSERT_TRUE(pending->done());
    EXPECT_THAT(pending->Wait(), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  }
  EXPECT_THAT(queued.Wait(), WasExecuted("no"));
  EXPECT_THAT(running.Wait(), WasExecuted("no"));
}

TEST_F(SqliteDatabase, CloseUnderLoadAnswersEveryCall) {
  for (int round = 0; round < 5; ++round) {
    Open();
    if (round == 0) MakeNumbers(100);
    std::atomic<bool> closed{false};
    std::atomic<int> answered{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        ManualExecutor executor;
        while (true) {
          const auto reply =
              i == 0 ? Execute(executor, *database_, "UPDATE number SET word = word || 'x'")
                     : Execute(executor, *database_, "SELECT word FROM number WHERE n = 5");
          ++answered;
          if (reply.ok()) continue;
          EXPECT_EQ(reply.status().code(), StatusCode::kUnavailable) << reply.status();
          EXPECT_TRUE(closed);
          break;
        }
      });
    }
    RunUntil(executor_, [&] { return answered > 100; });
    closed = true;
    database_->Close();
    for (std::thread& thread : threads) thread.join();
    database_.reset();
  }
}

// Reads and writes from several executors at once, on every path. Each thread counts up a row of
// its own and must read back what it was told is written; the sum proves that nothing was lost.
TEST_F(SqliteDatabase, AHundredThousandMixedCallsAreAllRight) {
  Open();
  MakeNumbers(1000);
  ASSERT_THAT(Ask("CREATE TABLE tally (id INTEGER PRIMARY KEY, n INTEGER)"), IsOk());
  constexpr int kThreads = 4;
  constexpr int kCalls = kOptimized ? 25'000 : 2'500;
  for (int i = 0; i < kThreads; ++i) {
    ASSERT_THAT(Ask("INSERT INTO tally (id, n) VALUES ($1, 0)", {Int(i)}), IsOk());
  }
  std::atomic<int> wrong{0};
  std::atomic<int64_t> written{0};
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) {
    threads.emplace_back([&, id] {
      ManualExecutor executor;
      std::minstd_rand random(static_cast<unsigned>(id) + 1);
      int64_t mine = 0;
      for (int i = 0; i < kCalls; ++i) {
        if (random() % 100 == 0) {
          if (!Execute(executor, *database_, "UPDATE tally SET n = n + 1 WHERE id = $1", {Int(id)})
                   .ok()) {
            ++wrong;
          }
          ++mine;
        } else if (random() % 4 == 0) {
          const auto reply =
              Execute(executor, *database_, "SELECT n FROM tally WHERE id = $1", {Int(id)});
          if (!reply.ok() || reply->rows(0).values(0).int64_value() != mine) ++wrong;
        } else {
          const auto n = static_cast<int64_t>(random() % 1000) + 1;
          const auto reply =
              Execute(executor, *database_, "SELECT word FROM number WHERE n = $1", {Int(n)});
          if (!reply.ok() || reply->rows(0).values(0).string_value() != absl::StrCat("word ", n)) {
            ++wrong;
          }
        }
      }
      written += mine;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(Number("SELECT sum(n) FROM tally"), written);
}

}  // namespace
}  // namespace sluice::test
