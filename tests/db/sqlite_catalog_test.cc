// What a database says it consists of, on real files.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/catalog.h"
#include "server/db/sqlite/schema_sql.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SqliteCatalog : public SqliteTest {
 protected:
  SqliteCatalog() { Open(); }

  void Make(std::initializer_list<absl::string_view> statements) {
    for (const absl::string_view sql : statements) EXPECT_THAT(Ask(sql), IsOk()) << sql;
  }

  absl::StatusOr<db::TableList> List(db::TableFilter filter = {}) {
    return executor_.Run(database_->catalog().ListTables(ctx_, std::move(filter)));
  }

  std::vector<std::string> Names(db::TableFilter filter = {}) {
    const auto list = List(std::move(filter));
    EXPECT_THAT(list, IsOk());
    std::vector<std::string> names;
    if (!list.ok()) return names;
    for (const pb::TableSummary& table : list->tables) names.push_back(table.name());
    return names;
  }

  absl::StatusOr<pb::DescribeTableResponse> TryShow(absl::string_view table,
                                                    absl::string_view schema = "") {
    return executor_.Run(
        database_->catalog().DescribeTable(ctx_, std::string(schema), std::string(table)));
  }

  pb::DescribeTableResponse Show(absl::string_view table) {
    const auto shown = TryShow(table);
    EXPECT_THAT(shown, IsOk());
    return shown.ok() ? *shown : pb::DescribeTableResponse();
  }

  pb::DescribeResponse Describe(absl::string_view sql) {
    const auto described = TryDescribe(sql);
    EXPECT_THAT(described, IsOk()) << sql;
    return described.ok() ? *described : pb::DescribeResponse();
  }

  absl::StatusOr<pb::DescribeResponse> TryDescribe(absl::string_view sql) {
    return executor_.Run(database_->catalog().Describe(ctx_, db::Statement(sql)));
  }

  const Context ctx_;
};

TEST_F(SqliteCatalog, ThereIsOneSchemaAndItCountsItsTablesAndViews) {
  Make({"CREATE TABLE a (x)", "CREATE VIEW v AS SELECT x FROM a"});
  const auto schemas = executor_.Run(database_->catalog().ListSchemas(ctx_));
  ASSERT_THAT(schemas, IsOk());
  ASSERT_EQ(schemas->size(), 1U);
  EXPECT_EQ((*schemas)[0].name(), "main");
  EXPECT_EQ((*schemas)[0].table_count(), 2);
}

TEST_F(SqliteCatalog, ListsTablesInOrderAndHidesWhatIsNotTheCallers) {
  Make({"CREATE TABLE zebra (id INTEGER PRIMARY KEY AUTOINCREMENT)", "CREATE TABLE apple (x)",
        "CREATE TABLE \"größe \"\"x\"\"\" (y)", "CREATE VIEW mango AS SELECT 1 AS a, 2 AS b",
        "CREATE VIRTUAL TABLE note USING fts5(body)", "ANALYZE"});
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("CREATE TABLE _sluice_request (id)"), SQLITE_OK);
  const auto list = List();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->total, 5);
  EXPECT_THAT(Names(), ElementsAre("apple", "größe \"x\"", "mango", "note", "zebra"));
  EXPECT_EQ(list->tables[2].kind(), pb::TABLE_KIND_VIEW);
  EXPECT_EQ(list->tables[2].column_count(), 2);
  EXPECT_EQ(list->tables[3].kind(), pb::TABLE_KIND_VIRTUAL);
  EXPECT_EQ(list->tables[3].column_count(), 1);
  EXPECT_EQ(list->tables[4].kind(), pb::TABLE_KIND_TABLE);
  for (const pb::TableSummary& table : list->tables) EXPECT_EQ(table.schema(), "main");
  const auto note = Show("note");
  EXPECT_EQ(note.kind(), pb::TABLE_KIND_VIRTUAL);
  ASSERT_EQ(note.columns_size(), 1);
  EXPECT_EQ(note.columns(0).name(), "body");
  EXPECT_EQ(note.sql(), "CREATE VIRTUAL TABLE note USING fts5(body)");
  EXPECT_FALSE(note.has_row_estimate());
}

