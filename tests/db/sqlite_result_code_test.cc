// What the engine's failures become: by table, and provoked for real where a test can.
#include <algorithm>
#include <string>

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/sqlite/result_code.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

using absl::StatusCode;
using testing::HasSubstr;
using testing::Not;

struct Expected {
  int code;
  StatusCode status;
  const char* sqlstate;
  const char* reason;
  const char* executed;
};

absl::Status Fail(int code, absl::string_view message = "") {
  Failure failure;
  failure.code = code;
  failure.message = message;
  return ToStatus(failure);
}

TEST(ResultCode, EveryCodeHasItsMeaning) {
  const Expected table[] = {
      {SQLITE_CONSTRAINT_UNIQUE, StatusCode::kAlreadyExists, "23505", "SQL_ERROR", "rolled_back"},
      {SQLITE_CONSTRAINT_PRIMARYKEY, StatusCode::kAlreadyExists, "23505", "SQL_ERROR",
       "rolled_back"},
      {SQLITE_CONSTRAINT_ROWID, StatusCode::kAlreadyExists, "23505", "SQL_ERROR", "rolled_back"},
      {SQLITE_CONSTRAINT_FOREIGNKEY, StatusCode::kFailedPrecondition, "23503", "SQL_ERROR",
       "rolled_back"},
      {SQLITE_CONSTRAINT_TRIGGER, StatusCode::kFailedPrecondition, "P0001", "SQL_ERROR",
       "rolled_back"},
      {SQLITE_CONSTRAINT_NOTNULL, StatusCode::kInvalidArgument, "23502", "SQL_ERROR",
       "rolled_back"},
      {SQLITE_CONSTRAINT_CHECK, StatusCode::kInvalidArgument, "23514", "SQL_ERROR", "rolled_back"},
      {SQLITE_CONSTRAINT_DATATYPE, StatusCode::kInvalidArgument, "42804", "SQL_ERROR",
       "rolled_back"},
      {SQLITE_CONSTRAINT, StatusCode::kFailedPrecondition, "23000", "SQL_ERROR", "rolled_back"},
      {SQLITE_CONSTRAINT | (99 << 8), StatusCode::kFailedPrecondition, "23000", "SQL_ERROR",
       "rolled_back"},
      {SQLITE_MISMATCH, StatusCode::kInvalidArgument, "42804", "SQL_ERROR", "rolled_back"},
      {SQLITE_RANGE, StatusCode::kInvalidArgument, "22023", "SQL_ERROR", "no"},
      {SQLITE_ERROR, StatusCode::kInvalidArgument, "42000", "SQL_ERROR", "rolled_back"},
      {SQLITE_BUSY, StatusCode::kUnavailable, "55P03", "CONNECTION_IN_USE", "no"},
      {SQLITE_BUSY_RECOVERY, StatusCode::kUnavailable, "55P03", "CONNECTION_IN_USE", "no"},
      {SQLITE_BUSY_SNAPSHOT, StatusCode::kAborted, "40001", "SERIALIZATION_FAILURE", "rolled_back"},
      {SQLITE_LOCKED, StatusCode::kAborted, "55P03", "LOCK_TIMEOUT", "rolled_back"},
      {SQLITE_LOCKED_SHAREDCACHE, StatusCode::kAborted, "55P03", "LOCK_TIMEOUT", "rolled_back"},
      {SQLITE_ABORT_ROLLBACK, StatusCode::kAborted, "40000", "SQL_ERROR", "rolled_back"},
      {SQLITE_SCHEMA, StatusCode::kAborted, "0A000", "SQL_ERROR", "rolled_back"},
      {SQLITE_PROTOCOL, StatusCode::kUnavailable, "55P03", "CONNECTION_IN_USE", "no"},
      {SQLITE_READONLY, StatusCode::kFailedPrecondition, "25006", "CONNECTION_INVALID_TARGET",
       "no"},
      {SQLITE_READONLY_DIRECTORY, StatusCode::kFailedPrecondition, "25006",
       "CONNECTION_INVALID_TARGET", "no"},
      {SQLITE_READONLY_DBMOVED, StatusCode::kFailedPrecondition, "58P01",
       "CONNECTION_INVALID_TARGET", "no"},
      {SQLITE_PERM, StatusCode::kFailedPrecondition, "42501", "CONNECTION_INVALID_TARGET", "no"},
      {SQLITE_CANTOPEN, StatusCode::kFailedPrecondition, "58P01", "CONNECTION_INVALID_TARGET",
       "no"},
      {SQLITE_CANTOPEN_SYMLINK, StatusCode::kFailedPrecondition, "58P01",
       "CONNECTION_INVALID_TARGET", "no"},
      {SQLITE_FULL, StatusCode::kResourceExhausted, "53100", "DISK_FULL", "rolled_back"},
      {SQLITE_NOMEM, StatusCode::kResourceExhausted, "53200", "SQL_ERROR", "rolled_back"},
      {SQLITE_IOERR_NOMEM, StatusCode::kResourceExhausted, "53200", "SQL_ERROR", "rolled_back"},
      {SQLITE_TOOBIG, StatusCode::kResourceExhausted, "54000", "VALUE_TOO_LARGE", "rolled_back"},
      {SQLITE_CORRUPT, StatusCode::kDataLoss, "XX001", "DATABASE_CORRUPT", "rolled_back"},
      {SQLITE_CORRUPT_VTAB, StatusCode::kDataLoss, "XX001", "INDEX_CORRUPT", "rolled_back"},
      {SQLITE_CORRUPT_INDEX, StatusCode::kDataLoss, "XX002", "INDEX_CORRUPT", "rolled_back"},
      {SQLITE_NOTADB, StatusCode::kDataLoss, "XX001", "DATABASE_CORRUPT", "no"},
      {SQLITE_IOERR, StatusCode::kInternal, "58030", "SQL_ERROR", "rolled_back"},
      {SQLITE_IOERR_WRITE, StatusCode::kInternal, "58030", "SQL_ERROR", "rolled_back"},
      {SQLITE_IOERR_FSYNC, StatusCode::kInternal, "58030", "SQL_ERROR", "unknown"},
      {SQLITE_AUTH, StatusCode::kPermissionDenied, "42501", "STATEMENT_REFUSED", "no"},
      {SQLITE_MISUSE, StatusCode::kInternal, "XX000", "INTERNAL", "unknown"},
      {SQLITE_INTERNAL, StatusCode::kInternal, "XX000", "INTERNAL", "unknown"},
      {12345, StatusCode::kInternal, "XX000", "INTERNAL", "unknown"},
  };
  for (const Expected& expected : table) {
    const absl::Status status = Fail(expected.code, "what it says");
    EXPECT_EQ(status.code(), expected.status) << expected.code;
    EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), expected.sqlstate) << expected.code;
    EXPECT_EQ(errors::ReasonOf(status), expected.reason) << expected.code;
    EXPECT_EQ(errors::MetadataOf(status, "executed"), expected.executed) << expected.code;
    EXPECT_EQ(errors::MetadataOf(status, "engine"), "sqlite") << expected.code;
    EXPECT_THAT(std::string(status.message()), Not(testing::IsEmpty())) << expected.code;
  }
}

