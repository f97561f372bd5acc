// What a PostgreSQL database says it consists of, on a real server.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/driver.h"
#include "tests/db/postgres_catalog_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PostgresCatalog : public PostgresCatalogTest {
 protected:
  absl::StatusOr<std::shared_ptr<db::Database>> OpenAs(const std::string& user) {
    for (const db::Driver& driver : db::Drivers()) {
      if (driver.engine != db::EngineKind::kPostgresql) continue;
      db::Target target;
      target.engine = driver.engine;
      target.hosts = {{server_->host(), server_->port()}};
      target.database = server_->name();
      target.user = user;
      target.trusted = true;
      return executor_.Run(driver.open(ctx_, std::move(target), db::DriverSettings()));
    }
    return errors::Internal("there is no PostgreSQL driver");
  }

  absl::StatusOr<db::TableList> List(db::TableFilter filter = {}) {
    return executor_.Run(catalog().ListTables(ctx_, std::move(filter)));
  }

  std::vector<std::string> Names(db::TableFilter filter = {}) {
    const auto list = List(std::move(filter));
    EXPECT_THAT(list, IsOk());
    std::vector<std::string> names;
    if (!list.ok()) return names;
    for (const pb::TableSummary& table : list->tables) {
      names.push_back(absl::StrCat(table.schema(), ".", table.name()));
    }
    return names;
  }

  absl::StatusOr<pb::DescribeTableResponse> TryShow(const std::string& table,
                                                    const std::string& schema = "") {
    return executor_.Run(catalog().DescribeTable(ctx_, schema, table));
  }

  pb::DescribeTableResponse Show(const std::string& table, const std::string& schema = "") {
    const auto shown = TryShow(table, schema);
    EXPECT_THAT(shown, IsOk());
    return shown.ok() ? *shown : pb::DescribeTableResponse();
  }

  absl::StatusOr<pb::DescribeResponse> TryDescribe(absl::string_view sql) {
    return executor_.Run(catalog().Describe(ctx_, db::Statement(sql)));
  }

  pb::DescribeResponse Describe(absl::string_view sql) {
    const auto described = TryDescribe(sql);
    EXPECT_THAT(described, IsOk()) << sql;
    return described.ok() ? *described : pb::DescribeResponse();
  }

  // `yes`, `no`, or `?` where it is not known.
  std::vector<std::string> Nullable(absl::string_view sql) {
    const auto described = Describe(sql);
    std::vector<std::string> said;
    for (const pb::Column& column : described.columns()) {
      said.emplace_back(column.has_nullable() ? (column.nullable() ? "yes" : "no") : "?");
    }
    return said;
  }

  static std::vector<std::string> NamesOf(
      const google::protobuf::RepeatedPtrField<std::string>& all) {
    return {all.begin(), all.end()};
  }
};

TEST_F(PostgresCatalog, SchemasAreTheUsersOwnWithTheirCounts) {
  Make(
      "CREATE SCHEMA shop; COMMENT ON SCHEMA shop IS 'What is sold';"
      "CREATE TABLE shop.a (x int); CREATE VIEW shop.v AS SELECT x FROM shop.a;"
      "CREATE INDEX i ON shop.a (x); CREATE SCHEMA \"B c\"");
  const auto schemas = executor_.Run(catalog().ListSchemas(ctx_));
  ASSERT_THAT(schemas, IsOk());
  ASSERT_EQ(schemas->size(), 3U);
  EXPECT_EQ((*schemas)[0].name(), "B c");
  EXPECT_EQ((*schemas)[0].table_count(), 0);
  EXPECT_EQ((*schemas)[1].name(), "public");
  EXPECT_EQ((*schemas)[2].name(), "shop");
  EXPECT_EQ((*schemas)[2].table_count(), 2);
  EXPECT_EQ((*schemas)[2].comment(), "What is sold");
}

