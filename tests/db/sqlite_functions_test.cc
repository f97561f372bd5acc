// The functions that stand in for SQLite's own answer as those do, and end where those would not.
#include <random>
#include <string>
#include <vector>

#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/db/sqlite/functions.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

class FunctionsTest : public testing::Test {
 protected:
  FunctionsTest() { EXPECT_EQ(sqlite3_open(":memory:", &plain_), SQLITE_OK); }

  ~FunctionsTest() override { sqlite3_close(plain_); }

  // What the expression gives, with its type, on a connection that has the library's functions.
  std::string Plain(const std::string& expression) {
    return Ask(plain_, absl::StrCat("SELECT typeof(x) || ' ' || hex(x) FROM (SELECT ", expression,
                                    " AS x)"));
  }

  std::string Ours(const std::string& expression) {
    const auto reply = session_.Execute(
        absl::StrCat("SELECT typeof(x) || ' ' || hex(x) FROM (SELECT ", expression, " AS x)"));
    if (!reply.ok()) return "error";
    return reply->rows(0).values(0).string_value();
  }

  static std::string Ask(sqlite3* db, const std::string& sql) {
    sqlite3_stmt* stmt = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db, sql.c_str(), -1, &stmt, nullptr), SQLITE_OK) << sql;
    std::string answer = "error";
    if (sqlite3_step(stmt) == SQLITE_ROW) {
      const void* const text = sqlite3_column_blob(stmt, 0);
      answer = std::string(static_cast<const char*>(text),
                           static_cast<size_t>(sqlite3_column_bytes(stmt, 0)));
    }
    sqlite3_finalize(stmt);
    return answer;
  }

  TemporaryFolder folder_;
  TestSession session_{Writer(folder_.File("a.db"))};
  sqlite3* plain_ = nullptr;
};

TEST_F(FunctionsTest, AnswersAreTheLibrarysOwn) {
  std::mt19937 random(7);
  // Short, from few characters, so that matches are common; and all that may go wrong.
  const std::vector<std::string> values = {"NULL",
                                           "''",
                                           "'a'",
                                           "'ab'",
                                           "'aab'",
                                           "'aaabaa'",
                                           "'ü'",
                                           "'aüa'",
                                           "'üüab'",
                                           "'🎉a🎉'",
                                           "x''",
                                           "x'61'",
                                           "x'6161'",
                                           "x'C3'",
                                           "x'BC'",
                                           "x'C3BCBC61'",
                                           "12",
                                           "1.5",
                                           "x'006162'",
                                           "CAST(x'C361' AS TEXT)",
                                           "CAST(x'BC61' AS TEXT)",
                                           "CAST(x'610062' AS TEXT)",
                                           "CAST(x'0061' AS TEXT)",
                                           "'ba'",
                                           "'1'",
                                           "CAST(x'C3BCBC' AS TEXT)"};
  const auto any = [&] { return values[random() % values.size()]; };
  for (int i = 0; i < 4000; ++i) {
    std::string expression;
    switch (i % 5) {
      case 0:
        expression = absl::StrCat("instr(", any(), ",", any(), ")");
        break;
      case 1:
        expression = absl::StrCat("replace(", any(), ",", any(), ",", any(), ")");
        break;
      case 2:
        expression = absl::StrCat("trim(", any(), ",", any(), ")");
        break;
      case 3:
        expression = absl::StrCat("ltrim(", any(), ",", any(), ")");
        break;
      default:
        expression = absl::StrCat("rtrim(", any(), ",", any(), ")");
    }
    ASSERT_EQ(Ours(expression), Plain(expression)) << expression;
  }
}

TEST_F(FunctionsTest, ArgumentsKeepTheirTypes) {
  for (const char* const expression :
       {"(SELECT instr(b, 'a') || typeof(b) FROM (SELECT ?1 AS b))", "instr(?1, 'a') || typeof(?1)",
        "instr('a', ?1) || typeof(?1)"}) {
    const auto reply = session_.Execute(absl::StrCat("SELECT ", expression), {Bytes("ba")});
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(absl::EndsWith(reply->rows(0).values(0).string_value(), "blob")) << expression;
  }
}

