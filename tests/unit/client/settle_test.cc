// What Transaction::Commit, and statements that commit, make of answers that are lost.
#include "client/settle.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/transaction.h"
#include "client/values.h"
#include "tests/unit/client/fake_transaction_calls.h"

namespace sluice::client {
namespace {

using ::testing::ElementsAre;

std::string ReasonOf(const absl::Status& status) {
  return DecodeError(status).reason;
}

// A transaction with one statement, whose COMMIT is answered as the list says.
struct Case {
  std::shared_ptr<FakeCalls> server;
  Transaction transaction;

  explicit Case(std::vector<Reply> replies)
      : server(std::make_shared<FakeCalls>(std::vector<Reply>{Active()})), transaction(server, {}) {
    EXPECT_TRUE(transaction.Query(MakeQuery("UPDATE t SET a = 1")).ok());
    server->asked.clear();
    for (const Reply& reply : replies) server->Add(reply);
  }

  // One that is open is rolled back by its destructor.
  ~Case() {
    EXPECT_EQ(server->RepliesLeft(), 0U);
    server->Add(RolledBack());
  }

  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;
};

const Reply kRunning = Outcome(v1::TRANSACTION_OUTCOME_PENDING);
const Reply kIsCommitted = Outcome(v1::TRANSACTION_OUTCOME_COMMITTED);
const Reply kIsRolledBack = Outcome(v1::TRANSACTION_OUTCOME_ROLLED_BACK);
const Reply kNobodyKnows = Outcome(v1::TRANSACTION_OUTCOME_UNKNOWN);
const Reply kCommitUnknown =
    Fails(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", Executed::kUnknown, "UNKNOWN");
const Reply kNotFound = Fails(absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND", Executed::kNo);

TEST(Settle, ALostAnswerIsAskedForAgainWithTheSameId) {
  Case one({Lost(), Lost(), Committed()});
  EXPECT_TRUE(one.transaction.Commit().ok());
  EXPECT_THAT(one.server->asked,
              ElementsAre("commit txn_1 #1", "commit txn_1 #1", "commit txn_1 #1"));
  EXPECT_THAT(one.server->pauses, ElementsAre(absl::Milliseconds(50), absl::Milliseconds(100)));
  EXPECT_TRUE(one.transaction.Done());
}

TEST(Settle, AnErrorOfCommitItselfIsFinal) {
  for (const Reply& failure : {Conflict(), Fails(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                                                 Executed::kRolledBack, "ROLLED_BACK")}) {
    Case one({failure});
    EXPECT_EQ(one.transaction.Commit(), failure.status);
    EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
    EXPECT_EQ(one.server->asked.size(), 1U);
  }
}

TEST(Settle, ACommitThatNeverLeftMayBeTriedAgain) {
  Case one({Fails(absl::StatusCode::kUnavailable, "", Executed::kNo), Committed()});
  EXPECT_EQ(one.transaction.Commit().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_ACTIVE);
  EXPECT_TRUE(one.transaction.Commit().ok());
}

TEST(Settle, ARepeatThatIsTheRealOneTellsWhyItFailed) {
  const Reply conflict = Conflict();
  Case one({Lost(), conflict});
  EXPECT_EQ(one.transaction.Commit(), conflict.status);
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
}

TEST(Settle, OneThatWasFoundRolledBackIsAborted) {
  Case one({Lost(), Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                          Executed::kNo, "ROLLED_BACK")});
  const absl::Status status = one.transaction.Commit();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(status), "TRANSACTION_ROLLED_BACK");
  EXPECT_EQ(DecodeError(status).executed, Executed::kRolledBack);
}

TEST(Settle, OneThatWasFoundCommittedIs) {
  Case one({Lost(), Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                          Executed::kNo, "COMMITTED")});
  EXPECT_TRUE(one.transaction.Commit().ok());
  EXPECT_TRUE(one.transaction.Done());
}

TEST(Settle, AServerThatForgotTheTransactionIsAskedForTheRequest) {
  Case committed({Lost(), kNotFound, kIsCommitted});
  EXPECT_TRUE(committed.transaction.Commit().ok());
  EXPECT_THAT(committed.server->asked,
              ElementsAre("commit txn_1 #1", "commit txn_1 #1", "outcome #1"));
  Case rolled_back({Lost(), kNotFound, kIsRolledBack});
  EXPECT_EQ(ReasonOf(rolled_back.transaction.Commit()), "TRANSACTION_ROLLED_BACK");
}

TEST(Settle, AnUnknownOutcomeIsAskedFor) {
  Case committed({kCommitUnknown, kIsCommitted});
  EXPECT_TRUE(committed.transaction.Commit().ok());
  EXPECT_THAT(committed.server->asked, ElementsAre("commit txn_1 #1", "outcome #1"));
  Case rolled_back({kCommitUnknown, kRunning, Lost(), kIsRolledBack});
  EXPECT_EQ(ReasonOf(rolled_back.transaction.Commit()), "TRANSACTION_ROLLED_BACK");
  EXPECT_EQ(rolled_back.transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
}

TEST(Settle, WhatNobodyKnowsStaysUnknown) {
  Case one({kCommitUnknown, kNobodyKnows});
  const absl::Status status = one.transaction.Commit();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(ReasonOf(status), "COMMIT_OUTCOME_UNKNOWN");
  EXPECT_EQ(DecodeError(status).executed, Executed::kUnknown);
  EXPECT_EQ(DecodeError(status).metadata.at("request_id").size(), 36U);
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_UNKNOWN);
  EXPECT_FALSE(one.transaction.Done());
}

TEST(Settle, AQuestionThatIsRefusedLeavesItUnknown) {
  Case one(
      {kCommitUnknown, Fails(absl::StatusCode::kNotFound, "CONNECTION_NOT_FOUND", Executed::kNo)});
  EXPECT_EQ(ReasonOf(one.transaction.Commit()), "COMMIT_OUTCOME_UNKNOWN");
}

TEST(Settle, TheDeadlineEndsAsking) {
  Case one({Lost(absl::Seconds(30)), Lost(absl::Seconds(30))});
  EXPECT_EQ(ReasonOf(one.transaction.Commit()), "COMMIT_OUTCOME_UNKNOWN");
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_UNKNOWN);
}