// A role is the whole server's, so it is called after the database, and goes with it.
TEST_F(PostgresCatalog, ASchemaThatTheRoleMayNotUseIsNotListed) {
  const std::string role = server_->name() + "_reader";
  Make(absl::StrCat("CREATE SCHEMA hidden; CREATE TABLE hidden.t (x int); CREATE ROLE ", role,
                    " LOGIN"));
  const auto opened = OpenAs(role);
  ASSERT_THAT(opened, IsOk());
  const auto schemas = executor_.Run((*opened)->catalog().ListSchemas(ctx_));
  const auto list = executor_.Run((*opened)->catalog().ListTables(ctx_, db::TableFilter()));
  (*opened)->Close();
  Make(absl::StrCat("DROP ROLE ", role));
  ASSERT_THAT(schemas, IsOk());
  ASSERT_EQ(schemas->size(), 1U);
  EXPECT_EQ((*schemas)[0].name(), "public");
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->total, 0);
}

TEST_F(PostgresCatalog, ListsEveryKindInOrderAndNotTheServersOwn) {
  Make(
      "CREATE SCHEMA alpha; CREATE TABLE alpha.zebra (x int);"
      "CREATE TABLE \"größe \"\"x\"\"\" (y int); CREATE VIEW mango AS SELECT 1 AS a, 2 AS b;"
      "CREATE MATERIALIZED VIEW kept AS SELECT 1 AS a;"
      "CREATE TABLE part (d date) PARTITION BY RANGE (d);"
      "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');"
      "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
      "CREATE FOREIGN TABLE far (x int) SERVER s; CREATE TABLE sluice_request (x int);"
      "COMMENT ON TABLE part IS 'By day'");
  const auto list = List();
  ASSERT_THAT(list, IsOk());
  EXPECT_EQ(list->total, 7);
  std::vector<std::string> seen;
  for (const pb::TableSummary& table : list->tables) {
    seen.push_back(absl::StrCat(table.schema(), ".", table.name(), " ",
                                pb::TableKind_Name(table.kind()).substr(11), " ",
                                table.column_count(), " ", table.comment()));
  }
  EXPECT_THAT(seen, ElementsAre("alpha.zebra TABLE 1 ", "public.far FOREIGN 1 ",
                                "public.größe \"x\" TABLE 1 ", "public.kept MATERIALIZED_VIEW 1 ",
                                "public.mango VIEW 2 ", "public.part PARTITIONED 1 By day",
                                "public.part_1 TABLE 1 "));
}

TEST_F(PostgresCatalog, AFilterNarrowsTheListAndItsTotal) {
  Make(
      "CREATE SCHEMA s; CREATE TABLE s.track (x int); CREATE TABLE track (x int);"
      "CREATE TABLE \"Tr%ck\" (x int); CREATE VIEW tr_ck AS SELECT 1 AS a; CREATE TABLE other (x "
      "int)");
  db::TableFilter filter;
  filter.schema = "s";
  EXPECT_THAT(Names(filter), ElementsAre("s.track"));
  filter.schema = "S";
  EXPECT_THAT(Names(filter), IsEmpty());
  filter = {};
  filter.name_prefix = "TR";
  EXPECT_THAT(Names(filter),
              ElementsAre("public.Tr%ck", "public.tr_ck", "public.track", "s.track"));
  filter.name_prefix = "tr%";
  EXPECT_THAT(Names(filter), ElementsAre("public.Tr%ck"));
  filter.name_prefix = "tr_";
  EXPECT_THAT(Names(filter), ElementsAre("public.tr_ck"));
  filter.name_prefix = "tr\\";
  EXPECT_THAT(Names(filter), IsEmpty());
  filter.name_prefix = std::string("tr\0", 3);
  EXPECT_THAT(Names(filter), IsEmpty());
  filter = {};
  filter.kinds = {pb::TABLE_KIND_VIEW};
  EXPECT_THAT(Names(filter), ElementsAre("public.tr_ck"));
  filter.kinds = {pb::TABLE_KIND_VIRTUAL};
  EXPECT_THAT(Names(filter), IsEmpty());
  const auto none = List(filter);
  ASSERT_THAT(none, IsOk());
  EXPECT_EQ(none->total, 0);
}

