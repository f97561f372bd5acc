// What a client's SQL may do, and what it is told when it may not.
#include <filesystem>
#include <set>
#include <string>

#include <sqlite3.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/sqlite/authorizer.h"
#include "server/db/sqlite/policy.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;
using testing::HasSubstr;
using testing::IsEmpty;

// The first column of what a plain connection of the same library answers.
std::set<std::string> AskLibrary(const char* sql) {
  std::set<std::string> names;
  sqlite3* db = nullptr;
  sqlite3_stmt* stmt = nullptr;
  EXPECT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_prepare_v2(db, sql, -1, &stmt, nullptr), SQLITE_OK);
  while (sqlite3_step(stmt) == SQLITE_ROW) {
    names.insert(reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0)));
  }
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  return names;
}

void RunPlainly(const std::string& path, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* message = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
  sqlite3_free(message);
  ASSERT_EQ(sqlite3_close(db), SQLITE_OK);
}

class AuthorizerTest : public testing::Test {
 protected:
  AuthorizerTest() {
    for (const char* const sql :
         {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)", "CREATE INDEX t_b ON t(b)",
          "CREATE VIEW v AS SELECT a FROM t", "CREATE VIRTUAL TABLE f USING fts5(x)",
          "INSERT INTO t VALUES(1, 'one')", "INSERT INTO f VALUES('some words')"}) {
      const absl::Status status = session_.Try(sql);
      EXPECT_TRUE(status.ok()) << status;
    }
  }

  // How the statement ends, its effects undone.
  absl::Status TryAndUndo(absl::string_view sql) {
    EXPECT_TRUE(session_->Run("BEGIN IMMEDIATE").ok());
    const absl::Status status = session_.Try(sql);
    EXPECT_TRUE(session_->Run("ROLLBACK").ok());
    return status;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.File("a.db");
  TestSession session_{Writer(path_)};
};

