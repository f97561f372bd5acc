// How a statement would be run: the tree, what is slow in it, and the index that would help.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/catalog.h"
#include "server/db/sqlite/plan.h"
#include "server/db/sqlite/plan_names.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class SqliteExplain : public SqliteTest {
 protected:
  SqliteExplain() {
    Open();
    for (const char* const sql :
         {"CREATE TABLE artist (id INTEGER PRIMARY KEY, name TEXT)",
          "CREATE TABLE album (id INTEGER PRIMARY KEY, artist_id INT, title TEXT, year INT)",
          "CREATE TABLE track (id INTEGER PRIMARY KEY, album_id INT, name TEXT, ms INT, genre "
          "TEXT)",
          "CREATE TABLE \"order line\" (id INTEGER PRIMARY KEY, \"unit \"\"x\"\"\" INT, \"group\" "
          "TEXT)",
          "CREATE INDEX album_artist ON album (artist_id)",
          "CREATE VIEW long_track AS SELECT t.name, t.genre FROM track AS t WHERE t.ms > 1000",
          "CREATE VIRTUAL TABLE note USING fts5(body)"}) {
      EXPECT_THAT(Ask(sql), IsOk()) << sql;
    }
  }

  absl::StatusOr<pb::ExplainResponse> TryExplain(absl::string_view sql,
                                                 std::initializer_list<pb::Value> params = {},
                                                 const Context& ctx = {}) {
    const db::Params values = MakeParams(params);
    const db::NamedParams no_names;
    return executor_.Run(database_->catalog().Explain(ctx, db::Statement(sql, values, no_names),
                                                      /*analyze=*/false));
  }

  pb::ExplainResponse Explain(absl::string_view sql) {
    const auto explained = TryExplain(sql);
    EXPECT_THAT(explained, IsOk()) << sql;
    return explained.ok() ? *explained : pb::ExplainResponse();
  }

  // As `FULL_SCAN track()`.
  static std::vector<std::string> Findings(const pb::ExplainResponse& explained) {
    std::vector<std::string> found;
    for (const pb::PlanFinding& finding : explained.findings()) {
      std::string columns;
      for (const std::string& column : finding.columns()) {
        absl::StrAppend(&columns, columns.empty() ? "" : ",", column);
      }
      found.push_back(absl::StrCat(pb::PlanFinding::Kind_Name(finding.kind()).substr(5), " ",
                                   finding.table(), "(", columns, ")"));
      EXPECT_NE(finding.message(), "");
    }
    return found;
  }

  static void Walk(const pb::PlanNode& node, const std::function<void(const pb::PlanNode&)>& f) {
    f(node);
    for (const pb::PlanNode& child : node.children()) Walk(child, f);
  }
};

TEST_F(SqliteExplain, AJoinIsATreeOfItsLookups) {
  const auto explained =
      Explain("SELECT * FROM album a JOIN artist AS r ON r.id = a.artist_id WHERE a.artist_id = ?");
  const pb::PlanNode& plan = explained.plan();
  EXPECT_EQ(plan.operation(), pb::PLAN_OPERATION_STATEMENT);
  ASSERT_EQ(plan.children_size(), 2);
  const pb::PlanNode& artist = plan.children(0);
  EXPECT_EQ(artist.operation(), pb::PLAN_OPERATION_SEARCH);
  EXPECT_EQ(artist.table(), "artist");
  EXPECT_EQ(artist.alias(), "r");
  EXPECT_EQ(artist.index(), "PRIMARY KEY");
  EXPECT_EQ(artist.condition(), "rowid=?");
  const pb::PlanNode& album = plan.children(1);
  EXPECT_EQ(album.table(), "album");
  EXPECT_EQ(album.alias(), "a");
  EXPECT_EQ(album.index(), "album_artist");
  EXPECT_EQ(album.condition(), "artist_id=?");
  EXPECT_FALSE(album.covering());
  EXPECT_FALSE(album.full_scan());
  EXPECT_EQ(explained.text(),
            "QUERY PLAN\n"
            "|--SEARCH r USING INTEGER PRIMARY KEY (rowid=?)\n"
            "`--SEARCH a USING INDEX album_artist (artist_id=?)");
  EXPECT_THAT(Findings(explained), IsEmpty());
}

