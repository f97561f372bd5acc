// Loads: rows into one table, as one transaction that has the writer for itself, or chunk by chunk.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_load_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using db::BatchMode;
using db::ConflictAction;

constexpr BatchMode kChunkedModes[] = {BatchMode::kStopOnError, BatchMode::kContinue};

class SqliteLoad : public SqliteLoadTest {};

TEST_F(SqliteLoad, AnAtomicLoadIsOneCommitAndUnseenUntilThen) {
  OpenWithTables();
  const db::WriterStats before = Stats();
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  for (int64_t i = 0; i < 20; ++i) {
    ASSERT_THAT(Add(*load, ItemRows(i * 100 + 1, i * 100 + 100)), IsOk());
  }
  EXPECT_EQ(Items(), 1);
  ASSERT_THAT(Finish(*load), IsOk());
  const std::vector<db::ChunkOutcome> outcomes = load->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 20u);
  for (const db::ChunkOutcome& outcome : outcomes) {
    EXPECT_THAT(outcome.status, IsOk());
    EXPECT_EQ(outcome.rows_affected, 100);
    EXPECT_FALSE(outcome.replayed);
  }
  EXPECT_TRUE(load->TakeOutcomes().empty());
  EXPECT_EQ(Items(), 2001);
  EXPECT_EQ(Stats().groups, before.groups + 1);
  EXPECT_EQ(Stats().writes, before.writes + 1);
  for (const BatchMode mode : kEveryMode) EXPECT_THAT(Load(Into("item", mode), {}), IsOk());
}

TEST_F(SqliteLoad, AnAtomicFailureNamesItsRowAndLeavesNothing) {
  OpenWithTables();
  LoadRows bad = ItemRows(201, 210);
  *bad.Mutable(4)->mutable_values(1) = Text("refused");
  const Outcomes failed =
      Load(Into("item"), {ItemRows(1, 100), ItemRows(101, 200), bad, ItemRows(301, 400)});
  EXPECT_THAT(failed, Fails(StatusCode::kInvalidArgument, "SQL_ERROR"));
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(failed.status(), "row"), "204");
  EXPECT_EQ(Items(), 1);
  // Whatever comes after it is refused with the same.
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  Add(*load, ItemRows(0, 0)).IgnoreError();
  ASSERT_TRUE(UntilIdle());
  EXPECT_EQ(Add(*load, ItemRows(1, 1)).code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Finish(*load).code(), StatusCode::kAlreadyExists);
}

TEST_F(SqliteLoad, ChunksByThemselvesFailByThemselves) {
  OpenWithTables();
  for (const BatchMode mode : kChunkedModes) {
    const bool goes_on = mode == BatchMode::kContinue;
    ASSERT_THAT(Ask("DELETE FROM item WHERE id > 0"), IsOk());
    LoadRows bad = ItemRows(11, 19);
    *bad.Add() = ItemRows(0, 0)[0];
    const Outcomes outcomes = Load(Into("item", mode), {ItemRows(1, 10), bad, ItemRows(21, 30),
                                                        ItemRows(31, 40), ItemRows(41, 50)});
    ASSERT_THAT(outcomes, IsOk());
    ASSERT_EQ(outcomes->size(), goes_on ? 5u : 2u);
    EXPECT_EQ((*outcomes)[0].rows_affected, 10);
    EXPECT_EQ((*outcomes)[1].status.code(), StatusCode::kAlreadyExists);
    EXPECT_THAT((*outcomes)[1].status, WasExecuted("rolled_back"));
    EXPECT_EQ(errors::MetadataOf((*outcomes)[1].status, "row"), "19");
    EXPECT_EQ((*outcomes)[1].rows_affected, 0);
    EXPECT_EQ(Items(), goes_on ? 41 : 11);
  }
}

