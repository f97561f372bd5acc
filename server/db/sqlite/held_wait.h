// HeldWait: a wait for the writer while somebody has it for itself.
#ifndef SLUICE_SERVER_DB_SQLITE_HELD_WAIT_H_
#define SLUICE_SERVER_DB_SQLITE_HELD_WAIT_H_

#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"

#include "server/async/context.h"
#include "server/async/executor.h"
#include "server/db/sqlite/work_queue.h"

namespace sluice::sqlite {

// Why a call ended that waited for the writer: who has it, and for how long.
absl::Status WriterHeldTooLong(const WorkQueue& writer);

// The same for a call that was stopped for `why`, if that was its deadline.
absl::Status WhyNotReached(absl::Status why, const WorkQueue& writer);

// Lives while a call waits, on its executor. If the call has a deadline and the writer is held a
// little before it, `give_up` is run then, while the caller still listens: what is learnt only at
// the deadline itself never reaches him.
class HeldWait final : private Timer {
 public:
  HeldWait(const Context& ctx, const WorkQueue& writer, absl::AnyInvocable<void()> give_up);
  ~HeldWait();

  HeldWait(const HeldWait&) = delete;
  HeldWait& operator=(const HeldWait&) = delete;

 private:
  void OnTime();

  const WorkQueue& writer_;
  absl::AnyInvocable<void()> give_up_;
  Executor* executor_ = nullptr;  // null: not set
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_HELD_WAIT_H_
