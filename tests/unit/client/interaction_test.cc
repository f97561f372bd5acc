#include "client/interaction.h"

#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "client/errors.h"
#include "client/values.h"

namespace sluice::client {
namespace {

// The other side, which answers each request at once. Outlives the ends.
struct Peer {
  std::vector<v1::InteractRequest> requests;
  std::deque<v1::InteractResponse> responses;
  size_t most_waiting = 0;  // answers that were not read, at most
  size_t accept = 1000;     // requests, before the stream ends
  bool closed = false;
  bool cancelled = false;
  absl::Status status;

  void Take(const v1::InteractRequest& request) {
    requests.push_back(request);
    if (request.has_cancel()) return;
    v1::InteractResponse response;
    response.set_call_id(request.call_id());
    response.mutable_transaction()->set_state(request.has_commit() ? v1::TRANSACTION_STATE_COMMITTED
                                                                   : v1::TRANSACTION_STATE_ACTIVE);
    if (request.has_query() && request.query().sql() == "bad") {
      response.mutable_transaction()->set_state(v1::TRANSACTION_STATE_FAILED);
      response.mutable_error()->set_code(3);
      response.mutable_error()->set_message("syntax");
      response.mutable_error()->set_reason("SQL_ERROR");
      (*response.mutable_error()->mutable_metadata())["executed"] = "no";
      response.mutable_error()->mutable_sql()->set_position(7);
    } else if (request.has_query()) {
      response.mutable_query()->set_command_tag(request.query().sql());
    } else if (request.has_batch()) {
      response.mutable_batch()->set_attempts(1);
    } else {
      response.mutable_done();
    }
    responses.push_back(response);
    most_waiting = std::max(most_waiting, responses.size());
  }

  bool Over() const { return cancelled || closed || requests.size() >= accept; }
};

class ListEnds final : public InteractionEnds {
 public:
  explicit ListEnds(Peer& peer) : peer_(peer) {}

  bool Write(const v1::InteractRequest& request) override {
    EXPECT_FALSE(peer_.closed) << "written after the end";
    EXPECT_FALSE(finished_);
    if (peer_.Over()) return false;
    peer_.Take(request);
    return true;
  }

  void WritesDone() override { peer_.closed = true; }

  bool Read(v1::InteractResponse* response) override {
    if (peer_.cancelled || peer_.responses.empty()) {
      EXPECT_TRUE(peer_.Over()) << "it would wait for ever";
      return false;
    }
    *response = peer_.responses.front();
    peer_.responses.pop_front();
    return true;
  }

  absl::Status Finish() override {
    EXPECT_FALSE(finished_);
    finished_ = true;
    return peer_.cancelled ? absl::CancelledError("cancelled") : peer_.status;
  }

  void Cancel() override { peer_.cancelled = true; }

 private:
  Peer& peer_;
  bool finished_ = false;
};

std::string ReasonOf(const absl::Status& status) {
  return DecodeError(status).reason;
}

v1::InteractRequest Statement(const std::string& sql) {
  v1::InteractRequest request;
  request.mutable_query()->set_sql(sql);
  return request;
}

TEST(ClientInteraction, EachStepWaitsForItsAnswer) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  v1::TransactionOptions options;
  options.set_label("nightly");
  EXPECT_TRUE(talk.Begin("conn_1", options).ok());
  EXPECT_EQ(talk.Query(MakeQuery("SELECT 1"))->command_tag(), "SELECT 1");
  EXPECT_EQ(talk.ExecuteBatch({})->attempts(), 1);
  EXPECT_TRUE(talk.Savepoint("a").ok());
  EXPECT_TRUE(talk.RollbackTo("a").ok());
  EXPECT_TRUE(talk.Release("a").ok());
  EXPECT_TRUE(talk.KeepAlive().ok());
  EXPECT_EQ(talk.Standing().state(), v1::TRANSACTION_STATE_ACTIVE);
  EXPECT_TRUE(talk.Commit("id").ok());
  EXPECT_EQ(talk.Standing().state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_TRUE(talk.Rollback().ok());
  ASSERT_EQ(peer.requests.size(), 9U);
  EXPECT_EQ(peer.requests[0].begin().connection_id(), "conn_1");
  EXPECT_EQ(peer.requests[0].begin().options().label(), "nightly");
  EXPECT_EQ(peer.requests[3].savepoint().name(), "a");
  EXPECT_EQ(peer.requests[4].rollback_to_savepoint().name(), "a");
  EXPECT_EQ(peer.requests[5].release_savepoint().name(), "a");
  EXPECT_EQ(peer.requests[7].commit().request_id(), "id");
  for (size_t i = 0; i < peer.requests.size(); ++i) {
    EXPECT_EQ(peer.requests[i].call_id(), static_cast<int64_t>(i + 1));
  }
}

TEST(ClientInteraction, AStatementNamesAConnectionOnlyToBegin) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  v1::QueryRequest first = MakeQuery("SELECT 1");
  first.mutable_transaction()->mutable_begin();
  ASSERT_TRUE(talk.Query(first).ok());
  ASSERT_TRUE(talk.Query(MakeQuery("SELECT 2")).ok());
  EXPECT_EQ(peer.requests[0].query().connection_id(), "default");
  EXPECT_EQ(peer.requests[1].query().connection_id(), "");
}

TEST(ClientInteraction, AFailureIsAStatusWithAllItsFactsAndTheStreamGoesOn) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  const auto result = talk.Query(MakeQuery("bad"));
  const Error error = DecodeError(result.status());
  EXPECT_EQ(error.code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error.message, "syntax");
  EXPECT_EQ(error.reason, "SQL_ERROR");
  EXPECT_EQ(error.executed, Executed::kNo);
  ASSERT_TRUE(error.sql.has_value());
  EXPECT_EQ(error.sql->position(), 7);
  EXPECT_EQ(talk.Standing().state(), v1::TRANSACTION_STATE_FAILED);
  EXPECT_TRUE(talk.Rollback().ok());
}

