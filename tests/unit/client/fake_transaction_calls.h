// A server as transactions see it, in a test.
#ifndef SLUICE_TESTS_UNIT_CLIENT_FAKE_TRANSACTION_CALLS_H_
#define SLUICE_TESTS_UNIT_CLIENT_FAKE_TRANSACTION_CALLS_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

#include "client/errors.h"
#include "client/transaction_calls.h"

namespace sluice::client {

// What one call is answered with.
struct Reply {
  absl::Status status;
  v1::TransactionStatus transaction;
  v1::TransactionOutcome outcome = v1::TRANSACTION_OUTCOME_UNSPECIFIED;
  absl::Duration takes = absl::ZeroDuration();
};

inline Reply Stands(v1::TransactionState state) {
  Reply reply;
  reply.transaction.set_state(state);
  reply.transaction.set_handle("tx_1");
  const bool open = state == v1::TRANSACTION_STATE_ACTIVE || state == v1::TRANSACTION_STATE_FAILED;
  if (!open) return reply;
  reply.transaction.set_transaction_id("txn_1");
  reply.transaction.mutable_expires_in()->set_seconds(3600);
  return reply;
}

inline Reply Active() {
  return Stands(v1::TRANSACTION_STATE_ACTIVE);
}

inline Reply Committed() {
  return Stands(v1::TRANSACTION_STATE_COMMITTED);
}

inline Reply RolledBack() {
  return Stands(v1::TRANSACTION_STATE_ROLLED_BACK);
}

// An error of the server's; `state` as its metadata have it, if they do.
inline Reply Fails(absl::StatusCode code,
                   const std::string& reason,
                   Executed executed,
                   const std::string& state = "") {
  std::map<std::string, std::string> facts;
  if (!state.empty()) facts["transaction_state"] = state;
  Reply reply;
  reply.status = LocalError(code, reason, executed, reason, facts);
  return reply;
}

inline Reply Conflict() {
  return Fails(absl::StatusCode::kAborted, "SERIALIZATION_FAILURE", Executed::kRolledBack,
               "ROLLED_BACK");
}

// The connection broke: whether the call was executed is not known.
inline Reply Lost(absl::Duration takes = absl::ZeroDuration()) {
  Reply reply;
  reply.status = absl::UnavailableError("Socket closed");
  reply.takes = takes;
  return reply;
}

inline Reply Outcome(v1::TransactionOutcome outcome) {
  Reply reply;
  reply.outcome = outcome;
  return reply;
}

// Answers calls from a list, in order, and keeps a line of what each asked: `query txn_1 commit
// #1`, where #1 is the first request_id that was seen. Time passes only in pauses and as replies
// say.
class FakeCalls final : public TransactionCalls {
 public:
  explicit FakeCalls(std::vector<Reply> replies) {
    replies_.insert(replies_.end(), replies.begin(), replies.end());
  }

  std::vector<std::string> asked;
  std::vector<absl::Duration> pauses;
  std::vector<CallOptions> options;  // of each call
  bool stream_cancelled = false;
  bool stop_at_pause = false;  // stop is requested while it pauses

  size_t RepliesLeft() const { return replies_.size(); }

  void Add(const Reply& reply) { replies_.push_back(reply); }

  absl::StatusOr<v1::QueryResponse> Query(const v1::QueryRequest& request,
                                          const CallOptions& call) override {
    return Answer<v1::QueryResponse>("query", request, call);
  }

  absl::StatusOr<v1::ExecuteBatchResponse> ExecuteBatch(const v1::ExecuteBatchRequest& request,
                                                        const CallOptions& call) override {
    return Answer<v1::ExecuteBatchResponse>("batch", request, call);
  }

  std::unique_ptr<MessageSource> StreamQuery(const v1::StreamQueryRequest& request,
                                             const CallOptions& call) override {
    Ask("stream", Of(request), call);
    return std::make_unique<Source>(*this);
  }

  std::unique_ptr<ChunkSink> BulkInsert(const CallOptions& call) override {
    Ask("load", "", call);
    return std::make_unique<Sink>(*this);
  }

  absl::StatusOr<v1::BeginTransactionResponse> Begin(const v1::BeginTransactionRequest& request,
                                                     const CallOptions& call) override {
    return AnswerTo<v1::BeginTransactionResponse>("begin", request.connection_id(), call);
  }

  absl::StatusOr<v1::CommitTransactionResponse> Commit(const v1::CommitTransactionRequest& request,
                                                       const CallOptions& call) override {
    return AnswerTo<v1::CommitTransactionResponse>(
        "commit", absl::StrCat(request.transaction_id(), Number(request.request_id())), call);
  }

  absl::StatusOr<v1::RollbackTransactionResponse> Rollback(
      const v1::RollbackTransactionRequest& request, const CallOptions& call) override {
    return AnswerTo<v1::RollbackTransactionResponse>("rollback", request.transaction_id(), call);
  }

  absl::StatusOr<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                                  const CallOptions& call) override {
    return AnswerTo<v1::SavepointResponse>(
        "savepoint", absl::StrCat(request.transaction_id(), " ", request.name()), call);
  }

  absl::StatusOr<v1::RollbackToSavepointResponse> RollbackTo(
      const v1::RollbackToSavepointRequest& request, const CallOptions& call) override {
    return AnswerTo<v1::RollbackToSavepointResponse>(
        "rollback to", absl::StrCat(request.transaction_id(), " ", request.name()), call);
  }