TEST_F(SqliteExplain, ATableOfAViewOrSubqueryIsNamedAndTheirOwnNamesAreAliases) {
  const auto explained = Explain(
      "SELECT * FROM (SELECT genre, count(*) AS n FROM long_track GROUP BY genre) AS g"
      " WHERE n > 1");
  std::vector<std::string> seen;
  Walk(explained.plan(), [&seen](const pb::PlanNode& node) {
    seen.push_back(absl::StrCat(pb::PlanOperation_Name(node.operation()).substr(15), " ",
                                node.table(), "/", node.alias(), node.full_scan() ? " full" : ""));
  });
  EXPECT_THAT(seen,
              ElementsAre("STATEMENT /", "SUBQUERY /g", "SCAN track/t full", "SORT /", "SCAN /g"));
}

TEST_F(SqliteExplain, TablesWithOneAliasAreToldApart) {
  struct Case {
    const char* sql;
    std::vector<std::string> tables;  // of the steps that have a name
  };

  for (const Case& each : {
           Case{"SELECT a.id FROM album a WHERE title = 'x'"
                " UNION ALL SELECT a.id FROM track a WHERE a.name = 'y'",
                {"album", "track"}},
           Case{"SELECT a.id FROM album a WHERE title = 'x'"
                " UNION SELECT a.id FROM track a WHERE a.name = 'y' ORDER BY 1",
                {"album", "track"}},
           Case{"SELECT (SELECT max(ms) FROM track x WHERE x.name = r.name) FROM artist r"
                " WHERE r.id IN (SELECT x.year FROM album x WHERE x.title = 'y')",
                {"artist", "album", "track"}},
           Case{"SELECT * FROM album t JOIN long_track ON long_track.name = t.title",
                {"track", "album"}},
           Case{"SELECT * FROM artist x WHERE x.id = ? UNION ALL"
                " SELECT x.id, x.title FROM album x WHERE x.artist_id = ?",
                {"artist", "album"}},
           // The name of one table given to another, or to none.
           Case{"SELECT * FROM track AS album WHERE album.name = 'x'", {"track"}},
           Case{
               "WITH c AS MATERIALIZED (SELECT * FROM track) SELECT * FROM c AS album WHERE id > 3",
               {"", "track", ""}},
           Case{"WITH RECURSIVE track(i) AS (SELECT 1 UNION ALL SELECT a.id FROM track JOIN album a"
                " ON a.artist_id > track.i) SELECT i FROM track",
                {"", "", "album", ""}},
       }) {
    std::vector<std::string> tables;
    Walk(Explain(each.sql).plan(), [&tables](const pb::PlanNode& node) {
      if (!node.table().empty() || !node.alias().empty()) tables.push_back(node.table());
    });
    EXPECT_EQ(tables, each.tables) << each.sql << "\n" << Explain(each.sql).text();
  }
}

TEST_F(SqliteExplain, FindingsNameTheTableThatIsMeantByAnAliasOfTwo) {
  EXPECT_THAT(Findings(Explain("SELECT a.id FROM album a WHERE title = 'x'"
                               " UNION ALL SELECT a.id FROM track a WHERE a.name = 'y'")),
              ElementsAre("FULL_SCAN album()", "FULL_SCAN track()", "MISSING_INDEX album(title)",
                          "MISSING_INDEX track(name)"));
}