// Chunks 1 and 2 of a load wait together; the second takes the transaction with it.
TEST_F(SqliteLoad, Fault61_AChunkThatRollsBackTheTransactionFailsByItself) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE harsh (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)"), IsOk());
  for (const BatchMode mode : kChunkedModes) {
    ASSERT_THAT(Ask("DELETE FROM harsh"), IsOk());
    Hold();
    const db::WriterStats before = Stats();
    const auto target = Into("harsh", mode);
    const std::vector<LoadRows> chunks = {MakeRows({{Int(1)}, {Int(2)}}),
                                          MakeRows({{Int(3)}, {Int(1)}}), MakeRows({{Int(4)}})};
    Started<Outcomes> loading(executor_, Loading(target, chunks));
    Pending& beside = Start(kInsert, {Int(mode == BatchMode::kContinue ? 2 : 1), Text("w")});
    ASSERT_TRUE(UntilQueued(3));
    Release();
    ASSERT_THAT(loading.Wait(), IsOk());
    EXPECT_THAT(beside.Wait(), IsOk());
    const bool goes_on = mode == BatchMode::kContinue;
    ASSERT_EQ(loading.Wait()->size(), goes_on ? 3u : 2u);
    EXPECT_EQ((*loading.Wait())[1].status.code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(Stats().reruns, before.reruns + 1);
    EXPECT_EQ(Number("SELECT count(*) FROM harsh"), goes_on ? 3 : 2);
  }
  EXPECT_EQ(Items(), 3);
}

