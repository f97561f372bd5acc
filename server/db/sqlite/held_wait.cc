#include "server/db/sqlite/held_wait.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/time/time.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/db/transaction.h"

namespace sluice::sqlite {
namespace {

// How long before the deadline a wait is given up: a tenth of what is left, at most this.
constexpr absl::Duration kEarly = absl::Milliseconds(20);

}  // namespace

absl::Status WriterHeldTooLong(const WorkQueue& writer) {
  const std::shared_ptr<const db::WriterHold> hold = writer.hold();
  if (hold == nullptr) return errors::DeadlineExceeded(errors::Executed::kNo);
  return errors::WriterHeld(hold->handle, hold->label, Clock::System().Steady() - hold->since);
}

absl::Status WhyNotReached(absl::Status why, const WorkQueue& writer) {
  return absl::IsDeadlineExceeded(why) ? WriterHeldTooLong(writer) : why;
}

HeldWaitTimer::~HeldWaitTimer() {
  if (executor_ != nullptr) executor_->CancelTimer(*this);
}

void HeldWaitTimer::Start(absl::Time deadline) {
  executor_ = Executor::Current();
  const absl::Duration left = std::max(deadline - executor_->clock().Unset(), absl::ZeroDuration());
  executor_->StartTimer(*this, left - std::min(left / 10, kEarly));
}

}  // namespace sluice::sqlite
