// A power cut at any moment: what was acknowledged is there, what was not is there whole or not at
// all, and the file is sound.
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/mutex.h"
#include "tests/db/crash_vfs.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

namespace fs = std::filesystem;

// A round is a database of its own.
constexpr int kCutsPerRound = 10;

// Changes of files between two cuts, at most: some commits and a checkpoint.
constexpr uint64_t kMostOperations = 1500;

using Random = std::mt19937_64;

int Rounds() {
#if defined(SLUICE_SANITIZED)
  return 4;
#endif
  const char* const nightly = std::getenv("SLUICE_NIGHTLY");
  return nightly != nullptr && std::string(nightly) == "1" ? 100 : 20;
}

// Ledger: the writes, each of one row or of two. Write n has the rows 2n and, if it is of two,
// 2n + 1. Any thread.
class Ledger {
 public:
  struct Write {
    int64_t number;
    bool two_rows;
  };

  Write Next() {
    MutexLock lock(&mu_);
    const int64_t number = ++last_;
    return {number, number % 3 == 0};
  }

  void Acknowledge(Write write) {
    MutexLock lock(&mu_);
    acknowledged_.push_back(write);
  }

  std::vector<Write> Acknowledged() const {
    MutexLock lock(&mu_);
    return acknowledged_;
  }

 private:
  mutable Mutex mu_;
  int64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<Write> acknowledged_ ABSL_GUARDED_BY(mu_);
};

// Writers: threads that write to a database, several statements at once, until they are told to
// stop.
class Writers {
 public:
  Writers(db::Database& database, Ledger& ledger) : database_(database), ledger_(ledger) {
    for (std::thread& thread : threads_) thread = std::thread([this] { Serve(); });
  }

  ~Writers() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

 private:
  static constexpr int kAtOnce = 6;

  void Serve() {
    ManualExecutor executor;
    int running = kAtOnce;
    for (int i = 0; i < kAtOnce; ++i) executor.Start(Work(running));
    RunUntil(executor, [&] { return running == 0; });
  }

  Task<void> Work(int& running) {
    const Context ctx;
    const db::NamedParams no_names;
    bool ok = true;
    while (ok && !stop_) {
      const Ledger::Write write = ledger_.Next();
      db::Params params;
      params.Add()->set_int64_value(2 * write.number);
      params.Add()->set_int64_value(2 * write.number + 1);
      params.Add()->set_bool_value(write.two_rows);
      db::Statement statement(
          "INSERT INTO entry SELECT column1, ?3, randomblob(300) FROM (VALUES (?1), (?2)) "
          "WHERE ?3 OR column1 = ?1",
          params, no_names);
      const auto rows = co_await database_.Execute(ctx, statement);
      EXPECT_THAT(rows, IsOk());
      ok = rows.ok();
      if (ok) ledger_.Acknowledge(write);
    }
    --running;
  }

  db::Database& database_;
  Ledger& ledger_;
  std::atomic<bool> stop_{false};
  std::array<std::thread, 3> threads_;
};

// Cutter: a folder whose power goes in the middle of things, at a change of a file that chance
// picks.
class Cutter {
 public:
  Cutter(const std::string& folder, const Ledger& ledger)
      : ledger_(ledger), vfs_(folder, [this] { OnOperation(); }) {}

  // Once taken(), the next one.
  void CutSoon(Random& random, std::string target) {
    MutexLock lock(&mu_);
    left_ = 1 + static_cast<int64_t>(random() % kMostOperations);
    seed_ = random();
    target_ = std::move(target);
  }

  bool taken() const {
    MutexLock lock(&mu_);
    return left_ == 0;
  }

  // What was acknowledged when the power went.
  std::vector<Ledger::Write> acknowledged() const {
    MutexLock lock(&mu_);
    return acknowledged_;
  }

  const CrashVfs& vfs() const { return vfs_; }

 private:
  void OnOperation() {
    MutexLock lock(&mu_);
    if (left_ == 0 || --left_ > 0) return;
    acknowledged_ = ledger_.Acknowledged();
    vfs_.Cut(seed_, target_);
  }

  const Ledger& ledger_;

  mutable Mutex mu_;
  int64_t left_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t seed_ ABSL_GUARDED_BY(mu_) = 0;
  std::string target_ ABSL_GUARDED_BY(mu_);
  std::vector<Ledger::Write> acknowledged_ ABSL_GUARDED_BY(mu_);

  const CrashVfs vfs_;
};

class SqlitePowerCut : public ::testing::Test {
 protected:
  std::string MakeFolder(absl::string_view name) const {
    std::string folder = dir_.File(name);
    fs::create_directory(folder);
    return folder;
  }

  // What a cut left, seen through the driver.
  void Verify(const std::string& folder, const std::vector<Ledger::Write>& acknowledged) {
    db::SqliteSettings settings;
    settings.readers = 1;
    const auto opened = OpenSqlite(executor_, folder + "/test.db", settings);
    ASSERT_THAT(opened, IsOk());
    const db::Params no_params;
    const db::NamedParams no_names;
    db::Statement statement("SELECT id, two FROM entry", no_params, no_names);
    statement.max_rows = 1'000'000;
    statement.max_bytes = 64 << 20;
    const auto found = Execute(executor_, **opened, statement);
    executor_.RunUntilIdle();
    (*opened)->Close();
    ASSERT_THAT(found, IsOk());
    std::map<int64_t, int> rows_of;  // by number of the write
    for (const auto& row : found->rows()) {
      const int64_t number = row.values(0).int64_value() / 2;
      const bool two = row.values(1).int64_value() == 1;
      // The first row of two counts one, the second two, so three is whole.
      rows_of[number] += !two ? 3 : row.values(0).int64_value() % 2 + 1;
    }
    for (const auto& [number, rows] : rows_of) EXPECT_EQ(rows, 3) << "half of write " << number;
    for (const Ledger::Write& write : acknowledged) {
      EXPECT_TRUE(rows_of.contains(write.number)) << "write " << write.number << " is lost";
    }
    EXPECT_EQ(Outsider(folder + "/test.db")
                  .Number("SELECT count(*) FROM pragma_integrity_check WHERE "
                          "integrity_check = 'ok'"),
              1);
  }