TEST_F(AuthorizerTest, Fault67_WhatReachesBeyondTheDatabaseIsRefused) {
  const std::string victim = folder_.File("victim.db");
  const std::string statements[] = {
      // Other files.
      absl::StrCat("ATTACH '", victim, "' AS x"),
      absl::StrCat("attach database '", victim, "' AS x"),
      "ATTACH ':memory:' AS x",
      "/* so */ ATTACH ? AS x",
      "EXPLAIN ATTACH 'x' AS x",
      "DETACH x",
      "DETACH DATABASE main",
      "VACUUM",
      "VACUUM main",
      absl::StrCat("VACUUM INTO '", victim, "'"),
      absl::StrCat("VACUUM main INTO '", victim, "'"),
      absl::StrCat("vacuum/**/into '", victim, "'"),
      "-- x\nVACUUM",
      "EXPLAIN VACUUM",
      absl::StrCat("SELECT writefile('", victim, "', 'x')"),
      "SELECT readfile('/etc/hostname')",
      "SELECT edit('x')",
      // Code and addresses.
      "SELECT load_extension('x')",
      "SELECT LOAD_EXTENSION('x', 'y')",
      "SELECT \"load_extension\"('x')",
      "SELECT fts3_tokenizer('simple')",
      "SELECT FTS3_Tokenizer('simple', x'4141414141414141')",
      "SELECT 1 WHERE fts3_tokenizer(?1, ?2) IS NULL",
      "SELECT a FROM t ORDER BY fts3_tokenizer('simple')",
      "INSERT INTO t(b) VALUES(fts3_tokenizer('simple'))",
      "SELECT fts5(1)",
      "SELECT sqlite_log(1, 'x')",
      // Settings.
      "PRAGMA hard_heap_limit=1000",
      "PRAGMA soft_heap_limit=1000",
      "PRAGMA temp_store_directory='/'",
      "PRAGMA data_store_directory='/'",
      "PRAGMA query_only=0",
      "PRAGMA journal_mode=DELETE",
      "PRAGMA journal_mode",
      "PRAGMA synchronous=OFF",
      "PRAGMA writable_schema=1",
      "PRAGMA main.writable_schema=1",
      "PRAGMA trusted_schema=1",
      "PRAGMA foreign_keys=OFF",
      "PRAGMA defer_foreign_keys=ON",
      "PRAGMA ignore_check_constraints=1",
      "PRAGMA wal_checkpoint(TRUNCATE)",
      "PRAGMA wal_autocheckpoint=0",
      "PRAGMA locking_mode=EXCLUSIVE",
      "PRAGMA mmap_size=1000000",
      "PRAGMA secure_delete=ON",
      "PRAGMA user_version=7",
      "PRAGMA user_version('')",
      "PRAGMA application_id=7",
      "PRAGMA schema_version=7",
      "PRAGMA optimize",
      "PRAGMA database_list",
      "PRAGMA compile_options",
      "PRAGMA integrity_check",
      "PRAGMA incremental_vacuum",
      "PRAGMA nosuchpragma",
      "EXPLAIN PRAGMA query_only=0",
      "SELECT * FROM pragma_database_list",
      "SELECT file FROM pragma_database_list WHERE seq = 0",
      "SELECT count(*) FROM pragma_compile_options",
      "SELECT * FROM pragma_function_list",
      "SELECT * FROM t, pragma_integrity_check",
      "WITH x AS (SELECT * FROM pragma_journal_mode) SELECT * FROM x",
      // What belongs to others.
      "SELECT * FROM sqlite_stmt",
      "SELECT count(*) FROM sqlite_stmt",
      "SELECT * FROM dbstat",
      "SELECT count(*) FROM dbstat",
      "SELECT count(*) FROM DBSTAT('main')",
      "SELECT last_insert_rowid()",
      "SELECT changes()",
      "SELECT TOTAL_CHANGES()",
      "INSERT INTO t(b) VALUES(last_insert_rowid())",
      // Objects that are not made.
      "CREATE TEMP TABLE x(a)",
      "CREATE TEMPORARY TABLE x AS SELECT 1",
      "CREATE TABLE temp.x(a)",
      "CREATE TABLE \"TEMP\".x AS SELECT 1",
      "CREATE VIEW temp.x AS SELECT 1",
      "CREATE TEMP VIEW x AS SELECT 1",
      "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END",
      "CREATE VIRTUAL TABLE x USING fts4(a)",
      "CREATE VIRTUAL TABLE x USING fts3(a)",
      "CREATE VIRTUAL TABLE x USING rtree(a, b, c)",
      "CREATE VIRTUAL TABLE x USING dbstat",
      "CREATE VIRTUAL TABLE x USING fts5vocab(f, row)",
      "CREATE VIRTUAL TABLE temp.x USING fts3tokenize",
      // The server's own tables.
      "CREATE TABLE _sluice_x(a)",
      "CREATE TABLE IF NOT EXISTS \"_Sluice_x\"(a)",
      "CREATE VIEW _sluice_x AS SELECT 1",
      "CREATE INDEX _sluice_x ON t(b)",
      "CREATE TRIGGER _sluice_x AFTER INSERT ON t BEGIN DELETE FROM t; END",
      "CREATE VIRTUAL TABLE _sluice_x USING fts5(a)",
      "ALTER TABLE t RENAME TO _sluice_x",
      "ALTER TABLE t RENAME TO \"_SLUICE_x\"",
  };
  ASSERT_GE(std::size(statements), 60u);
  for (const std::string& sql : statements) {
    const auto prepared = session_->Prepare(sql);
    ASSERT_FALSE(prepared.ok()) << sql;
    // A function of the sqlite3 tool is one that the library does not even know.
    if (absl::StrContains(prepared.status().message(), "no such function")) continue;
    EXPECT_EQ(prepared.status().code(), absl::StatusCode::kPermissionDenied)
        << sql << ": " << prepared.status();
    EXPECT_EQ(errors::ReasonOf(prepared.status()), "STATEMENT_REFUSED") << sql;
    EXPECT_EQ(errors::MetadataOf(prepared.status(), "executed"), "no") << sql;
  }
  EXPECT_FALSE(std::filesystem::exists(victim));
}

TEST_F(AuthorizerTest, Fault44_TransactionControlIsRefused) {
  for (const char* const sql :
       {"BEGIN", "BEGIN EXCLUSIVE", "COMMIT", "END", "ROLLBACK", "SAVEPOINT x", "RELEASE x",
        "ROLLBACK TO x", "/* */ begin", "-- x\nCOMMIT;", "EXPLAIN COMMIT", ";;BEGIN"}) {
    const auto prepared = session_->Prepare(sql);
    ASSERT_FALSE(prepared.ok()) << sql;
    EXPECT_EQ(prepared.status().code(), absl::StatusCode::kInvalidArgument) << sql;
    EXPECT_EQ(errors::ReasonOf(prepared.status()), "TRANSACTION_CONTROL_REFUSED") << sql;
    EXPECT_THAT(errors::MetadataOf(prepared.status(), "use"), testing::Not(IsEmpty())) << sql;
  }
}

