// An index that disagrees with its table: the trouble of the statement that met it, and mended by
// another one.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

class SqliteIndexDamage : public SqliteGroupTest {
 protected:
  // A search index that lacks what its table has.
  void DamageIndex() {
    OpenWithTables();
    ASSERT_THAT(Ask("CREATE TABLE page (body TEXT)"), IsOk());
    ASSERT_THAT(Ask("CREATE VIRTUAL TABLE search USING fts5 (body, content = 'page')"), IsOk());
    ASSERT_THAT(Ask("INSERT INTO page VALUES ('unfound')"), IsOk());
  }

  static constexpr char kCheck[] =
      "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)";
};

TEST_F(SqliteIndexDamage, IsTheFailureOfItsStatementAlone) {
  DamageIndex();
  Hold();
  Start(kInsert, {Int(1), Text("before")});
  Pending& check = Start(kCheck);
  Start(kInsert, {Int(2), Text("behind")});
  ASSERT_TRUE(UntilQueued(3));
  Release();
  const absl::Status failure = check.Wait().status();
  EXPECT_THAT(failure, Fails(StatusCode::kDataLoss, "INDEX_CORRUPT"));
  EXPECT_EQ(errors::MetadataOf(failure, "executed"), "rolled_back");
  EXPECT_THAT(started_[0]->Wait(), IsOk());
  EXPECT_THAT(started_[2]->Wait(), IsOk());
  EXPECT_EQ(Items(), 3);
}

TEST_F(SqliteIndexDamage, IsMendedByRebuildingIt) {
  DamageIndex();
  EXPECT_THAT(Ask(kCheck), Fails(StatusCode::kDataLoss, "INDEX_CORRUPT"));
  ASSERT_THAT(Ask("INSERT INTO search (search) VALUES ('rebuild')"), IsOk());
  EXPECT_THAT(Ask(kCheck), IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM search WHERE search MATCH 'unfound'"), 1);
}

}  // namespace
}  // namespace sluice::test
