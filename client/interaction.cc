#include "client/interaction.h"

#include <utility>

#include "client/errors.h"

namespace sluice::client {
namespace {

absl::Status NothingSent() {
  return LocalError(absl::StatusCode::kFailedPrecondition, "NOTHING_SENT", Executed::kNo,
                    "no answer is due: Send comes before Next");
}

// A statement that begins no transaction runs in the stream's own, wherever that is.
template <class Request>
void LeaveOutConnection(Request* request) {
  if (!request->transaction().has_begin()) request->clear_connection_id();
}

}  // namespace

Interaction::Interaction(std::unique_ptr<InteractionEnds> ends) : ends_(std::move(ends)) {}

Interaction::~Interaction() {
  if (ended_) return;
  ends_->Cancel();
  // gRPC wants a call read to its end before Finish; a cancelled one ends at once.
  ReadToEnd().IgnoreError();
}

absl::Status Interaction::Begin(absl::string_view connection_id,
                                const v1::TransactionOptions& options,
                                const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_begin()->set_connection_id(std::string(connection_id));
  *request.mutable_begin()->mutable_options() = options;
  return Ask(std::move(request), stop).status();
}

absl::StatusOr<v1::QueryResponse> Interaction::Query(v1::QueryRequest request,
                                                     const std::stop_token& stop) {
  LeaveOutConnection(&request);
  v1::InteractRequest step;
  *step.mutable_query() = std::move(request);
  auto response = Ask(std::move(step), stop);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_query());
}

absl::StatusOr<v1::ExecuteBatchResponse> Interaction::ExecuteBatch(v1::ExecuteBatchRequest request,
                                                                   const std::stop_token& stop) {
  LeaveOutConnection(&request);
  v1::InteractRequest step;
  *step.mutable_batch() = std::move(request);
  auto response = Ask(std::move(step), stop);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_batch());
}

absl::Status Interaction::Savepoint(absl::string_view name, const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_savepoint()->set_name(std::string(name));
  return Ask(std::move(request), stop).status();
}

absl::Status Interaction::RollbackTo(absl::string_view name, const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_rollback_to_savepoint()->set_name(std::string(name));
  return Ask(std::move(request), stop).status();
}

absl::Status Interaction::Release(absl::string_view name, const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_release_savepoint()->set_name(std::string(name));
  return Ask(std::move(request), stop).status();
}

absl::Status Interaction::Commit(absl::string_view request_id, const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_commit()->set_request_id(std::string(request_id));
  return Ask(std::move(request), stop).status();
}

absl::Status Interaction::Rollback(const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_rollback();
  return Ask(std::move(request), stop).status();
}

absl::Status Interaction::KeepAlive(const std::stop_token& stop) {
  v1::InteractRequest request;
  request.mutable_keep_alive();
  return Ask(std::move(request), stop).status();
}

absl::StatusOr<v1::InteractResponse> Interaction::Ask(v1::InteractRequest request,
                                                      const std::stop_token& stop) {
  const auto call_id = Send(std::move(request));
  if (!call_id.ok()) return call_id.status();
  const std::stop_callback cancel(stop, [this, &call_id] { Cancel(*call_id); });
  for (;;) {
    auto response = Read();
    if (!response.ok()) return response;
    if (response->call_id() != *call_id) {
      kept_.push_back(*std::move(response));
    } else if (response->has_error()) {
      return MakeStatus(response->error());
    } else {
      return response;
    }
  }
}

absl::StatusOr<int64_t> Interaction::Send(v1::InteractRequest request) {
  while (under_way_ >= kMaxAhead) {
    auto response = Read();
    if (!response.ok()) return response.status();
    kept_.push_back(*std::move(response));
  }
  const int64_t call_id = next_id_++;
  request.set_call_id(call_id);
  if (!Write(request)) return ended_ ? EndStatus() : ReadToEnd();
  if (!request.has_cancel()) ++under_way_;
  return call_id;
}

bool Interaction::Write(const v1::InteractRequest& request) {
  const std::lock_guard<std::mutex> lock(write_mutex_);
  return writable_ && ends_->Write(request);
}

absl::StatusOr<v1::InteractResponse> Interaction::Next() {
  if (!kept_.empty()) {
    v1::InteractResponse response = std::move(kept_.front());
    kept_.pop_front();
    return response;
  }
  if (under_way_ == 0 && !ended_) return NothingSent();
  return Read();
}

absl::StatusOr<v1::InteractResponse> Interaction::Read() {
  if (ended_) return EndStatus();
  v1::InteractResponse response;
  if (ends_->Read(&response)) {
    --under_way_;
    standing_ = response.transaction();
    return response;
  }
  {
    const std::lock_guard<std::mutex> lock(write_mutex_);
    writable_ = false;
  }
  outcome_ = ends_->Finish();
  ended_ = true;
  return EndStatus();
}

absl::Status Interaction::ReadToEnd() {
  for (;;) {
    auto response = Read();
    if (!response.ok()) return response.status();
    kept_.push_back(*std::move(response));
  }
}

absl::Status Interaction::EndStatus() const {
  if (!outcome_.ok()) return outcome_;
  return LocalError(absl::StatusCode::kFailedPrecondition, "INTERACTION_CLOSED",
                    under_way_ > 0 ? Executed::kUnknown : Executed::kNo,
                    "the conversation has ended");
}

void Interaction::Cancel(int64_t call_id) {
  v1::InteractRequest request;
  request.set_call_id(next_id_++);
  request.mutable_cancel()->set_call_id(call_id);
  Write(request);
}

absl::Status Interaction::Close() {
  {
    const std::lock_guard<std::mutex> lock(write_mutex_);
    if (std::exchange(writable_, false)) ends_->WritesDone();
  }
  if (!ended_) ReadToEnd().IgnoreError();
  return outcome_;
}

}  // namespace sluice::client
