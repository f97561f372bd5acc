#include "client/transaction.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

#include "client/errors.h"
#include "client/request_id.h"
#include "client/settle.h"
#include "client/tracked_streams.h"
#include "client/transaction_facts.h"

namespace sluice::client {
namespace {

// How long the end of a transaction that was left alone may take; after it, the lease ends it.
constexpr absl::Duration kAbandonTime = absl::Seconds(2);

absl::Status NoSavepoint(absl::string_view name) {
  return LocalError(absl::StatusCode::kFailedPrecondition, "SAVEPOINT_NOT_FOUND", Executed::kNo,
                    absl::StrCat("no statement was run yet, so there is no savepoint ", name));
}

absl::Status AnswerLost() {
  return LocalError(absl::StatusCode::kFailedPrecondition, "ANSWER_LOST", Executed::kUnknown,
                    "the transaction is committed, but the answer of its last statement was lost",
                    {{"outcome", "committed"}});
}

absl::Status OutcomeUnknown() {
  return LocalError(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", Executed::kUnknown,
                    "the transaction may be committed: its only answer was lost");
}

template <class Request>
Request About(const TransactionFacts& facts, const BeginOptions& begin) {
  Request request;
  request.set_transaction_id(facts.Id());
  request.set_connection_id(begin.connection_id);
  return request;
}

}  // namespace

Transaction::Transaction(std::shared_ptr<TransactionCalls> calls, BeginOptions options)
    : calls_(std::move(calls)),
      begin_(std::move(options)),
      facts_(std::make_shared<TransactionFacts>()) {}

Transaction::~Transaction() {
  Abandon();
}

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  calls_ = std::move(other.calls_);
  begin_ = std::move(other.begin_);
  facts_ = std::move(other.facts_);
  commit_id_ = std::move(other.commit_id_);
  question_ = std::move(other.question_);
  rolled_back_ = other.rolled_back_;
  return *this;
}

void Transaction::Abandon() noexcept {
  if (facts_ == nullptr || IsFinished(facts_->State())) return;
  Rollback({kAbandonTime, {}}).IgnoreError();
}

absl::Time Transaction::Deadline(const CallOptions& options) const {
  const absl::Duration timeout = options.timeout.value_or(calls_->DefaultTimeout());
  return std::min(calls_->Now() + timeout, begin_.deadline);
}

CallOptions Transaction::Bounded(const CallOptions& options, bool stream) const {
  CallOptions bounded = options;
  if (!bounded.stop.stop_possible()) bounded.stop = begin_.stop;
  const bool endless = stream && !options.timeout && begin_.deadline == absl::InfiniteFuture();
  if (endless) return bounded;
  const absl::Time end = stream && !options.timeout ? begin_.deadline : Deadline(options);
  bounded.timeout = end - calls_->Now();
  return bounded;
}

v1::GetTransactionOutcomeRequest Transaction::Question(absl::string_view request_id) const {
  v1::GetTransactionOutcomeRequest question;
  question.set_connection_id(begin_.connection_id);
  const std::string id = facts_->Id();
  // A statement that only reads leaves no trace of its request_id, so it is the second choice.
  if (!id.empty()) {
    question.set_transaction_id(id);
  } else if (!request_id.empty()) {
    question.set_request_id(std::string(request_id));
  }
  return question;
}

template <class Request, class Response>
absl::StatusOr<Response> Transaction::Execute(
    Request request,
    const CallOptions& options,
    absl::StatusOr<Response> (TransactionCalls::*call)(const Request&, const CallOptions&)) {
  request.set_connection_id(begin_.connection_id);
  const auto step = facts_->Prepare(begin_.options, request.mutable_transaction());
  if (!step.ok()) return step.status();
  if (step->commit) {
    if (request.request_id().empty() && !request.read_only()) {
      request.set_request_id(NewRequestId());
    }
    question_ = Question(request.request_id());
    return ExecuteAndCommit(request, step->begin, options, call);
  }
  auto response = ((*calls_).*call)(request, Bounded(options, false));
  if (response.ok()) {
    facts_->Succeeded(response->transaction());
  } else {
    facts_->Failed(response.status(), *step);
  }
  return response;
}

