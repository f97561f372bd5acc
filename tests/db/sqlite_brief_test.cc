// Which statements take but a moment, however much the tables hold.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/sqlite/brief.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

class BriefTest : public testing::Test {
 protected:
  BriefTest() {
    for (const char* const sql :
         {"CREATE TABLE parent (id INTEGER PRIMARY KEY)",
          "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n INTEGER CHECK (n < 1000), "
          "p INTEGER REFERENCES parent (id))",
          "CREATE INDEX by_n ON t (n)", "CREATE TABLE plain (a, b)",
          "CREATE TABLE log (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
          "CREATE TABLE heard (a INTEGER PRIMARY KEY, b)", "CREATE TABLE echo (a)",
          "CREATE TRIGGER hear AFTER INSERT ON heard BEGIN INSERT INTO echo VALUES (new.a); END",
          "CREATE TABLE keyed (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
          "CREATE TABLE sole (id INTEGER PRIMARY KEY, a)",
          "CREATE TABLE later (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) DEFERRABLE "
          "INITIALLY DEFERRED, w)",
          "CREATE INDEX by_w ON later (w)", "INSERT INTO parent VALUES (1), (2)",
          "INSERT INTO t VALUES (1, 'one', 10, 1)"}) {
      EXPECT_TRUE(session_.Try(sql).ok()) << sql;
    }
  }

  bool Known(absl::string_view sql) { return IsKnownBrief(*session_, sql); }

  // As it is found out: compiled by its first execution, then examined.
  bool FoundBrief(absl::string_view sql) {
    EXPECT_TRUE(session_->Prepare(sql).ok()) << sql;
    Examine(*session_, sql);
    return Known(sql);
  }

  TemporaryFolder folder_;
  TestSession session_{Writer(folder_.File("a.db"))};
};

TEST_F(BriefTest, ARowByItsKey) {
  for (const char* const sql :
       {"UPDATE t SET n = n + 1 WHERE id = $1", "UPDATE t SET n = $1 WHERE code = 'one'",
        "UPDATE t SET code = upper(code) || 'x' WHERE id = $1",
        "UPDATE t SET n = CASE WHEN n > 5 THEN 0 ELSE abs(n) END WHERE id = 1 AND n <> 3",
        "INSERT INTO plain VALUES (CURRENT_TIMESTAMP, hex(randomblob(8)))",
        "INSERT INTO sole VALUES ($1, 2)", "INSERT OR IGNORE INTO sole VALUES ($1, 2)",
        "INSERT OR ROLLBACK INTO sole VALUES ($1, 2)", "INSERT INTO keyed VALUES ($1, $2)",
        "SELECT n, code FROM t WHERE id = $1", "SELECT n FROM t WHERE code = $1", "SELECT 1"}) {
    EXPECT_TRUE(FoundBrief(sql)) << sql;
  }
}

TEST_F(BriefTest, WhatMayTouchManyRowsIsNot) {
  for (const char* const sql :
       {"UPDATE t SET n = n + 1", "UPDATE t SET p = 1 WHERE n = $1",
        "UPDATE plain SET a = 1 WHERE b = $1", "UPDATE t SET n = 1 WHERE id IN (1, 2)",
        "UPDATE t SET n = 1 WHERE id > $1", "UPDATE t SET n = (SELECT max(id) FROM t) WHERE id = 1",
        "INSERT INTO plain VALUES (1, 2), (3, 4)", "INSERT INTO plain SELECT id, n FROM t",
        "INSERT INTO plain SELECT a, b FROM plain", "INSERT INTO log (a) VALUES (1)",
        "INSERT INTO plain WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x "
        "< "
        "9) SELECT count(*), 1 FROM c",
        "INSERT INTO plain VALUES ((SELECT count(*) FROM t), 1)", "SELECT count(*) FROM t",
        "SELECT n FROM t WHERE n = $1", "SELECT n FROM t ORDER BY id LIMIT 1"}) {
    EXPECT_FALSE(FoundBrief(sql)) << sql;
  }
}

// To free a large row takes long; a trigger does anything; a foreign key that is deferred is
// counted before the statement has met all that it may fail for.
TEST_F(BriefTest, WhatRemovesRowsOrSetsOffOtherThingsIsNot) {
  for (const char* const sql :
       {"DELETE FROM t WHERE id = $1", "DELETE FROM t", "REPLACE INTO t (id) VALUES (1)",
        "REPLACE INTO parent VALUES (1)", "INSERT OR REPLACE INTO parent VALUES (1)",
        "UPDATE sole SET a = $1 WHERE id = 1", "UPDATE keyed SET v = $1 WHERE k = $2",
        "UPDATE sole SET a = CASE WHEN $1 THEN a ELSE 1 END WHERE id = 1",
        "INSERT INTO t (id, p) VALUES (1, 1)", "UPDATE t SET p = 2 WHERE id = 1",
        "UPDATE later SET p = 1, w = 'y' WHERE id = 1", "INSERT INTO heard VALUES (1, 2)",
        "INSERT INTO t (id) VALUES (8) RETURNING id", "UPDATE parent SET id = 5 WHERE id = 2",
        "CREATE TABLE more (a)", "DROP TABLE plain", "ALTER TABLE t ADD COLUMN z", "ANALYZE",
        "REINDEX by_n"}) {
    EXPECT_FALSE(FoundBrief(sql)) << sql;
  }
}