  TempDir dir_;
  ManualExecutor executor_;
};

TEST_F(SqlitePowerCut, Fault55_WhatWasAcknowledgedSurvives) {
  Random random(20'240'607);
  int64_t unsynced_cuts = 0;
  int rounds_with_checkpoints = 0;
  for (int round = 0; round < Rounds() && !HasFailure(); ++round) {
    SCOPED_TRACE(absl::StrCat("round ", round));
    const std::string live = MakeFolder("live");
    const std::string path = live + "/test.db";
    Ledger ledger;
    Cutter cutter(live, ledger);
    const auto opened = OpenSqlite(executor_, path);
    ASSERT_THAT(opened, IsOk());
    ASSERT_THAT(Execute(executor_, **opened,
                        "CREATE TABLE entry (id INTEGER PRIMARY KEY, two INTEGER, body BLOB)"),
                IsOk());
    ASSERT_THAT(Execute(executor_, **opened, "CREATE INDEX entry_body ON entry (body)"), IsOk());
    {
      const Writers writers(**opened, ledger);
      for (int cut = 0; cut < kCutsPerRound; ++cut) {
        const std::string folder = MakeFolder("cut");
        cutter.CutSoon(random, folder);
        ASSERT_TRUE(RunUntil(executor_, [&] { return cutter.taken(); }));
        Verify(folder, cutter.acknowledged());
        fs::remove_all(folder);
      }
    }
    if (fs::file_size(path) > 100'000) ++rounds_with_checkpoints;
    unsynced_cuts += cutter.vfs().unsynced_cuts();
    executor_.RunUntilIdle();
    (*opened)->Close();
    fs::remove_all(live);
  }
  // Else it was not tried.
  EXPECT_GT(unsynced_cuts, Rounds() * kCutsPerRound / 2);
  EXPECT_GT(rounds_with_checkpoints, Rounds() / 2);
}

// What cuts do to a database that is written with other guarantees, without the driver.
struct Harm {
  int lost = 0;     // cuts that took a commit
  int halved = 0;   // that left half a transaction
  int corrupt = 0;  // that left what is no sound database
};

class SqlitePowerCutAlone : public SqlitePowerCut {
 protected:
  Harm CutWhileWriting(const char* synchronous) {
    const std::string live = MakeFolder("live");
    std::ofstream(live + "/test.db") << "";
    const CrashVfs vfs(live);
    Harm harm;
    Outsider writer(live + "/test.db");
    EXPECT_EQ(writer.Run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=30;"
                         "CREATE TABLE entry (id INTEGER PRIMARY KEY, body BLOB);"
                         "CREATE INDEX entry_body ON entry (body);"),
              SQLITE_OK);
    EXPECT_EQ(writer.Run(absl::StrCat("PRAGMA synchronous=", synchronous)), SQLITE_OK);
    Random random(4);
    int64_t pairs = 0;
    for (int cut = 0; cut < 100; ++cut) {
      for (uint64_t commits = random() % 10; commits > 0; --commits, ++pairs) {
        EXPECT_EQ(writer.Run("BEGIN; INSERT INTO entry (body) VALUES (randomblob(900));"
                             "INSERT INTO entry (body) VALUES (randomblob(900)); COMMIT"),
                  SQLITE_OK);
      }
      const std::string folder = MakeFolder("cut");
      vfs.Cut(random(), folder);
      Outsider left(folder + "/test.db");
      const bool sound = left.Number(
                             "SELECT count(*) FROM pragma_integrity_check WHERE "
                             "integrity_check = 'ok'") == 1;
      const int64_t rows = left.Number("SELECT count(*) FROM entry NOT INDEXED");
      if (!sound || rows < 0) {
        ++harm.corrupt;
      } else {
        if (rows % 2 != 0) ++harm.halved;
        if (rows < 2 * pairs) ++harm.lost;
      }
      fs::remove_all(folder);
    }
    return harm;
  }
};

TEST_F(SqlitePowerCutAlone, Fault55_WithoutSyncsACutIsSeenToHarm) {
  const Harm harm = CutWhileWriting("OFF");
  EXPECT_GT(harm.lost + harm.corrupt, 20);
  EXPECT_GT(harm.corrupt, 0);
}

TEST_F(SqlitePowerCutAlone, Fault55_WithFewerSyncsACutIsSeenToLoseCommitsOnly) {
  const Harm harm = CutWhileWriting("NORMAL");
  EXPECT_GT(harm.lost, 0);
  EXPECT_EQ(harm.halved, 0);
  EXPECT_EQ(harm.corrupt, 0);
}

TEST_F(SqlitePowerCutAlone, Fault55_WithEverySyncACutTakesNothing) {
  const Harm harm = CutWhileWriting("FULL");
  EXPECT_EQ(harm.lost, 0);
  EXPECT_EQ(harm.halved, 0);
  EXPECT_EQ(harm.corrupt, 0);
}

}  // namespace
}  // namespace sluice::test
