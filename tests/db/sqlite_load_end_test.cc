// Loads that end before their time, and loads that come again.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_load_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using db::BatchMode;

class SqliteLoadEnd : public SqliteLoadTest {};

TEST_F(SqliteLoadEnd, AnAtomicLoadThatSendsNothingGivesTheWriterBack) {
  db::SqliteSettings settings;
  settings.load_idle = absl::Milliseconds(150);
  OpenWithTables(settings);
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  const absl::Time begin = absl::Now();
  ASSERT_THAT(Add(*load, ItemRows(1, 10)), IsOk());
  Pending& behind = Start(kInsert, {Int(100), Text("w")});
  EXPECT_THAT(behind.Wait(), IsOk());
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(140));
  for (int i = 0; i < 2; ++i) {
    const absl::Status late = Add(*load, ItemRows(11, 20));
    EXPECT_THAT(late, Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
    EXPECT_THAT(late, WasExecuted("rolled_back"));
  }
  EXPECT_THAT(Finish(*load), Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteLoadEnd, AnAtomicLoadThatLastsTooLongIsEndedHoweverMuchItSends) {
  db::SqliteSettings settings;
  settings.load_limit = absl::Milliseconds(300);
  OpenWithTables(settings);
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  const absl::Time begin = absl::Now();
  absl::Status status;
  for (int64_t id = 1; status.ok() && absl::Now() < begin + absl::Seconds(10); ++id) {
    status = Add(*load, ItemRows(id, id));
  }
  EXPECT_THAT(status, Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(status, WasExecuted("rolled_back"));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(290));
  EXPECT_EQ(Items(), 1);
}

TEST_F(SqliteLoadEnd, AnAtomicLoadThatWaitsTooLongForItsTurnIsNotRun) {
  db::SqliteSettings settings;
  settings.load_limit = absl::Milliseconds(100);
  OpenWithTables(settings);
  Hold();
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  ASSERT_THAT(Add(*load, ItemRows(1, 1)), IsOk());
  const absl::Status status = Finish(*load);
  EXPECT_THAT(status, Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(status, WasExecuted("no"));
  Release();
  EXPECT_EQ(Items(), 1);
}

TEST_F(SqliteLoadEnd, WhatIsAbandonedLeavesNothingAndFreesTheWriter) {
  OpenWithTables();
  for (const bool waits : {false, true}) {  // behind another, or at the writer
    if (waits) Hold();
    std::unique_ptr<db::Load> load = Begin(Into("item"));
    ASSERT_THAT(Add(*load, ItemRows(1, 10)), IsOk());
    if (waits) {
      ASSERT_TRUE(UntilQueued(1));
    } else {
      ASSERT_TRUE(UntilActive(1));
    }
    load.reset();
    if (waits) {
      EXPECT_EQ(database_->Load().queued, 0);
      Release();
    }
    ASSERT_TRUE(UntilIdle());
    EXPECT_EQ(Items(), 1);
  }
  EXPECT_THAT(Ask(kInsert, {Int(1), Text("w")}), IsOk());
}

TEST_F(SqliteLoadEnd, AnAbandonedLoadInChunksKeepsWhatWasCommittedAlone) {
  OpenWithTables();
  std::unique_ptr<db::Load> load = Begin(Into("item", BatchMode::kContinue));
  ASSERT_THAT(Add(*load, ItemRows(1, 10)), IsOk());
  ASSERT_TRUE(UntilIdle());
  Hold();
  Started<absl::Status> add(executor_, load->Add(ctx_, Chunk(ItemRows(11, 20)), ""));
  ASSERT_TRUE(UntilQueued(1));
  ASSERT_THAT(add.Wait(), IsOk());  // it has reaped the one before
  load.reset();
  EXPECT_EQ(database_->Load().queued, 0);
  Release();
  EXPECT_EQ(Items(), 11);
}

TEST_F(SqliteLoadEnd, Fault31_ALoadThatIsCancelledInTheQueueNeverRuns) {
  OpenWithTables();
  for (const BatchMode mode : kEveryMode) {
    Hold();
    Call call;
    const std::unique_ptr<db::Load> load = Begin(Into("item", mode));
    ASSERT_THAT(Add(*load, ItemRows(1, 10)), IsOk());
    Started<absl::Status> second(executor_, load->Add(call.ctx(), Chunk(ItemRows(11, 20)), ""));
    ASSERT_TRUE(UntilQueued(mode == BatchMode::kAtomic ? 1 : 2));
    EXPECT_FALSE(second.done());
    call.Cancel();
    if (mode == BatchMode::kAtomic) {
      EXPECT_EQ(second.Wait().code(), StatusCode::kCancelled);
      EXPECT_THAT(second.Wait(), WasExecuted("no"));
    } else {
      second.Wait().IgnoreError();
      ASSERT_THAT(Finish(*load), IsOk());
      for (const db::ChunkOutcome& outcome : load->TakeOutcomes()) {
        EXPECT_EQ(outcome.status.code(), StatusCode::kCancelled);
        EXPECT_THAT(outcome.status, WasExecuted("no"));
      }
    }
    EXPECT_EQ(database_->Load().queued, 0);
    Release();
    EXPECT_EQ(Items(), 1);
  }
}

TEST_F(SqliteLoadEnd, Fault32_ALoadThatIsCancelledAtTheWriterIsRolledBack) {
  OpenWithTables();
  // One of its rows takes for ever.
  ASSERT_THAT(Ask("CREATE TABLE slow (a INTEGER)"), IsOk());
  ASSERT_THAT(Ask("CREATE TRIGGER crawl AFTER INSERT ON slow WHEN new.a = 7 BEGIN INSERT INTO plug "
                  "(n) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x "
                  "FROM c WHERE x < 0; END"),
              IsOk());
  for (const BatchMode mode : kEveryMode) {
    Call call;
    const std::unique_ptr<db::Load> load = Begin(Into("slow", mode));
    ASSERT_THAT(Add(*load, MakeRows({{Int(1)}, {Int(7)}})), IsOk());
    Started<absl::Status> finish(executor_, load->Finish(call.ctx(), "content"));
    ASSERT_TRUE(UntilActive(1));
    call.Cancel();
    absl::Status status = finish.Wait();
    if (mode != BatchMode::kAtomic) {
      EXPECT_THAT(status, IsOk());
      const std::vector<db::ChunkOutcome> outcomes = load->TakeOutcomes();
      ASSERT_EQ(outcomes.size(), 1u);
      status = outcomes[0].status;
    }
    EXPECT_EQ(status.code(), StatusCode::kCancelled);
    EXPECT_THAT(status, WasExecuted("rolled_back"));
    EXPECT_EQ(Number("SELECT count(*) FROM slow"), 0);
  }
  EXPECT_THAT(Ask(kInsert, {Int(1), Text("w")}), IsOk());
}

TEST_F(SqliteLoadEnd, ACloseEndsALoadAndLeavesNothingOfIt) {
  OpenWithTables();
  const std::unique_ptr<db::Load> load = Begin(Into("item"));
  ASSERT_THAT(Add(*load, ItemRows(1, 10)), IsOk());
  ASSERT_TRUE(UntilActive(1));
  database_->Close();
  const absl::Status status = Finish(*load);
  EXPECT_THAT(status, Fails(StatusCode::kAborted, "SERVER_DRAINING"));
  EXPECT_THAT(status, WasExecuted("rolled_back"));
  Outsider outsider(path_);
  EXPECT_EQ(outsider.Number("SELECT count(*) FROM item"), 1);
}

TEST_F(SqliteLoadEnd, AnAtomicLoadThatComesAgainAnswersWhatItDid) {
  OpenWithTables();
  db::LoadTarget target = Into("item");
  target.key = MakeKey("one", "");
  target.on_conflict = db::ConflictAction::kSkip;
  const std::vector<LoadRows> chunks = {ItemRows(0, 9), ItemRows(10, 14)};
  for (int i = 0; i < 3; ++i) {
    const Outcomes outcomes = Load(target, chunks);
    ASSERT_THAT(outcomes, IsOk());
    ASSERT_EQ(outcomes->size(), 2u);
    EXPECT_EQ((*outcomes)[0].rows_affected, 9);
    EXPECT_EQ((*outcomes)[1].rows_affected, 5);
    EXPECT_EQ((*outcomes)[1].replayed, i > 0);
    EXPECT_EQ(Items(), 15);
    if (i != 1) continue;
    database_->Close();
    database_ = nullptr;
    Open();
  }
  EXPECT_THAT(Load(target, {ItemRows(0, 9), ItemRows(10, 15)}),
              Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_THAT(Load(target, {ItemRows(0, 9)}),
              Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_EQ(Items(), 15);
}

TEST_F(SqliteLoadEnd, ALoadInChunksThatBrokeOffIsCompletedByARepeat) {
  OpenWithTables();
  int64_t first = 1;
  for (const BatchMode mode : {BatchMode::kStopOnError, BatchMode::kContinue}) {
    db::LoadTarget target = Into("item", mode);
    target.key = MakeKey(absl::StrCat("key", first), "");
    const int64_t taken = first + 25;
    ASSERT_THAT(Ask(kInsert, {Int(taken), Text("in the way")}), IsOk());
    std::vector<LoadRows> chunks = {ItemRows(first, first + 9), ItemRows(first + 10, first + 19)};
    ASSERT_THAT(Load(target, chunks), IsOk());
    chunks.push_back(ItemRows(first + 20, first + 29));
    Outcomes outcomes = Load(target, chunks);
    ASSERT_THAT(outcomes, IsOk());
    EXPECT_TRUE((*outcomes)[0].replayed);
    EXPECT_TRUE((*outcomes)[1].replayed);
    EXPECT_EQ((*outcomes)[1].rows_affected, 10);
    EXPECT_EQ((*outcomes)[2].status.code(), StatusCode::kAlreadyExists);

    ASSERT_THAT(Ask("DELETE FROM item WHERE id = $1", {Int(taken)}), IsOk());
    chunks.push_back(ItemRows(first + 30, first + 39));
    outcomes = Load(target, chunks);
    ASSERT_THAT(outcomes, IsOk());
    ASSERT_EQ(outcomes->size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_THAT((*outcomes)[i].status, IsOk());
      EXPECT_EQ((*outcomes)[i].replayed, i < 2);
    }
    chunks[1] = ItemRows(first + 10, first + 18);
    outcomes = Load(target, chunks);
    ASSERT_THAT(outcomes, IsOk());
    EXPECT_THAT((*outcomes)[1].status, Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
    first += 40;
    EXPECT_EQ(Items(), first);
  }
}

TEST_F(SqliteLoadEnd, TheSameLoadTwiceAtOnceIsDoneOnce) {
  OpenWithTables();
  int64_t items = 1;
  for (const BatchMode mode : kEveryMode) {
    db::LoadTarget target = Into("item", mode);
    target.key = MakeKey(absl::StrCat("key", items), "");
    const std::vector<LoadRows> chunks = {ItemRows(items, items + 9),
                                          ItemRows(items + 10, items + 19)};
    Hold();
    Started<Outcomes> one(executor_, Loading(target, chunks));
    Started<Outcomes> other(executor_, Loading(target, chunks));
    ASSERT_TRUE(UntilQueued(mode == BatchMode::kAtomic ? 2 : 4));
    Release();
    ASSERT_THAT(one.Wait(), IsOk());
    ASSERT_THAT(other.Wait(), IsOk());
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_THAT((*one.Wait())[i].status, IsOk());
      EXPECT_THAT((*other.Wait())[i].status, IsOk());
      EXPECT_FALSE((*one.Wait())[i].replayed);
      EXPECT_TRUE((*other.Wait())[i].replayed);
      EXPECT_EQ((*other.Wait())[i].rows_affected, 10);
    }
    items += 20;
    EXPECT_EQ(Items(), items);
  }
}

}  // namespace
}  // namespace sluice::test