TEST(Settle, AnAttemptLeavesTimeForAnother) {
  Case one({Lost(absl::Seconds(5)), Committed()});
  EXPECT_TRUE(one.transaction.Commit({absl::Seconds(10), {}}).ok());
  EXPECT_EQ(one.server->options[1].timeout, absl::Seconds(5));
  EXPECT_EQ(one.server->options[2].timeout, (absl::Seconds(5) - absl::Milliseconds(50)) / 2);
}

TEST(Settle, ARepeatThatHasToWaitDecidesNothing) {
  const Reply waits =
      Fails(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED", Executed::kNo, "ACTIVE");
  Case one({Lost(), waits, Fails(absl::StatusCode::kUnavailable, "", Executed::kNo), Committed()});
  EXPECT_TRUE(one.transaction.Commit().ok());
}

TEST(Settle, ACommitThatWaitedInVainIsNotSent) {
  Case one({Fails(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED", Executed::kNo, "ACTIVE"),
            Committed()});
  EXPECT_EQ(one.transaction.Commit().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_ACTIVE);
  EXPECT_TRUE(one.transaction.Commit().ok());
}

TEST(Settle, ADeadlineThatHasPassedSendsNothing) {
  Case one({});
  EXPECT_EQ(DecodeError(one.transaction.Commit({absl::ZeroDuration(), {}})).executed,
            Executed::kNo);
  EXPECT_TRUE(one.server->asked.empty());
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_ACTIVE);
}

TEST(Settle, StoppingLeavesItUnknown) {
  Case one({Lost()});
  one.server->stop_at_pause = true;
  EXPECT_EQ(ReasonOf(one.transaction.Commit()), "COMMIT_OUTCOME_UNKNOWN");
}

TEST(Settle, AnotherCommitGoesOnAsking) {
  Case one({kCommitUnknown, kNobodyKnows, Committed()});
  EXPECT_FALSE(one.transaction.Commit().ok());
  EXPECT_TRUE(one.transaction.Commit().ok());
  EXPECT_EQ(one.server->asked.back(), "commit txn_1 #1");
}

TEST(Settle, ACommitThatWasUnknownIsNotTakenForNotSent) {
  Case one({kCommitUnknown, kNobodyKnows, kNotFound, kNobodyKnows});
  EXPECT_FALSE(one.transaction.Commit().ok());
  EXPECT_EQ(ReasonOf(one.transaction.Commit()), "COMMIT_OUTCOME_UNKNOWN");
}

TEST(Settle, RollingBackDecidesToo) {
  Case rolled_back({kCommitUnknown, kNobodyKnows, RolledBack()});
  EXPECT_FALSE(rolled_back.transaction.Commit().ok());
  EXPECT_TRUE(rolled_back.transaction.Rollback().ok());
  EXPECT_EQ(rolled_back.transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);

  Case committed({kCommitUnknown, kNobodyKnows,
                  Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                        Executed::kNo, "COMMITTED")});
  EXPECT_FALSE(committed.transaction.Commit().ok());
  EXPECT_FALSE(committed.transaction.Rollback().ok());
  EXPECT_EQ(committed.transaction.State(), v1::TRANSACTION_STATE_COMMITTED);
}

