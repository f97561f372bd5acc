#include "client/run_transaction.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"

#include "client/values.h"
#include "tests/unit/client/fake_transaction_calls.h"

namespace sluice::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<FakeCalls> Server(std::vector<Reply> replies) {
  return std::make_shared<FakeCalls>(std::move(replies));
}

const v1::QueryRequest kStatement = MakeQuery("UPDATE t SET a = 1");

// One statement.
absl::Status Write(Transaction& transaction) {
  return transaction.Query(kStatement).status();
}

const Reply kRefused = Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING", Executed::kNo);

TEST(RunTransaction, CommitsWhatTheBodyDid) {
  const auto server = Server({Active(), Committed()});
  EXPECT_TRUE(RunTransaction(server, {}, Write).ok());
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "commit txn_1 #1"));
}

TEST(RunTransaction, LeavesAloneWhatTheBodyEnded) {
  const auto committed = Server({Committed()});
  EXPECT_TRUE(RunTransaction(committed, {}, [](Transaction& transaction) {
                return transaction.Query(ThenCommit(kStatement)).status();
              }).ok());
  EXPECT_EQ(committed->asked.size(), 1U);
  const auto rolled_back = Server({Active(), RolledBack()});
  EXPECT_TRUE(RunTransaction(rolled_back, {}, [](Transaction& transaction) {
                Write(transaction).IgnoreError();
                return transaction.Rollback();
              }).ok());
  EXPECT_THAT(rolled_back->asked, ElementsAre("query begin default", "rollback txn_1"));
  const auto nothing = Server({});
  EXPECT_TRUE(RunTransaction(nothing, {}, [](Transaction&) { return absl::OkStatus(); }).ok());
  EXPECT_THAT(nothing->asked, IsEmpty());
}

TEST(RunTransaction, ABodyThatOverlooksTheEndOfItIsNotOk) {
  const auto server = Server({Conflict()});
  const absl::Status status = RunTransaction(server, {}, [](Transaction& transaction) {
    Write(transaction).IgnoreError();
    return absl::OkStatus();
  });
  EXPECT_EQ(DecodeError(status).reason, "TRANSACTION_FINISHED");
}

TEST(RunTransaction, ABodyThatFailsIsRolledBack) {
  const auto server = Server({Active(), RolledBack()});
  const absl::Status status = RunTransaction(server, {}, [](Transaction& transaction) {
    EXPECT_TRUE(Write(transaction).ok());
    return absl::NotFoundError("no such account");
  });
  EXPECT_EQ(status, absl::NotFoundError("no such account"));
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "rollback txn_1"));
  EXPECT_THAT(server->pauses, IsEmpty());
}

TEST(RunTransaction, AConflictRunsAllOfItAgain) {
  for (const char* reason : {"SERIALIZATION_FAILURE", "DEADLOCK", "LOCK_TIMEOUT"}) {
    const auto server = Server(
        {Active(), Fails(absl::StatusCode::kAborted, reason, Executed::kRolledBack, "ROLLED_BACK"),
         Active(), Active(), Committed()});
    EXPECT_TRUE(RunTransaction(server, {}, [](Transaction& transaction) {
                  const absl::Status status = Write(transaction);
                  return status.ok() ? Write(transaction) : status;
                }).ok());
    EXPECT_THAT(server->asked, ElementsAre("query begin default", "query txn_1",
                                           "query begin default", "query txn_1", "commit txn_1 #1"))
        << reason;
  }
}

TEST(RunTransaction, AConflictAtCommitDoesToo) {
  const auto server = Server({Active(), Conflict(), Active(), Committed()});
  EXPECT_TRUE(RunTransaction(server, {}, Write).ok());
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "commit txn_1 #1",
                                         "query begin default", "commit txn_1 #2"));
}

