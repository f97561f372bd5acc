// How a PostgreSQL server would run a statement: the tree, its text, and what in it is slow.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/postgres/plan_tree.h"
#include "server/db/session_options.h"
#include "tests/db/postgres_catalog_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class PostgresCatalogExplain : public PostgresCatalogTest {
 protected:
  void SetUp() override {
    PostgresCatalogTest::SetUp();
    if (database_ == nullptr) return;
    Make(
        "CREATE TABLE artist (id int PRIMARY KEY, name text);"
        "CREATE TABLE album (id int PRIMARY KEY, artist_id int, title text);"
        "INSERT INTO artist SELECT n, 'artist ' || n FROM generate_series(1, 20000) n;"
        "INSERT INTO album SELECT n, n % 5000, 'album ' || n FROM generate_series(1, 20000) n;"
        "CREATE INDEX album_artist ON album (artist_id); ANALYZE artist; ANALYZE album;"
        "CREATE SEQUENCE numbers");
  }

  absl::StatusOr<pb::ExplainResponse> TryExplain(absl::string_view sql,
                                                 std::initializer_list<pb::Value> params = {},
                                                 bool analyze = false) {
    const db::Params values = MakeParams(params);
    const db::NamedParams no_names;
    return executor_.Run(catalog().Explain(ctx_, db::Statement(sql, values, no_names), analyze));
  }

  pb::ExplainResponse Explain(absl::string_view sql,
                              std::initializer_list<pb::Value> params = {},
                              bool analyze = false) {
    const auto explained = TryExplain(sql, params, analyze);
    EXPECT_THAT(explained, IsOk()) << sql;
    return explained.ok() ? *explained : pb::ExplainResponse();
  }

  static void Walk(const pb::PlanNode& node, const std::function<void(const pb::PlanNode&)>& f) {
    f(node);
    for (const pb::PlanNode& child : node.children()) Walk(child, f);
  }

  // The operations of all steps below the root.
  static std::vector<std::string> Operations(const pb::ExplainResponse& explained) {
    std::vector<std::string> all;
    for (const pb::PlanNode& child : explained.plan().children()) {
      Walk(child, [&](const pb::PlanNode& node) {
        all.push_back(pb::PlanOperation_Name(node.operation()).substr(15));
      });
    }
    return all;
  }

  static std::vector<std::string> Findings(const pb::ExplainResponse& explained) {
    std::vector<std::string> found;
    for (const pb::PlanFinding& finding : explained.findings()) {
      found.push_back(
          absl::StrCat(pb::PlanFinding::Kind_Name(finding.kind()).substr(5), " ", finding.table()));
      EXPECT_NE(finding.message(), "");
    }
    return found;
  }
};

TEST_F(PostgresCatalogExplain, ALookupNamesItsTableIndexAndCondition) {
  const auto explained = Explain("SELECT * FROM artist AS a WHERE id = 7");
  EXPECT_EQ(explained.plan().operation(), pb::PLAN_OPERATION_STATEMENT);
  ASSERT_EQ(explained.plan().children_size(), 1);
  const pb::PlanNode& node = explained.plan().children(0);
  EXPECT_EQ(node.operation(), pb::PLAN_OPERATION_SEARCH);
  EXPECT_EQ(node.detail(), "Index Scan using artist_pkey on artist a");
  EXPECT_EQ(node.table(), "artist");
  EXPECT_EQ(node.alias(), "a");
  EXPECT_EQ(node.index(), "artist_pkey");
  EXPECT_EQ(node.condition(), "(id = 7)");
  EXPECT_FALSE(node.full_scan());
  EXPECT_EQ(node.estimated_rows(), 1);
  EXPECT_GT(node.estimated_cost(), 0);
  EXPECT_FALSE(node.has_measured());
  EXPECT_THAT(Findings(explained), IsEmpty());
  EXPECT_FALSE(explained.has_execution_time());
}

TEST_F(PostgresCatalogExplain, AnIndexMayAnswerAlone) {
  Make("VACUUM artist");
  const auto explained = Explain("SELECT id FROM artist WHERE id < 10");
  EXPECT_TRUE(explained.plan().children(0).covering());
}

