// A database with some tables, for the services that show what it consists of.
#ifndef SLUICE_TESTS_UNIT_SERVICES_CATALOG_FIXTURE_H_
#define SLUICE_TESTS_UNIT_SERVICES_CATALOG_FIXTURE_H_

#include <initializer_list>
#include <utility>

#include "gtest/gtest.h"

#include "server/async/manual_executor.h"
#include "server/core/connections.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/core/scripted_database.h"
#include "tests/unit/services/support.h"

namespace sluice::services {

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() {
    auto database = test::OpenSqlite(executor_, folder_.File("shop.db"));
    EXPECT_THAT(database, test::IsOk());
    if (!database.ok()) return;
    auto entry = core::EntryOf("default", "shop", *std::move(database));
    EXPECT_THAT(connections_.Add(std::move(entry)), test::IsOk());
  }

  ~CatalogTest() override { connections_.CloseAll(); }

  void Make(std::initializer_list<absl::string_view> statements) {
    const auto found = connections_.Find(ctx_, "default");
    ASSERT_THAT(found, test::IsOk());
    for (const absl::string_view sql : statements) {
      EXPECT_THAT(test::Execute(executor_, *(*found)->database, sql), test::IsOk()) << sql;
    }
  }

  test::TempDir folder_;
  ManualExecutor executor_;
  core::Connections connections_;
  const Context ctx_;
};

}  // namespace sluice::services

#endif  // SLUICE_TESTS_UNIT_SERVICES_CATALOG_FIXTURE_H_