TEST_F(PostgresCatalog, PagesFollowOneAnotherAndKnowTheTotal) {
  Make(
      "CREATE SCHEMA a; CREATE TABLE a.z (x int); CREATE TABLE b (x int); CREATE TABLE \"C\" (x "
      "int);"
      "CREATE TABLE d (x int)");
  db::TableFilter filter;
  filter.limit = 2;
  EXPECT_THAT(Names(filter), ElementsAre("a.z", "public.C"));
  filter.after_schema = "public";
  filter.after_name = "C";
  EXPECT_THAT(Names(filter), ElementsAre("public.b", "public.d"));
  filter.after_name = "d";
  const auto after = List(filter);
  ASSERT_THAT(after, IsOk());
  EXPECT_THAT(after->tables, IsEmpty());
  EXPECT_EQ(after->total, 4);
}

TEST_F(PostgresCatalog, TheServersOwnTablesAreListedForTheirSchema) {
  db::TableFilter filter;
  filter.schema = "pg_catalog";
  filter.name_prefix = "pg_clas";
  EXPECT_THAT(Names(filter), ElementsAre("pg_catalog.pg_class"));
  filter.schema = "information_schema";
  filter.name_prefix = "tables";
  EXPECT_THAT(Names(filter), ElementsAre("information_schema.tables"));
}

TEST_F(PostgresCatalog, RowsAreEstimatedWhereTheyWereCounted) {
  Make(
      "CREATE TABLE counted AS SELECT generate_series(1, 1000) AS n; ANALYZE counted;"
      "CREATE TABLE fresh (x int); CREATE VIEW v AS SELECT n FROM counted");
  const auto list = List();
  ASSERT_THAT(list, IsOk());
  ASSERT_EQ(list->tables.size(), 3U);
  EXPECT_EQ(list->tables[0].row_estimate(), 1000);
  EXPECT_FALSE(list->tables[1].has_row_estimate());
  EXPECT_FALSE(list->tables[2].has_row_estimate());
  EXPECT_EQ(Show("counted").row_estimate(), 1000);
  EXPECT_FALSE(Show("fresh").has_row_estimate());
}

TEST_F(PostgresCatalog, ShowsTheColumnsOfATable) {
  Make(
      "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS int NOT NULL CHECK "
      "(VALUE > 0);"
      "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, no serial, gone int,"
      " name varchar(20) COLLATE \"C\" DEFAULT 'x', price numeric(10, 2) NOT NULL,"
      " twice numeric GENERATED ALWAYS AS (price * 2) STORED, how mood, rest positive, tags "
      "text[]);"
      "ALTER TABLE t DROP COLUMN gone;"
      "COMMENT ON COLUMN t.name IS 'As it is said'; COMMENT ON TABLE t IS 'All of it'");
  const auto table = Show("t");
  EXPECT_EQ(table.schema(), "public");
  EXPECT_EQ(table.name(), "t");
  EXPECT_EQ(table.kind(), pb::TABLE_KIND_TABLE);
  EXPECT_EQ(table.comment(), "All of it");
  std::vector<std::string> columns;
  for (const pb::TableColumn& column : table.columns()) {
    columns.push_back(absl::StrCat(
        column.position(), " ", column.name(), " ", column.native_type(), " ",
        pb::ValueType_Name(column.type()).substr(11), column.nullable() ? " null" : "",
        column.automatic() ? " auto" : "", column.primary_key_position() > 0 ? " key" : ""));
  }
  EXPECT_THAT(columns, ElementsAre("1 id integer INT64 auto key", "2 no integer INT64 auto",
                                   "3 name character varying(20) STRING null",
                                   "4 price numeric(10,2) NUMERIC", "5 twice numeric NUMERIC null",
                                   "6 how mood STRING null", "7 rest positive INT64",
                                   "8 tags text[] ARRAY null"));
  EXPECT_FALSE(table.columns(0).has_default_expression());
  EXPECT_EQ(table.columns(1).default_expression(), "nextval('t_no_seq'::regclass)");
  EXPECT_EQ(table.columns(2).default_expression(), "'x'::character varying");
  EXPECT_EQ(table.columns(2).collation(), "C");
  EXPECT_EQ(table.columns(2).comment(), "As it is said");
  EXPECT_EQ(table.columns(4).generation_expression(), "(price * (2)::numeric)");
  EXPECT_FALSE(table.columns(4).has_default_expression());
  EXPECT_TRUE(table.columns(4).stored());
  EXPECT_EQ(table.columns(7).collation(), "");
}