TEST(RunTransaction, OneThatWasFoundRolledBackIsRunAgain) {
  const Reply gone = Fails(absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND", Executed::kNo);
  const auto server = Server({Active(), Lost(), gone, Outcome(v1::TRANSACTION_OUTCOME_ROLLED_BACK),
                              Active(), Committed()});
  EXPECT_TRUE(RunTransaction(server, {}, Write).ok());
  EXPECT_THAT(server->asked,
              ElementsAre("query begin default", "commit txn_1 #1", "commit txn_1 #1", "outcome #1",
                          "query begin default", "commit txn_1 #2"));
}

TEST(RunTransaction, WhatIsStillOpenIsRolledBackBeforeThePause) {
  const Reply failed =
      Fails(absl::StatusCode::kAborted, "DEADLOCK", Executed::kRolledBack, "FAILED");
  const auto server = Server({Active(), failed, RolledBack(), Active(), Active(), Committed()});
  EXPECT_TRUE(RunTransaction(server, {}, [](Transaction& transaction) {
                const absl::Status status = Write(transaction);
                return status.ok() ? Write(transaction) : status;
              }).ok());
  EXPECT_EQ(server->asked[2], "rollback txn_1");
}

TEST(RunTransaction, WhatNeverRanIsRunAgain) {
  const auto server = Server({kRefused, Active(), Committed()});
  EXPECT_TRUE(RunTransaction(server, {}, Write).ok());
}

TEST(RunTransaction, AttemptsAreBoundedAndPausesGrow) {
  const Reply conflict = Conflict();
  const auto server = Server({conflict, conflict, conflict, conflict, conflict});
  EXPECT_EQ(RunTransaction(server, {}, Write), conflict.status);
  EXPECT_EQ(server->RepliesLeft(), 0U);
  EXPECT_THAT(server->pauses, ElementsAre(absl::Milliseconds(20), absl::Milliseconds(40),
                                          absl::Milliseconds(80), absl::Milliseconds(160)));
}

TEST(RunTransaction, APauseIsAtLeastWhatTheServerAsksFor) {
  google::rpc::RetryInfo asked;
  asked.mutable_retry_delay()->set_seconds(3);
  Reply conflict = Conflict();
  conflict.status.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                             absl::Cord(asked.SerializeAsString()));
  const auto server = Server({conflict, Active(), Committed()});
  EXPECT_TRUE(RunTransaction(server, {}, Write).ok());
  EXPECT_THAT(server->pauses, ElementsAre(absl::Seconds(3) + absl::Milliseconds(20)));
}

TEST(RunTransaction, TheDeadlineIsThatOfAllAttempts) {
  Reply slow = Conflict();
  slow.takes = absl::Seconds(4);
  const auto server = Server({slow, slow, slow});
  RunOptions options;
  options.timeout = absl::Seconds(10);
  EXPECT_EQ(RunTransaction(server, options, Write), slow.status);
  EXPECT_EQ(server->asked.size(), 3U);
  EXPECT_LT(*server->options.back().timeout, absl::Seconds(2));
}

TEST(RunTransaction, OtherFailuresAreFinal) {
  for (const Reply& failure :
       {Fails(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED", Executed::kRolledBack, "EXPIRED"),
        Fails(absl::StatusCode::kAborted, "SQL_ERROR", Executed::kRolledBack, "ROLLED_BACK"),
        Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR", Executed::kRolledBack, "ROLLED_BACK"),
        Fails(absl::StatusCode::kResourceExhausted, "TRANSACTION_LIMIT", Executed::kNo), Lost()}) {
    const auto server = Server({failure});
    EXPECT_EQ(RunTransaction(server, {}, Write), failure.status);
    EXPECT_EQ(server->asked.size(), 1U) << failure.status;
  }
}

TEST(RunTransaction, WhatMayBeCommittedIsNeverRunAgain) {
  const Reply unknown =
      Fails(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", Executed::kUnknown, "UNKNOWN");
  const auto server =
      Server({Active(), unknown, Outcome(v1::TRANSACTION_OUTCOME_UNKNOWN), RolledBack()});
  EXPECT_EQ(DecodeError(RunTransaction(server, {}, Write)).reason, "COMMIT_OUTCOME_UNKNOWN");
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "commit txn_1 #1", "outcome #1",
                                         "rollback txn_1"));
  // Whatever the body says afterwards.
  const auto committed = Server({Committed()});
  EXPECT_FALSE(RunTransaction(committed, {}, [](Transaction& transaction) {
                 EXPECT_TRUE(transaction.Query(ThenCommit(kStatement)).ok());
                 return Conflict().status;
               }).ok());
  EXPECT_EQ(committed->asked.size(), 1U);
}

TEST(RunTransaction, StoppingEndsThePause) {
  const auto server = Server({Conflict()});
  server->stop_at_pause = true;
  const absl::Status status = RunTransaction(server, {}, Write);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(DecodeError(status).executed, Executed::kRolledBack);
}

TEST(RunTransaction, OnlyConflictsAndWhatNeverRanMayRunAgain) {
  EXPECT_TRUE(MayRunAgain(Conflict().status));
  EXPECT_TRUE(MayRunAgain(kRefused.status));
  EXPECT_FALSE(MayRunAgain(Lost().status));
  EXPECT_FALSE(MayRunAgain(absl::AbortedError("of the body's own")));
  EXPECT_FALSE(
      MayRunAgain(Fails(absl::StatusCode::kAborted, "DEADLOCK", Executed::kUnknown).status));
}

}  // namespace
}  // namespace sluice::client
