// Statements that would take the engine too deep, and its thread with it.
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

class SqliteDepth : public SqliteGroupTest {};

// Each of which reads the one before it.
std::string Chain(int length, absl::string_view as) {
  std::string sql = "WITH a0 AS (SELECT 1 AS x)";
  for (int i = 1; i < length; ++i) {
    absl::StrAppend(&sql, ", a", i, " ", as, " (SELECT * FROM a", i - 1, ")");
  }
  return absl::StrCat(sql, " SELECT x FROM a", length - 1);
}

TEST_F(SqliteDepth, AChainOfTableExpressionsHasALimit) {
  Open();
  for (const char* const as : {"AS", "as materialized", "AS /* a word */ NOT MATERIALIZED"}) {
    EXPECT_EQ(Number(Chain(1000, as)), 1);
    EXPECT_THAT(Ask(Chain(1001, as)), Fails(StatusCode::kPermissionDenied, "STATEMENT_REFUSED"));
    EXPECT_THAT(Ask(absl::StrCat("CREATE VIEW v AS ", Chain(1001, as))),
                Fails(StatusCode::kPermissionDenied, "STATEMENT_REFUSED"));
  }
}

TEST_F(SqliteDepth, ALongTextWithoutThemIsFine) {
  Open();
  std::string sql = "SELECT 0";
  for (int i = 0; i < 1500; ++i) absl::StrAppend(&sql, ", CAST(", i, " AS TEXT) AS column", i);
  EXPECT_THAT(Ask(sql), IsOk());
}

TEST_F(SqliteDepth, AChainOfViewsHasALimit) {
  Open();
  ASSERT_THAT(Ask("CREATE VIEW v0 AS SELECT 1 AS x"), IsOk());
  db::Batch batch;
  std::vector<std::string> texts;
  for (int i = 1; i < 2000; ++i) {
    texts.push_back(absl::StrCat("CREATE VIEW v", i, " AS SELECT * FROM v", i - 1));
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    batch.executions.emplace_back(db::Statement(texts[i]), static_cast<int>(i), 0);
  }
  Call call;
  ASSERT_THAT(executor_.Run(database_->ExecuteBatch(call.ctx(), batch)), IsOk());
  EXPECT_THAT(Ask("CREATE VIEW v2000 AS SELECT * FROM v1999"),
              Fails(StatusCode::kPermissionDenied, "STATEMENT_REFUSED"));
  ASSERT_THAT(Ask("DROP VIEW v1999"), IsOk());
  EXPECT_THAT(Ask("CREATE VIEW v2000 AS SELECT 2 AS x"), IsOk());
}

TEST_F(SqliteDepth, DefinitionsOfViewsHaveALimitTogether) {
  Open();
  const std::string comment(900'000, 'x');
  for (const char* const name : {"a", "b"}) {
    ASSERT_THAT(Ask(absl::StrCat("CREATE VIEW ", name, " AS SELECT 1 /*", comment, "*/")), IsOk());
  }
  EXPECT_THAT(Ask(absl::StrCat("CREATE VIEW c AS SELECT 1 /*", comment, "*/")),
              Fails(StatusCode::kPermissionDenied, "STATEMENT_REFUSED"));
  EXPECT_THAT(Ask("CREATE VIEW c AS SELECT 1"), IsOk());
}

}  // namespace
}  // namespace sluice::test
