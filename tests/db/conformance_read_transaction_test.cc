// What every driver promises of transactions that only read.
#include <memory>
#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/conformance_transaction.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

class ConformanceReadTransaction : public ConformanceTransaction {
 protected:
  std::unique_ptr<db::Transaction> BeginReading() { return Begin(/*read_only=*/true); }
};

INSTANTIATE_TEST_SUITE_P(EveryDriver,
                         ConformanceReadTransaction,
                         ::testing::ValuesIn(Engines()),
                         [](const auto& info) { return info.param.name; });

TEST_P(ConformanceReadTransaction, ItSeesOneSnapshotWhileOthersCommit) {
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  for (int64_t n = 4; n <= 8; ++n) {
    ASSERT_THAT(Ask(kAdd, {Int(n)}), IsOk());
    EXPECT_EQ(Count(), n);
    EXPECT_EQ(Count(*transaction), 3);
    EXPECT_EQ(In(*transaction, "SELECT max(n) FROM number")->rows(0).values(0).int64_value(), 3);
    const db::Statement streamed("SELECT n FROM number");
    const auto chunks = ReadAll(executor_, *transaction, streamed);
    ASSERT_THAT(chunks, IsOk());
    EXPECT_EQ(chunks->back().command_tag(), "SELECT 3");
    BatchMaker maker;
    maker.Add("SELECT count(*) FROM number").Add("SELECT max(n) FROM number");
    const auto results = Execute(executor_, *transaction, maker.batch);
    ASSERT_THAT(results, IsOk());
    for (const auto& each : *results) {
      EXPECT_EQ(Parse(each)->rows(0).values(0).int64_value(), 3);
    }
  }
  EXPECT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 8);
}

TEST_P(ConformanceReadTransaction, ItIsInNoWriterTransactionsWay) {
  const auto reading = BeginReading();
  EXPECT_EQ(Count(*reading), 3);
  const auto writing = Begin();
  ASSERT_THAT(In(*writing, "DELETE FROM number"), IsOk());
  EXPECT_EQ(Count(*reading), 3);
  ASSERT_THAT(Commit(*writing), IsOk());
  EXPECT_EQ(Count(*reading), 3);
  Rollback(*reading);
  EXPECT_EQ(Count(), 0);
}

