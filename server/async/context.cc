#include "server/async/context.h"

#include <utility>

namespace sluice {

absl::Status Context::Stopped(errors::Executed executed) const {
  switch (cause == nullptr ? StopCause::kCancelled : cause->load(std::memory_order_relaxed)) {
    case StopCause::kDeadline:
      return errors::DeadlineExceeded(executed);
    case StopCause::kDraining:
      return errors::ServerDraining(executed);
    case StopCause::kStalled:
      return errors::WithMetadata(errors::Cancelled(executed), "cause", "stalled");
    case StopCause::kIdle:
      return errors::StreamIdle(executed);
    case StopCause::kNone:
    case StopCause::kCancelled:
      break;
  }
  return errors::Cancelled(executed);
}

std::string Context::CallerName() const {
  if (who != nullptr) return who->name;
  return peer == nullptr ? "" : peer->Address();
}

void CallScope::Arm(Executor& executor, absl::Duration limit) {
  Disarm();
  executor_ = &executor;
  executor.StartTimer(timer_, limit);
}

void CallScope::Disarm() {
  if (executor_ != nullptr) std::exchange(executor_, nullptr)->CancelTimer(timer_);
}

void CallScope::Stop(StopCause cause) {
  auto none = StopCause::kNone;
  if (cause_.compare_exchange_strong(none, cause, std::memory_order_relaxed))
    source_.request_stop();
}

Context CallScope::MakeContext(absl::Time deadline, absl::string_view request_id) const {
  Context context;
  context.stop = source_.get_token();
  context.deadline = deadline;
  context.request_id = request_id;
  context.cause = &cause_;
  return context;
}

}  // namespace sluice