template <class Request, class Response>
absl::StatusOr<Response> Transaction::ExecuteAndCommit(
    const Request& request,
    bool begin,
    const CallOptions& options,
    absl::StatusOr<Response> (TransactionCalls::*call)(const Request&, const CallOptions&)) {
  std::optional<Response> answer;
  Commitment commitment;
  commitment.step = {begin, true};
  commitment.question = question_;
  commitment.send = [&](const CallOptions& attempt) {
    auto response = ((*calls_).*call)(request, attempt);
    if (!response.ok()) return response.status();
    facts_->Succeeded(response->transaction());
    answer = *std::move(response);
    return absl::OkStatus();
  };
  absl::Status status =
      Settle(*calls_, *facts_, commitment, Deadline(options), Bounded(options, false).stop);
  if (!status.ok()) return status;
  if (!answer) return AnswerLost();
  return *std::move(answer);
}

absl::StatusOr<v1::QueryResponse> Transaction::Query(v1::QueryRequest request,
                                                     const CallOptions& options) {
  return Execute(std::move(request), options, &TransactionCalls::Query);
}

absl::StatusOr<v1::ExecuteBatchResponse> Transaction::ExecuteBatch(v1::ExecuteBatchRequest request,
                                                                   const CallOptions& options) {
  return Execute(std::move(request), options, &TransactionCalls::ExecuteBatch);
}

absl::StatusOr<std::unique_ptr<RowStream>> Transaction::StreamQuery(v1::StreamQueryRequest request,
                                                                    const CallOptions& options) {
  request.set_connection_id(begin_.connection_id);
  const auto step = facts_->Prepare(begin_.options, request.mutable_transaction());
  if (!step.ok()) return step.status();
  if (step->commit) question_ = Question(request.request_id());
  return RowStream::Open(std::make_unique<TrackedSource>(
      calls_->StreamQuery(request, Bounded(options, true)), facts_, *step));
}

absl::StatusOr<std::unique_ptr<BulkInserter>> Transaction::BulkInsert(v1::BulkInsertRequest header,
                                                                      const CallOptions& options) {
  header.set_connection_id(begin_.connection_id);
  const auto step = facts_->Prepare(begin_.options, header.mutable_transaction());
  if (!step.ok()) return step.status();
  if (step->commit) question_ = Question(header.request_id());
  return std::make_unique<BulkInserter>(
      std::make_unique<TrackedSink>(calls_->BulkInsert(Bounded(options, true)), facts_, *step),
      header);
}

absl::Status Transaction::Commit(const CallOptions& options) {
  const v1::TransactionState state = facts_->State();
  if (state == v1::TRANSACTION_STATE_COMMITTED) return absl::OkStatus();
  const bool unknown = state == v1::TRANSACTION_STATE_UNKNOWN;
  const std::stop_token stop = Bounded(options, false).stop;
  if (unknown && commit_id_.empty()) {
    const absl::Status cause = absl::UnknownError("the answer of its last statement was lost");
    return AskOutcome(*calls_, *facts_, question_, cause, Deadline(options), stop);
  }
  if (!unknown) {
    absl::Status refusal = facts_->Refusal();
    if (!refusal.ok()) return refusal;
  }
  if (facts_->Id().empty()) {  // there is nothing to commit
    facts_->SetState(v1::TRANSACTION_STATE_COMMITTED);
    return absl::OkStatus();
  }
  if (commit_id_.empty()) commit_id_ = NewRequestId();
  auto request = About<v1::CommitTransactionRequest>(*facts_, begin_);
  request.set_request_id(commit_id_);
  Commitment commitment;
  commitment.step.commit = true;
  commitment.may_give_up = true;
  commitment.lost = unknown;
  commitment.question.set_connection_id(begin_.connection_id);
  commitment.question.set_request_id(commit_id_);
  commitment.send = [&](const CallOptions& attempt) {
    const auto response = calls_->Commit(request, attempt);
    if (response.ok()) facts_->Succeeded(response->transaction());
    return response.status();
  };
  return Settle(*calls_, *facts_, commitment, Deadline(options), stop);
}

