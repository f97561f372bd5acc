// One connection: how it opens, what it keeps, and what ends a statement early.
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <sqlite3.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/limits.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;
using absl::StatusCode;
using testing::HasSubstr;

// Runs for as long as it is let.
constexpr char kEndless[] =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";

absl::Status OpenStatus(const ConnectionOptions& options) {
  return Connection::Open(options).status();
}

class ConnectionTest : public testing::Test {
 protected:
  // What a setting has become, asked without the clients' rules.
  std::string Ask(Connection& connection, const char* sql) {
    sqlite3_set_authorizer(connection.raw(), nullptr, nullptr);
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(connection.raw(), sql, -1, &stmt, nullptr), SQLITE_OK) << sql;
    std::string value;
    if (sqlite3_step(stmt) == SQLITE_ROW) {
      value = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
    }
    sqlite3_finalize(stmt);
    return value;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.File("a.db");
};

TEST_F(ConnectionTest, TheLibraryIsFit) {
  EXPECT_TRUE(InitializeLibrary().ok()) << InitializeLibrary();
  EXPECT_EQ(LibraryVersion(), sqlite3_libversion());
  EXPECT_EQ(sqlite3_hard_heap_limit64(-1), kMaxHeapBytes);
}

TEST_F(ConnectionTest, AWriterIsDurable) {
  TestSession writer(Writer(path_));
  EXPECT_EQ(Ask(*writer, "PRAGMA journal_mode"), "wal");
  EXPECT_EQ(Ask(*writer, "PRAGMA synchronous"), "2");
  EXPECT_EQ(Ask(*writer, "PRAGMA foreign_keys"), "1");
  EXPECT_EQ(Ask(*writer, "PRAGMA secure_delete"), "0");
  EXPECT_EQ(Ask(*writer, "PRAGMA mmap_size"), "0");
  EXPECT_EQ(Ask(*writer, "PRAGMA busy_timeout"), "100");
  EXPECT_EQ(Ask(*writer, "PRAGMA wal_autocheckpoint"), "0");  // not inside a commit
  EXPECT_EQ(Ask(*writer, "PRAGMA query_only"), "0");
}

TEST_F(ConnectionTest, AReaderNeitherWritesNorCheckpoints) {
  TestSession writer(Writer(path_));
  ASSERT_TRUE(writer.Try("CREATE TABLE t(a)").ok());
  TestSession reader(Reader(path_));
  const absl::Status status = reader.Try("INSERT INTO t VALUES(1)");
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << status;
  EXPECT_EQ(errors::ReasonOf(status), "READ_ONLY_VIOLATION");
  EXPECT_EQ(Ask(*reader, "PRAGMA query_only"), "1");
  EXPECT_EQ(Ask(*reader, "PRAGMA wal_autocheckpoint"), "0");
  int kept = 0;
  sqlite3_db_config(reader->raw(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, -1, &kept);
  EXPECT_EQ(kept, 1);
}

TEST_F(ConnectionTest, ForeignKeysAreAnOption) {
  ConnectionOptions options = Writer(path_);
  options.foreign_keys = false;
  TestSession writer(options);
  EXPECT_EQ(Ask(*writer, "PRAGMA foreign_keys"), "0");
}

TEST_F(ConnectionTest, EveryConnectionIsLimitedAndDefensive) {
  TestSession writer(Writer(path_));
  TestSession reader(Reader(path_));
  for (TestSession* const session : {&writer, &reader}) {
    sqlite3* const db = (*session)->raw();
    const std::pair<int, int> limits[] = {
        {SQLITE_LIMIT_LENGTH, 65 << 20},
        {SQLITE_LIMIT_SQL_LENGTH, 1 << 20},
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_EXPR_DEPTH, 1000},
        {SQLITE_LIMIT_COMPOUND_SELECT, 50},
        {SQLITE_LIMIT_VDBE_OP, 1'000'000},
        {SQLITE_LIMIT_FUNCTION_ARG, 100},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
        {SQLITE_LIMIT_VARIABLE_NUMBER, 32'766},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 10},
    };
    for (const auto& [limit, value] : limits) EXPECT_EQ(sqlite3_limit(db, limit, -1), value);
    const std::pair<int, int> switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
    };
    for (const auto& [op, value] : switches) {
      int is = -1;
      EXPECT_EQ(sqlite3_db_config(db, op, -1, &is), SQLITE_OK);
      EXPECT_EQ(is, value) << op;
    }
  }
}