// The tables behind virtual ones of every module, and those that only look so.
TEST_F(SqliteCatalog, KindsAreThoseThatTheEngineTells) {
  Outsider outsider(path_);
  for (const char* const sql :
       {"CREATE VIRTUAL TABLE Five USING fts5(body)",
        "CREATE VIRTUAL TABLE IF NOT EXISTS main.\"less using\" USING FTS5(body, content='')",
        "CREATE VIRTUAL TABLE four USING fts4(body)", "CREATE VIRTUAL TABLE three USING fts3(body)",
        "CREATE VIRTUAL TABLE tree USING rtree(id, a, b)",
        "CREATE VIRTUAL TABLE whole USING rtree_i32(id, a, b)",
        "CREATE VIRTUAL TABLE terms USING fts5vocab(Five, row)", "CREATE TABLE five_else (x)",
        "CREATE TABLE tree_data (x)",
        "CREATE TABLE plain_key (x TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
        "CREATE TABLE plain (x)", "CREATE VIEW four_stats AS SELECT 1 AS a, 2 AS b"}) {
    EXPECT_EQ(outsider.Run(sql), SQLITE_OK) << sql;
  }
  const std::string of_engine =
      " FROM pragma_table_list WHERE schema = 'main' AND type <> 'shadow'"
      " AND name NOT LIKE 'sqlite%'";
  const auto list = List();
  ASSERT_THAT(list, IsOk());
  EXPECT_GT(outsider.Number("SELECT count(*) FROM pragma_table_list WHERE type = 'shadow'"), 20);
  EXPECT_EQ(outsider.Number("SELECT count(*)" + of_engine), list->total);
  for (const pb::TableSummary& table : list->tables) {
    const char* const kind = table.kind() == pb::TABLE_KIND_VIEW      ? "view"
                             : table.kind() == pb::TABLE_KIND_VIRTUAL ? "virtual"
                                                                      : "table";
    const auto shown = Show(table.name());
    EXPECT_EQ(shown.columns_size(), table.column_count()) << table.name();
    EXPECT_EQ(1, outsider.Number(absl::StrCat(
                     "SELECT count(*)", of_engine, " AND name = '", table.name(), "' AND type = '",
                     kind, "' AND wr = ", shown.without_rowid(), " AND strict = ", shown.strict(),
                     " AND (type = 'virtual' OR ncol = ", table.column_count(), ")")))
        << table.name();
  }
}

// Asked for every kind at once, the engine looks into each view, and begins anew after each.
TEST_F(SqliteCatalog, ManyViewsAreListedAndFoundInTime) {
  constexpr int kViews = 40'000;
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("CREATE VIEW z0 AS SELECT 1 AS z1; PRAGMA writable_schema = ON;"),
            SQLITE_OK);
  // Statement by statement it would take minutes.
  ASSERT_EQ(
      outsider.Run(absl::StrCat(
          "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ", kViews - 1,
          ") INSERT INTO sqlite_schema SELECT 'view', 'z' || i, 'z' || i, 0,"
          " printf('CREATE VIEW z%d AS SELECT 1 AS z%d', i, i + 1) FROM n;"
          "PRAGMA schema_version = 1000")),
      SQLITE_OK);
  const Call call(absl::Now() + absl::Seconds(20));
  const auto list = executor_.Run(database_->catalog().ListTables(call.ctx(), {}));
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->total, kViews);
  ASSERT_EQ(list->tables.size(), 50U);
  EXPECT_EQ(list->tables[1].name(), "z1");
  EXPECT_EQ(list->tables[1].column_count(), 1);
  const auto shown = executor_.Run(database_->catalog().DescribeTable(call.ctx(), "", "Z39999"));
  ASSERT_THAT(shown, IsOk());
  EXPECT_EQ(shown->columns(0).name(), "z40000");
  EXPECT_THAT(executor_.Run(database_->catalog().ListSchemas(call.ctx())), IsOk());
}