TEST_F(SqliteExplain, WhichOfTwoTablesIsMeantIsNotGuessed) {
  // Looked up from within the list, so the program does not tell it at once.
  const auto explained = Explain(
      "SELECT x.name FROM track x WHERE x.id IN (SELECT r.id FROM artist r WHERE r.name = 'y')"
      " UNION ALL SELECT x.title FROM album x WHERE x.id IN (SELECT 1 FROM artist r)");
  int lookups = 0;
  Walk(explained.plan(), [&lookups](const pb::PlanNode& node) {
    if (node.alias() != "x") return;
    ++lookups;
    EXPECT_EQ(node.operation(), pb::PLAN_OPERATION_SEARCH);
    EXPECT_EQ(node.table(), "");
  });
  EXPECT_EQ(lookups, 2);
  EXPECT_THAT(Findings(explained), ElementsAre("FULL_SCAN artist()", "MISSING_INDEX artist(name)"));
}

TEST_F(SqliteExplain, CompoundRecursiveAndOrAreCombined) {
  const auto compound = Explain("SELECT id FROM artist UNION SELECT id FROM album");
  EXPECT_EQ(compound.plan().children(0).operation(), pb::PLAN_OPERATION_COMBINE);
  EXPECT_THAT(Findings(compound), IsEmpty());  // it reads what it was asked for

  const auto any = Explain("SELECT * FROM album WHERE id = 1 OR artist_id = 2");
  ASSERT_EQ(any.plan().children_size(), 1);
  EXPECT_EQ(any.plan().children(0).operation(), pb::PLAN_OPERATION_COMBINE);
  EXPECT_EQ(any.plan().children(0).children_size(), 2);
  EXPECT_THAT(Findings(any), IsEmpty());

  const auto recursive = Explain(
      "WITH RECURSIVE track(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM track WHERE i < 9)"
      " SELECT i FROM track WHERE i > 2");
  Walk(recursive.plan(), [](const pb::PlanNode& node) { EXPECT_EQ(node.table(), ""); });
  EXPECT_THAT(Findings(recursive), IsEmpty());
}

TEST_F(SqliteExplain, ReadingEverythingOnPurposeIsNoFinding) {
  for (const char* const sql :
       {"SELECT * FROM track", "SELECT count(*) FROM track", "DELETE FROM track",
        "UPDATE track SET ms = 1", "SELECT sum(ms) FROM track", "SELECT 1",
        "SELECT count(*) FILTER (WHERE ms > 1) FROM track", "CREATE TABLE other (x)",
        "INSERT INTO artist (name) SELECT name FROM track",
        "SELECT * FROM note WHERE note MATCH 'x'", "SELECT max(id) FROM track",
        "SELECT * FROM track t JOIN album a ON a.id = t.album_id"}) {
    EXPECT_THAT(Findings(Explain(sql)), IsEmpty()) << sql;
  }
}

TEST_F(SqliteExplain, FindsScansAutomaticIndexesAndSortsTheWorstFirst) {
  const auto explained = Explain(
      "SELECT * FROM album a, track t WHERE t.album_id = a.year AND a.title > 'x' ORDER BY t.ms");
  const auto found = Findings(explained);
  ASSERT_GE(found.size(), 4U);
  EXPECT_EQ(found[0], "FULL_SCAN album()");
  EXPECT_EQ(found[1], "AUTOMATIC_INDEX track(album_id)");
  EXPECT_EQ(found[2], "TEMPORARY_SORT ()");
  EXPECT_THAT(found, Contains("MISSING_INDEX album(title)"));
  EXPECT_THAT(found, Contains("MISSING_INDEX track(album_id)"));
}

