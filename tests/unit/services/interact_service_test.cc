#include "server/services/interact_service.h"

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "server/async/completion.h"
#include "server/async/sleep.h"
#include "server/base/errors.h"
#include "tests/unit/services/transaction_fixture.h"

namespace sluice::services {
namespace {

using ::sluice::test::Fails;
using ::sluice::test::IsOk;

// A client that sends what its test puts in, and can be told to break off.
class PipeSource final : public Source<pb::InteractRequest> {
 public:
  void Put(pb::InteractRequest request) {
    requests_.push_back(std::move(request));
    Wake();
  }

  // No more will come.
  void Close() {
    closed_ = true;
    Wake();
  }

  Task<std::shared_ptr<pb::InteractRequest>> Read() override {
    while (requests_.empty() && !closed_ && !broken_off_) {
      co_await Async<bool>([&](Completion<bool> woken) { waiter_.emplace(std::move(woken)); });
    }
    if (requests_.empty() || broken_off_) co_return nullptr;
    auto request = std::make_shared<pb::InteractRequest>(std::move(requests_.front()));
    requests_.pop_front();
    co_return request;
  }

  void BreakOff() override {
    broken_off_ = true;
    Wake();
  }

  bool complete() const override { return closed_; }

  bool broken_off() const { return broken_off_; }

 private:
  void Wake() {
    if (!waiter_.has_value()) return;
    Completion<bool> woken = *std::move(waiter_);
    waiter_.reset();
    woken.Resolve(true);
  }

  std::deque<pb::InteractRequest> requests_;
  std::optional<Completion<bool>> waiter_;
  bool closed_ = false;
  bool broken_off_ = false;
};

class InteractServiceTest : public TransactionFixture {
 protected:
  using TransactionFixture::TransactionFixture;

  pb::InteractRequest& Add() {
    pb::InteractRequest& request = requests_.emplace_back();
    request.set_call_id(static_cast<int64_t>(requests_.size()));
    return request;
  }

  void AddBegin() { Add().mutable_begin()->set_connection_id("default"); }

  pb::QueryRequest& AddQuery(absl::string_view sql) {
    pb::QueryRequest& query = *Add().mutable_query();
    query.set_sql(std::string(sql));
    return query;
  }

  // The whole conversation: what was added, and then the client's half-close.
  std::vector<pb::InteractResponse> Talk() {
    PipeSource source;
    for (pb::InteractRequest& request : requests_) source.Put(request);
    source.Close();
    status_ = executor_.Run(interact_.Interact(ctx_, source, sink_));
    return sink_.messages;
  }

