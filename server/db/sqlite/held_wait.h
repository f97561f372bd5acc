// HeldWait: a wait for the writer while somebody has it for itself.
#ifndef SLUICE_SERVER_DB_SQLITE_HELD_WAIT_H_
#define SLUICE_SERVER_DB_SQLITE_HELD_WAIT_H_

#include <utility>

#include "absl/status/status.h"

#include "server/async/context.h"
#include "server/async/executor.h"
#include "server/db/sqlite/work_queue.h"

namespace sluice::sqlite {

// Why a call ended that waited for the writer: who has it, and for how long.
absl::Status WriterHeldTooLong(const WorkQueue& writer);

// The same for a call that was stopped for `why`, if that was its deadline.
absl::Status WhyNotReached(absl::Status why, const WorkQueue& writer);

// HeldWaitTimer: of a HeldWait.
class HeldWaitTimer : protected Timer {
 protected:
  explicit HeldWaitTimer(Fire fire) : Timer(fire) {}

  ~HeldWaitTimer();

  HeldWaitTimer(const HeldWaitTimer&) = delete;
  HeldWaitTimer& operator=(const HeldWaitTimer&) = delete;

  // A little before the call's deadline.
  void Start(absl::Time deadline);

 private:
  Executor* executor_ = nullptr;  // null: not set
};

// Lives while a call waits, on its executor. If the call has a deadline and the writer is held a
// little before it, `give_up` is run then, while the caller still listens: what is learnt only at
// the deadline itself never reaches him. Costs nothing where nobody has the writer for itself, or
// is in line for that.
template <class GiveUp>
class HeldWait final : private HeldWaitTimer {
 public:
  // `waits`: it will wait at all; not if it has the writer itself.
  HeldWait(const Context& ctx, const WorkQueue& writer, GiveUp give_up, bool waits = true)
      : HeldWaitTimer([](Timer* timer) {
          auto* const wait = static_cast<HeldWait*>(timer);
          if (wait->writer_.held()) wait->give_up_();
        }),
        writer_(writer),
        give_up_(std::move(give_up)) {
    if (waits && writer.may_be_held() && ctx.deadline != absl::InfiniteFuture())
      Start(ctx.deadline);
  }

 private:
  const WorkQueue& writer_;
  GiveUp give_up_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_HELD_WAIT_H_
