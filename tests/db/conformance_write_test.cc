// What every driver promises of batches, loads and request ids, asked through server/db only.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/conformance.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using db::BatchMode;
using db::ConflictAction;

constexpr char kInsert[] = "INSERT INTO number (n, word) VALUES ($1, $2)";

class ConformanceWrite : public Conformance {
 protected:
  void SetUp() override {
    Conformance::SetUp();
    MakeNumbers(3);
  }

  int64_t Count() {
    const auto reply = Ask("SELECT count(*) FROM number");
    EXPECT_THAT(reply, IsOk());
    return reply->rows(0).values(0).int64_value();
  }

  absl::StatusOr<pb::QueryResponse> Once(const db::RequestKey& key,
                                         absl::string_view sql,
                                         std::initializer_list<pb::Value> params) {
    const db::Params values = MakeParams(params);
    const db::NamedParams no_names;
    db::Statement statement(sql, values, no_names);
    statement.request = &key;
    return Execute(executor_, *database_, statement);
  }

  static db::LoadTarget Target(BatchMode mode) {
    db::LoadTarget target;
    target.table = "number";
    target.mode = mode;
    return target;
  }
};

INSTANTIATE_TEST_SUITE_P(EveryDriver,
                         ConformanceWrite,
                         ::testing::ValuesIn(Engines()),
                         [](const auto& info) { return info.param.name; });

TEST_P(ConformanceWrite, AnAtomicBatchIsAllOrNothing) {
  BatchMaker good;
  good.Add(kInsert, {Int(4), Text("a")}).AddSet({Int(5), Text("b")});
  good.Add("SELECT count(*) FROM number");
  const auto results = Execute(executor_, *database_, good.batch);
  ASSERT_THAT(results, IsOk());
  ASSERT_EQ(results->size(), 3u);
  EXPECT_EQ((*results)[1]->rows_affected, 1);
  EXPECT_EQ(Parse((*results)[2])->rows(0).values(0).int64_value(), 5);

  BatchMaker bad;
  bad.Add(kInsert, {Int(6), Text("c")}).Add(kInsert, {Int(7), Null()}).AddSet({Int(1), Null()});
  const auto failed = Execute(executor_, *database_, bad.batch);
  EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(failed.status(), "step"), "1");
  EXPECT_EQ(errors::MetadataOf(failed.status(), "parameter_set"), "1");
  EXPECT_EQ(Count(), 5);
}

TEST_P(ConformanceWrite, TheOtherModesApplyEachExecutionByItself) {
  for (const BatchMode mode : {BatchMode::kStopOnError, BatchMode::kContinue}) {
    const bool goes_on = mode == BatchMode::kContinue;
    BatchMaker maker(mode);
    maker.Add("DELETE FROM number WHERE n > 3");
    maker.Add(kInsert, {Int(4), Text("a")}).AddSet({Int(1), Null()}).AddSet({Int(5), Null()});
    const auto results = Execute(executor_, *database_, maker.batch);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), goes_on ? 4u : 3u);
    EXPECT_THAT((*results)[1], IsOk());
    EXPECT_EQ((*results)[2].status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(Count(), goes_on ? 5 : 4);
  }
}

TEST_P(ConformanceWrite, ABatchKeepsToItsBounds) {
  BatchMaker trial;
  trial.Add("DELETE FROM number").Add("SELECT count(*) FROM number");
  trial.batch.validate_only = true;
  const auto tried = Execute(executor_, *database_, trial.batch);
  ASSERT_THAT(tried, IsOk());
  EXPECT_EQ((*tried)[0]->rows_affected, 3);
  EXPECT_EQ(Parse((*tried)[1])->rows(0).values(0).int64_value(), 0);

  BatchMaker bounded;
  bounded.Add("UPDATE number SET word = 'w'").Add("DELETE FROM number WHERE n = 1");
  bounded.batch.max_affected_rows = 3;
  EXPECT_THAT(Execute(executor_, *database_, bounded.batch),
              Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));

  BatchMaker reading;
  reading.Add("SELECT 1").Add("DELETE FROM number");
  reading.batch.read_only = true;
  EXPECT_THAT(Execute(executor_, *database_, reading.batch),
              Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  EXPECT_EQ(Count(), 3);
}