TEST_F(SqliteCatalog, FiltersByPrefixInAnyCaseByKindAndBySchema) {
  Make({"CREATE TABLE Order_line (x)", "CREATE TABLE orders (x)", "CREATE TABLE other (x)",
        "CREATE VIEW order_sum AS SELECT 1 AS x"});
  db::TableFilter prefix;
  prefix.name_prefix = "ORDER";
  EXPECT_THAT(Names(prefix), ElementsAre("Order_line", "order_sum", "orders"));
  prefix.kinds = {pb::TABLE_KIND_VIEW};
  EXPECT_THAT(Names(prefix), ElementsAre("order_sum"));
  prefix.schema = "MAIN";
  EXPECT_THAT(Names(prefix), ElementsAre("order_sum"));
  prefix.schema = "other";
  EXPECT_THAT(Names(prefix), IsEmpty());
}

TEST_F(SqliteCatalog, ReadsOnBehindATableAndCountsAll) {
  Make({"CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)", "CREATE TABLE d (x)"});
  db::TableFilter filter;
  filter.after_schema = "main";
  filter.after_name = "b";
  filter.limit = 1;
  const auto list = List(filter);
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->total, 4);
  ASSERT_EQ(list->tables.size(), 1U);
  EXPECT_EQ(list->tables[0].name(), "c");
}

TEST_F(SqliteCatalog, EstimatesRowsByTheHighestRowidAndByAnalyze) {
  MakeNumbers(1000);
  Make({"CREATE TABLE pair (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID", "CREATE TABLE empty (x)",
        "CREATE TABLE odd (rowid TEXT, oid TEXT)", "INSERT INTO odd VALUES ('z', 'z')",
        "CREATE TABLE taken (rowid, oid, _rowid_)", "CREATE VIEW v AS SELECT 1 AS x",
        "DELETE FROM number WHERE n BETWEEN 11 AND 510"});
  EXPECT_EQ(Show("number").row_estimate(), 1000);
  EXPECT_TRUE(Show("empty").has_row_estimate());
  EXPECT_EQ(Show("empty").row_estimate(), 0);
  EXPECT_EQ(Show("odd").row_estimate(), 1);
  for (const char* const unknown : {"pair", "taken", "v"}) {
    EXPECT_FALSE(Show(unknown).has_row_estimate()) << unknown;
  }
  Make({"INSERT INTO pair VALUES (1, 1), (1, 2)", "ANALYZE"});
  EXPECT_EQ(Show("number").row_estimate(), 500);
  EXPECT_EQ(Show("pair").row_estimate(), 2);
}