TEST(ResultCode, EveryReasonIsInTheCatalogue) {
  for (int primary = 1; primary <= 30; ++primary) {
    for (int extended = 0; extended <= 35; ++extended) {
      const std::string reason = errors::ReasonOf(Fail(primary | extended << 8));
      const auto catalogue = errors::Catalogue();
      EXPECT_TRUE(std::any_of(catalogue.begin(), catalogue.end(),
                              [&](const errors::Reason& each) { return each.name == reason; }))
          << primary << " " << extended << " " << reason;
    }
  }
}

TEST(ResultCode, UnavailableAlwaysMeansNotApplied) {
  for (int primary = 1; primary <= 30; ++primary) {
    for (int extended = 0; extended <= 35; ++extended) {
      const absl::Status status = Fail(primary | extended << 8);
      if (status.code() == StatusCode::kUnavailable) {
        EXPECT_TRUE(errors::IsTransient(status)) << primary << " " << extended;
      }
    }
  }
}

TEST(ResultCode, AnInterruptIsACancellation) {
  const absl::Status status = Fail(SQLITE_INTERRUPT, "interrupted");
  EXPECT_EQ(status.code(), StatusCode::kCancelled);
  EXPECT_EQ(errors::ReasonOf(status), "CALL_CANCELLED");
}

