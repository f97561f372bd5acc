#include "client/cli/sql_insert.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sluice/v1/query.pb.h"

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Parsed {
  bool ok = false;
  InsertTarget target;
  v1::BulkInsertRequest rows;

  const v1::Value& Value(int row, int column) const { return rows.rows(row).values(column); }
};

Parsed Parse(absl::string_view statement) {
  Parsed parsed;
  client::RowBuffer rows;
  parsed.ok = ParseInsert(statement, &parsed.target, &rows);
  EXPECT_TRUE(parsed.rows.ParseFromString(rows.Take()));
  return parsed;
}

TEST(SqlInsert, ReadsWhereRowsBelong) {
  const Parsed parsed = Parse("INSERT INTO t VALUES(1)");
  ASSERT_TRUE(parsed.ok);
  EXPECT_EQ(parsed.target.table, "t");
  EXPECT_THAT(parsed.target.columns, IsEmpty());

  const Parsed named = Parse("insert into main.\"a b\" (\"x\", y, [z]) values (1,2,3)");
  ASSERT_TRUE(named.ok);
  EXPECT_EQ(named.target.schema, "main");
  EXPECT_EQ(named.target.table, "a b");
  EXPECT_THAT(named.target.columns, ElementsAre("x", "y", "z"));
}

TEST(SqlInsert, ReadsLiterals) {
  const Parsed parsed = Parse(
      "INSERT INTO t VALUES (1, -2, +3, 1.5, -1e-3, .5, 'it''s', '', NULL, X'00fF', x'', TRUE, "
      "false, 9223372036854775807, -9223372036854775808)");
  ASSERT_TRUE(parsed.ok);
  ASSERT_EQ(parsed.rows.rows_size(), 1);
  EXPECT_EQ(parsed.Value(0, 0).int64_value(), 1);
  EXPECT_EQ(parsed.Value(0, 1).int64_value(), -2);
  EXPECT_EQ(parsed.Value(0, 2).int64_value(), 3);
  EXPECT_EQ(parsed.Value(0, 3).double_value(), 1.5);
  EXPECT_EQ(parsed.Value(0, 4).double_value(), -1e-3);
  EXPECT_EQ(parsed.Value(0, 5).double_value(), 0.5);
  EXPECT_EQ(parsed.Value(0, 6).string_value(), "it's");
  EXPECT_TRUE(parsed.Value(0, 7).has_string_value());
  EXPECT_TRUE(parsed.Value(0, 8).has_null_value());
  EXPECT_EQ(parsed.Value(0, 9).bytes_value(), std::string("\0\xFF", 2));
  EXPECT_TRUE(parsed.Value(0, 10).has_bytes_value());
  EXPECT_EQ(parsed.Value(0, 11).int64_value(), 1);
  EXPECT_TRUE(parsed.Value(0, 12).has_int64_value());
  EXPECT_EQ(parsed.Value(0, 13).int64_value(), INT64_MAX);
  EXPECT_EQ(parsed.Value(0, 14).int64_value(), INT64_MIN);
}

TEST(SqlInsert, ReadsManyRowsAtOnce) {
  const Parsed parsed = Parse("INSERT INTO t VALUES (1, 'a'),\n (2, 'b'), (3, NULL)");
  ASSERT_TRUE(parsed.ok);
  ASSERT_EQ(parsed.rows.rows_size(), 3);
  EXPECT_EQ(parsed.Value(1, 1).string_value(), "b");
}

TEST(SqlInsert, ReadsLineEndsAsTheShellWritesThem) {
  const Parsed parsed = Parse(
      "INSERT INTO t VALUES(replace('a\\nb','\\n',char(10)),"
      "replace(replace('c\\r\\nd','\\r',char(13)),'\\n',char(10)))");
  ASSERT_TRUE(parsed.ok);
  EXPECT_EQ(parsed.Value(0, 0).string_value(), "a\nb");
  EXPECT_EQ(parsed.Value(0, 1).string_value(), "c\r\nd");
}

TEST(SqlInsert, LeavesEverythingElseToTheDatabase) {
  for (const char* statement : {"INSERT INTO t SELECT 1",
                                "INSERT OR REPLACE INTO t VALUES (1)",
                                "REPLACE INTO t VALUES (1)",
                                "INSERT INTO t VALUES (1 + 1)",
                                "INSERT INTO t VALUES (abs(-1))",
                                "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
                                "INSERT INTO t VALUES (1) RETURNING a",
                                "INSERT INTO t DEFAULT VALUES",
                                "INSERT INTO t VALUES (9223372036854775808)",
                                "INSERT INTO t VALUES (1e999)",
                                "INSERT INTO t VALUES (0x1F)",
                                "INSERT INTO t VALUES (x'0')",
                                "INSERT INTO t VALUES (-'a')",
                                "INSERT INTO t VALUES (?)",
                                "INSERT INTO t VALUES (1,)",
                                "INSERT INTO t () VALUES (1)",
                                "INSERT INTO sqlite_sequence VALUES ('t', 1)",
                                "INSERT INTO t VALUES (1), (2 + 2)",
                                "INSERT INTO t VALUES (replace('a','b','c'))",
                                "INSERT INTO t(rowid,a) VALUES (1,2)",
                                "INSERT INTO t(a,\"OID\") VALUES (1,2)",
                                "INSERT INTO t(_rowid_) VALUES (1)",
                                "INSERT INTO t AS u VALUES (1)",
                                "SELECT 1",
                                "INSERT INTO t VALUES ('a"}) {
    const Parsed parsed = Parse(statement);
    EXPECT_FALSE(parsed.ok) << statement;
    EXPECT_EQ(parsed.rows.rows_size(), 0) << statement;
  }
}

}  // namespace
}  // namespace sluice::cli