TEST_F(SqliteCatalog, ShowsColumnsWithTypesDefaultsAndGeneration) {
  Make(
      {"CREATE TABLE item (\n"
       "  id INTEGER PRIMARY KEY, -- AS (no, this is a comment)\n"
       "  name VARCHAR(20) NOT NULL DEFAULT 'a, b' COLLATE NOCASE,\n"
       "  price DECIMAL(10, 2) DEFAULT (1 + 1),\n"
       "  made DATETIME DEFAULT CURRENT_TIMESTAMP,\n"
       "  \"the \"\"sum\"\"\" REAL GENERATED ALWAYS AS (price * (1 + 0.2)) STORED,\n"
       "  [first] TEXT AS (substr(name, 1, 1)),\n"
       "  anything)"});
  const auto item = Show("ITEM");
  EXPECT_EQ(item.name(), "item");
  EXPECT_EQ(item.kind(), pb::TABLE_KIND_TABLE);
  EXPECT_EQ(item.sql().substr(0, 17), "CREATE TABLE item");
  ASSERT_EQ(item.columns_size(), 7);
  const pb::TableColumn& id = item.columns(0);
  EXPECT_TRUE(id.automatic());
  EXPECT_FALSE(id.nullable());
  EXPECT_EQ(id.primary_key_position(), 1);
  EXPECT_EQ(id.type(), pb::VALUE_TYPE_INT64);
  const pb::TableColumn& name = item.columns(1);
  EXPECT_EQ(name.position(), 2);
  EXPECT_EQ(name.native_type(), "VARCHAR(20)");
  EXPECT_EQ(name.type(), pb::VALUE_TYPE_STRING);
  EXPECT_EQ(name.collation(), "NOCASE");
  EXPECT_EQ(name.default_expression(), "'a, b'");
  EXPECT_FALSE(name.nullable());
  EXPECT_FALSE(name.automatic());
  EXPECT_EQ(item.columns(2).type(), pb::VALUE_TYPE_NUMERIC);
  EXPECT_EQ(item.columns(2).default_expression(), "1 + 1");
  EXPECT_EQ(item.columns(3).default_expression(), "CURRENT_TIMESTAMP");
  const pb::TableColumn& sum = item.columns(4);
  EXPECT_EQ(sum.name(), "the \"sum\"");
  EXPECT_EQ(sum.generation_expression(), "price * (1 + 0.2)");
  EXPECT_TRUE(sum.stored());
  EXPECT_FALSE(sum.has_default_expression());
  EXPECT_EQ(item.columns(5).generation_expression(), "substr(name, 1, 1)");
  EXPECT_FALSE(item.columns(5).stored());
  EXPECT_FALSE(item.columns(6).has_generation_expression());
  EXPECT_EQ(item.columns(6).type(), pb::VALUE_TYPE_UNSPECIFIED);
  EXPECT_TRUE(item.columns(6).nullable());
  EXPECT_THAT(item.primary_key().columns(), ElementsAre("id"));
  EXPECT_EQ(item.indexes_size(), 0);
}