  std::deque<pb::InteractRequest> requests_;
  CollectingSink<pb::InteractResponse> sink_;
  absl::Status status_;
};

TEST_F(InteractServiceTest, EachRequestIsAnsweredInOrderUnderItsNumber) {
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  AddQuery("SELECT id, name FROM item");
  Add().mutable_commit();
  const auto answers = Talk();
  EXPECT_THAT(status_, IsOk());
  ASSERT_EQ(answers.size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(answers[i].call_id(), static_cast<int64_t>(i + 1));
  EXPECT_TRUE(answers[0].has_done());
  EXPECT_EQ(answers[0].transaction().transaction_id(), "");
  EXPECT_EQ(answers[0].transaction().state(), pb::TRANSACTION_STATE_ACTIVE);
  EXPECT_EQ(answers[1].query().rows_affected(), 1);
  ASSERT_EQ(answers[2].query().rows_size(), 1);
  EXPECT_EQ(answers[2].query().columns_size(), 2);
  EXPECT_EQ(answers[2].query().rows(0).values(1).string_value(), "a");
  EXPECT_EQ(answers[3].transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 1);
}

TEST_F(InteractServiceTest, BeginAndCommitRideInsideStatements) {
  pb::QueryRequest& first = AddQuery("INSERT INTO item VALUES (1, 'a')");
  first.set_connection_id("default");
  first.mutable_transaction()->mutable_begin();
  pb::ExecuteBatchRequest& last = *Add().mutable_batch();
  last.add_steps()->set_sql("INSERT INTO item VALUES (2, 'b')");
  last.mutable_transaction()->set_commit(true);
  const auto answers = Talk();
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_EQ(answers[1].batch().rows_affected(), 1);
  EXPECT_EQ(answers[1].transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 2);
}

TEST_F(InteractServiceTest, TheEndOfTheStreamRollsBack) {
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  Talk();
  EXPECT_THAT(status_, IsOk());
  EXPECT_EQ(Count(), 0);
  EXPECT_EQ(transactions_.open(), 0);
}

TEST_F(InteractServiceTest, AFailureIsAnAnswerAndTheStreamGoesOn) {
  AddBegin();
  AddQuery("INSERT INTO nowhere VALUES (1)");
  AddQuery("SELECT 1");
  Add().mutable_rollback();
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  Add().mutable_commit();
  const auto answers = Talk();
  ASSERT_EQ(answers.size(), 7u);
  EXPECT_EQ(answers[1].error().reason(), "SQL_ERROR");
  EXPECT_EQ(answers[1].error().metadata().at("transaction_state"), "FAILED");
  EXPECT_EQ(answers[2].error().reason(), "TRANSACTION_FAILED");
  EXPECT_EQ(answers[3].transaction().state(), pb::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_TRUE(answers[4].has_done());
  EXPECT_EQ(answers[6].transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 1);
}

TEST_F(InteractServiceTest, SavepointsWorkInIt) {
  AddBegin();
  Add().mutable_savepoint()->set_name("s");
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  Add().mutable_rollback_to_savepoint()->set_name("s");
  Add().mutable_release_savepoint()->set_name("s");
  Add().mutable_keep_alive();
  Add().mutable_commit();
  const auto answers = Talk();
  ASSERT_EQ(answers.size(), 7u);
  for (const size_t done : {1, 3, 4, 5, 6}) EXPECT_TRUE(answers[done].has_done()) << done;
  EXPECT_EQ(Count(), 0);
}

TEST_F(InteractServiceTest, WhatHasNoPlaceInAStreamIsRefused) {
  AddQuery("SELECT 1");
  Add().mutable_commit();
  Add();
  AddBegin();
  AddBegin();
  Add().mutable_rollback();
  AddBegin();
  AddQuery("SELECT 1").mutable_transaction()->set_transaction_id("txn_other");
  Add().mutable_rollback();
  AddBegin();
  AddQuery("SELECT 1").set_connection_id("second");
  const auto answers = Talk();
  ASSERT_EQ(answers.size(), 11u);
  for (const size_t refused : {0, 1, 2, 4, 7, 10}) {
    EXPECT_EQ(answers[refused].error().reason(), "PARAMETER_INVALID") << refused;
  }
}

TEST_F(InteractServiceTest, NoCommitFollowsOnWhatWasRefused) {
  AddBegin();
  AddQuery("INSERT INTO item VALUES (?, 'a')");
  AddQuery("INSERT INTO item VALUES (2, 'b')");
  Add().mutable_commit();
  const auto answers = Talk();
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[1].error().reason(), "PARAMETER_INVALID");
  EXPECT_EQ(answers[1].transaction().state(), pb::TRANSACTION_STATE_FAILED);
  EXPECT_EQ(answers[2].error().reason(), "TRANSACTION_FAILED");
  EXPECT_EQ(answers[3].error().reason(), "TRANSACTION_FAILED");
  EXPECT_EQ(Count(), 0);
}

TEST_F(InteractServiceTest, ASavepointCuresWhatWasRefused) {
  AddBegin();
  Add().mutable_savepoint()->set_name("s");
  AddQuery("INSERT INTO item VALUES (?, 'a')");
  AddQuery("INSERT INTO item VALUES (2, 'b')");
  Add().mutable_rollback_to_savepoint()->set_name("s");
  AddQuery("INSERT INTO item VALUES (3, 'c')");
  Add().mutable_commit();
  const auto answers = Talk();
  ASSERT_EQ(answers.size(), 7u);
  EXPECT_EQ(answers[3].error().reason(), "TRANSACTION_FAILED");
  EXPECT_EQ(answers[4].transaction().state(), pb::TRANSACTION_STATE_ACTIVE);
  EXPECT_EQ(Number("SELECT sum(id) FROM item"), 3);
}

TEST_F(InteractServiceTest, ACommitWithARequestIdHasAnOutcome) {
  constexpr char kId[] = "5f0c2a52-6d0e-4b0e-9d0a-3f6f4a1f2b11";
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  Add().mutable_commit()->set_request_id(kId);
  Talk();
  EXPECT_EQ(Outcome(kId), pb::TRANSACTION_OUTCOME_COMMITTED);
}

// What a test does while the conversation goes on.
class OpenConversation : public InteractServiceTest {
 protected:
  OpenConversation() : InteractServiceTest(Settings()) {}

  static db::SqliteSettings Settings() {
    db::SqliteSettings settings;
    settings.writer_idle = absl::Seconds(60);
    return settings;
  }

  void Start() { executor_.Start(Store(interact_.Interact(call(), source_, sink_), status_)); }

  // Carries it on until so many answers are there.
  void AwaitAnswers(size_t count) {
    while (sink_.messages.size() < count) executor_.Run(Pause());
  }

  void AwaitEnd() {
    while (status_.code() == absl::StatusCode::kUnknown) executor_.Run(Pause());
  }

  Task<void> Pause() { co_await SleepFor(ctx_, absl::Milliseconds(1)); }

  const Context& call() {
    call_ = scope_.MakeContext(absl::InfiniteFuture(), "");
    return call_;
  }

  CallScope scope_;
  Context call_;
  PipeSource source_;
};

constexpr char kEndless[] =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

TEST_F(OpenConversation, ARequestThatRunsIsCancelled) {
  status_ = absl::UnknownError("goes on");
  Start();
  AddBegin();
  AddQuery(kEndless);
  AddQuery("SELECT 1");
  for (const pb::InteractRequest& request : requests_) source_.Put(request);
  AwaitAnswers(1);
  pb::InteractRequest cancel;
  cancel.mutable_cancel()->set_call_id(2);
  source_.Put(cancel);
  AwaitAnswers(3);
  EXPECT_EQ(sink_.messages[1].error().reason(), "CALL_CANCELLED");
  EXPECT_EQ(sink_.messages[1].transaction().state(), pb::TRANSACTION_STATE_FAILED);
  EXPECT_EQ(sink_.messages[2].error().reason(), "TRANSACTION_FAILED");
  source_.Close();
  AwaitEnd();
  EXPECT_THAT(status_, IsOk());
}

TEST_F(OpenConversation, ARequestThatWaitsIsCancelledAndWhatFollowsDoesNotRun) {
  status_ = absl::UnknownError("goes on");
  Start();
  AddBegin();
  AddQuery(
      "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) "
      "SELECT count(*) FROM n");
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  AddQuery("SELECT count(*) FROM item");
  for (const pb::InteractRequest& request : requests_) source_.Put(request);
  pb::InteractRequest cancel;
  cancel.mutable_cancel()->set_call_id(3);
  source_.Put(cancel);
  AwaitAnswers(4);
  EXPECT_TRUE(sink_.messages[1].has_query());
  EXPECT_EQ(sink_.messages[2].error().reason(), "CALL_CANCELLED");
  EXPECT_EQ(sink_.messages[2].error().metadata().at("executed"), "no");
  EXPECT_EQ(sink_.messages[2].transaction().state(), pb::TRANSACTION_STATE_FAILED);
  EXPECT_EQ(sink_.messages[3].error().reason(), "TRANSACTION_FAILED");
  source_.Close();
  AwaitEnd();
}

TEST_F(OpenConversation, TheEndOfItsLeaseEndsTheStream) {
  status_ = absl::UnknownError("goes on");
  Start();
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  for (const pb::InteractRequest& request : requests_) source_.Put(request);
  AwaitAnswers(2);
  for (const auto& transaction : transactions_.List()) {
    transaction->End(errors::TransactionExpired("Its time was over"),
                     core::TransactionState::kExpired);
  }
  AwaitEnd();
  EXPECT_THAT(status_, Fails(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_EQ(errors::MetadataOf(status_, "transaction_state"), "EXPIRED");
  EXPECT_TRUE(source_.broken_off());
  EXPECT_EQ(Count(), 0);
}

TEST_F(OpenConversation, ACallThatIsCancelledRollsBack) {
  status_ = absl::UnknownError("goes on");
  Start();
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  AddQuery(kEndless);
  for (const pb::InteractRequest& request : requests_) source_.Put(request);
  AwaitAnswers(2);
  scope_.Stop(StopCause::kCancelled);
  source_.BreakOff();
  AwaitEnd();
  EXPECT_THAT(status_, Fails(absl::StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_EQ(transactions_.open(), 0);
  EXPECT_EQ(Count(), 0);
}

TEST_F(OpenConversation, ADrainEndsOneWithoutATransactionAtOnce) {
  status_ = absl::UnknownError("goes on");
  Start();
  transactions_.Drain();
  AwaitEnd();
  EXPECT_THAT(status_, Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
}

TEST_F(OpenConversation, ADrainLetsOneFinishItsTransaction) {
  status_ = absl::UnknownError("goes on");
  Start();
  AddBegin();
  AddQuery("INSERT INTO item VALUES (1, 'a')");
  for (const pb::InteractRequest& request : requests_) source_.Put(request);
  AwaitAnswers(2);
  transactions_.Drain();
  pb::InteractRequest commit;
  commit.mutable_commit();
  source_.Put(commit);
  AwaitEnd();
  EXPECT_THAT(status_, IsOk());  // UNAVAILABLE would say that nothing of it was applied
  EXPECT_EQ(sink_.messages[2].transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 1);
}

}  // namespace
}  // namespace sluice::services