TEST_F(FunctionsTest, FormatsAreTheLibrarysOwn) {
  for (const char* const expression : {"printf('%d %5d|%-5d|%05d|%+d', 1, 2, 3, 4, 5)",
                                       "printf('%,d', 1234567)",
                                       "printf('%.3f %e %g', 1.5, 2.5, 3.5)",
                                       "printf('%s|%10s|%-10s|%.2s', 'a', 'b', 'c', 'def')",
                                       "printf('%*d|%.*f|%-*s', 5, 1, 2, 3.14159, 6, 'x')",
                                       "printf('%%|%c|%.3c|%q|%Q|%w', 'x', "
                                       "'y', 'it''s', 'it''s', 'a\"b')",
                                       "printf('%x %X %o', 255, 255, 8)",
                                       "printf('%d')",
                                       "printf()",
                                       "printf(NULL)",
                                       "printf('')",
                                       "printf('%')",
                                       "printf('%y')",
                                       "format('%s', NULL)",
                                       "format('%s and %s', 'a', x'62')",
                                       "printf('%lld', 5)",
                                       "printf('%*s', -5, 'x')",
                                       "json_patch('{\"a\":1}', '{\"b\":2}')",
                                       "json_patch('{\"a\":1}', '{\"a\":null}')",
                                       "json_patch('[1]', '2')",
                                       "json_patch('x', '{}')",
                                       "json_patch(NULL, '{}')",
                                       "json_array(json_patch('{\"a\":1}', '{\"b\":2}'))"}) {
    EXPECT_EQ(Ours(expression), Plain(expression)) << expression;
  }
}

TEST_F(FunctionsTest, Fault66_WhatWasQuadraticEnds) {
  for (const char* const sql : {
           "SELECT instr(hex(zeroblob(300000)), hex(zeroblob(150000)) || 'b')",
           "SELECT instr(zeroblob(600000), CAST(hex(zeroblob(10)) AS BLOB))",
           "SELECT length(replace(hex(zeroblob(300000)), hex(zeroblob(150000)) || 'b', ''))",
           "SELECT length(trim(hex(zeroblob(300000)), replace(hex(zeroblob(300000)), '0', 'b') "
           "|| '0'))",
           "SELECT length(rtrim('a' || hex(zeroblob(300000)), '123456789ü0'))",
       }) {
    const absl::Duration begin = Clock::System().Steady();
    const absl::Status status = session_.Try(sql);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    EXPECT_LT(Clock::System().Steady() - begin, absl::Seconds(10)) << sql;
  }
}

TEST_F(FunctionsTest, Fault66_WidthsThatNoValueMayHaveAreRefused) {
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "%.60000000c";
  for (const std::string& expression :
       {std::string("printf('%.*c', 1000000000, 'x')"), std::string("printf('%1000000000d', 1)"),
        std::string("printf('%-*d', -200000000, 1)"), std::string("printf('%*d', 4000000000, 1)"),
        std::string("printf('%d %.*c', 1, 1000000000, 'x')"),
        std::string("printf('%*.*c', 1, 1000000000, 'x')"), absl::StrCat("format('", many, "')")}) {
    const absl::Duration begin = Clock::System().Steady();
    const absl::Status status = session_.Try(absl::StrCat("SELECT ", expression));
    EXPECT_EQ(errors::ReasonOf(status), "VALUE_TOO_LARGE") << expression.substr(0, 80) << status;
    EXPECT_LT(Clock::System().Steady() - begin, absl::Seconds(1)) << expression.substr(0, 80);
  }
  // A value is no width.
  EXPECT_EQ(session_.Value("SELECT printf('%*d', 5, 1000000000)").string_value(), "1000000000");
}

TEST_F(FunctionsTest, Fault66_PatchesOfManyKeysAreRefused) {
  ASSERT_TRUE(session_.Try("CREATE TABLE t(j)").ok());
  ASSERT_TRUE(session_
                  .Try("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < "
                       "50000) INSERT INTO t SELECT json_group_object('key' || n, n) FROM c")
                  .ok());
  EXPECT_EQ(errors::ReasonOf(session_.Try("SELECT json_patch(j, j) FROM t")), "VALUE_TOO_LARGE");
  EXPECT_TRUE(session_.Try("SELECT json_patch(j, '{\"key1\":null}') FROM t").ok());
}

}  // namespace
}  // namespace sluice::sqlite
