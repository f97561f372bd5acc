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

HeldWait::HeldWait(const Context& ctx, const WorkQueue& writer, absl::AnyInvocable<void()> give_up)
    : Timer([](Timer* timer) { static_cast<HeldWait*>(timer)->OnTime(); }),
      writer_(writer),
      give_up_(std::move(give_up)) {
  // Who waits before this call may come to have it.
  const bool may_be_held = writer.held() || writer.waiting() > 0;
  if (!may_be_held || ctx.deadline == absl::InfiniteFuture()) return;
  executor_ = Executor::Current();
  const absl::Duration left =
      std::max(ctx.deadline - executor_->clock().Unset(), absl::ZeroDuration());
  executor_->StartTimer(*this, left - std::min(left / 10, kEarly));
}

HeldWait::~HeldWait() {
  if (executor_ != nullptr) executor_->CancelTimer(*this);
}

void HeldWait::OnTime() {
  if (writer_.held()) give_up_();
}

}  // namespace sluice::sqlite