TEST(ResultCode, WritingOnAReaderIsAViolation) {
  Failure failure;
  failure.code = SQLITE_READONLY;
  failure.read_only = true;
  EXPECT_EQ(errors::ReasonOf(ToStatus(failure)), "READ_ONLY_VIOLATION");
  failure.code = SQLITE_READONLY_DBMOVED;
  EXPECT_EQ(errors::ReasonOf(ToStatus(failure)), "CONNECTION_INVALID_TARGET");
}

TEST(ResultCode, NamesAreTheEnginesOwn) {
  EXPECT_EQ(ResultCodeName(SQLITE_CONSTRAINT_UNIQUE), "SQLITE_CONSTRAINT_UNIQUE");
  EXPECT_EQ(ResultCodeName(SQLITE_IOERR_READ), "SQLITE_IOERR");
  EXPECT_EQ(ResultCodeName(SQLITE_BUSY_RECOVERY), "SQLITE_BUSY");
}

TEST(ResultCode, RunningStatementsDoNotQuoteValues) {
  for (const char* const message :
       {"fts5: syntax error near \"secret\"", "JSON path error near 'secret'",
        "malformed MATCH expression: [secret]", "no such column: secret",
        "unknown special query: secret", "unrecognized parameter: secret"}) {
    const absl::Status status = Fail(SQLITE_ERROR, message);
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret"))) << message;
    EXPECT_THAT(std::string(status.message()), Not(testing::IsEmpty())) << message;
  }
}

class Provoked : public testing::Test {
 protected:
  Provoked() {
    for (const char* const sql :
         {"CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT NOT NULL UNIQUE, c CHECK(c > 0), "
          "d CONSTRAINT positive CHECK(d > 0))",
          "CREATE TABLE pair(x, y, UNIQUE(x, y))", "CREATE UNIQUE INDEX lowered ON pair(lower(x))",
          "CREATE TABLE child(t REFERENCES t(a))", "CREATE TABLE strict(n INT) STRICT",
          "CREATE TABLE customers(name)", "INSERT INTO t VALUES(1, 'one', 1, 1)",
          "INSERT INTO pair VALUES('p', 'q')", "CREATE VIRTUAL TABLE f USING fts5(x)",
          "CREATE TRIGGER guard BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'rows stay'); END"}) {
      const absl::Status status = session_.Try(sql);
      EXPECT_TRUE(status.ok()) << sql << status;
    }
  }

  // A detail of the SqlDiagnostic.
  std::string Detail(const absl::Status& status, absl::string_view key) {
    for (const auto& [name, value] : errors::PartsOf(status).sql) {
      if (name == key) return value;
    }
    return "";
  }

  TemporaryFolder folder_;
  TestSession session_{Writer(folder_.File("a.db"))};
};

TEST_F(Provoked, ConstraintsAreNamed) {
  struct Case {
    const char* sql;
    StatusCode status;
    const char* sqlstate;
    const char* table;
    const char* column;
    const char* constraint;
  };

  const Case cases[] = {
      {"INSERT INTO t VALUES(2, 'one', 1, 1)", StatusCode::kAlreadyExists, "23505", "t", "b", ""},
      {"INSERT INTO t VALUES(1, 'two', 1, 1)", StatusCode::kAlreadyExists, "23505", "t", "a", ""},
      {"INSERT INTO pair VALUES('p', 'q')", StatusCode::kAlreadyExists, "23505", "", "", "lowered"},
      {"INSERT INTO t VALUES(2, NULL, 1, 1)", StatusCode::kInvalidArgument, "23502", "t", "b", ""},
      {"INSERT INTO t VALUES(2, 'two', 0, 1)", StatusCode::kInvalidArgument, "23514", "", "",
       "c > 0"},
      {"INSERT INTO t VALUES(2, 'two', 1, 0)", StatusCode::kInvalidArgument, "23514", "", "",
       "positive"},
      {"INSERT INTO strict VALUES('x')", StatusCode::kInvalidArgument, "42804", "strict", "n", ""},
      {"INSERT INTO t(a, b) VALUES('x', 'two')", StatusCode::kInvalidArgument, "42804", "", "", ""},
      {"INSERT INTO child VALUES(7)", StatusCode::kFailedPrecondition, "23503", "", "", ""},
      {"DELETE FROM t", StatusCode::kFailedPrecondition, "P0001", "", "", ""},
  };
  for (const Case& each : cases) {
    const absl::Status status = session_.Try(each.sql);
    EXPECT_EQ(status.code(), each.status) << each.sql << ": " << status;
    EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), each.sqlstate) << each.sql;
    EXPECT_EQ(errors::MetadataOf(status, "table"), each.table) << each.sql;
    EXPECT_EQ(errors::MetadataOf(status, "column"), each.column) << each.sql;
    EXPECT_EQ(errors::MetadataOf(status, "constraint"), each.constraint) << each.sql;
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "rolled_back") << each.sql;
  }
  EXPECT_THAT(std::string(session_.Try("DELETE FROM t").message()), HasSubstr("rows stay"));
}