// The text is the server's own, line by line.
TEST_F(PostgresCatalogExplain, TheTextIsThatOfTheServer) {
  for (const std::string sql :
       {"SELECT * FROM artist WHERE id = 7", "SELECT * FROM artist WHERE name = 'x' ORDER BY name",
        "SELECT a.name, count(*) FROM artist a LEFT JOIN album b ON b.artist_id = a.id"
        " WHERE a.id < 100 GROUP BY a.name",
        "SELECT * FROM album WHERE artist_id = 3 OR id = 5", "SELECT * FROM album LIMIT 3",
        "WITH c AS MATERIALIZED (SELECT id FROM artist WHERE id < 5) SELECT * FROM c, c AS d",
        "SELECT * FROM artist WHERE id = (SELECT max(artist_id) FROM album)",
        "DELETE FROM album WHERE id = 3", "SELECT 1 UNION SELECT 2 EXCEPT SELECT 3",
        "SELECT * FROM generate_series(1, 3) AS g", "SELECT 1;", "-- why\n(SELECT 1) -- so",
        "VALUES (1), (2)", "SELECT id FROM artist ORDER BY id DESC LIMIT 1",
        "SELECT DISTINCT artist_id FROM album a WHERE NOT EXISTS (SELECT FROM artist r WHERE "
        "r.id = a.artist_id)"}) {
    const auto explained = Explain(sql);
    EXPECT_EQ(explained.text(), "QUERY PLAN\n" + server_->Psql("EXPLAIN " + sql)) << sql;
  }
}

TEST_F(PostgresCatalogExplain, StepsAreToldApartByWhatTheyDo) {
  EXPECT_THAT(Operations(Explain("SELECT * FROM artist ORDER BY name")),
              ElementsAre("SORT", "SCAN"));
  EXPECT_THAT(Operations(Explain("SELECT count(*) FROM artist")), Contains("AGGREGATE"));
  EXPECT_THAT(Operations(Explain("SELECT * FROM artist LIMIT 1")), ElementsAre("LIMIT", "SCAN"));
  EXPECT_THAT(Operations(Explain("DELETE FROM artist WHERE id = 1")),
              ElementsAre("MODIFY", "SEARCH"));
  EXPECT_THAT(Operations(Explain("SELECT * FROM artist a JOIN album b ON b.id = a.id")),
              Contains("JOIN"));
  EXPECT_THAT(Operations(Explain("SELECT 1 UNION ALL SELECT 2")), Contains("COMBINE"));
  const auto cte =
      Explain("WITH c AS MATERIALIZED (SELECT id FROM artist WHERE id < 5) SELECT * FROM c");
  EXPECT_THAT(Operations(cte), ElementsAre("SCAN", "SUBQUERY", "SEARCH"));
  EXPECT_EQ(cte.plan().children(0).children(0).alias(), "c");
}

TEST_F(PostgresCatalogExplain, FindsScansAndSortsThatCost) {
  const auto explained = Explain("SELECT * FROM artist WHERE name > 'a' ORDER BY name");
  EXPECT_THAT(Findings(explained), ElementsAre("FULL_SCAN artist", "TEMPORARY_SORT artist"));
  EXPECT_THAT(Findings(Explain("SELECT * FROM artist")), IsEmpty());
  Make("CREATE TABLE small (id int)");
  EXPECT_THAT(Findings(Explain("SELECT * FROM small WHERE id = 3")), IsEmpty());
}