TEST_F(AuthorizerTest, Fault51_StackedStatementsAreRefused) {
  for (const char* const sql : {"SELECT 1; DROP TABLE t", "SELECT 1;SELECT 2",
                                "INSERT INTO t(b) VALUES('x');;DELETE FROM t",
                                "SELECT 1; -- \n DROP TABLE t", "SELECT 1; garbage"}) {
    const absl::Status status = session_.Try(sql);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << sql;
    EXPECT_EQ(errors::ReasonOf(status), "STATEMENT_REFUSED") << sql;
  }
  EXPECT_EQ(session_.Value("SELECT count(*) FROM t").int64_value(), 1);
  EXPECT_TRUE(session_.Try("SELECT 1; -- and no more\n ; /* at all */").ok());
  for (const char* const sql : {"", " ", ";", "-- nothing", "/* nothing */ ;;"}) {
    EXPECT_EQ(errors::ReasonOf(session_.Try(sql)), "STATEMENT_REFUSED") << sql;
  }
}

TEST_F(AuthorizerTest, RefusalsNameWhatToUse) {
  const std::pair<const char*, const char*> cases[] = {
      {"ATTACH 'x' AS x", "registering another connection"},
      {"VACUUM INTO 'x'", "a backup"},
      {"PRAGMA table_list", "the schema service"},
      {"PRAGMA query_only=1", "read_only of the request"},
      {"SELECT changes()", "rows_affected and last_insert_rowid of the response"},
      {"CREATE VIRTUAL TABLE x USING fts4(a)", "fts5, or an ordinary table"},
  };
  for (const auto& [sql, use] : cases) {
    const absl::Status status = session_.Try(sql);
    EXPECT_EQ(errors::MetadataOf(status, "use"), use) << sql;
    EXPECT_THAT(std::string(status.message()), HasSubstr(use)) << sql;
  }
}

TEST_F(AuthorizerTest, OrdinaryStatementsPass) {
  for (const char* const sql : {
           "SELECT * FROM t",
           "SELECT count(*) FROM v",
           "SELECT name, sql FROM sqlite_schema",
           "SELECT * FROM sqlite_master",
           "WITH RECURSIVE c(n) AS (SELECT 1 UNION SELECT n + 1 FROM c WHERE n < 9) SELECT * FROM "
           "c",
           "SELECT * FROM json_each('[1,2]')",
           "SELECT * FROM json_tree('{\"a\":1}')",
           "SELECT json_extract(b, '$.x'), b ->> '$.y' FROM (SELECT '{}' AS b)",
           "SELECT *, rank, bm25(f), highlight(f, 0, '[', ']') FROM f WHERE f MATCH 'words'",
           "SELECT *, row_number() OVER (ORDER BY a) FROM t",
           "SELECT CURRENT_TIMESTAMP, datetime('now'), sqlite_version()",
           "PRAGMA table_info(t)",
           "PRAGMA TABLE_XINFO('t')",
           "PRAGMA index_list(t)",
           "PRAGMA index_info(t_b)",
           "PRAGMA foreign_key_list(t)",
           "PRAGMA user_version",
           "SELECT name FROM pragma_table_info('t')",
           "SELECT * FROM pragma_index_list('t')",
           "EXPLAIN SELECT * FROM t",
           "EXPLAIN QUERY PLAN DELETE FROM t",
           "INSERT INTO t(b) VALUES('x') RETURNING a, b",
           "INSERT OR REPLACE INTO t VALUES(1, 'x')",
           "INSERT INTO t VALUES(1, 'x') ON CONFLICT(a) DO UPDATE SET b = excluded.b",
           "UPDATE t SET b = upper(b) WHERE a = 1",
           "DELETE FROM t",
           "REPLACE INTO t VALUES(1, 'x')",
           "CREATE TABLE u(a INTEGER PRIMARY KEY AUTOINCREMENT, b UNIQUE CHECK(length(b) > 1))",
           "CREATE TABLE u AS SELECT * FROM t",
           "CREATE TABLE u(a INT) STRICT",
           "CREATE TABLE u(a PRIMARY KEY) WITHOUT ROWID",
           "CREATE INDEX i ON t(lower(b)) WHERE b IS NOT NULL",
           "CREATE VIEW w AS SELECT * FROM v",
           "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET b = 'y'; END",
           "CREATE VIRTUAL TABLE g USING fts5(x, tokenize = 'porter unicode61')",
           "INSERT INTO f(f) VALUES('optimize')",
           "INSERT INTO f(f, rank) VALUES('merge', 16)",
           "DELETE FROM f",
           "ALTER TABLE t RENAME TO u",
           "ALTER TABLE t RENAME COLUMN b TO c",
           "ALTER TABLE t ADD COLUMN c DEFAULT 1",
           "ALTER TABLE f RENAME TO g",
           "DROP TABLE t",
           "DROP TABLE f",
           "DROP VIEW v",
           "DROP INDEX t_b",
           "DROP TABLE IF EXISTS nowhere",
           "REINDEX",
           "ANALYZE",
           "ANALYZE t",
       }) {
    const absl::Status status = TryAndUndo(sql);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
  }
}

