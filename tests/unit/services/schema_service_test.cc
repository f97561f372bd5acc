#include "server/services/schema_service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/catalog_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;
using ::testing::ElementsAre;

class SchemaServiceTest : public CatalogTest {
 protected:
  static pb::ListTablesRequest Tables(int page_size = 0) {
    pb::ListTablesRequest request;
    request.set_connection_id("default");
    request.set_page_size(page_size);
    return request;
  }

  absl::StatusOr<pb::ListTablesResponse> List(const pb::ListTablesRequest& request) {
    return executor_.Run(service_.ListTables(ctx_, request));
  }

  static std::vector<std::string> NamesOf(const pb::ListTablesResponse& response) {
    std::vector<std::string> names;
    for (const pb::TableSummary& table : response.tables()) names.push_back(table.name());
    return names;
  }

  const PageTokens tokens_{"a key"};
  SchemaService service_{connections_, tokens_};
};

TEST_F(SchemaServiceTest, EveryMethodRefusesNoConnectionAndAnUnknownOne) {
  pb::ListSchemasRequest schemas;
  pb::ListTablesRequest tables;
  pb::DescribeTableRequest table;
  table.set_table("t");
  EXPECT_EQ(InvalidField(executor_.Run(service_.ListSchemas(ctx_, schemas)).status()),
            "connection_id");
  EXPECT_EQ(InvalidField(List(tables).status()), "connection_id");
  EXPECT_EQ(InvalidField(executor_.Run(service_.DescribeTable(ctx_, table)).status()),
            "connection_id");
  schemas.set_connection_id("nobody");
  tables.set_connection_id("nobody");
  table.set_connection_id("nobody");
  EXPECT_TRUE(absl::IsNotFound(executor_.Run(service_.ListSchemas(ctx_, schemas)).status()));
  EXPECT_TRUE(absl::IsNotFound(List(tables).status()));
  EXPECT_TRUE(absl::IsNotFound(executor_.Run(service_.DescribeTable(ctx_, table)).status()));
}

TEST_F(SchemaServiceTest, TheOnlySchemaIsOnePage) {
  Make({"CREATE TABLE a (x)"});
  pb::ListSchemasRequest request;
  request.set_connection_id("default");
  const auto response = executor_.Run(service_.ListSchemas(ctx_, request));
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->schemas_size(), 1);
  EXPECT_EQ(response->schemas(0).name(), "main");
  EXPECT_EQ(response->schemas(0).table_count(), 1);
  EXPECT_EQ(response->page().total_size(), 1);
  EXPECT_EQ(response->page().next_page_token(), "");
  request.set_page_token(tokens_.Make("schemas:default", {"main"}));
  const auto behind = executor_.Run(service_.ListSchemas(ctx_, request));
  ASSERT_THAT(behind, IsOk());
  EXPECT_EQ(behind->schemas_size(), 0);
}

TEST_F(SchemaServiceTest, PagesTogetherShowEachTableOnceWhileTablesComeAndGo) {
  for (int i = 10; i < 35; ++i) Make({absl::StrCat("CREATE TABLE t", i, " (x)")});
  auto request = Tables(10);
  std::vector<std::string> seen;
  int pages = 0;
  do {
    const auto page = List(request);
    ASSERT_THAT(page, IsOk());
    if (pages == 0) {
      EXPECT_EQ(page->page().total_size(), 25);
      Make({"DROP TABLE t19", "CREATE TABLE t00 (x)"});  // the last that was shown, and one before
    }
    for (const std::string& name : NamesOf(*page)) seen.push_back(name);
    request.set_page_token(page->page().next_page_token());
    ++pages;
  } while (!request.page_token().empty() && pages < 10);
  EXPECT_EQ(pages, 3);
  ASSERT_EQ(seen.size(), 25U);
  for (int i = 10; i < 35; ++i) {
    EXPECT_EQ(seen[static_cast<size_t>(i - 10)], absl::StrCat("t", i));
  }
}

TEST_F(SchemaServiceTest, APageThatEndsTheListHasNoToken) {
  Make({"CREATE TABLE a (x)", "CREATE TABLE b (x)"});
  const auto page = List(Tables(2));
  ASSERT_THAT(page, IsOk());
  EXPECT_THAT(NamesOf(*page), ElementsAre("a", "b"));
  EXPECT_EQ(page->page().next_page_token(), "");
}

TEST_F(SchemaServiceTest, ATokenBelongsToItsFilters) {
  Make({"CREATE TABLE a (x)", "CREATE TABLE ab (x)", "CREATE VIEW av AS SELECT 1 AS x"});
  auto request = Tables(1);
  request.add_kinds(pb::TABLE_KIND_TABLE);
  const auto first = List(request);
  ASSERT_THAT(first, IsOk());
  request.set_page_token(first->page().next_page_token());
  const auto second = List(request);
  ASSERT_THAT(second, IsOk());
  EXPECT_THAT(NamesOf(*second), ElementsAre("ab"));
  auto other = request;
  other.clear_kinds();
  EXPECT_EQ(InvalidField(List(other).status()), "page_token");
  other = request;
  other.set_name_prefix("a");
  EXPECT_EQ(InvalidField(List(other).status()), "page_token");
  other = request;
  other.set_schema("main");
  EXPECT_EQ(InvalidField(List(other).status()), "page_token");
  other = request;
  other.set_page_token("x" + request.page_token());
  EXPECT_EQ(InvalidField(List(other).status()), "page_token");
  other = request;
  other.set_page_size(500);  // the size of a page is free
  EXPECT_THAT(List(other), IsOk());
}

TEST_F(SchemaServiceTest, RefusesBadSizesAndKinds) {
  EXPECT_EQ(InvalidField(List(Tables(-1)).status()), "page_size");
  auto request = Tables();
  request.add_kinds(static_cast<pb::TableKind>(99));
  EXPECT_EQ(InvalidField(List(request).status()), "kinds");
}

TEST_F(SchemaServiceTest, AnUnspecifiedKindIsAllAndAForeignOneIsNone) {
  Make({"CREATE TABLE a (x)", "CREATE VIEW v AS SELECT 1 AS x"});
  auto request = Tables();
  request.add_kinds(pb::TABLE_KIND_VIEW);
  request.add_kinds(pb::TABLE_KIND_UNSPECIFIED);
  const auto all = List(request);
  ASSERT_THAT(all, IsOk());
  EXPECT_THAT(NamesOf(*all), ElementsAre("a", "v"));
  auto foreign = Tables();
  foreign.add_kinds(pb::TABLE_KIND_FOREIGN);
  const auto none = List(foreign);
  ASSERT_THAT(none, IsOk());
  EXPECT_EQ(none->tables_size(), 0);
  EXPECT_EQ(none->page().total_size(), 0);
}

TEST_F(SchemaServiceTest, ShowsATableAndRefusesNone) {
  Make({"CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"});
  pb::DescribeTableRequest request;
  request.set_connection_id("default");
  EXPECT_EQ(InvalidField(executor_.Run(service_.DescribeTable(ctx_, request)).status()), "table");
  request.set_table("ITEM");
  const auto item = executor_.Run(service_.DescribeTable(ctx_, request));
  ASSERT_THAT(item, IsOk());
  EXPECT_EQ(item->name(), "item");
  EXPECT_EQ(item->columns_size(), 2);
  request.set_table("itm");
  const auto missing = executor_.Run(service_.DescribeTable(ctx_, request));
  EXPECT_THAT(missing, Fails(absl::StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  EXPECT_EQ(errors::MetadataOf(missing.status(), "nearest"), "item");
}

}  // namespace
}  // namespace sluice::services