TEST_F(Provoked, KeysOfSeveralColumnsAreNamedTogether) {
  ASSERT_TRUE(session_.Try("CREATE TABLE twice(x, y, PRIMARY KEY(x, y))").ok());
  ASSERT_TRUE(session_.Try("INSERT INTO twice VALUES(1, 2)").ok());
  const absl::Status status = session_.Try("INSERT INTO twice VALUES(1, 2)");
  EXPECT_EQ(errors::MetadataOf(status, "table"), "twice");
  EXPECT_EQ(errors::MetadataOf(status, "column"), "x, y");
}

TEST_F(Provoked, MistakesInTheSqlAreNamedWithTheirPlace) {
  struct Case {
    const char* sql;
    StatusCode status;
    const char* sqlstate;
    const char* position;
  };

  const Case cases[] = {
      {"SELEC 1", StatusCode::kInvalidArgument, "42601", "1"},
      {"SELECT 'ü', FROM t", StatusCode::kInvalidArgument, "42601", "13"},
      {"SELECT (1", StatusCode::kInvalidArgument, "42601", "10"},
      {"SELECT 'x", StatusCode::kInvalidArgument, "42601", "8"},
      {"SELECT * FROM nosuch", StatusCode::kInvalidArgument, "42P01", "15"},
      {"SELECT * FROM \"no such\" WHERE 1", StatusCode::kInvalidArgument, "42P01", "15"},
      {"SELECT '🎉', nosuch FROM t", StatusCode::kInvalidArgument, "42703", "13"},
      {"SELECT nosuch(1)", StatusCode::kInvalidArgument, "42883", "8"},
      {"SELECT abs(1, 2)", StatusCode::kInvalidArgument, "42883", "8"},
      {"SELECT a FROM t, t AS u", StatusCode::kInvalidArgument, "42702", ""},
      {"CREATE TABLE t(a)", StatusCode::kAlreadyExists, "42P07", ""},
      {"CREATE INDEX lowered ON t(b)", StatusCode::kAlreadyExists, "42P07", ""},
      {"ALTER TABLE t ADD COLUMN a", StatusCode::kAlreadyExists, "42701", ""},
      {"DROP INDEX nosuch", StatusCode::kInvalidArgument, "42704", ""},
      {"SELECT * FROM t ORDER BY b COLLATE nosuch", StatusCode::kInvalidArgument, "42704", ""},
      {"SELECT * FROM t WHERE count(*) > 1", StatusCode::kInvalidArgument, "42803", ""},
  };
  for (const Case& each : cases) {
    const absl::Status status = session_.Try(each.sql);
    EXPECT_EQ(status.code(), each.status) << each.sql << ": " << status;
    EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), each.sqlstate) << each.sql << ": " << status;
    if (*each.position != '\0') {
      EXPECT_EQ(errors::MetadataOf(status, "position"), each.position)
          << each.sql << ": " << status;
    }
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "no") << each.sql;
  }
}