TEST_F(AuthorizerTest, EngineTablesAreNotWritten) {
  for (const char* const sql :
       {"INSERT INTO sqlite_schema VALUES('table', 'x', 'x', 0, 'x')",
        "UPDATE sqlite_master SET sql = 'x'", "DELETE FROM sqlite_schema", "DELETE FROM f_data",
        "UPDATE f_content SET c0 = 'x'", "DROP TABLE f_data"}) {
    EXPECT_FALSE(session_.Try(sql).ok()) << sql;
  }
}

TEST_F(AuthorizerTest, WritesAreToldFromReads) {
  const std::pair<const char*, bool> cases[] = {
      {"SELECT * FROM t", false},
      {"VALUES(1)", false},
      {"WITH x AS (SELECT 1) SELECT * FROM x", false},
      {"PRAGMA table_info(t)", false},
      {"EXPLAIN DELETE FROM t", false},
      {"EXPLAIN QUERY PLAN INSERT INTO t(b) VALUES('x')", false},
      {"EXPLAIN CREATE TABLE u(a)", false},
      {"INSERT INTO t(b) VALUES('x')", true},
      {"INSERT INTO t(b) VALUES('x') RETURNING a", true},
      {"INSERT INTO t(b) SELECT b FROM t WHERE 0", true},
      {"WITH x AS (SELECT 9) INSERT INTO t SELECT *, 'x' FROM x", true},
      {"UPDATE t SET b = b WHERE 0", true},
      {"DELETE FROM t WHERE 0", true},
      {"REPLACE INTO t VALUES(1, 'x')", true},
      {"CREATE TABLE u(a)", true},
      {"CREATE TABLE IF NOT EXISTS t(a)", true},
      {"DROP TABLE IF EXISTS nowhere", true},
      {"DROP VIEW v", true},
      {"ALTER TABLE t ADD COLUMN c", true},
      {"REINDEX", true},
      {"ANALYZE", true},
      {"INSERT INTO f(f) VALUES('rebuild')", true},
  };
  for (const auto& [sql, writes] : cases) {
    const auto prepared = session_->Prepare(sql);
    ASSERT_TRUE(prepared.ok()) << sql << ": " << prepared.status();
    EXPECT_EQ((*prepared)->writes, writes) << sql;
  }
}

TEST_F(AuthorizerTest, ReadingAVirtualTableForTheFirstTimeIsReading) {
  // The engine declares it in a schema of its own, which looks like a write to the authorizer.
  TestSession reader(Reader(path_));
  for (const char* const sql :
       {"SELECT * FROM json_each('[1]')", "SELECT * FROM f WHERE f MATCH 'words'",
        "SELECT name FROM pragma_table_info('t')"}) {
    const auto prepared = reader->Prepare(sql);
    ASSERT_TRUE(prepared.ok()) << sql << ": " << prepared.status();
    EXPECT_FALSE((*prepared)->writes) << sql;
    EXPECT_TRUE(reader.Try(sql).ok()) << sql;
  }
}