TEST_F(PostgresCatalog, ShowsKeysAndForeignKeys) {
  Make(
      "CREATE SCHEMA far; CREATE TABLE far.place (a int, b int, PRIMARY KEY (b, a));"
      "CREATE TABLE t (x int, y int, z int CONSTRAINT z_once UNIQUE, PRIMARY KEY (y, x),"
      " CONSTRAINT there FOREIGN KEY (x, y) REFERENCES far.place (a, b) ON DELETE CASCADE"
      " ON UPDATE SET NULL DEFERRABLE INITIALLY DEFERRED,"
      " CONSTRAINT self FOREIGN KEY (z) REFERENCES t (z))");
  const auto table = Show("t");
  EXPECT_EQ(table.primary_key().name(), "t_pkey");
  EXPECT_THAT(NamesOf(table.primary_key().columns()), ElementsAre("y", "x"));
  EXPECT_EQ(table.columns(0).primary_key_position(), 2);
  EXPECT_EQ(table.columns(1).primary_key_position(), 1);
  ASSERT_EQ(table.unique_keys_size(), 1);
  EXPECT_EQ(table.unique_keys(0).name(), "z_once");
  EXPECT_THAT(NamesOf(table.unique_keys(0).columns()), ElementsAre("z"));
  ASSERT_EQ(table.foreign_keys_size(), 2);
  EXPECT_EQ(table.foreign_keys(0).name(), "self");
  EXPECT_EQ(table.foreign_keys(0).on_delete(), "NO ACTION");
  EXPECT_FALSE(table.foreign_keys(0).deferred());
  const pb::ForeignKey& there = table.foreign_keys(1);
  EXPECT_EQ(there.name(), "there");
  EXPECT_THAT(NamesOf(there.columns()), ElementsAre("x", "y"));
  EXPECT_EQ(there.referenced_schema(), "far");
  EXPECT_EQ(there.referenced_table(), "place");
  EXPECT_THAT(NamesOf(there.referenced_columns()), ElementsAre("a", "b"));
  EXPECT_EQ(there.on_delete(), "CASCADE");
  EXPECT_EQ(there.on_update(), "SET NULL");
  EXPECT_TRUE(there.deferred());
}

TEST_F(PostgresCatalog, AForeignKeyToAPartitionedTableIsOne) {
  Make(
      "CREATE TABLE part (d int PRIMARY KEY) PARTITION BY RANGE (d);"
      "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (10);"
      "CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);"
      "CREATE TABLE t (d int REFERENCES part)");
  const auto table = Show("t");
  ASSERT_EQ(table.foreign_keys_size(), 1);
  EXPECT_EQ(table.foreign_keys(0).referenced_table(), "part");
  EXPECT_EQ(Show("part").kind(), pb::TABLE_KIND_PARTITIONED);
}

TEST_F(PostgresCatalog, ShowsIndexes) {
  Make(
      "CREATE TABLE t (a int PRIMARY KEY, b text, c text, d int[]);"
      "CREATE UNIQUE INDEX by_b ON t (lower(b), c COLLATE \"C\" DESC) INCLUDE (a) WHERE a > 1;"
      "CREATE INDEX by_d ON t USING gin (d)");
  const auto table = Show("t");
  ASSERT_EQ(table.indexes_size(), 3);
  const pb::Index& partial = table.indexes(0);
  EXPECT_EQ(partial.name(), "by_b");
  EXPECT_TRUE(partial.unique());
  EXPECT_FALSE(partial.primary());
  EXPECT_FALSE(partial.from_constraint());
  EXPECT_EQ(partial.method(), "btree");
  EXPECT_EQ(partial.predicate(), "a > 1");
  EXPECT_THAT(partial.sql(), ::testing::StartsWith("CREATE UNIQUE INDEX by_b ON public.t"));
  ASSERT_EQ(partial.parts_size(), 2);
  EXPECT_EQ(partial.parts(0).column(), "");
  EXPECT_EQ(partial.parts(0).expression(), "lower(b)");
  EXPECT_FALSE(partial.parts(0).descending());
  EXPECT_EQ(partial.parts(1).column(), "c");
  EXPECT_EQ(partial.parts(1).collation(), "C");
  EXPECT_TRUE(partial.parts(1).descending());
  EXPECT_EQ(table.indexes(1).method(), "gin");
  const pb::Index& primary = table.indexes(2);
  EXPECT_EQ(primary.name(), "t_pkey");
  EXPECT_TRUE(primary.primary());
  EXPECT_TRUE(primary.from_constraint());
  EXPECT_EQ(primary.sql(), "");
}