TEST_F(Provoked, HintsHelpWithTheMistakesThatAreMadeMost) {
  const std::pair<const char*, const char*> cases[] = {
      {"SELECT * FROM customer", "customers"},
      {"SELECT * FROM Customars", "customers"},
      {"SELECT * FROM something_else", "sqlite_schema"},
      {"SELECT * FROM t WHERE b = \"one\"", "'one'"},
      {"SELECT now()", "datetime('now')"},
      {"SELECT a::text FROM t", "CAST"},
      {"SELECT * FROM t WHERE b ILIKE 'x'", "LIKE"},
      {"SHOW TABLES", "sqlite_schema"},
      {"INSERT INTO t VALUES(1, 'x', 1, 1)", "ON CONFLICT"},
  };
  for (const auto& [sql, hint] : cases) {
    const absl::Status status = session_.Try(sql);
    EXPECT_FALSE(status.ok()) << sql;
    EXPECT_THAT(Detail(status, "hint"), HasSubstr(hint)) << sql << ": " << status;
  }
  EXPECT_EQ(Detail(session_.Try("SELECT nosuch FROM t"), "hint"), "");
}

TEST_F(Provoked, Fault68_BadMatchTextIsTheCallersFault) {
  for (const char* const text : {"\"", "AND", "a b NOT", "y:x", "(", "*", "a +", "{x}:", "-a"}) {
    const absl::Status status = session_.Try("SELECT * FROM f WHERE f MATCH ?", {Text(text)});
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << text << ": " << status;
  }
}

TEST_F(Provoked, NumbersThatOverflowAreOutOfRange) {
  const absl::Status status =
      session_.Try("SELECT sum(n) FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 1)");
  EXPECT_EQ(status.code(), StatusCode::kOutOfRange) << status;
  EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), "22003");
}

TEST_F(Provoked, MessagesNeverHoldTheValues) {
  const std::string secret = "S3cr3t";
  const std::pair<const char*, std::vector<db::pb::Value>> cases[] = {
      {"INSERT INTO t VALUES(?, 'x', 1, 1)", {Text(secret)}},
      {"INSERT INTO strict VALUES(?)", {Text(secret)}},
      {"SELECT * FROM f WHERE f MATCH ?", {Text(secret + ":x \"")}},
      {"SELECT json_extract('{}', ?)", {Text(secret)}},
      {"SELECT json(?)", {Text("{" + secret)}},
      {"SELECT json_each.value FROM json_each(?)", {Text("{" + secret)}},
      {"INSERT INTO f(f) VALUES(?)", {Text(secret)}},
      {"INSERT INTO f(f, rank) VALUES(?, 1)", {Text(secret)}},
      {"INSERT INTO f(f, rank) VALUES('rank', ?)", {Text(secret + "(")}},
      {"SELECT 1 LIKE 'a' ESCAPE ?", {Text(secret)}},
      {"INSERT INTO t VALUES(9, ?, 0, 1)", {Text(secret)}},
  };
  for (const auto& [sql, params] : cases) {
    const absl::Status status = session_.Try(sql, params);
    EXPECT_FALSE(status.ok()) << sql;
    EXPECT_THAT(status.ToString(absl::StatusToStringMode::kWithEverything), Not(HasSubstr(secret)))
        << sql;
  }
}

TEST_F(Provoked, LimitsOfTheStatementAreTold) {
  std::string compound = "SELECT 1";
  for (int i = 0; i < 60; ++i) compound += " UNION ALL SELECT 1";
  std::string deep = "1";
  for (int i = 0; i < 1100; ++i) deep = absl::StrCat("(", deep, "+1)");
  std::string arguments = "1";
  for (int i = 0; i < 110; ++i) arguments += ",1";
  for (const std::string& sql : {compound, "SELECT " + deep, "SELECT max(" + arguments + ")"}) {
    const absl::Status status = session_.Try(sql);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(errors::MetadataOf(status, "sqlstate"), testing::StartsWith("54")) << status;
  }
  const absl::Status status =
      session_.Try(absl::StrCat("SELECT '", std::string(1 << 20, 'x'), "'"));
  EXPECT_EQ(errors::ReasonOf(status), "VALUE_TOO_LARGE");
  const absl::Status pattern = session_.Try("SELECT 'x' LIKE ?", {Text(std::string(1001, '%'))});
  EXPECT_EQ(pattern.code(), StatusCode::kInvalidArgument) << pattern;
}

}  // namespace
}  // namespace sluice::sqlite