TEST_F(SqliteCatalog, OnlyARealRowidKeyIsAutomatic) {
  Make({"CREATE TABLE descending (id INTEGER PRIMARY KEY DESC)",
        "CREATE TABLE short (id INT PRIMARY KEY)",
        "CREATE TABLE bare (id INTEGER PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE two (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "CREATE TABLE apart (id INTEGER, PRIMARY KEY (id))"});
  for (const char* const table : {"descending", "short", "bare", "two"}) {
    EXPECT_FALSE(Show(table).columns(0).automatic()) << table;
  }
  EXPECT_TRUE(Show("apart").columns(0).automatic());
  EXPECT_TRUE(Show("short").columns(0).nullable());
  EXPECT_FALSE(Show("bare").columns(0).nullable());
  EXPECT_TRUE(Show("bare").without_rowid());
  EXPECT_FALSE(Show("bare").strict());
}

TEST_F(SqliteCatalog, ShowsKeysWithTheNamesOfTheirConstraints) {
  Make(
      {"CREATE TABLE seat (hall INT, line INT CONSTRAINT one_line UNIQUE, place INT NOT NULL,"
       " CONSTRAINT seat_key PRIMARY KEY (place DESC, hall), CHECK (hall > 0),"
       " UNIQUE (hall, \"line\") CONSTRAINT \"last key\" UNIQUE (place, line)) STRICT"});
  const auto seat = Show("seat");
  EXPECT_TRUE(seat.strict());
  EXPECT_EQ(seat.primary_key().name(), "seat_key");
  EXPECT_THAT(seat.primary_key().columns(), ElementsAre("place", "hall"));
  ASSERT_EQ(seat.unique_keys_size(), 3);
  EXPECT_EQ(seat.unique_keys(0).name(), "one_line");
  EXPECT_THAT(seat.unique_keys(0).columns(), ElementsAre("line"));
  EXPECT_EQ(seat.unique_keys(1).name(), "");
  EXPECT_THAT(seat.unique_keys(1).columns(), ElementsAre("hall", "line"));
  EXPECT_EQ(seat.unique_keys(2).name(), "last key");
  EXPECT_THAT(seat.unique_keys(2).columns(), ElementsAre("place", "line"));
  ASSERT_EQ(seat.indexes_size(), 4);
  for (const pb::Index& index : seat.indexes()) {
    EXPECT_TRUE(index.unique());
    EXPECT_TRUE(index.from_constraint());
    EXPECT_EQ(index.sql(), "");
    EXPECT_EQ(index.primary(), index.parts(0).column() == "place" && index.parts(0).descending());
  }
}

TEST_F(SqliteCatalog, TheNameOfAnotherConstraintIsNoKeys) {
  Make(
      {"CREATE TABLE k1 (a INT CONSTRAINT nn NOT NULL, b INT UNIQUE,"
       " c INT CONSTRAINT ck DEFAULT 5 UNIQUE, d TEXT CONSTRAINT co COLLATE NOCASE UNIQUE,"
       " e INT CONSTRAINT one CONSTRAINT two UNIQUE, f INT CONSTRAINT ch CHECK (f > 0) UNIQUE,"
       " CONSTRAINT tc CHECK (a > 0) UNIQUE (a, b))",
       "CREATE TABLE k2 (a INT CONSTRAINT fk1 REFERENCES k1 (b), b TEXT PRIMARY KEY)",
       "CREATE TABLE k3 (a INT CONSTRAINT nn NOT NULL CONSTRAINT pk PRIMARY KEY CONSTRAINT late,"
       " b INT UNIQUE)"});
  std::vector<std::string> keys;
  const auto k1 = Show("k1");
  for (const pb::TableKey& key : k1.unique_keys()) {
    keys.push_back(absl::StrCat(key.name(), " ", key.columns(0)));
  }
  EXPECT_THAT(keys, ElementsAre(" b", " c", " d", "two e", " f", " a"));
  EXPECT_EQ(Show("k2").primary_key().name(), "");
  EXPECT_THAT(Show("k2").primary_key().columns(), ElementsAre("b"));
  const auto k3 = Show("k3");
  EXPECT_EQ(k3.primary_key().name(), "pk");
  ASSERT_EQ(k3.unique_keys_size(), 1);
  EXPECT_EQ(k3.unique_keys(0).name(), "");
}

TEST_F(SqliteCatalog, ShowsForeignKeysInTheirOrderAndWhatTheyReferTo) {
  Make({"CREATE TABLE hall (Name TEXT, floor INT, PRIMARY KEY (floor, Name))",
        "CREATE TABLE show (id INTEGER PRIMARY KEY,\n"
        "  next INT REFERENCES Show ON DELETE SET NULL ON UPDATE CASCADE,\n"
        "  floor INT, hall TEXT, other INT REFERENCES later (x) NOT DEFERRABLE INITIALLY DEFERRED,"
        "  FOREIGN KEY (floor, hall) REFERENCES HALL DEFERRABLE INITIALLY DEFERRED,\n"
        "  FOREIGN KEY (other) REFERENCES show (id) ON DELETE RESTRICT)"});
  const auto show = Show("show");
  ASSERT_EQ(show.foreign_keys_size(), 4);
  const pb::ForeignKey& self = show.foreign_keys(0);
  EXPECT_EQ(self.referenced_table(), "show");
  EXPECT_EQ(self.referenced_schema(), "main");
  EXPECT_THAT(self.columns(), ElementsAre("next"));
  EXPECT_THAT(self.referenced_columns(), ElementsAre("id"));
  EXPECT_EQ(self.on_delete(), "SET NULL");
  EXPECT_EQ(self.on_update(), "CASCADE");
  EXPECT_FALSE(self.deferred());
  EXPECT_EQ(show.foreign_keys(1).referenced_table(), "later");
  EXPECT_THAT(show.foreign_keys(1).referenced_columns(), ElementsAre("x"));
  EXPECT_FALSE(show.foreign_keys(1).deferred());
  const pb::ForeignKey& pair = show.foreign_keys(2);
  EXPECT_EQ(pair.referenced_table(), "hall");
  EXPECT_THAT(pair.columns(), ElementsAre("floor", "hall"));
  EXPECT_THAT(pair.referenced_columns(), ElementsAre("floor", "Name"));
  EXPECT_TRUE(pair.deferred());
  EXPECT_EQ(pair.on_delete(), "NO ACTION");
  EXPECT_EQ(show.foreign_keys(3).on_delete(), "RESTRICT");
}

TEST_F(SqliteCatalog, ShowsIndexesWithExpressionsOrderCollationAndPredicate) {
  Make({"CREATE TABLE person (name TEXT, city TEXT, born INT)",
        "CREATE INDEX z_name ON person (name COLLATE NOCASE DESC, born)",
        "CREATE UNIQUE INDEX \"a (b\" ON person (lower(name || ', ') DESC, city)\n"
        "  WHERE city IS NOT NULL AND born > (1 + 2)"});
  const auto person = Show("person");
  ASSERT_EQ(person.indexes_size(), 2);
  const pb::Index& partial = person.indexes(0);
  EXPECT_EQ(partial.name(), "a (b");
  EXPECT_TRUE(partial.unique());
  EXPECT_FALSE(partial.from_constraint());
  EXPECT_EQ(partial.predicate(), "city IS NOT NULL AND born > (1 + 2)");
  EXPECT_EQ(partial.method(), "btree");
  ASSERT_EQ(partial.parts_size(), 2);
  EXPECT_EQ(partial.parts(0).column(), "");
  EXPECT_EQ(partial.parts(0).expression(), "lower(name || ', ')");
  EXPECT_TRUE(partial.parts(0).descending());
  EXPECT_EQ(partial.parts(1).column(), "city");
  EXPECT_EQ(partial.parts(1).expression(), "");
  const pb::Index& named = person.indexes(1);
  EXPECT_EQ(named.sql(), "CREATE INDEX z_name ON person (name COLLATE NOCASE DESC, born)");
  EXPECT_EQ(named.parts(0).collation(), "NOCASE");
  EXPECT_TRUE(named.parts(0).descending());
  EXPECT_EQ(named.parts(1).collation(), "");
  EXPECT_EQ(named.predicate(), "");
  EXPECT_EQ(person.unique_keys_size(), 0);
}

TEST_F(SqliteCatalog, ShowsViewsAndTriggers) {
  Make({"CREATE TABLE t (x INTEGER NOT NULL)", "CREATE VIEW v AS SELECT x, x + 1 AS y FROM t",
        "CREATE TRIGGER IF NOT EXISTS plain DELETE ON t BEGIN SELECT 1; END",
        "CREATE TRIGGER \"on insert\" AFTER INSERT ON T BEGIN SELECT 1; END",
        "CREATE TRIGGER main.a_v INSTEAD OF UPDATE OF x ON v BEGIN SELECT 1; END"});
  const auto table = Show("t");
  ASSERT_EQ(table.triggers_size(), 2);
  EXPECT_EQ(table.triggers(0).name(), "on insert");
  EXPECT_EQ(table.triggers(0).timing(), "AFTER");
  EXPECT_EQ(table.triggers(0).event(), "INSERT");
  EXPECT_EQ(table.triggers(1).timing(), "BEFORE");
  EXPECT_EQ(table.triggers(1).event(), "DELETE");
  const auto view = Show("v");
  EXPECT_EQ(view.kind(), pb::TABLE_KIND_VIEW);
  EXPECT_EQ(view.sql(), "CREATE VIEW v AS SELECT x, x + 1 AS y FROM t");
  ASSERT_EQ(view.columns_size(), 2);
  EXPECT_EQ(view.columns(0).type(), pb::VALUE_TYPE_INT64);
  EXPECT_TRUE(view.columns(1).nullable());
  EXPECT_FALSE(view.has_primary_key());
  ASSERT_EQ(view.triggers_size(), 1);
  EXPECT_EQ(view.triggers(0).timing(), "INSTEAD OF");
  EXPECT_EQ(view.triggers(0).event(), "UPDATE");
}

TEST_F(SqliteCatalog, AViewWhoseTableIsGoneIsListedAndShownWithoutColumns) {
  Make({"CREATE TABLE t (x)", "CREATE VIEW v AS SELECT x FROM t", "DROP TABLE t"});
  EXPECT_THAT(Names(), ElementsAre("v"));
  EXPECT_EQ(List()->tables[0].column_count(), 0);
  const auto view = Show("v");
  EXPECT_EQ(view.columns_size(), 0);
  EXPECT_EQ(view.sql(), "CREATE VIEW v AS SELECT x FROM t");
}

TEST_F(SqliteCatalog, AnUnknownTableIsNotFoundAndTheNearestIsNamed) {
  Make({"CREATE TABLE Customer (x)", "CREATE VIRTUAL TABLE note USING fts5(body)"});
  const auto near = TryShow("custmer");
  EXPECT_THAT(near, Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  EXPECT_EQ(errors::MetadataOf(near.status(), "nearest"), "Customer");
  for (const char* const hidden : {"sqlite_schema", "note_data", "_sluice_request", "", "x y z"}) {
    EXPECT_THAT(TryShow(hidden), Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND")) << hidden;
  }
  EXPECT_THAT(TryShow("Customer", "main"), IsOk());
  EXPECT_THAT(TryShow("Customer", "other"), Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  EXPECT_THAT(TryShow(std::string(1 << 20, 'x')), Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
}

TEST_F(SqliteCatalog, SeesASchemaThatAnotherConnectionJustChanged) {
  Make({"CREATE TABLE t (a)"});
  EXPECT_EQ(Show("t").columns_size(), 1);
  EXPECT_EQ(Describe("SELECT * FROM t").columns_size(), 1);
  Make({"ALTER TABLE t ADD COLUMN b INT REFERENCES t DEFERRABLE INITIALLY DEFERRED"});
  const auto table = Show("t");
  EXPECT_EQ(table.columns_size(), 2);
  ASSERT_EQ(table.foreign_keys_size(), 1);
  EXPECT_TRUE(table.foreign_keys(0).deferred());
  EXPECT_EQ(Describe("SELECT * FROM t").columns_size(), 2);
}

TEST_F(SqliteCatalog, DescribesWhatAStatementTakesAndGives) {
  Make({"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, born DATE)"});
  const auto select = Describe("SELECT id, born, id + 1 AS next FROM t WHERE name = :n OR id = ?");
  ASSERT_EQ(select.columns_size(), 3);
  EXPECT_EQ(select.columns(0).name(), "id");
  EXPECT_EQ(select.columns(1).type(), pb::VALUE_TYPE_DATE);
  EXPECT_EQ(select.columns(2).name(), "next");
  EXPECT_TRUE(select.read_only());
  EXPECT_TRUE(select.has_columns());
  EXPECT_EQ(select.command(), "SELECT");
  ASSERT_EQ(select.parameters_size(), 2);
  EXPECT_EQ(select.parameters(0).number(), 1);
  EXPECT_EQ(select.parameters(1).name(), "n");
  EXPECT_EQ(select.parameters(1).number(), 0);

  const auto twice = Describe("SELECT $2, $1, @a, :b, $a, $2");
  ASSERT_EQ(twice.parameters_size(), 4);
  EXPECT_EQ(twice.parameters(1).number(), 2);
  EXPECT_EQ(twice.parameters(2).name(), "a");
  EXPECT_EQ(twice.parameters(3).name(), "b");

  const auto insert = Describe("INSERT INTO t (name) VALUES (?) RETURNING id");
  EXPECT_FALSE(insert.read_only());
  EXPECT_EQ(insert.command(), "INSERT");
  EXPECT_EQ(insert.columns_size(), 1);
  const auto create = Describe("CREATE TABLE u (x)");
  EXPECT_FALSE(create.has_columns());
  EXPECT_EQ(create.command(), "CREATE");
  EXPECT_FALSE(create.read_only());
  EXPECT_THAT(TryShow("u"), Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));  // nothing ran
  EXPECT_EQ(Describe("WITH c AS (SELECT 1) DELETE FROM t").command(), "DELETE");
}

TEST_F(SqliteCatalog, WhatIsRefusedToRunIsRefusedWithTheSameError) {
  Make({"CREATE TABLE t (x)"});
  for (const char* const sql :
       {"SELECT nothing FROM t", "SELEC 1", "SELECT 1; SELECT 2", "BEGIN", "VACUUM INTO 'x'",
        "ATTACH 'x' AS y", "SELECT load_extension('x')", "", "SELECT ?1, ?3",
        "SELECT * FROM _sluice_request", "PRAGMA journal_mode = DELETE"}) {
    const absl::Status run = Ask(sql).status();
    ASSERT_FALSE(run.ok()) << sql;
    const absl::Status described = TryDescribe(sql).status();
    EXPECT_EQ(described, run) << sql;
    const absl::Status explained =
        executor_.Run(database_->catalog().Explain(ctx_, db::Statement(sql), /*analyze=*/false))
            .status();
    EXPECT_EQ(explained, run) << sql;
  }
}

TEST_F(SqliteCatalog, AStoppedOrLateCallIsNotAnswered) {
  Make({"CREATE TABLE t (x)"});
  Call cancelled;
  cancelled.Cancel();
  EXPECT_TRUE(absl::IsCancelled(
      executor_.Run(database_->catalog().DescribeTable(cancelled.ctx(), "", "t")).status()));
  const Call late(absl::UnixEpoch());
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      executor_.Run(database_->catalog().ListTables(late.ctx(), {})).status()));
}

TEST_F(SqliteCatalog, AClosedDatabaseAnswersSo) {
  database_->Close();
  EXPECT_THAT(List(), Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
}

TEST_F(SqliteCatalog, LeavesNoReadTransactionBehind) {
  MakeNumbers(10);
  for (int i = 0; i < 20; ++i) {
    Show("number");
    Describe("SELECT * FROM number");
    Names();
  }
  executor_.RunUntilIdle();
  Outsider outsider(path_);
  // Succeeds only if nobody reads from an older state.
  EXPECT_EQ(outsider.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 0);
}

TEST(SchemaSql, ATextThatEndsAnywhereIsRead) {
  const std::string texts[] = {
      "CREATE TABLE t (a INT CONSTRAINT c UNIQUE, b AS (a + 1) STORED REFERENCES u DEFERRABLE"
      " INITIALLY DEFERRED, CONSTRAINT p PRIMARY KEY (a, b), FOREIGN KEY (a) REFERENCES u (x))",
      "CREATE UNIQUE INDEX i ON t (lower(a) COLLATE NOCASE DESC, b) WHERE a > (1)",
      "CREATE TRIGGER IF NOT EXISTS main.r INSTEAD OF UPDATE OF a ON t BEGIN SELECT 1; END"};
  for (const std::string& text : texts) {
    for (size_t end = 0; end <= text.size(); ++end) {
      const auto sql = absl::string_view(text).substr(0, end);
      sqlite::ReadTable(sql);
      sqlite::ReadIndex(sql);
      sqlite::ReadTrigger(sql);
    }
  }
  EXPECT_EQ(sqlite::ReadTable(texts[0]).columns[1].generation, "a + 1");
  EXPECT_THAT(sqlite::ReadTable(texts[0]).deferred, ElementsAre(true, false));
  EXPECT_EQ(sqlite::ReadIndex(texts[1]).predicate, "a > (1)");
  EXPECT_EQ(sqlite::ReadTrigger(texts[2]).event, "UPDATE");
}

}  // namespace
}  // namespace sluice::test