  absl::StatusOr<v1::ReleaseSavepointResponse> Release(const v1::ReleaseSavepointRequest& request,
                                                       const CallOptions& call) override {
    return AnswerTo<v1::ReleaseSavepointResponse>(
        "release", absl::StrCat(request.transaction_id(), " ", request.name()), call);
  }

  absl::StatusOr<v1::KeepAliveResponse> KeepAlive(const v1::KeepAliveRequest& request,
                                                  const CallOptions& call) override {
    return AnswerTo<v1::KeepAliveResponse>("keep", request.transaction_id(), call);
  }

  absl::StatusOr<v1::GetTransactionOutcomeResponse> GetOutcome(
      const v1::GetTransactionOutcomeRequest& request, const CallOptions& call) override {
    Ask("outcome",
        request.has_request_id() ? Number(request.request_id()).substr(1)
                                 : request.transaction_id(),
        call);
    const Reply reply = Next();
    if (!reply.status.ok()) return reply.status;
    v1::GetTransactionOutcomeResponse response;
    response.set_outcome(reply.outcome);
    return response;
  }

  absl::Time Now() override { return now_; }

  absl::Duration DefaultTimeout() override { return absl::Seconds(60); }

  bool Pause(absl::Duration duration, const std::stop_token& stop) override {
    pauses.push_back(duration);
    now_ += duration;
    return !stop_at_pause && !stop.stop_requested();
  }

  double Random() override { return 1; }

 private:
  // A result without rows.
  class Source final : public MessageSource {
   public:
    explicit Source(FakeCalls& calls) : calls_(calls) {}

    bool Read(v1::StreamQueryResponse* message) override {
      *message = {};
      if (calls_.stream_cancelled || read_ == 2) return false;
      ++read_;
      if (read_ == 1) {
        message->set_has_columns(true);
        return true;
      }
      reply_ = calls_.Next();
      message->set_last(true);
      *message->mutable_transaction() = reply_.transaction;
      return reply_.status.ok();
    }

    absl::Status Finish() override {
      return calls_.stream_cancelled ? absl::CancelledError("cancelled") : reply_.status;
    }

    void Cancel() override { calls_.stream_cancelled = true; }

   private:
    FakeCalls& calls_;
    Reply reply_;
    int read_ = 0;
  };

  class Sink final : public ChunkSink {
   public:
    explicit Sink(FakeCalls& calls) : calls_(calls) {}

    bool Write(std::string message) override { return header_.MergeFromString(message); }

    absl::StatusOr<v1::BulkInsertResponse> Finish() override {
      if (calls_.stream_cancelled) return absl::CancelledError("cancelled");
      calls_.asked.back() += Of(header_);
      const Reply reply = calls_.Next();
      if (!reply.status.ok()) return reply.status;
      v1::BulkInsertResponse response;
      *response.mutable_transaction() = reply.transaction;
      return response;
    }

    void Cancel() override { calls_.stream_cancelled = true; }

   private:
    FakeCalls& calls_;
    v1::BulkInsertRequest header_;
  };

  // ` begin commit`.
  template <class Request>
  static std::string Of(const Request& request) {
    const v1::TransactionSelector& selector = request.transaction();
    return absl::StrCat(selector.has_begin() ? absl::StrCat(" begin ", request.connection_id())
                                             : absl::StrCat(" ", selector.transaction_id()),
                        selector.commit() ? " commit" : "");
  }

  // ` #1` for the first id; nothing for none.
  std::string Number(const std::string& request_id) {
    if (request_id.empty()) return "";
    return absl::StrCat(" #", numbers_.try_emplace(request_id, numbers_.size() + 1).first->second);
  }

  void Ask(const std::string& what, const std::string& about, const CallOptions& call) {
    asked.push_back(absl::StrCat(what, about.empty() || about[0] == ' ' ? "" : " ", about));
    options.push_back(call);
  }

  Reply Next() {
    if (replies_.empty()) {
      ADD_FAILURE() << "nobody expected `" << asked.back() << "`";
      return {absl::InternalError("not expected"), {}, {}, {}};
    }
    Reply reply = replies_.front();
    replies_.pop_front();
    now_ += reply.takes;
    return reply;
  }

  template <class Response>
  absl::StatusOr<Response> AnswerTo(const std::string& what,
                                    const std::string& about,
                                    const CallOptions& call) {
    Ask(what, about, call);
    const Reply reply = Next();
    if (!reply.status.ok()) return reply.status;
    Response response;
    *response.mutable_transaction() = reply.transaction;
    return response;
  }

  template <class Response, class Request>
  absl::StatusOr<Response> Answer(const std::string& what,
                                  const Request& request,
                                  const CallOptions& call) {
    return AnswerTo<Response>(what, absl::StrCat(Of(request), Number(request.request_id())), call);
  }

  std::deque<Reply> replies_;
  std::map<std::string, size_t> numbers_;  // of request ids
  absl::Time now_ = absl::FromUnixSeconds(1'000'000'000);
};

}  // namespace sluice::client

#endif  // SLUICE_TESTS_UNIT_CLIENT_FAKE_TRANSACTION_CALLS_H_