TEST_F(SqliteLoad, ARowWhoseKeyIsTakenFailsIsLeftOutOrUpdates) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE pair (a INTEGER, b INTEGER, name TEXT UNIQUE, n INTEGER CHECK (n > "
                  "0), PRIMARY KEY (a, b))"),
              IsOk());
  db::LoadTarget target = Into("pair");
  const auto row = [](int64_t a, int64_t b, absl::string_view name, int64_t n) {
    return MakeRows({{Int(a), Int(b), Text(name), Int(n)}});
  };
  ASSERT_THAT(Load(target, {row(1, 1, "one", 1)}), IsOk());
  EXPECT_EQ(Load(target, {row(1, 1, "two", 2)}).status().code(), StatusCode::kAlreadyExists);

  target.on_conflict = ConflictAction::kSkip;
  Outcomes outcomes = Load(target, {row(1, 1, "two", 2), row(2, 2, "one", 2), row(2, 2, "two", 2)});
  ASSERT_THAT(outcomes, IsOk());
  EXPECT_EQ((*outcomes)[0].rows_affected, 0);
  EXPECT_EQ((*outcomes)[1].rows_affected, 0);
  EXPECT_EQ((*outcomes)[2].rows_affected, 1);
  EXPECT_EQ(Load(target, {row(3, 3, "three", 0)}).status().code(), StatusCode::kInvalidArgument);

  target.on_conflict = ConflictAction::kUpdate;
  outcomes = Load(target, {row(1, 1, "eins", 10), row(3, 3, "three", 3)});
  ASSERT_THAT(outcomes, IsOk());
  EXPECT_EQ((*outcomes)[0].rows_affected, 1);
  EXPECT_EQ(Number("SELECT n FROM pair WHERE name = 'eins'"), 10);
  EXPECT_EQ(Load(target, {row(9, 9, "eins", 1)}).status().code(), StatusCode::kAlreadyExists);

  target.conflict_columns = {"NAME"};
  ASSERT_THAT(Load(target, {row(9, 9, "eins", 20)}), IsOk());
  EXPECT_EQ(Number("SELECT n FROM pair WHERE a = 9"), 20);
  EXPECT_EQ(Number("SELECT count(*) FROM pair"), 3);
  target.conflict_columns = {"n"};  // no key
  EXPECT_EQ(Load(target, {row(9, 9, "eins", 1)}).status().code(), StatusCode::kInvalidArgument);

  // Nothing but the key: there is nothing to update.
  target = Into("pair");
  target.on_conflict = ConflictAction::kUpdate;
  target.columns = {"a", "b"};
  outcomes = Load(target, {MakeRows({{Int(9), Int(9)}, {Int(7), Int(7)}})});
  ASSERT_THAT(outcomes, IsOk());
  EXPECT_EQ((*outcomes)[0].rows_affected, 1);
  ASSERT_THAT(Ask("CREATE TABLE keyless (a INTEGER)"), IsOk());
  target = Into("keyless");
  target.on_conflict = ConflictAction::kUpdate;
  EXPECT_THAT(Load(target, {MakeRows({{Int(1)}})}),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_F(SqliteLoad, ColumnsAreThoseThatCanBeWrittenInAnyOrder) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE \"odd \"\" table\" (a INTEGER DEFAULT 5, twice INTEGER AS (a * 2), "
                  "\"b \"\" c\" TEXT, thrice INTEGER AS (a * 3) STORED)"),
              IsOk());
  db::LoadTarget target = Into("odd \" table");
  target.schema = "MAIN";
  ASSERT_THAT(Load(target, {MakeRows({{Int(1), Text("x")}})}), IsOk());
  target.columns = {"B \" C"};
  ASSERT_THAT(Load(target, {MakeRows({{Text("y")}})}), IsOk());
  EXPECT_EQ(Number("SELECT sum(twice) + sum(thrice) FROM \"odd \"\" table\""), 30);
  for (const char* const column : {"twice", "thrice", "missing", "a\" FROM item --", "rowid"}) {
    target.columns = {"a", column};
    EXPECT_THAT(Load(target, {MakeRows({{Int(1), Int(2)}})}),
                Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"))
        << column;
  }
  target.columns = {"a", "A"};
  EXPECT_THAT(Load(target, {MakeRows({{Int(1), Int(2)}})}),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_EQ(Number("SELECT count(*) FROM \"odd \"\" table\""), 2);
}

TEST_F(SqliteLoad, RowsThatDoNotFitAreRefusedWithTheirPlace) {
  OpenWithTables();
  LoadRows unset = ItemRows(1, 2);
  unset.Mutable(1)->mutable_values(1)->Clear();
  for (const LoadRows& rows : {MakeRows({{Int(1), Null()}, {Int(2)}}),
                               MakeRows({{Int(1), Null()}, {Int(2), Null(), Null()}}), unset}) {
    const Outcomes refused = Load(Into("item"), {rows});
    EXPECT_THAT(refused, Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
    EXPECT_EQ(errors::MetadataOf(refused.status(), "row"), "1");
    const Outcomes chunked = Load(Into("item", BatchMode::kContinue), {rows});
    ASSERT_THAT(chunked, IsOk());
    EXPECT_EQ(errors::MetadataOf((*chunked)[0].status, "row"), "1");
  }
  EXPECT_EQ(Items(), 1);
}

TEST_F(SqliteLoad, OnlyTablesOfTheCallerCanBeLoaded) {
  OpenWithTables();
  const Outcomes missing = Load(Into("itme"), {ItemRows(1, 1)});
  EXPECT_THAT(missing, Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  EXPECT_EQ(errors::MetadataOf(missing.status(), "nearest"), "item");
  db::LoadTarget elsewhere = Into("item");
  elsewhere.schema = "temp";
  EXPECT_THAT(Load(elsewhere, {ItemRows(1, 1)}), Fails(StatusCode::kNotFound, "TABLE_NOT_FOUND"));
  for (const char* const table : {"sqlite_schema", "sqlite_master", "pragma_table_info"}) {
    EXPECT_FALSE(Load(Into(table), {MakeRows({{Int(1)}})}).ok()) << table;
  }
  ASSERT_THAT(Ask("CREATE VIEW seen AS SELECT id, word FROM item"), IsOk());
  EXPECT_FALSE(Load(Into("seen"), {ItemRows(1, 1)}).ok());
  EXPECT_EQ(Items(), 1);
}

TEST_F(SqliteLoad, ItKeepsToItsBoundOfAffectedRows) {
  OpenWithTables();
  db::LoadTarget target = Into("item");
  target.max_affected_rows = 15;
  const Outcomes exceeded = Load(target, {ItemRows(1, 10), ItemRows(11, 20)});
  EXPECT_THAT(exceeded, Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_THAT(exceeded, WasExecuted("rolled_back"));
  EXPECT_EQ(Items(), 1);
  target.mode = BatchMode::kContinue;  // of each chunk
  const Outcomes each = Load(target, {ItemRows(1, 10), ItemRows(11, 26), ItemRows(31, 45)});
  ASSERT_THAT(each, IsOk());
  EXPECT_THAT((*each)[0].status, IsOk());
  EXPECT_THAT((*each)[1].status, Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_THAT((*each)[2].status, IsOk());
  EXPECT_EQ(Items(), 26);
}

TEST_F(SqliteLoad, ATrialLeavesNothingNotEvenItsKey) {
  OpenWithTables();
  for (const BatchMode mode : kEveryMode) {
    db::LoadTarget target = Into("item", mode);
    target.key = MakeKey(absl::StrCat("key", static_cast<int>(mode)), "");
    target.validate_only = true;
    const Outcomes tried = Load(target, {ItemRows(1, 10), ItemRows(11, 15)});
    ASSERT_THAT(tried, IsOk());
    EXPECT_EQ((*tried)[1].rows_affected, 5);
    EXPECT_EQ(Items(), 1);
    target.validate_only = false;
    const Outcomes meant = Load(target, {ItemRows(1, 10), ItemRows(11, 15)});
    ASSERT_THAT(meant, IsOk());
    EXPECT_FALSE((*meant)[0].replayed);
    EXPECT_EQ(Items(), 16);
    ASSERT_THAT(Ask("DELETE FROM item WHERE id > 0"), IsOk());
  }
}

TEST_F(SqliteLoad, DeferredKeysHoldAtTheEndOfWhatIsCommittedByItself) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES node (id) "
                  "DEFERRABLE INITIALLY DEFERRED)"),
              IsOk());
  const std::vector<LoadRows> chunks = {MakeRows({{Int(1), Int(2)}}), MakeRows({{Int(2), Null()}})};
  EXPECT_THAT(Load(Into("node"), chunks), IsOk());
  ASSERT_THAT(Ask("DELETE FROM node"), IsOk());
  const Outcomes orphan = Load(Into("node"), {MakeRows({{Int(2), Null()}, {Int(3), Int(9)}})});
  EXPECT_EQ(orphan.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(orphan, WasExecuted("rolled_back"));
  EXPECT_EQ(Number("SELECT count(*) FROM node"), 0);
  const Outcomes each = Load(Into("node", BatchMode::kContinue), chunks);
  ASSERT_THAT(each, IsOk());
  EXPECT_EQ((*each)[0].status.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT((*each)[1].status, IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM node"), 1);
}

TEST_F(SqliteLoad, AnAtomicLoadHasTheWriterAndOthersWaitTheirTurn) {
  OpenWithTables();
  Hold();
  const db::WriterStats before = Stats();
  Pending& first = Start(kInsert, {Int(1), Text("before")});
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  Started<absl::Status> add(executor_, load->Add(ctx_, Chunk(ItemRows(101, 110)), ""));
  ASSERT_TRUE(UntilQueued(2));
  Pending& last = Start(kInsert, {Int(2), Text("after")});
  ASSERT_TRUE(UntilQueued(3));
  Release();
  EXPECT_THAT(add.Wait(), IsOk());
  EXPECT_THAT(first.Wait(), IsOk());
  ASSERT_TRUE(UntilActive(1));  // the load, which waits for more
  EXPECT_FALSE(last.done());
  EXPECT_EQ(Items(), 2);
  ASSERT_THAT(Finish(*load), IsOk());
  EXPECT_THAT(last.Wait(), IsOk());
  EXPECT_EQ(Items(), 13);
  EXPECT_EQ(Stats().groups, before.groups + 3);
}

}  // namespace
}  // namespace sluice::test