TEST_F(SqliteExplain, ValuesMayBeLeftOutButNotHalf) {
  const char* const sql = "SELECT * FROM track WHERE id = ? AND ms = ?";
  EXPECT_THAT(TryExplain(sql), IsOk());
  EXPECT_THAT(TryExplain(sql, {Int(1), Int(2)}), IsOk());
  EXPECT_THAT(TryExplain(sql, {Int(1)}), Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_THAT(TryExplain("EXPLAIN SELECT 1"),
              Fails(StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
}

TEST_F(SqliteExplain, ExplainingRunsNothing) {
  ASSERT_THAT(Ask("INSERT INTO artist (name) VALUES ('x')"), IsOk());
  EXPECT_THAT(TryExplain("DELETE FROM artist WHERE name = 'x'"), IsOk());
  EXPECT_THAT(TryExplain("DROP TABLE artist"), IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM artist"), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%idx%' AND sql NOTNULL AND"
                   " tbl_name <> 'note' AND name NOT LIKE 'note%'"),
            0);
}

TEST_F(SqliteExplain, AStoppedOrLateCallIsNotAnswered) {
  Call cancelled;
  cancelled.Cancel();
  EXPECT_TRUE(absl::IsCancelled(TryExplain("SELECT 1", {}, cancelled.ctx()).status()));
  const Call late(absl::UnixEpoch());
  EXPECT_TRUE(absl::IsDeadlineExceeded(TryExplain("SELECT 1", {}, late.ctx()).status()));
}

TEST_F(SqliteExplain, StatisticsDecideAsTheyDoForTheEngine) {
  MakeNumbers(3);
  ASSERT_THAT(Ask("ANALYZE"), IsOk());
  // With three rows a lookup is not worth its while, or it is; both agree.
  const auto explained = Explain("SELECT * FROM number WHERE word = 'x'");
  for (const pb::PlanFinding& finding : explained.findings()) {
    if (finding.kind() != pb::PlanFinding::KIND_MISSING_INDEX) continue;
    ASSERT_THAT(Ask(finding.suggestion()), IsOk());
    EXPECT_FALSE(Explain("SELECT * FROM number WHERE word = 'x'").plan().children(0).full_scan());
  }
}

TEST_F(SqliteExplain, ASchemaOfManyTablesIsAdvisedOnInTime) {
  for (int i = 0; i < 300; ++i) {
    ASSERT_THAT(Ask(absl::StrCat("CREATE TABLE wide_", i, " (a INT, b TEXT, c, d, e, f)")), IsOk());
  }
  EXPECT_THAT(Findings(Explain("SELECT * FROM wide_7 WHERE c = ?")),
              ElementsAre("FULL_SCAN wide_7()", "MISSING_INDEX wide_7(c)"));
}

// One that spares the sort alone would leave the scan, and a table with no scan of its own may be
// the one to begin with.
TEST_F(SqliteExplain, AnIndexThatSparesAScanGoesBeforeOneThatSparesASort) {
  ASSERT_THAT(Ask("DROP INDEX album_artist"), IsOk());
  const char* const sql =
      "SELECT * FROM artist b JOIN album a ON a.artist_id = b.id WHERE b.name = ? ORDER BY a.title";
  const auto before = Explain(sql);
  EXPECT_THAT(Findings(before),
              ElementsAre("FULL_SCAN album()", "TEMPORARY_SORT ()",
                          "MISSING_INDEX album(artist_id)", "MISSING_INDEX artist(name)"));
  for (const pb::PlanFinding& finding : before.findings()) {
    if (finding.kind() == pb::PlanFinding::KIND_MISSING_INDEX) {
      ASSERT_THAT(Ask(finding.suggestion()), IsOk());
    }
  }
  const auto after = Explain(sql);
  EXPECT_THAT(Findings(after), ElementsAre("TEMPORARY_SORT ()"));
  EXPECT_EQ(after.plan().children(0).table(), "artist");
  EXPECT_EQ(after.plan().children(0).operation(), pb::PLAN_OPERATION_SEARCH);
  EXPECT_EQ(after.plan().children(1).table(), "album");
  EXPECT_EQ(after.plan().children(1).operation(), pb::PLAN_OPERATION_SEARCH);
}

struct Advised {
  std::string sql;
  std::vector<std::string> missing;  // as `track(album_id)`
};

class SqliteIndexAdvice : public SqliteExplain, public ::testing::WithParamInterface<Advised> {};

// Each suggestion, once it is followed, is used, and what it was to cure is gone.
TEST_P(SqliteIndexAdvice, TheSuggestedIndexMakesTheFindingsGoAway) {
  const auto before = Explain(GetParam().sql);
  std::vector<std::string> missing;
  std::vector<std::string> cured;
  for (int i = 0; i < before.findings_size(); ++i) {
    const pb::PlanFinding& finding = before.findings(i);
    const std::string shown = Findings(before)[static_cast<size_t>(i)];
    if (!finding.suggestion().empty()) cured.push_back(shown);
    if (finding.kind() != pb::PlanFinding::KIND_MISSING_INDEX) continue;
    missing.push_back(shown.substr(shown.find(' ') + 1));
    EXPECT_THAT(Ask(finding.suggestion()), IsOk()) << finding.suggestion();
  }
  EXPECT_EQ(missing, GetParam().missing);
  const auto after = Explain(GetParam().sql);
  for (const std::string& finding : cured) EXPECT_THAT(Findings(after), Not(Contains(finding)));
  EXPECT_NE(before.text(), after.text());
  for (const pb::PlanFinding& finding : after.findings()) {
    EXPECT_NE(finding.kind(), pb::PlanFinding::KIND_MISSING_INDEX) << finding.suggestion();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Statements,
    SqliteIndexAdvice,
    ::testing::Values(
        Advised{"SELECT * FROM track WHERE album_id = 7", {"track(album_id)"}},
        Advised{"SELECT * FROM track t WHERE t.album_id = ? AND t.genre = ?",
                {"track(album_id,genre)"}},
        Advised{"SELECT * FROM track WHERE genre = ? AND ms > 5", {"track(genre,ms)"}},
        Advised{"SELECT * FROM track WHERE genre = ? ORDER BY ms", {"track(genre,ms)"}},
        Advised{"SELECT * FROM track ORDER BY ms LIMIT 3", {"track(ms)"}},
        Advised{"SELECT * FROM track ORDER BY genre, ms", {"track(genre,ms)"}},
        Advised{"SELECT genre, count(*) FROM track GROUP BY genre", {"track(genre)"}},
        Advised{"SELECT max(ms) FROM track", {"track(ms)"}},
        Advised{"SELECT * FROM artist r JOIN track t ON t.name = r.name", {"artist(name)"}},
        Advised{"SELECT * FROM artist r LEFT JOIN track t ON t.name = r.name", {"track(name)"}},
        Advised{"SELECT (SELECT count(*) FROM track t WHERE t.album_id = a.id) FROM album a",
                {"track(album_id)"}},
        Advised{"DELETE FROM track WHERE album_id IN (1, 2)", {"track(album_id)"}},
        Advised{"UPDATE track SET ms = 0 WHERE name = 'x'", {"track(name)"}},
        Advised{"SELECT name FROM long_track WHERE genre = 'x'", {"track(genre,ms)"}},
        Advised{"SELECT * FROM \"order line\" WHERE \"group\" = 1 AND \"unit \"\"x\"\"\" = 2",
                {"order line(unit \"x\",group)"}}));

// Each view names the next, be it only as an alias, and the last a column.
TEST(PlanNames, AChainOfViewsIsFollowedSoFarAndNoFurther) {
  constexpr size_t kViews = 200'000;
  std::vector<sqlite::SchemaObject> objects;
  for (size_t i = 0; i < kViews; ++i) {
    const std::string name = absl::StrCat("z", i);
    objects.push_back({"view", name, name,
                       absl::StrCat("CREATE VIEW ", name, " AS SELECT c", i, " AS z", i + 1), 0});
  }
  objects.push_back({"table", "track", "track", "CREATE TABLE track (x)", 2});
  const sqlite::PlanNames names(objects, "SELECT * FROM z0, track t WHERE true");
  EXPECT_TRUE(names.has_condition());
  EXPECT_TRUE(names.Mentions("c0"));
  EXPECT_TRUE(names.Mentions(absl::StrCat("c", sqlite::PlanNames::kMostViews - 1)));
  EXPECT_FALSE(names.Mentions(absl::StrCat("c", sqlite::PlanNames::kMostViews)));
  // Another `t` may be in a view that was not looked into.
  EXPECT_EQ(names.TableOf("t"), nullptr);
  EXPECT_EQ(names.TableOf("t", "track"), &objects.back());
  const sqlite::PlanNames few(objects, "SELECT * FROM z199500, track t");
  EXPECT_TRUE(few.Mentions("c199999"));
  EXPECT_EQ(few.TableOf("t"), &objects.back());
}

TEST(PlanWording, SentencesOfTheEngineAreTakenApart) {
  struct Case {
    const char* detail;
    pb::PlanOperation operation;
    const char* name;
    const char* index;
    const char* condition;
    bool covering;
    bool automatic;
  };

  const auto scan = pb::PLAN_OPERATION_SCAN;
  const auto search = pb::PLAN_OPERATION_SEARCH;
  const auto subquery = pb::PLAN_OPERATION_SUBQUERY;
  const auto combine = pb::PLAN_OPERATION_COMBINE;
  for (const Case& each : {
           Case{"SCAN a", scan, "a", "", "", false, false},
           Case{"SCAN my table", scan, "my table", "", "", false, false},
           Case{"SCAN a USING COVERING INDEX i j", scan, "a", "i j", "", true, false},
           Case{"SCAN CONSTANT ROW", scan, "", "", "", false, false},
           Case{"SCAN 3 CONSTANT ROWS", scan, "", "", "", false, false},
           Case{"SCAN f VIRTUAL TABLE INDEX 0:M1", scan, "f", "", "", false, false},
           Case{"SEARCH a USING INDEX i (x=? AND y>?)", search, "a", "i", "x=? AND y>?", false,
                false},
           Case{"SEARCH a USING INDEX i (x=?) LEFT-JOIN", search, "a", "i", "x=?", false, false},
           Case{"SEARCH a USING INTEGER PRIMARY KEY (rowid=?)", search, "a", "PRIMARY KEY",
                "rowid=?", false, false},
           Case{"SEARCH a USING PRIMARY KEY (k=?)", search, "a", "PRIMARY KEY", "k=?", false,
                false},
           Case{"SEARCH a USING AUTOMATIC COVERING INDEX (x=?)", search, "a", "", "x=?", true,
                true},
           Case{"SEARCH a USING AUTOMATIC PARTIAL COVERING INDEX (x=?)", search, "a", "", "x=?",
                true, true},
           Case{"USING INDEX i FOR IN-OPERATOR", search, "", "i", "", false, false},
           Case{"USING ROWID SEARCH ON TABLE a FOR IN-OPERATOR", search, "a", "PRIMARY KEY", "",
                false, false},
           Case{"CO-ROUTINE v", subquery, "v", "", "", false, false},
           Case{"MATERIALIZE (subquery-1)", subquery, "(subquery-1)", "", "", false, false},
           Case{"CORRELATED SCALAR SUBQUERY 1", subquery, "", "", "", false, false},
           Case{"MULTI-INDEX OR", combine, "", "", "", false, false},
           Case{"UNION USING TEMP B-TREE", combine, "", "", "", false, false},
           Case{"MERGE (UNION ALL)", combine, "", "", "", false, false},
           Case{"USE TEMP B-TREE FOR ORDER BY", pb::PLAN_OPERATION_SORT, "", "", "", false, false},
           Case{"SOMETHING NEW", pb::PLAN_OPERATION_UNSPECIFIED, "", "", "", false, false},
       }) {
    const sqlite::StepParts parts = sqlite::PartsOf(each.detail);
    EXPECT_EQ(parts.operation, each.operation) << each.detail;
    EXPECT_EQ(parts.name, each.name) << each.detail;
    EXPECT_EQ(parts.index, each.index) << each.detail;
    EXPECT_EQ(parts.condition, each.condition) << each.detail;
    EXPECT_EQ(parts.covering, each.covering) << each.detail;
    EXPECT_EQ(parts.automatic, each.automatic) << each.detail;
  }
}

}  // namespace
}  // namespace sluice::test