const v1::QueryRequest kLast = ThenCommit(MakeQuery("UPDATE t SET a = 2"));

TEST(Settle, AStatementThatCommitsIsRepeatedToo) {
  Case one({Lost(), Committed()});
  EXPECT_TRUE(one.transaction.Query(kLast).ok());
  EXPECT_THAT(one.server->asked, ElementsAre("query txn_1 commit #1", "query txn_1 commit #1"));
  EXPECT_EQ(one.server->options.back().timeout, absl::Seconds(60) - absl::Milliseconds(50))
      << "it takes its time: to give it up would end it";
}

TEST(Settle, AStatementKeepsARequestIdOfItsOwn) {
  Case one({Committed()});
  v1::QueryRequest request = kLast;
  request.set_request_id("00000000-0000-4000-8000-000000000000");
  ASSERT_TRUE(one.transaction.Query(request).ok());
  Case reading({Committed()});
  request.clear_request_id();
  request.set_read_only(true);
  ASSERT_TRUE(reading.transaction.Query(request).ok());
  EXPECT_THAT(reading.server->asked, ElementsAre("query txn_1 commit"));
}

TEST(Settle, AStatementThatIsCommittedWithoutItsAnswerSaysSo) {
  Case one({Lost(), Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                          Executed::kNo, "COMMITTED")});
  EXPECT_EQ(ReasonOf(one.transaction.Query(kLast).status()), "ANSWER_LOST");
  EXPECT_TRUE(one.transaction.Done());
}

TEST(Settle, AReplyThatWasTooLargeToKeepMeansCommitted) {
  Reply too_large;
  too_large.status = LocalError(absl::StatusCode::kFailedPrecondition, "REPLAY_TOO_LARGE",
                                Executed::kUnknown, "too large", {{"outcome", "committed"}});
  Case one({Lost(), too_large});
  EXPECT_EQ(ReasonOf(one.transaction.Query(kLast).status()), "ANSWER_LOST");
  EXPECT_TRUE(one.transaction.Done());
}

TEST(Settle, AStatementThatCommitsIsAskedForByItsTransaction) {
  Case one({kCommitUnknown, kIsCommitted});
  EXPECT_EQ(ReasonOf(one.transaction.Query(kLast).status()), "ANSWER_LOST");
  EXPECT_THAT(one.server->asked, ElementsAre("query txn_1 commit #1", "outcome txn_1"));
}

TEST(Settle, AStatementThatBeginsAndCommitsIsAskedForByItsRequest) {
  // What the repeat says is said of another transaction.
  const auto server = std::make_shared<FakeCalls>(std::vector<Reply>{
      Lost(),
      Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR", Executed::kRolledBack, "ROLLED_BACK"),
      kIsRolledBack});
  Transaction transaction(server, {});
  EXPECT_EQ(ReasonOf(transaction.Query(kLast).status()), "SQL_ERROR");
  EXPECT_THAT(server->asked, ElementsAre("query begin default commit #1",
                                         "query begin default commit #1", "outcome #1"));
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
}

TEST(Settle, AStreamThatCommitsIsAskedForByCommit) {
  Case one({Lost(), kRunning, kIsCommitted});
  auto stream = one.transaction.StreamQuery(ThenCommit(MakeStreamQuery("DELETE FROM t")));
  ASSERT_TRUE(stream.ok());
  EXPECT_FALSE((*stream)->Next().ok());
  EXPECT_EQ(one.transaction.State(), v1::TRANSACTION_STATE_UNKNOWN);
  EXPECT_FALSE(one.transaction.Query(kLast).ok());
  EXPECT_TRUE(one.transaction.Commit().ok());
  EXPECT_THAT(one.server->asked,
              ElementsAre("stream txn_1 commit", "outcome txn_1", "outcome txn_1"));
}

TEST(Settle, AStreamThatBeganAndCommittedCannotBeAskedFor) {
  const auto server = std::make_shared<FakeCalls>(std::vector<Reply>{Lost()});
  Transaction transaction(server, {});
  auto stream = transaction.StreamQuery(ThenCommit(MakeStreamQuery("DELETE FROM t")));
  ASSERT_TRUE(stream.ok());
  EXPECT_FALSE((*stream)->Next().ok());
  EXPECT_EQ(ReasonOf(transaction.Commit()), "COMMIT_OUTCOME_UNKNOWN");
  EXPECT_EQ(ReasonOf(transaction.Rollback()), "COMMIT_OUTCOME_UNKNOWN");
  EXPECT_EQ(server->asked.size(), 1U);
}

}  // namespace
}  // namespace sluice::client