TEST_F(ConnectionTest, ANewFileIsForItsOwnerAlone) {
  TestSession writer(Writer(path_));
  struct stat file = {};
  ASSERT_EQ(stat(path_.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(ConnectionTest, AMissingFileIsNotMade) {
  ConnectionOptions options = Writer(path_);
  options.create = false;
  for (const bool read_only : {false, true}) {
    options.read_only = read_only;
    const absl::Status status = OpenStatus(options);
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
    EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_INVALID_TARGET");
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
}

TEST_F(ConnectionTest, LinksAreFollowedForFoldersOnly) {
  { TestSession writer(Writer(path_)); }
  std::filesystem::create_symlink(path_, folder_.File("link.db"));
  const absl::Status status = OpenStatus(Writer(folder_.File("link.db")));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("symbolic link"));

  std::filesystem::create_symlink(folder_.File("nothing"), folder_.File("dangling.db"));
  EXPECT_FALSE(OpenStatus(Writer(folder_.File("dangling.db"))).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_.File("nothing")));

  std::filesystem::create_directory_symlink(folder_.path(), folder_.File("folder"));
  EXPECT_TRUE(OpenStatus(Writer(folder_.File("folder/a.db"))).ok());
}

TEST_F(ConnectionTest, WhatIsNoFileIsRefused) {
  ASSERT_EQ(mkfifo(folder_.File("fifo").c_str(), 0600), 0);
  const std::string paths[] = {folder_.path(),          folder_.File("fifo"),  "/dev/null",
                               folder_.File("no/a.db"), folder_.File(""),      "",
                               folder_.File(".."),      std::string("a\0b", 3)};
  for (const std::string& path : paths) {
    const absl::Status status = OpenStatus(Writer(path));
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << path << ": " << status;
    EXPECT_EQ(errors::ReasonOf(status), "CONNECTION_INVALID_TARGET") << path;
  }
}

TEST_F(ConnectionTest, ANameIsNeverReadAsAnAddress) {
  // SQLite as Debian builds it would take these for a memory database, or for options.
  for (const char* const name : {"file:x?mode=memory", ":memory:", "a.db?vfs=unix-none"}) {
    EXPECT_TRUE(OpenStatus(Writer(folder_.File(name))).ok()) << name;
    EXPECT_TRUE(std::filesystem::exists(folder_.File(name))) << name;
  }
}

TEST_F(ConnectionTest, AFileThatIsNoDatabaseIsCorrupt) {
  std::ofstream(path_) << std::string(8192, 'x');
  for (const ConnectionOptions& options : {Writer(path_), Reader(path_)}) {
    const absl::Status status = OpenStatus(options);
    EXPECT_EQ(status.code(), StatusCode::kDataLoss) << status;
    EXPECT_EQ(errors::ReasonOf(status), "DATABASE_CORRUPT");
  }
}

TEST_F(ConnectionTest, AStatementIsCompiledOnce) {
  TestSession session(Writer(path_));
  EXPECT_FALSE(session->Cached("SELECT 1"));
  const auto first = session->Prepare("SELECT 1");
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(session->Cached("SELECT 1"));
  const auto second = session->Prepare("SELECT 1");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_FALSE(session->Cached("SELECT  1"));
}

TEST_F(ConnectionTest, AStatementInUseIsNotHandedOutAgain) {
  TestSession session(Writer(path_));
  const auto first = session->Prepare("SELECT 1 UNION ALL SELECT 2");
  ASSERT_TRUE(session->Advance(**first, nullptr).ok());
  EXPECT_FALSE(session->Cached("SELECT 1 UNION ALL SELECT 2"));
  const auto second = session->Prepare("SELECT 1 UNION ALL SELECT 2");
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*first, *second);
  ASSERT_TRUE(session->Advance(**second, nullptr).ok());
  // Both go on from where they are.
  EXPECT_EQ(*session->Advance(**first, nullptr), Connection::Step::kRow);
  EXPECT_EQ(*session->Advance(**first, nullptr), Connection::Step::kDone);
  EXPECT_EQ(*session->Advance(**second, nullptr), Connection::Step::kRow);
  session->Reset(**first);
  session->Reset(**second);
  EXPECT_TRUE(session->Cached("SELECT 1 UNION ALL SELECT 2"));
}

TEST_F(ConnectionTest, TheCacheKeepsWhatWasUsedLast) {
  ConnectionOptions options = Writer(path_);
  options.statement_cache = 3;
  TestSession session(options);
  const auto held = session->Prepare("SELECT 0 UNION ALL SELECT 1");
  ASSERT_TRUE(session->Advance(**held, nullptr).ok());
  for (int i = 1; i <= 4; ++i) ASSERT_TRUE(session.Try(absl::StrCat("SELECT ", i)).ok());
  EXPECT_FALSE(session->Cached("SELECT 1"));
  EXPECT_FALSE(session->Cached("SELECT 2"));
  EXPECT_TRUE(session->Cached("SELECT 3"));
  EXPECT_TRUE(session->Cached("SELECT 4"));
  // What is in use was used longest ago, and stays.
  EXPECT_EQ(*session->Advance(**held, nullptr), Connection::Step::kRow);
  session->Reset(**held);
  ASSERT_TRUE(session.Try("SELECT 3").ok());
  ASSERT_TRUE(session.Try("SELECT 5").ok());
  EXPECT_TRUE(session->Cached("SELECT 3"));
  EXPECT_FALSE(session->Cached("SELECT 0 UNION ALL SELECT 1"));
}

TEST_F(ConnectionTest, TheCacheIsBoundedByMemoryToo) {
  TestSession session(Writer(path_));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(
        session.Try(absl::StrCat("SELECT ", i, ", '", std::string(900'000, 'x'), "'")).ok());
  }
  EXPECT_FALSE(session->Cached(absl::StrCat("SELECT 0, '", std::string(900'000, 'x'), "'")));
  EXPECT_TRUE(session->Cached(absl::StrCat("SELECT 39, '", std::string(900'000, 'x'), "'")));
}

TEST_F(ConnectionTest, ValuesAreForgotten) {
  TestSession session(Writer(path_));
  const auto prepared = session->Prepare("SELECT ?");
  {
    db::Params params;
    *params.Add() = Text("gone");
    ASSERT_TRUE(session->Bind(**prepared, params, {}).ok());
    // Given up before its first step.
  }
  const auto again = session->Prepare("SELECT ?");
  ASSERT_EQ(*again, *prepared);
  ASSERT_TRUE(session->Advance(**again, nullptr).ok());
  EXPECT_EQ(session->SplitBytes(**again, 0), "");
  session->Reset(**again);
}

TEST_F(ConnectionTest, ParametersThatDoNotFitAreRefused) {
  TestSession session(Writer(path_));
  const std::pair<const char*, std::vector<pb::Value>> cases[] = {
      {"SELECT ?", {}},
      {"SELECT ?", {Int(1), Int(2)}},
      {"SELECT 1", {Int(1)}},
      {"SELECT ?, ?2", {Int(1), Int(2)}},
      {"SELECT ?2", {Int(1), Int(2)}},
      {"SELECT $1::text", {Int(1)}},
      {"SELECT ?", {pb::Value()}},
  };
  for (const auto& [sql, params] : cases) {
    const absl::Status status = session.Try(sql, params);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << sql << ": " << status;
    EXPECT_EQ(errors::ReasonOf(status), "PARAMETER_INVALID") << sql;
  }
}

TEST_F(ConnectionTest, ColumnsFollowTheSchema) {
  TestSession session(Writer(path_));
  TestSession reader(Reader(path_));
  ASSERT_TRUE(session.Try("CREATE TABLE t(a)").ok());
  ASSERT_TRUE(session.Try("INSERT INTO t VALUES(1)").ok());
  ASSERT_TRUE(reader.Try("SELECT * FROM t").ok());
  ASSERT_TRUE(session.Try("ALTER TABLE t ADD COLUMN b TEXT DEFAULT 'x'").ok());
  const auto reply = reader.Execute("SELECT * FROM t");
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->columns_size(), 2);
  EXPECT_EQ(reply->columns(1).name(), "b");
  ASSERT_EQ(reply->rows(0).values_size(), 2);
  EXPECT_EQ(reply->rows(0).values(1).string_value(), "x");
}

TEST_F(ConnectionTest, TheVerbIsWhatTheStatementDoes) {
  TestSession session(Writer(path_));
  ASSERT_TRUE(session.Try("CREATE TABLE t(a)").ok());
  const std::pair<const char*, const char*> cases[] = {
      {"select 1", "SELECT"},
      {"/* x */ Insert into t values(1)", "INSERT"},
      {"WITH x AS (SELECT 1) DELETE FROM t", "DELETE"},
      {"WITH x AS (SELECT 1) SELECT * FROM x", "SELECT"},
      {"EXPLAIN QUERY PLAN DELETE FROM t", "EXPLAIN"},
      {"CREATE TABLE u(a)", "CREATE"},
      {"VALUES(1)", "VALUES"},
  };
  for (const auto& [sql, verb] : cases) {
    const auto prepared = session->Prepare(sql);
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    EXPECT_EQ((*prepared)->verb, verb) << sql;
  }
}

TEST_F(ConnectionTest, FactsFollowAWrite) {
  TestSession session(Writer(path_));
  ASSERT_TRUE(session.Try("CREATE TABLE t(a INTEGER PRIMARY KEY, b)").ok());
  ASSERT_TRUE(session.Try("INSERT INTO t(b) VALUES(1), (2), (3)").ok());
  EXPECT_EQ(session->Changes(), 3);
  EXPECT_EQ(session->LastInsertRowid(), 3);
  ASSERT_TRUE(session.Try("UPDATE t SET b = 0 WHERE a > 1").ok());
  EXPECT_EQ(session->Changes(), 2);
  const auto size = session->DatabaseSize();
  ASSERT_TRUE(size.ok());
  EXPECT_GE(*size, 8192);
  EXPECT_EQ(*size % 4096, 0);
}

TEST_F(ConnectionTest, TransactionsAreOurs) {
  TestSession session(Writer(path_));
  ASSERT_TRUE(session.Try("CREATE TABLE t(a UNIQUE ON CONFLICT ROLLBACK)").ok());
  EXPECT_FALSE(session->InTransaction());
  ASSERT_TRUE(session->Run("BEGIN IMMEDIATE").ok());
  EXPECT_TRUE(session->InTransaction());
  ASSERT_TRUE(session.Try("INSERT INTO t VALUES(1)").ok());
  EXPECT_FALSE(session.Try("INSERT INTO t VALUES(1)").ok());
  EXPECT_FALSE(session->InTransaction());  // the conflict took it
  const absl::Status status = session->Run("COMMIT");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(session.Value("SELECT count(*) FROM t").int64_value(), 0);
}

TEST_F(ConnectionTest, AWatchStopsAStatement) {
  TestSession session(Writer(path_));
  Watch watch;
  watch.stop = true;
  const absl::Status status = session.Try(kEndless, {}, &watch);
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(watch.ended, Watch::Ended::kStopped);
  // The statement, and the connection, go on working.
  Watch other;
  EXPECT_TRUE(session.Try("SELECT 1", {}, &other).ok());
  EXPECT_EQ(other.ended, Watch::Ended::kNo);
}

TEST_F(ConnectionTest, AWatchKeepsTheDeadline) {
  TestSession session(Writer(path_));
  const absl::Duration begin = Clock::System().Steady();
  Watch watch;
  watch.deadline = begin + absl::Milliseconds(50);
  const absl::Status status = session.Try(kEndless, {}, &watch);
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(watch.ended, Watch::Ended::kDeadline);
  EXPECT_GE(Clock::System().Steady(), watch.deadline);
  EXPECT_LT(Clock::System().Steady() - begin, absl::Seconds(5));
}

TEST_F(ConnectionTest, AStatementWithinItsBudgetEnds) {
  TestSession session(Writer(path_));
  // A cached statement starts over with every execution, whatever it has used before.
  constexpr char kShort[] =
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 30) "
      "SELECT count(*) FROM c";
  for (int i = 0; i < 50; ++i) {
    Watch watch;
    watch.budget = 800;
    ASSERT_TRUE(session.Try(kShort, {}, &watch).ok()) << i;
  }
}

TEST_F(ConnectionTest, BudgetsOfAnySizeEndAStatement) {
  TestSession session(Writer(path_));
  const auto steps = [&](int64_t budget) {
    Watch watch;
    watch.budget = budget;
    const auto prepared = session->Prepare(kEndless);
    const auto step = session->Advance(**prepared, &watch);
    EXPECT_EQ(step.status().code(), StatusCode::kCancelled);
    EXPECT_EQ(watch.ended, Watch::Ended::kBudget);
    return sqlite3_stmt_status((*prepared)->stmt, SQLITE_STMTSTATUS_VM_STEP, 0);
  };
  for (const int64_t budget : {1, 10, 999, 1000, 1001, 1500, 5000, 12345}) {
    const int used = steps(budget);
    EXPECT_GE(used, budget - budget / 100 - 1);
    EXPECT_LE(used, budget + 100) << budget;
  }
  // And a small one does not stay behind.
  Watch watch;
  EXPECT_TRUE(session.Try("SELECT count(*) FROM sqlite_schema", {}, &watch).ok());
}

TEST_F(ConnectionTest, ABudgetCountsAllStepsOfAStatement) {
  TestSession session(Writer(path_));
  const auto prepared = session->Prepare(
      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c");
  Watch watch;
  watch.budget = 5000;
  int rows = 0;
  absl::StatusOr<Connection::Step> step = Connection::Step::kRow;
  while (step.ok() && rows < 10'000) {
    step = session->Advance(**prepared, &watch);
    ++rows;
  }
  EXPECT_EQ(watch.ended, Watch::Ended::kBudget);
  EXPECT_GT(rows, 100);
  EXPECT_LT(rows, 5000);
}

TEST_F(ConnectionTest, WithoutAWatchAStatementRunsOn) {
  TestSession session(Writer(path_));
  Watch watch;
  watch.stop = true;
  EXPECT_FALSE(session.Try(kEndless, {}, &watch).ok());
  EXPECT_EQ(
      session
          .Value("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000) "
                 "SELECT count(*) FROM c")
          .int64_value(),
      20000);
}

TEST_F(ConnectionTest, AnyThreadInterrupts) {
  TestSession session(Writer(path_));
  std::atomic<bool> ended = false;
  // An interrupt that comes before the statement runs is lost, so it is sent until one is heard.
  std::thread other([&] {
    while (!ended) {
      session->Interrupt();
      std::this_thread::yield();
    }
  });
  const absl::Status status = session.Try(kEndless);
  ended = true;
  other.join();
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_TRUE(session.Try("SELECT 1").ok());
}

TEST_F(ConnectionTest, AnErrorLeavesTheStatementReset) {
  TestSession session(Writer(path_));
  ASSERT_TRUE(session.Try("CREATE TABLE t(a UNIQUE)").ok());
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = session.Try("INSERT INTO t VALUES(?)", {Int(1)});
    EXPECT_EQ(status.ok(), i == 0);
    EXPECT_TRUE(session->Cached("INSERT INTO t VALUES(?)") || i == 0);
  }
  EXPECT_TRUE(session.Try("INSERT INTO t VALUES(?)", {Int(2)}).ok());
}

}  // namespace
}  // namespace sluice::sqlite