TEST_P(ConformanceReadTransaction, ItRefusesToWriteAtOnceAndStaysOpen) {
  const auto holder = Begin();  // nobody is waited for
  ASSERT_THAT(In(*holder, kAdd, {Int(9)}), IsOk());
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  for (int i = 0; i < 2; ++i) {  // unknown at first, known to write then
    for (const char* const sql : {"INSERT INTO number (n) VALUES (4)", "DELETE FROM number",
                                  "UPDATE number SET word = 'w' RETURNING n", "DROP TABLE number",
                                  "CREATE TABLE other (a INTEGER)"}) {
      const db::Statement statement(sql);
      BatchMaker maker;
      maker.Add("SELECT 1").Add(sql);
      BatchMaker apart(db::BatchMode::kContinue);
      apart.Add("SELECT 1").Add(sql);
      for (const absl::Status& refused : {Execute(executor_, *transaction, statement).status(),
                                          ReadAll(executor_, *transaction, statement).status(),
                                          Execute(executor_, *transaction, maker.batch).status(),
                                          Execute(executor_, *transaction, apart.batch).status()}) {
        EXPECT_THAT(refused, Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION")) << sql;
        EXPECT_THAT(refused, WasExecuted("no"));
        EXPECT_EQ(StateOf(*transaction), State::kOpen);
      }
    }
  }
  db::LoadTarget target;
  target.table = "number";
  EXPECT_THAT(LoadAll(executor_, *transaction, target, {MakeRows({{Int(4), Null()}})}),
              Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_EQ(Count(*transaction), 3);
  EXPECT_THAT(Commit(*transaction), IsOk());
}

TEST_P(ConformanceReadTransaction, WhatIsRefusedBeforeItRunsLeavesItOpen) {
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  ASSERT_THAT(Ask("DELETE FROM number"), IsOk());
  for (const char* const sql : {"SELECT $1", "COMMIT", "", "SELECT 1; SELECT 2"}) {
    const db::Statement statement(sql);
    for (const absl::Status& refused : {Execute(executor_, *transaction, statement).status(),
                                        ReadAll(executor_, *transaction, statement).status()}) {
      EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument) << sql << ": " << refused;
      EXPECT_THAT(refused, WasExecuted("no"));
      EXPECT_EQ(StateOf(*transaction), State::kOpen) << sql;
    }
  }
  EXPECT_EQ(Count(*transaction), 3);
}

TEST_P(ConformanceReadTransaction, AResultIsReadInPiecesOfTheSnapshot) {
  ASSERT_THAT(Ask("DROP TABLE number"), IsOk());
  MakeNumbers(3000);
  const auto transaction = BeginReading();
  db::Statement statement("SELECT n, word FROM number ORDER BY n");
  statement.chunk_bytes = 4096;
  const auto cursor = executor_.Run(transaction->Open(ctx_, statement));
  ASSERT_THAT(cursor, IsOk());
  ASSERT_THAT(Ask("DELETE FROM number"), IsOk());
  int64_t next = 1;
  int chunks = 0;
  for (bool end = false; !end; ++chunks) {
    const auto chunk = executor_.Run((*cursor)->Next(ctx_));
    ASSERT_THAT(chunk, IsOk());
    const pb::StreamQueryResponse parsed = ParseChunk(*chunk);
    for (const pb::Row& row : parsed.rows()) ASSERT_EQ(row.values(0).int64_value(), next++);
    end = chunk->end;
  }
  EXPECT_EQ(next, 3001);
  EXPECT_GT(chunks, 5);
  EXPECT_EQ(Count(*transaction), 3000);
}

TEST_P(ConformanceReadTransaction, AResultThatIsAbandonedIsInNobodysWay) {
  ASSERT_THAT(Ask("DROP TABLE number"), IsOk());
  MakeNumbers(3000);
  const auto transaction = BeginReading();
  db::Statement statement("SELECT n, word FROM number ORDER BY n");
  statement.chunk_bytes = 4096;
  for (int i = 0; i < 3; ++i) {
    const auto cursor = executor_.Run(transaction->Open(ctx_, statement));
    ASSERT_THAT(cursor, IsOk());
    for (int piece = 0; piece < 2; ++piece) {
      EXPECT_THAT(executor_.Run((*cursor)->Next(ctx_)), IsOk());
    }
    ASSERT_THAT(Ask("DELETE FROM number WHERE n > 10"), IsOk());
    EXPECT_EQ(Count(*transaction), 3000);
  }
  const auto last = executor_.Run(transaction->Open(ctx_, statement));
  ASSERT_THAT(last, IsOk());
  EXPECT_THAT(Commit(*transaction), IsOk());
}

TEST_P(ConformanceReadTransaction, AStatementThatFailsEndsIt) {
  for (const char* const sql :
       {"SELECT abs(-9223372036854775807 - n) FROM number WHERE n = 1", "SELECT nothing"}) {
    const auto transaction = BeginReading();
    EXPECT_EQ(Count(*transaction), 3);
    EXPECT_FALSE(In(*transaction, sql).ok());
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    const auto streaming = BeginReading();
    EXPECT_FALSE(ReadAll(executor_, *streaming, db::Statement(sql)).ok());
    EXPECT_EQ(StateOf(*streaming), State::kGone);
  }
}

TEST_P(ConformanceReadTransaction, ASavepointKeepsTheSnapshotFromAFailure) {
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  ASSERT_THAT(Savepoint(*transaction, 2), IsOk());
  ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
  EXPECT_FALSE(In(*transaction, "SELECT nothing").ok());
  EXPECT_EQ(StateOf(*transaction), State::kFailed);
  ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_EQ(Count(*transaction), 3);
  ASSERT_THAT(Savepoint(*transaction, 2), IsOk());  // it went with what came after the first
  ASSERT_THAT(Release(*transaction, 1), IsOk());
  EXPECT_FALSE(In(*transaction, "SELECT nothing").ok());
  EXPECT_EQ(StateOf(*transaction), State::kGone);
}

TEST_P(ConformanceReadTransaction, Fault32_AStatementThatIsCancelledWhileItRunsEndsIt) {
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  EXPECT_THAT(StopWhileItRuns(*transaction, kEndlessRead),
              Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Count(), 3);
}

TEST_P(ConformanceReadTransaction, Fault66_AStatementThatOutlivesItsDeadlineEndsIt) {
  for (const bool streamed : {false, true}) {
    const auto transaction = BeginReading();
    EXPECT_THAT(OutliveItsDeadline(*transaction, kEndlessRead, streamed),
                Fails(StatusCode::kDeadlineExceeded, "DEADLINE_PASSED"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
  }
}

TEST_P(ConformanceReadTransaction, ACallThatEndsBeforeItBeginsLeavesItOpen) {
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
  CallScope scope;
  scope.Stop(StopCause::kCancelled);
  const Context stopped = scope.MakeContext(absl::InfiniteFuture(), "");
  Context late;
  late.deadline = absl::Now() - absl::Seconds(1);
  const db::Statement statement("SELECT n FROM number");
  for (const Context& ctx : {stopped, late}) {
    EXPECT_THAT(Execute(executor_, *transaction, statement, ctx), WasExecuted("no"));
    EXPECT_THAT(ReadAll(executor_, *transaction, statement, ctx), WasExecuted("no"));
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
  }
  EXPECT_EQ(Count(*transaction), 3);
}

TEST_P(ConformanceReadTransaction, AnEndFromOutsideEndsItIdleOrNot) {
  const absl::Status why = errors::TransactionExpired("It lasted too long");
  for (const char* const running : {"", kEndlessRead}) {
    const auto transaction = BeginReading();
    EXPECT_EQ(Count(*transaction), 3);
    if (*running == '\0') {
      std::thread([&] { transaction->End(why); }).join();
    } else {
      Pending pending(executor_, *transaction, running);
      executor_.RunUntilIdle();
      std::thread([&] { transaction->End(why); }).join();
      EXPECT_EQ(pending.Wait().status(), why);
    }
    EXPECT_TRUE(RunUntil(executor_, [&] { return StateOf(*transaction) == State::kGone; }));
    EXPECT_EQ(transaction->standing().why, why);
    EXPECT_EQ(In(*transaction, "SELECT 1").status(), why);
    EXPECT_EQ(ReadAll(executor_, *transaction, db::Statement("SELECT 1")).status(), why);
    EXPECT_EQ(Savepoint(*transaction, 1), why);
    EXPECT_EQ(Commit(*transaction), why);
  }
}

TEST_P(ConformanceReadTransaction, ItsCallsMayComeFromAnyExecutor) {
  const auto transaction = BeginReading();
  EXPECT_EQ(Count(*transaction), 3);
  ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
  std::thread([&] {
    const auto reply = Execute(other_, *transaction, "SELECT count(*) FROM number");
    ASSERT_THAT(reply, IsOk());
    EXPECT_EQ(reply->rows(0).values(0).int64_value(), 3);
    EXPECT_THAT(other_.Run(transaction->Commit(nullptr)), IsOk());
  }).join();
}

}  // namespace
}  // namespace sluice::test
