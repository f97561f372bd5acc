#include "client/transaction_facts.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice::client {
namespace {

absl::Status Refused(absl::StatusCode code, absl::string_view reason, absl::string_view message) {
  return LocalError(code, reason, Executed::kNo, message);
}

}  // namespace

v1::TransactionState ToldState(const Error& error) {
  v1::TransactionState state = v1::TRANSACTION_STATE_UNSPECIFIED;
  const auto told = error.metadata.find("transaction_state");
  if (told != error.metadata.end()) {
    const std::string name =
        absl::StrCat("TRANSACTION_STATE_", absl::AsciiStrToUpper(told->second));
    if (v1::TransactionState_Parse(name, &state)) return state;
  }
  if (error.reason == "TRANSACTION_FAILED") return v1::TRANSACTION_STATE_FAILED;
  if (error.reason == "TRANSACTION_EXPIRED") return v1::TRANSACTION_STATE_EXPIRED;
  return state;
}

bool IsFinished(v1::TransactionState state) {
  return state == v1::TRANSACTION_STATE_COMMITTED || state == v1::TRANSACTION_STATE_ROLLED_BACK ||
         state == v1::TRANSACTION_STATE_EXPIRED;
}

absl::StatusOr<TransactionFacts::Step> TransactionFacts::Prepare(
    const v1::TransactionOptions& options, v1::TransactionSelector* selector) {
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Status refusal = LockedRefusal(false);
  if (!refusal.ok()) return refusal;
  Step step;
  step.begin = id_.empty();
  step.commit = selector->commit();
  if (step.begin) {
    *selector->mutable_begin() = options;
  } else {
    selector->set_transaction_id(id_);
  }
  return step;
}

absl::Status TransactionFacts::Refusal() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return LockedRefusal(false);
}

absl::Status TransactionFacts::RefusalBesideStreams() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return LockedRefusal(!id_.empty());
}

absl::Status TransactionFacts::LockedRefusal(bool beside_streams) const {
  using absl::StatusCode;
  if (cancel_stream_ && !beside_streams) {
    return Refused(StatusCode::kFailedPrecondition, "TRANSACTION_BUSY",
                   "a stream or a load in the transaction has not ended: read or finish it first");
  }
  switch (state_) {
    case v1::TRANSACTION_STATE_COMMITTED:
      return Refused(StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                     "the transaction is committed already");
    case v1::TRANSACTION_STATE_ROLLED_BACK:
      return Refused(StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                     "the transaction is rolled back already");
    case v1::TRANSACTION_STATE_EXPIRED:
      return Refused(StatusCode::kAborted, "TRANSACTION_EXPIRED",
                     "the server has ended the transaction and rolled it back");
    case v1::TRANSACTION_STATE_UNKNOWN:
      return Refused(StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
                     "what became of the transaction is not known: Commit finds out more");
    default:
      return absl::OkStatus();
  }
}

void TransactionFacts::Succeeded(const v1::TransactionStatus& transaction) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (IsFinished(state_)) return;  // it was given up while this answer was on its way
  // A server that says nothing of the transaction may have run the statement by itself.
  state_ = transaction.state() == v1::TRANSACTION_STATE_UNSPECIFIED ? v1::TRANSACTION_STATE_UNKNOWN
                                                                    : transaction.state();
  if (!transaction.transaction_id().empty()) id_ = transaction.transaction_id();
  if (!transaction.handle().empty()) handle_ = transaction.handle();
  expire_time_.reset();
  if (transaction.has_expires_in()) {
    expire_time_ = absl::Now() + absl::Seconds(transaction.expires_in().seconds()) +
                   absl::Nanoseconds(transaction.expires_in().nanos());
  }
}

void TransactionFacts::Failed(const absl::Status& status, Step step) {
  const Error error = DecodeError(status);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (IsFinished(state_)) return;
  TakeMetadata(error);
  const v1::TransactionState told = ToldState(error);
  if (told != v1::TRANSACTION_STATE_UNSPECIFIED) {
    state_ = told;
  } else if (step.commit && error.executed == Executed::kUnknown) {
    state_ = v1::TRANSACTION_STATE_UNKNOWN;
  }
  // One that nobody knows the id of is rolled back by the server.
  const bool decided = IsFinished(state_) || state_ == v1::TRANSACTION_STATE_UNKNOWN;
  if (step.begin && !decided) state_ = v1::TRANSACTION_STATE_ROLLED_BACK;
}

void TransactionFacts::TakeMetadata(const Error& error) {
  if (const auto handle = error.metadata.find("transaction"); handle != error.metadata.end()) {
    handle_ = handle->second;
  }
  int64_t milliseconds = 0;
  const auto expires = error.metadata.find("transaction_expires_in_ms");
  if (expires != error.metadata.end() && absl::SimpleAtoi(expires->second, &milliseconds)) {
    expire_time_ = absl::Now() + absl::Milliseconds(milliseconds);
  }
}

void TransactionFacts::SetState(v1::TransactionState state) {
  const std::lock_guard<std::mutex> lock(mutex_);
  state_ = state;
}

v1::TransactionState TransactionFacts::State() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return state_;
}

std::string TransactionFacts::Id() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return id_;
}

std::string TransactionFacts::Handle() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return handle_;
}

std::optional<absl::Time> TransactionFacts::ExpireTime() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return expire_time_;
}

void TransactionFacts::StreamOpened(std::function<void()> cancel) {
  const std::lock_guard<std::mutex> lock(mutex_);
  cancel_stream_ = std::move(cancel);
}

void TransactionFacts::StreamClosed() {
  const std::lock_guard<std::mutex> lock(mutex_);
  cancel_stream_ = nullptr;
}

void TransactionFacts::CancelStream() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (cancel_stream_) cancel_stream_();
}

}  // namespace sluice::client