TEST(ClientInteraction, RequestsMayBeSentAhead) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  const auto first = talk.Send(Statement("a"));
  const auto second = talk.Send(Statement("bad"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(*first, *second);
  EXPECT_EQ(talk.Next()->call_id(), *first);
  const auto failed = talk.Next();
  EXPECT_EQ(failed->call_id(), *second);
  EXPECT_TRUE(failed->has_error()) << "an answer like any other";
  EXPECT_EQ(ReasonOf(talk.Next().status()), "NOTHING_SENT");
}

TEST(ClientInteraction, AStepKeepsTheAnswersBeforeItsOwn) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  ASSERT_TRUE(talk.Send(Statement("a")).ok());
  ASSERT_TRUE(talk.Send(Statement("b")).ok());
  EXPECT_EQ(talk.Query(MakeQuery("c"))->command_tag(), "c");
  EXPECT_EQ(talk.Next()->query().command_tag(), "a");
  EXPECT_EQ(talk.Next()->query().command_tag(), "b");
  EXPECT_EQ(ReasonOf(talk.Next().status()), "NOTHING_SENT");
}

TEST(ClientInteraction, NoMoreAreUnderWayThanTheServerTakes) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  constexpr int kRequests = 100;
  for (int i = 0; i < kRequests; ++i) ASSERT_TRUE(talk.Send(Statement(std::to_string(i))).ok());
  EXPECT_EQ(peer.most_waiting, static_cast<size_t>(kMaxAhead));
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(talk.Next()->query().command_tag(), std::to_string(i));
  }
}

TEST(ClientInteraction, CancelNamesTheRequestAndHasNoAnswer) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  const auto sent = talk.Send(Statement("a"));
  std::thread([&] { talk.Cancel(*sent); }).join();
  ASSERT_EQ(peer.requests.size(), 2U);
  EXPECT_EQ(peer.requests[1].cancel().call_id(), *sent);
  EXPECT_TRUE(talk.Next().ok());
  EXPECT_EQ(ReasonOf(talk.Next().status()), "NOTHING_SENT");
}

TEST(ClientInteraction, ACancelThatIsSentLikeARequestHasNoAnswerEither) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  v1::InteractRequest cancel;
  cancel.mutable_cancel()->set_call_id(7);
  ASSERT_TRUE(talk.Send(cancel).ok());
  EXPECT_EQ(ReasonOf(talk.Next().status()), "NOTHING_SENT");
}

TEST(ClientInteraction, StoppingAStepCancelsIt) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(talk.Query(MakeQuery("a"), stop.get_token()).ok()) << "it was done already";
  ASSERT_EQ(peer.requests.size(), 2U);
  EXPECT_EQ(peer.requests[1].cancel().call_id(), peer.requests[0].call_id());
}

TEST(ClientInteraction, ClosingReadsWhatIsDue) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  ASSERT_TRUE(talk.Send(Statement("a")).ok());
  EXPECT_TRUE(talk.Close().ok());
  EXPECT_TRUE(talk.Close().ok());
  EXPECT_EQ(talk.Next()->query().command_tag(), "a");
  EXPECT_EQ(ReasonOf(talk.Next().status()), "INTERACTION_CLOSED");
  EXPECT_EQ(ReasonOf(talk.Commit()), "INTERACTION_CLOSED");
  talk.Cancel(1);
  EXPECT_EQ(peer.requests.size(), 1U);
  EXPECT_FALSE(peer.cancelled);
}

TEST(ClientInteraction, TheEndOfTheStreamIsToldByWhateverComesNext) {
  Peer peer;
  peer.accept = 2;
  peer.status = LocalError(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED", Executed::kRolledBack,
                           "too late");
  Interaction talk(std::make_unique<ListEnds>(peer));
  ASSERT_TRUE(talk.Begin("default").ok());
  ASSERT_TRUE(talk.Send(Statement("a")).ok());
  EXPECT_EQ(talk.Query(MakeQuery("b")).status(), peer.status);
  EXPECT_EQ(talk.Next()->query().command_tag(), "a") << "it was answered before";
  EXPECT_EQ(talk.Next().status(), peer.status);
  EXPECT_EQ(talk.Commit(), peer.status);
  EXPECT_EQ(talk.Close(), peer.status);
}

TEST(ClientInteraction, AnEndWithoutAnAnswerLeavesItUnknown) {
  Peer peer;
  Interaction talk(std::make_unique<ListEnds>(peer));
  ASSERT_TRUE(talk.Send(Statement("a")).ok());
  peer.responses.clear();
  peer.accept = 1;
  const absl::Status status = talk.Next().status();
  EXPECT_EQ(ReasonOf(status), "INTERACTION_CLOSED");
  EXPECT_EQ(DecodeError(status).executed, Executed::kUnknown);
}

TEST(ClientInteraction, LeavingItCancelsTheStream) {
  Peer peer;
  {
    Interaction talk(std::make_unique<ListEnds>(peer));
    ASSERT_TRUE(talk.Begin("default").ok());
  }
  EXPECT_TRUE(peer.cancelled);
}

}  // namespace
}  // namespace sluice::client