TEST_F(PostgresCatalogExplain, WithoutValuesThePlanIsTheOneForAny) {
  const char sql[] = "SELECT * FROM album WHERE artist_id = $1 AND title > $2";
  const auto any = Explain(sql);
  EXPECT_THAT(any.text(), HasSubstr("(artist_id = $1)"));
  EXPECT_THAT(any.text(), HasSubstr("album_artist"));
  const auto bound = Explain(sql, {Int(3), Text("x")});
  EXPECT_THAT(bound.text(), HasSubstr("(artist_id = 3)"));
  EXPECT_THAT(TryExplain(sql, {Int(3)}), Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  // Nothing is left behind of the first, so it can be asked again, and after a failure, too.
  EXPECT_EQ(Explain(sql).text(), any.text());
  Make("CREATE DOMAIN filled AS int NOT NULL");
  EXPECT_THAT(TryExplain("SELECT $1::filled"), Not(IsOk()));
  EXPECT_EQ(Explain(sql).text(), any.text());
}

TEST_F(PostgresCatalogExplain, NamedValuesAreBound) {
  const db::Params none;
  db::NamedParams named;
  named["id"] = Int(3);
  const auto explained = executor_.Run(catalog().Explain(
      ctx_, db::Statement("SELECT * FROM artist WHERE id = :id", none, named), false));
  ASSERT_THAT(explained, IsOk());
  EXPECT_EQ(explained->plan().children(0).condition(), "(id = 3)");
}

TEST_F(PostgresCatalogExplain, TypesThatAreSaidAreThePlans) {
  const db::Params values = MakeParams({Text("7")});
  const db::NamedParams no_names;
  db::ParamTypes types;
  types.Add(pb::VALUE_TYPE_STRING);
  db::Statement statement("SELECT * FROM artist WHERE name = $1", values, no_names);
  statement.param_types = &types;
  EXPECT_THAT(executor_.Run(catalog().Explain(ctx_, statement, false)), IsOk());
  types.Set(0, pb::VALUE_TYPE_INT64);
  EXPECT_THAT(executor_.Run(catalog().Explain(ctx_, statement, false)), Not(IsOk()))
      << "text = bigint";
}

TEST_F(PostgresCatalogExplain, ASessionsSettingsHoldForThePlanAndNoLonger) {
  Make("CREATE SCHEMA shelf; CREATE TABLE shelf.book (id int PRIMARY KEY)");
  auto session = std::make_shared<db::SessionOptions>();
  session->search_path = {"shelf"};
  const db::Params values = MakeParams({Int(1)});
  const db::NamedParams no_names;
  for (const bool analyze : {false, true}) {
    db::Statement statement("SELECT * FROM book WHERE id = $1", values, no_names);
    statement.session = session;
    const auto explained = executor_.Run(catalog().Explain(ctx_, statement, analyze));
    ASSERT_THAT(explained, IsOk());
    EXPECT_EQ(explained->plan().children(0).table(), "book");
  }
  EXPECT_THAT(TryExplain("SELECT * FROM book"), Fails(StatusCode::kInvalidArgument, "SQL_ERROR"))
      << "the path went with the statement";
  session->settings["log_statement"] = "all";
  db::Statement refused("SELECT 1");
  refused.session = session;
  EXPECT_THAT(executor_.Run(catalog().Explain(ctx_, refused, false)),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_THAT(TryExplain("SELECT * FROM artist"), IsOk());
}

TEST_F(PostgresCatalogExplain, NothingIsRunUnlessItIsMeasured) {
  EXPECT_THAT(TryExplain("DELETE FROM artist"), IsOk());
  EXPECT_THAT(TryExplain("SELECT nextval('numbers')"), IsOk());
  EXPECT_EQ(server_->Psql("SELECT count(*) FROM artist"), "20000");
  EXPECT_EQ(server_->Psql("SELECT is_called FROM numbers"), "f");
}

TEST_F(PostgresCatalogExplain, AMeasuredStatementIsRunAndRolledBack) {
  const auto explained = Explain("DELETE FROM artist WHERE id <= $1", {Int(10)}, true);
  EXPECT_GT(explained.execution_time().nanos() + explained.execution_time().seconds(), 0);
  EXPECT_GT(explained.planning_time().nanos() + explained.planning_time().seconds(), 0);
  ASSERT_EQ(explained.plan().children_size(), 1);
  const pb::PlanNode& modify = explained.plan().children(0);
  ASSERT_EQ(modify.children_size(), 1);
  const pb::PlanMeasurement& scan = modify.children(0).measured();
  EXPECT_EQ(scan.loops(), 1);
  EXPECT_EQ(scan.rows(), 10);
  EXPECT_GT(scan.total_time().nanos(), 0);
  EXPECT_GT(scan.shared_hit_blocks() + scan.shared_read_blocks(), 0);
  EXPECT_GT(modify.measured().shared_dirtied_blocks() + modify.measured().shared_hit_blocks(), 0);
  EXPECT_THAT(explained.text(), HasSubstr("actual time="));
  EXPECT_THAT(explained.text(), HasSubstr("Execution Time: "));
  EXPECT_THAT(explained.json(), HasSubstr("\"Actual Rows\""));
  EXPECT_EQ(server_->Psql("SELECT count(*) FROM artist"), "20000");
}

TEST_F(PostgresCatalogExplain, AMeasuredScanTellsWhatItLeftOut) {
  const auto explained = Explain("SELECT * FROM artist WHERE name = 'artist 7'", {}, true);
  const pb::PlanNode& scan = explained.plan().children(0);
  EXPECT_EQ(scan.filter(), "(name = 'artist 7'::text)");
  EXPECT_EQ(scan.measured().rows(), 1);
  EXPECT_EQ(scan.measured().rows_removed(), 19999);
  const auto never = Explain("SELECT * FROM artist WHERE id = 1 AND now() IS NULL", {}, true);
  bool unreached = false;
  Walk(never.plan(), [&](const pb::PlanNode& node) {
    unreached = unreached || (node.has_measured() && node.measured().loops() == 0);
  });
  EXPECT_TRUE(unreached) << never.text();
}

TEST_F(PostgresCatalogExplain, AMeasuredStatementNeedsItsValues) {
  EXPECT_THAT(TryExplain("SELECT * FROM artist WHERE id = $1", {}, true),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_F(PostgresCatalogExplain, AFailureOfAMeasuredStatementIsItsOwnAndUndone) {
  EXPECT_THAT(TryExplain("INSERT INTO artist VALUES (1, 'x')", {}, true),
              Fails(StatusCode::kAlreadyExists, "SQL_ERROR"));
  EXPECT_THAT(TryExplain("SELECT 1 / (id - id) FROM artist", {}, true), Not(IsOk()));
  EXPECT_THAT(TryExplain("SELECT 1"), IsOk());
}

TEST_F(PostgresCatalogExplain, AReadOnlyCallMeasuresNoWrites) {
  db::Statement writes("DELETE FROM artist");
  writes.read_only = true;
  EXPECT_THAT(executor_.Run(catalog().Explain(ctx_, writes, true)),
              Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  db::Statement hidden("WITH d AS (DELETE FROM artist RETURNING id) SELECT * FROM d");
  hidden.read_only = true;
  EXPECT_THAT(executor_.Run(catalog().Explain(ctx_, hidden, true)),
              Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  db::Statement reads("SELECT count(*) FROM artist");
  reads.read_only = true;
  EXPECT_THAT(executor_.Run(catalog().Explain(ctx_, reads, true)), IsOk());
}

TEST_F(PostgresCatalogExplain, WhatHasNoPlanIsAStatementAlone) {
  const auto explained = Explain("DROP TABLE artist");
  EXPECT_EQ(explained.plan().operation(), pb::PLAN_OPERATION_STATEMENT);
  EXPECT_EQ(explained.plan().children_size(), 0);
  EXPECT_EQ(explained.json(), "");
  EXPECT_THAT(TryExplain("DROP TABLE artist", {}, true),
              Fails(StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
  EXPECT_EQ(server_->Psql("SELECT count(*) FROM artist"), "20000");
}

TEST_F(PostgresCatalogExplain, RefusesWhatIsNotRun) {
  EXPECT_THAT(TryExplain("EXPLAIN SELECT 1"),
              Fails(StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
  EXPECT_THAT(TryExplain("COMMIT", {}, true),
              Fails(StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED"));
  EXPECT_THAT(TryExplain("SELECT 1; DROP TABLE artist"),
              Fails(StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
  EXPECT_EQ(errors::ReasonOf(TryExplain("SELECT FROM nowhere").status()), "SQL_ERROR");
}

TEST(PostgresCatalogPlan, WhatIsNoPlanIsAnError) {
  for (const absl::string_view json : {"{", "3", "{\"Plan\": {}}", "nonsense"}) {
    EXPECT_TRUE(absl::IsInternal(postgres::ReadPlan(json).status())) << json;
  }
  for (const absl::string_view json :
       {"[]", "[3]", "[{\"Plan\": 3}]", "[{\"Plan\": {\"Plans\": [3, {}], \"Node Type\": 3}}]"}) {
    EXPECT_THAT(postgres::ReadPlan(json), IsOk()) << json;
  }
}

TEST(PostgresCatalogPlan, ADeepPlanIsAMessageThatCanBeParsed) {
  std::string json = "{\"Node Type\": \"Limit\"}";
  for (int i = 0; i < 3000; ++i) {
    json = absl::StrCat("{\"Node Type\": \"Limit\", \"Plans\": [", json, "]}");
  }
  const auto explained = postgres::ReadPlan(absl::StrCat("[{\"Plan\": ", json, "}]"));
  ASSERT_THAT(explained, IsOk());
  pb::ExplainResponse parsed;
  EXPECT_TRUE(parsed.ParseFromString(explained->SerializeAsString()));
  EXPECT_THAT(explained->text(), StartsWith("QUERY PLAN\nLimit\n  ->  Limit\n"));
}

}  // namespace
}  // namespace sluice::test