TEST_F(AuthorizerTest, EveryFunctionOfTheLibraryIsDecidedOn) {
  const std::set<std::string> functions = AskLibrary("SELECT name FROM pragma_function_list");
  ASSERT_GT(functions.size(), 100u);
  for (const std::string& name : functions) {
    // The tool's own, and those with which ALTER works, are not listed here.
    EXPECT_NE(PolicyOfFunction(name), FunctionPolicy::kUnknown) << name;
    EXPECT_EQ(PolicyOfFunction(absl::AsciiStrToUpper(name)), PolicyOfFunction(name)) << name;
  }
  EXPECT_EQ(PolicyOfFunction("fts3_tokenizer"), FunctionPolicy::kDenied);
  EXPECT_EQ(PolicyOfFunction("a_new_one"), FunctionPolicy::kUnknown);
}

TEST_F(AuthorizerTest, EveryModuleOfTheLibraryIsDecidedOn) {
  for (const std::string& name : AskLibrary("SELECT name FROM pragma_module_list")) {
    if (absl::StartsWith(name, "pragma_")) continue;  // as the pragma
    EXPECT_NE(PolicyOfModule(name), ModulePolicy::kUnknown) << name;
  }
}

TEST_F(AuthorizerTest, AFunctionThatIsNotKnownIsRefused) {
  sqlite3_create_function(
      session_->raw(), "unheard_of", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, nullptr,
      [](sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int(context, 1); },
      nullptr, nullptr);
  const absl::Status status = session_.Try("SELECT unheard_of()");
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(AuthorizerTest, ACachedStatementIsJudgedAgainWhenTheSchemaChanges) {
  ASSERT_TRUE(session_.Try("SELECT * FROM v").ok());
  ASSERT_TRUE(session_->Cached("SELECT * FROM v"));
  // By another process, which knows no such rules.
  for (const char* const body :
       {"SELECT count(*) FROM dbstat", "SELECT load_extension('x')", "SELECT * FROM _sluice_secret",
        "SELECT changes()", "SELECT * FROM pragma_database_list"}) {
    RunPlainly(path_, absl::StrCat("CREATE TABLE IF NOT EXISTS _sluice_secret(a); DROP VIEW v;"
                                   "CREATE VIEW v AS ",
                                   body));
    const absl::Status status = session_.Try("SELECT * FROM v");
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << body << ": " << status;
    EXPECT_EQ(errors::ReasonOf(status), "STATEMENT_REFUSED") << body;
  }
}

TEST_F(AuthorizerTest, WhatTheSchemaHidesIsJudgedToo) {
  RunPlainly(path_,
             "CREATE TABLE _sluice_secret(a); INSERT INTO _sluice_secret VALUES(1);"
             "CREATE VIEW peek AS SELECT * FROM _sluice_secret;"
             "CREATE TRIGGER poke AFTER INSERT ON t BEGIN DELETE FROM _sluice_secret; END;"
             "CREATE TABLE hostile(a DEFAULT (load_extension('x')));");
  for (const char* const sql :
       {"SELECT * FROM _sluice_secret", "SELECT count(*) FROM _SLUICE_SECRET", "SELECT * FROM peek",
        "INSERT INTO t(b) VALUES('x')", "DELETE FROM _sluice_secret", "DROP TABLE _sluice_secret",
        "UPDATE _sluice_secret SET a = 2", "CREATE INDEX i ON _sluice_secret(a)",
        "ALTER TABLE _sluice_secret ADD COLUMN b", "INSERT INTO hostile DEFAULT VALUES"}) {
    const absl::Status status = session_.Try(sql);
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << sql << ": " << status;
  }
}

TEST_F(AuthorizerTest, OurOwnStatementsAreNotAsked) {
  EXPECT_TRUE(session_->Run("BEGIN IMMEDIATE").ok());
  EXPECT_TRUE(session_->Run("SAVEPOINT member").ok());
  EXPECT_TRUE(session_->Run("RELEASE member").ok());
  EXPECT_TRUE(session_->Run("COMMIT").ok());
  EXPECT_TRUE(session_->Run("PRAGMA wal_checkpoint(PASSIVE)").ok());
  // And what is asked after them is asked as before.
  EXPECT_FALSE(session_.Try("PRAGMA wal_checkpoint(PASSIVE)").ok());
}

}  // namespace
}  // namespace sluice::sqlite
