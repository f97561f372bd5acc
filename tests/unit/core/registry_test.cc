#include "server/core/registry.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/core/migrations.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"
#include "tests/unit/core/registry_fixture.h"

namespace sluice::core {
namespace {

using test::IsOk;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class RegistryTest : public ::testing::Test {
 protected:
  ~RegistryTest() override { End(); }

  void Begin() {
    auto opened = OpenRegistry(executor_, path_);
    ASSERT_THAT(opened, IsOk());
    registry_ = *std::move(opened);
  }

  void End() {
    executor_.RunUntilIdle();
    if (registry_ != nullptr) registry_->Close();
    registry_.reset();
  }

  // Writes the file as another program would, statement by statement.
  void Make(std::initializer_list<const char*> statements) {
    auto database = test::OpenSqlite(executor_, path_);
    ASSERT_THAT(database, IsOk());
    for (const char* sql : statements) {
      ASSERT_THAT(test::Execute(executor_, **database, sql), IsOk()) << sql;
    }
    executor_.RunUntilIdle();
    (*database)->Close();
  }

  static Registry::Row RowOf(const std::string& id, const std::string& name) {
    Registry::Row row;
    row.key = ids::HashOf(id);
    row.handle = ids::Handle(row.key);
    row.name = name;
    row.target = "/data/" + name;
    row.options = {{"foreign_keys", "off"}, {"readonly", "on"}};
    row.read_only = true;
    row.created = absl::FromUnixMicros(1'700'000'000'123'456);
    return row;
  }

  const test::TempDir folder_;
  const std::string path_ = folder_.File("registry.db");
  ManualExecutor executor_;
  std::unique_ptr<Registry> registry_;
};

TEST_F(RegistryTest, GivesBackWhatItWasGiven) {
  Begin();
  const Registry::Row row = RowOf("one", "first");
  ASSERT_THAT(executor_.Run(registry_->Insert(row)), IsOk());
  End();
  Begin();
  const auto rows = executor_.Run(registry_->Load());
  ASSERT_THAT(rows, IsOk());
  ASSERT_THAT(*rows, SizeIs(1));
  EXPECT_EQ((*rows)[0].key, row.key);
  EXPECT_EQ((*rows)[0].handle, row.handle);
  EXPECT_EQ((*rows)[0].name, row.name);
  EXPECT_EQ((*rows)[0].target, row.target);
  EXPECT_EQ((*rows)[0].options, row.options);
  EXPECT_EQ((*rows)[0].read_only, row.read_only);
  EXPECT_EQ((*rows)[0].created, row.created);
}

TEST_F(RegistryTest, ForgetsWhatWasErasedAndMayBeToldTwice) {
  Begin();
  const Registry::Row row = RowOf("one", "first");
  ASSERT_THAT(executor_.Run(registry_->Insert(row)), IsOk());
  ASSERT_THAT(executor_.Run(registry_->Erase(row.key)), IsOk());
  ASSERT_THAT(executor_.Run(registry_->Erase(row.key)), IsOk());
  EXPECT_THAT(*executor_.Run(registry_->Load()), SizeIs(0));
}

TEST_F(RegistryTest, TheKeyOfPageTokensIsMadeOnce) {
  Begin();
  const std::string key = registry_->page_token_key();
  EXPECT_THAT(key, SizeIs(32));
  End();
  Begin();
  EXPECT_EQ(registry_->page_token_key(), key);
}

// Version 1 in its own words; they stay as they are when the code moves on.
constexpr const char* kVersionOne[] = {
    "CREATE TABLE migration(number INTEGER PRIMARY KEY NOT NULL)",
    "CREATE TABLE connection(key BLOB PRIMARY KEY NOT NULL, handle TEXT NOT NULL, name TEXT NOT "
    "NULL UNIQUE, engine TEXT NOT NULL, target TEXT NOT NULL, options TEXT NOT NULL, read_only "
    "INTEGER NOT NULL, created_micros INTEGER NOT NULL)",
};

TEST_F(RegistryTest, AFileOfVersionOneIsBroughtUpToDate) {
  Make(
      {kVersionOne[0], kVersionOne[1], "INSERT INTO migration VALUES(1)",
       "INSERT INTO connection VALUES(zeroblob(32), 'h_00000000', 'old', 'sqlite', '/data/old.db', "
       "'foreign_keys=on&readonly=off', 0, 5)"});
  Begin();
  const auto rows = executor_.Run(registry_->Load());
  ASSERT_THAT(rows, IsOk());
  ASSERT_THAT(*rows, SizeIs(1));
  EXPECT_EQ((*rows)[0].name, "old");
  EXPECT_EQ((*rows)[0].options.at("foreign_keys"), "on");
  EXPECT_THAT(registry_->page_token_key(), SizeIs(32));
  End();
  Begin();  // and the next start finds nothing to do
  EXPECT_THAT(*executor_.Run(registry_->Load()), SizeIs(1));
}

TEST_F(RegistryTest, AMigrationThatWasCutShortRunsAgain) {
  Make({kVersionOne[0], kVersionOne[1]});
  Begin();
  EXPECT_THAT(executor_.Run(registry_->Insert(RowOf("one", "first"))), IsOk());
}

TEST_F(RegistryTest, AFileOfANewerServerStopsTheStartWithOneSentence) {
  Make({kVersionOne[0], "INSERT INTO migration VALUES(1), (2), (99)"});
  const absl::Status status = OpenRegistry(executor_, path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("newer sluiced (its version is 99"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--data-dir"));
}

TEST_F(RegistryTest, NoOtherConnectionLeadsToItsFile) {
  Begin();
  EXPECT_THAT(test::OpenSqlite(executor_, path_),
              test::Fails(absl::StatusCode::kPermissionDenied, "CONNECTION_INVALID_TARGET"));
}

}  // namespace
}  // namespace sluice::core