// Within one instruction nothing can end it.
TEST_F(BriefTest, AFunctionThatMayTakeLongIsNot) {
  for (const char* const sql :
       {"UPDATE t SET n = 1 WHERE id = 1 AND code LIKE $1",
        "SELECT json_patch(code, $1) FROM t WHERE id = 1",
        "SELECT replace(code, $1, $2) FROM t WHERE id = 1", "SELECT printf('%*d', $1, 1)"}) {
    EXPECT_FALSE(FoundBrief(sql)) << sql;
  }
}

TEST_F(BriefTest, ALongTextIsNotExamined) {
  EXPECT_FALSE(FoundBrief(absl::StrCat("SELECT 1 /* ", std::string(5000, 'x'), " */")));
}

TEST_F(BriefTest, WhatWasNotExaminedIsNotKnown) {
  const char* const sql = "UPDATE t SET n = 1 WHERE id = 1";
  EXPECT_TRUE(session_.Try(sql).ok());
  EXPECT_FALSE(Known(sql));
  Examine(*session_, sql);
  EXPECT_TRUE(Known(sql));
}

TEST_F(BriefTest, ANewSchemaIsANewQuestion) {
  const char* const sql = "UPDATE t SET n = 1 WHERE code = 'one'";
  ASSERT_TRUE(FoundBrief(sql));
  ASSERT_TRUE(session_.Try("CREATE TABLE other (code TEXT)").ok());
  EXPECT_FALSE(Known(sql));
  Examine(*session_, sql);
  EXPECT_TRUE(Known(sql));
}

// Within a transaction, too, where nobody else sees the new schema yet.
TEST_F(BriefTest, ATriggerOfTheSameTransactionCounts) {
  const char* const sql = "INSERT INTO plain VALUES ($1, $2)";
  ASSERT_TRUE(FoundBrief(sql));
  ASSERT_TRUE(session_->Run("BEGIN IMMEDIATE").ok());
  ASSERT_TRUE(
      session_.Try("CREATE TRIGGER more AFTER INSERT ON plain BEGIN DELETE FROM t; END").ok());
  EXPECT_FALSE(Known(sql));
  EXPECT_FALSE(FoundBrief(sql));
  ASSERT_TRUE(session_->Run("ROLLBACK").ok());
  EXPECT_TRUE(FoundBrief(sql));
}

// The schema's version after a rollback is that of another schema before it.
TEST_F(BriefTest, WhatWasFoundOutInATransactionThatIsGoneIsForgotten) {
  const char* const sql = "UPDATE plain SET b = 1 WHERE a = $1";
  ASSERT_TRUE(session_->Run("BEGIN IMMEDIATE").ok());
  ASSERT_TRUE(session_.Try("CREATE UNIQUE INDEX by_a ON plain (a)").ok());
  ASSERT_TRUE(FoundBrief(sql));
  ASSERT_TRUE(session_->Run("ROLLBACK").ok());
  ASSERT_TRUE(session_->Run("BEGIN IMMEDIATE").ok());
  ASSERT_TRUE(session_.Try("CREATE INDEX by_b ON plain (b)").ok());
  EXPECT_FALSE(Known(sql));
  EXPECT_FALSE(FoundBrief(sql));
  ASSERT_TRUE(session_->Run("ROLLBACK").ok());
}

TEST_F(BriefTest, AProgramThatIsNotUnderstoodIsNot) {
  EXPECT_FALSE(IsBrief({}));
  const auto instruction = [](int address, const char* opcode, int p2) {
    return Instruction{.address = address, .opcode = opcode, .p1 = 0, .p2 = p2, .p3 = 0};
  };
  const std::vector<Instruction> good = {
      instruction(0, "Init", 3), instruction(1, "Integer", 0), instruction(2, "Halt", 0),
      instruction(3, "Transaction", 0), instruction(4, "Goto", 1)};
  EXPECT_TRUE(IsBrief(good));
  std::vector<Instruction> program = good;
  program[1].opcode = "Novel";
  EXPECT_FALSE(IsBrief(program));
  program = good;
  program[1] = instruction(1, "Goto", 1);
  EXPECT_FALSE(IsBrief(program)) << "it runs in a circle";
  program = good;
  program[4].p2 = 3;
  EXPECT_FALSE(IsBrief(program)) << "its end does not lead to its beginning";
  program = good;
  program[0].p2 = 9;
  EXPECT_FALSE(IsBrief(program)) << "it begins behind its end";
  program = {instruction(0, "Init", 4),        instruction(1, "Insert", 0),
             instruction(2, "Column", 0),      instruction(3, "Halt", 0),
             instruction(4, "Transaction", 0), instruction(5, "Goto", 1)};
  EXPECT_FALSE(IsBrief(program)) << "it reads a value when it has changed something";
}

}  // namespace
}  // namespace sluice::sqlite