TEST_P(ConformanceWrite, AnAtomicLoadIsAllOrNothing) {
  const auto loaded =
      LoadAll(executor_, *database_, Target(BatchMode::kAtomic),
              {MakeRows({{Int(4), Text("a")}, {Int(5), Null()}}), MakeRows({{Int(6), Null()}})});
  ASSERT_THAT(loaded, IsOk());
  ASSERT_EQ(loaded->size(), 2u);
  EXPECT_EQ((*loaded)[0].rows_affected, 2);
  EXPECT_EQ((*loaded)[1].rows_affected, 1);
  const auto failed =
      LoadAll(executor_, *database_, Target(BatchMode::kAtomic),
              {MakeRows({{Int(7), Null()}, {Int(8), Null()}}), MakeRows({{Int(1), Null()}})});
  EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(failed.status(), "row"), "2");
  EXPECT_EQ(Count(), 6);
}

TEST_P(ConformanceWrite, ChunksOfTheOtherModesAreAppliedByThemselves) {
  for (const BatchMode mode : {BatchMode::kStopOnError, BatchMode::kContinue}) {
    const bool goes_on = mode == BatchMode::kContinue;
    ASSERT_THAT(Ask("DELETE FROM number WHERE n > 3"), IsOk());
    const auto loaded =
        LoadAll(executor_, *database_, Target(mode),
                {MakeRows({{Int(4), Null()}}), MakeRows({{Int(5), Null()}, {Int(1), Null()}}),
                 MakeRows({{Int(6), Null()}})});
    ASSERT_THAT(loaded, IsOk());
    ASSERT_EQ(loaded->size(), goes_on ? 3u : 2u);
    EXPECT_THAT((*loaded)[0].status, IsOk());
    EXPECT_EQ((*loaded)[1].status.code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(errors::MetadataOf((*loaded)[1].status, "row"), "2");
    EXPECT_EQ(Count(), goes_on ? 5 : 4);
  }
}

TEST_P(ConformanceWrite, ARowWhoseKeyIsTakenIsSkippedOrUpdated) {
  db::LoadTarget target = Target(BatchMode::kAtomic);
  target.columns = {"word", "n"};
  const std::vector<LoadRows> rows = {MakeRows({{Text("new"), Int(1)}, {Text("new"), Int(4)}})};
  target.on_conflict = ConflictAction::kSkip;
  const auto skipped = LoadAll(executor_, *database_, target, rows);
  ASSERT_THAT(skipped, IsOk());
  EXPECT_EQ((*skipped)[0].rows_affected, 1);
  EXPECT_EQ(Ask("SELECT word FROM number WHERE n = 1")->rows(0).values(0).string_value(), "word 1");
  target.on_conflict = ConflictAction::kUpdate;
  const auto updated = LoadAll(executor_, *database_, target, rows);
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ((*updated)[0].rows_affected, 2);
  EXPECT_EQ(Ask("SELECT word FROM number WHERE n = 1")->rows(0).values(0).string_value(), "new");
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceWrite, ARequestIdMakesARepeatHarmless) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto first = Once(key, kInsert, {Int(4), Text("a")});
  ASSERT_THAT(first, IsOk());
  const auto repeat = Once(key, kInsert, {Int(4), Text("a")});
  ASSERT_THAT(repeat, IsOk());
  EXPECT_EQ(repeat->SerializeAsString(), first->SerializeAsString());
  EXPECT_THAT(Once(MakeKey("one", "d"), kInsert, {Int(5), Text("a")}),
              Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  // What failed was not stored.
  const db::RequestKey failing = MakeKey("two", "c");
  EXPECT_EQ(Once(failing, kInsert, {Int(1), Null()}).status().code(), StatusCode::kAlreadyExists);
  ASSERT_THAT(Ask("DELETE FROM number WHERE n = 1"), IsOk());
  EXPECT_THAT(Once(failing, kInsert, {Int(1), Null()}), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceWrite, ABatchAndALoadAreRepeatedAsWell) {
  const db::RequestKey key = MakeKey("one", "c");
  db::LoadTarget target = Target(BatchMode::kAtomic);
  target.key = MakeKey("two", "");
  for (const bool again : {false, true}) {
    BatchMaker maker;
    maker.Add(kInsert, {Int(4), Text("a")}).Add("SELECT count(*) FROM number");
    maker.batch.request = &key;
    const auto results = Execute(executor_, *database_, maker.batch);
    ASSERT_THAT(results, IsOk());
    EXPECT_EQ(Parse((*results)[1])->rows(0).values(0).int64_value(), 4);
    const auto loaded =
        LoadAll(executor_, *database_, target, {MakeRows({{Int(5), Null()}, {Int(6), Null()}})});
    ASSERT_THAT(loaded, IsOk());
    EXPECT_EQ((*loaded)[0].replayed, again);
    EXPECT_EQ((*loaded)[0].rows_affected, 2);
    EXPECT_EQ(Count(), 6);
  }
}

}  // namespace
}  // namespace sluice::test
