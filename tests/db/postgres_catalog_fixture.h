// What the tests of the PostgreSQL catalogue share: a database of one's own, opened by the driver.
#ifndef SLUICE_TESTS_DB_POSTGRES_CATALOG_FIXTURE_H_
#define SLUICE_TESTS_DB_POSTGRES_CATALOG_FIXTURE_H_

#include <memory>
#include <optional>
#include <string>

#include "gtest/gtest.h"

#include "server/async/context.h"
#include "server/async/manual_executor.h"
#include "server/db/catalog.h"
#include "server/db/database.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/support/postgres.h"

namespace sluice::test {

class PostgresCatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEED_POSTGRES();
    server_.emplace();
    auto opened = OpenPostgres(executor_, *server_);
    ASSERT_THAT(opened, IsOk());
    database_ = *std::move(opened);
  }

  void TearDown() override {
    if (database_ != nullptr) database_->Close();
  }

  void Make(const std::string& sql) { server_->Psql(sql); }

  db::Catalog& catalog() { return database_->catalog(); }

  ManualExecutor executor_;
  const Context ctx_ = Context();
  std::optional<TestDatabase> server_;
  std::shared_ptr<db::Database> database_;
};

}  // namespace sluice::test

#endif  // SLUICE_TESTS_DB_POSTGRES_CATALOG_FIXTURE_H_