TEST_F(PostgresCatalog, ShowsTriggersAndViews) {
  Make(
      "CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t WHERE a > 1;"
      "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
      "CREATE TRIGGER before_it BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();"
      "CREATE TRIGGER instead INSTEAD OF DELETE ON v FOR EACH ROW EXECUTE FUNCTION f()");
  const auto table = Show("t");
  ASSERT_EQ(table.triggers_size(), 1);
  EXPECT_EQ(table.triggers(0).name(), "before_it");
  EXPECT_EQ(table.triggers(0).timing(), "BEFORE");
  EXPECT_EQ(table.triggers(0).event(), "INSERT OR UPDATE");
  EXPECT_THAT(table.triggers(0).sql(), ::testing::StartsWith("CREATE TRIGGER before_it"));
  EXPECT_EQ(table.sql(), "");
  const auto view = Show("v");
  EXPECT_EQ(view.kind(), pb::TABLE_KIND_VIEW);
  EXPECT_EQ(view.triggers(0).timing(), "INSTEAD OF");
  EXPECT_EQ(view.triggers(0).event(), "DELETE");
  EXPECT_THAT(view.sql(), ::testing::StartsWith("CREATE VIEW public.v AS\n SELECT"));
}

TEST_F(PostgresCatalog, ATableWithoutASchemaIsTheOneThatAStatementWouldMean) {
  Make(
      "CREATE SCHEMA shop; CREATE TABLE shop.item (a int); CREATE TABLE shop.other (a int);"
      "CREATE TABLE item (b int)");
  EXPECT_EQ(Show("item").columns(0).name(), "b");
  EXPECT_EQ(Show("item", "shop").columns(0).name(), "a");
  EXPECT_EQ(Show("pg_class").schema(), "pg_catalog");
  const auto hidden = TryShow("other").status();
  EXPECT_THAT(hidden, Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  EXPECT_EQ(errors::MetadataOf(hidden, "nearest"), "shop.other");
}

TEST_F(PostgresCatalog, AnUnknownTableIsAnsweredWithTheNearest) {
  Make("CREATE SCHEMA shop; CREATE TABLE shop.item (a int); CREATE TABLE \"Customer\" (a int)");
  const auto nearest = [this](const std::string& table, const std::string& schema = "") {
    const auto status = TryShow(table, schema).status();
    EXPECT_THAT(status, Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
    return errors::MetadataOf(status, "nearest");
  };
  EXPECT_EQ(nearest("customer"), "Customer");
  EXPECT_EQ(nearest("custmer"), "Customer");
  EXPECT_EQ(nearest("items", "shop"), "shop.item");
  EXPECT_EQ(nearest("nothing_like_it"), "");
  EXPECT_EQ(nearest(std::string("item\0", 5), "shop"), "shop.item");
  EXPECT_EQ(nearest("'; DROP TABLE shop.item; --"), "");
  EXPECT_THAT(TryShow("item", "shop"), IsOk());
}

TEST_F(PostgresCatalog, DescribesWhatAStatementTakesAndGives) {
  Make(
      "CREATE TYPE mood AS ENUM ('sad', 'glad');"
      "CREATE TABLE t (id int PRIMARY KEY, name varchar(20), how mood)");
  const auto described =
      Describe("SELECT id, name, how, now() AS at FROM t WHERE id = $1 AND how = :how");
  ASSERT_EQ(described.columns_size(), 4);
  EXPECT_EQ(described.columns(0).name(), "id");
  EXPECT_EQ(described.columns(0).type(), pb::VALUE_TYPE_INT64);
  EXPECT_EQ(described.columns(0).native_type(), "integer");
  EXPECT_EQ(described.columns(0).oid(), 23U);
  EXPECT_EQ(described.columns(1).type_modifier(), 24);
  EXPECT_EQ(described.columns(2).type(), pb::VALUE_TYPE_STRING);
  EXPECT_EQ(described.columns(2).native_type(), "mood");
  EXPECT_EQ(described.columns(3).type(), pb::VALUE_TYPE_TIMESTAMPTZ);
  ASSERT_EQ(described.parameters_size(), 2);
  EXPECT_EQ(described.parameters(0).number(), 1);
  EXPECT_EQ(described.parameters(0).type(), pb::VALUE_TYPE_INT64);
  EXPECT_EQ(described.parameters(0).native_type(), "integer");
  EXPECT_EQ(described.parameters(1).number(), 0);
  EXPECT_EQ(described.parameters(1).name(), "how");
  EXPECT_EQ(described.parameters(1).native_type(), "mood");
  EXPECT_TRUE(described.read_only());
  EXPECT_TRUE(described.has_columns());
  EXPECT_EQ(described.command(), "SELECT");

  const auto insert = Describe("INSERT INTO t (id) VALUES ($1)");
  EXPECT_FALSE(insert.read_only());
  EXPECT_FALSE(insert.has_columns());
  EXPECT_EQ(insert.command(), "INSERT");
  EXPECT_EQ(Describe("WITH x AS (DELETE FROM t RETURNING id) SELECT id FROM x").read_only(), false);
  EXPECT_EQ(Describe("CREATE TABLE u (a int)").command(), "CREATE");
  EXPECT_EQ(server_->Psql("SELECT to_regclass('u') IS NULL"), "t");
}

TEST_F(PostgresCatalog, AColumnIsNullableWhereThatIsKnown) {
  Make("CREATE TABLE t (id int PRIMARY KEY, name text); CREATE VIEW v AS SELECT id FROM t");
  EXPECT_THAT(Nullable("SELECT id, name, id + 1 FROM t"), ElementsAre("no", "yes", "?"));
  EXPECT_THAT(Nullable("INSERT INTO t VALUES (1, 'x') RETURNING name, id"),
              ElementsAre("yes", "no"));
  EXPECT_THAT(Nullable("SELECT b.id, b.name FROM t a LEFT JOIN t b ON b.id = a.id + 1"),
              ElementsAre("?", "yes"));
  EXPECT_THAT(Nullable("SELECT id FROM t GROUP BY ROLLUP (id)"), ElementsAre("?"));
  EXPECT_THAT(Nullable("SELECT id FROM v"), ElementsAre("?"));
}

TEST_F(PostgresCatalog, DescribesATableAsItIsNow) {
  Make("CREATE TABLE t (a int)");
  EXPECT_EQ(Describe("SELECT * FROM t").columns_size(), 1);
  Make("ALTER TABLE t ADD COLUMN b text");
  EXPECT_EQ(Describe("SELECT * FROM t").columns_size(), 2);
}

TEST_F(PostgresCatalog, WhatDoesNotCompileSaysWhere) {
  const auto unknown = TryDescribe("SELECT x FROM nowhere").status();
  EXPECT_EQ(errors::ReasonOf(unknown), "SQL_ERROR");
  const errors::Parts parts = errors::PartsOf(unknown);
  bool placed = false;
  for (const auto& [key, value] : parts.sql)
    placed = placed || (key == "position" && value == "15");
  EXPECT_TRUE(placed) << unknown.ToString();
  EXPECT_THAT(TryDescribe("COMMIT"),
              Fails(StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED"));
  EXPECT_THAT(TryDescribe("SELECT 1; SELECT 2"),
              Fails(StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
}

}  // namespace
}  // namespace sluice::test
