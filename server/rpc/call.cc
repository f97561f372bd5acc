#include "server/rpc/call.h"

#include <algorithm>
#include <chrono>

#include "server/base/errors.h"
#include "server/base/ids.h"
#include "server/base/log.h"
#include "server/rpc/status.h"

namespace sluice::rpc {

void LiveCalls::Add(Call& call) {
  call.next_ = first_;
  call.previous_ = nullptr;
  if (first_ != nullptr) first_->previous_ = &call;
  first_ = &call;
}

void LiveCalls::Remove(Call& call) {
  (call.previous_ == nullptr ? first_ : call.previous_->next_) = call.next_;
  if (call.next_ != nullptr) call.next_->previous_ = call.previous_;
}

void LiveCalls::StopAll(StopCause cause) {
  // Stopping posts work and never ends a call on the spot, so the list stands still.
  for (Call* call = first_; call != nullptr; call = call->next_) call->scope_.Stop(cause);
}

void LiveCalls::StopStreams(StopCause cause) {
  for (Call* call = first_; call != nullptr; call = call->next_) {
    if (call->method_.ends_with_drain) call->scope_.Stop(cause);
  }
}

void LiveCalls::Watch(Call& call) {
  if (call.due_ >= watchdog_.due) return;
  watchdog_.due = call.due_;
  call.loop_.StartTimer(watchdog_, call.due_ - call.loop_.clock().Steady());
}

void LiveCalls::StopOverdue() {
  watchdog_.due = absl::InfiniteDuration();
  Call* next = nullptr;  // the first that will be due
  for (Call* call = first_; call != nullptr; call = call->next_) {
    if (call->due_ <= call->loop_.clock().Steady()) {
      call->due_ = absl::InfiniteDuration();
      call->scope_.Stop(StopCause::kDeadline);
    } else if (next == nullptr || call->due_ < next->due_) {
      next = call;
    }
  }
  if (next != nullptr && next->due_ != absl::InfiniteDuration()) Watch(*next);
}

Call::Call(Loop& loop, LiveCalls& live, Calls& calls, const MethodOptions& method)
    : loop_(loop), live_(live), calls_(calls), method_(method), done_tag_(*this) {
  context.AsyncNotifyWhenDone(
      static_cast<Tag*>(&done_tag_));  // before the call is requested, or it never comes
}

Call::~Call() {
  if (!accepted_) return;
  live_.Remove(*this);
  calls_.Leave();
}

absl::Status Call::Begin() {
  accepted_ = true;
  live_.Add(*this);
  bool draining = false;
  absl::Status entered = calls_.Enter(method_.exempt, method_.has_reserve);
  if (!entered.ok() && method_.finishes_transactions) [[unlikely]] {
    draining = calls_.MayFinish();
    if (draining) entered = absl::OkStatus();
  }
  begun_ = loop_.clock().Steady();
  if (method_.names_every_call) request_id_ = ids::NewRequestId();
  const absl::Time now = loop_.clock().Unset();
  absl::Time deadline = absl::InfiniteFuture();
  if (context.deadline() != std::chrono::system_clock::time_point::max())
    deadline = now + absl::FromChrono(context.deadline() - std::chrono::system_clock::now());
  if (method_.time_limit != absl::InfiniteDuration() && now + method_.time_limit < deadline) {
    deadline = now + method_.time_limit;
    due_ = begun_ + method_.time_limit;  // the caller's own deadline is gRPC's to watch
    live_.Watch(*this);
  }
  ctx_ = scope_.MakeContext(deadline, request_id_);
  ctx_.peer = this;
  ctx_.draining = draining;
  return entered;
}

void Call::DoneTag::Complete(bool /*ok*/) {
  call_.done_ = true;
  if (call_.context.IsCancelled()) {
    const bool late = call_.ctx_.deadline <= call_.loop_.clock().Unset();
    call_.scope_.Stop(late ? StopCause::kDeadline : StopCause::kCancelled);
  }
  if (call_.waiter_) call_.waiter_.resume();
}

grpc::Status Call::Finish(const absl::Status& status) {
  const bool ok = status.ok();
  if (ok && !log::Enabled(log::Level::kDebug)) return grpc::Status::OK;
  if (request_id_.empty()) request_id_ = ids::NewRequestId();
  const double millis = absl::ToDoubleMilliseconds(loop_.clock().Steady() - begun_);
  if (ok) {
    log::Debug("rpc", "OK",
               {{"request_id", request_id_}, {"method", method_.name}, {"ms", millis}});
    return grpc::Status::OK;
  }
  const auto write = absl::IsInternal(status) || absl::IsDataLoss(status) ? log::Error : log::Info;
  write("rpc", status.message(),
        {{"request_id", request_id_},
         {"method", method_.name},
         {"code", absl::StatusCodeToString(status.code())},
         {"reason", errors::ReasonOf(status)},
         {"ms", millis}});
  return ToGrpcStatus(status, request_id_);
}

}  // namespace sluice::rpc