absl::Status Transaction::Rollback(const CallOptions& options) {
  facts_->CancelStream();
  const v1::TransactionState state = facts_->State();
  if (state == v1::TRANSACTION_STATE_COMMITTED) return facts_->Refusal();
  const bool known = !facts_->Id().empty();
  if (!known && state == v1::TRANSACTION_STATE_UNKNOWN) return OutcomeUnknown();
  if (known && !IsFinished(state)) {
    const auto response =
        calls_->Rollback(About<v1::RollbackTransactionRequest>(*facts_, begin_), options);
    if (!response.ok()) {
      facts_->Failed(response.status(), {});
      return response.status();
    }
  }
  if (!IsFinished(state)) facts_->SetState(v1::TRANSACTION_STATE_ROLLED_BACK);
  rolled_back_ = true;
  return absl::OkStatus();
}

template <class Request, class Response>
absl::Status Transaction::Control(
    const absl::Status& refusal,
    Request request,
    const CallOptions& options,
    absl::StatusOr<Response> (TransactionCalls::*call)(const Request&, const CallOptions&)) {
  if (!refusal.ok()) return refusal;
  const auto response = ((*calls_).*call)(request, Bounded(options, false));
  if (response.ok()) {
    facts_->Succeeded(response->transaction());
  } else {
    facts_->Failed(response.status(), {});
  }
  return response.status();
}

absl::Status Transaction::BeginNow(const CallOptions& options) {
  v1::BeginTransactionRequest request;
  request.set_connection_id(begin_.connection_id);
  *request.mutable_options() = begin_.options;
  return Control(facts_->Refusal(), request, options, &TransactionCalls::Begin);
}

absl::Status Transaction::Savepoint(absl::string_view name, const CallOptions& options) {
  if (facts_->State() == v1::TRANSACTION_STATE_UNSPECIFIED) {
    absl::Status status = BeginNow(options);
    if (!status.ok()) return status;
  }
  auto request = About<v1::SavepointRequest>(*facts_, begin_);
  request.set_name(std::string(name));
  return Control(facts_->Refusal(), request, options, &TransactionCalls::Savepoint);
}

absl::Status Transaction::RollbackTo(absl::string_view name, const CallOptions& options) {
  if (facts_->State() == v1::TRANSACTION_STATE_UNSPECIFIED) return NoSavepoint(name);
  auto request = About<v1::RollbackToSavepointRequest>(*facts_, begin_);
  request.set_name(std::string(name));
  return Control(facts_->Refusal(), request, options, &TransactionCalls::RollbackTo);
}

absl::Status Transaction::Release(absl::string_view name, const CallOptions& options) {
  if (facts_->State() == v1::TRANSACTION_STATE_UNSPECIFIED) return NoSavepoint(name);
  auto request = About<v1::ReleaseSavepointRequest>(*facts_, begin_);
  request.set_name(std::string(name));
  return Control(facts_->Refusal(), request, options, &TransactionCalls::Release);
}

absl::Status Transaction::KeepAlive(const CallOptions& options) {
  absl::Status refusal = facts_->RefusalBesideStreams();
  if (facts_->State() == v1::TRANSACTION_STATE_UNSPECIFIED) return refusal;
  return Control(refusal, About<v1::KeepAliveRequest>(*facts_, begin_), options,
                 &TransactionCalls::KeepAlive);
}

v1::TransactionState Transaction::State() const {
  return facts_->State();
}

bool Transaction::Done() const {
  return rolled_back_ || facts_->State() == v1::TRANSACTION_STATE_COMMITTED;
}

std::string Transaction::Id() const {
  return facts_->Id();
}

std::string Transaction::Handle() const {
  return facts_->Handle();
}

std::optional<absl::Time> Transaction::ExpireTime() const {
  return facts_->ExpireTime();
}

}  // namespace sluice::client
