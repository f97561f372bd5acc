#include "server/rpc/calls.h"

#include <algorithm>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/mutex.h"

namespace sluice::rpc {
namespace {

// How often a drain looks for work that ended by itself.
constexpr absl::Duration kLook = absl::Milliseconds(20);

}  // namespace

absl::Status Calls::Enter(bool exempt, bool reserved) {
  const int64_t before = in_flight_.fetch_add(1, std::memory_order_acq_rel);
  if (draining() && !exempt) [[unlikely]]
    return errors::ServerDraining(errors::Executed::kNo);
  const int64_t limit = reserved ? limit_ + limit_ / 8 + 1 : limit_;
  if (before >= limit && !exempt) [[unlikely]] {
    shed_.fetch_add(1, std::memory_order_relaxed);
    return errors::ServerOverloaded(limit_);
  }
  return absl::OkStatus();
}

void Calls::Leave() {
  if (in_flight_.fetch_sub(1, std::memory_order_acq_rel) > 1 || !draining()) return;
  MutexLock lock(&mu_);
  changed_.SignalAll();
}

void Calls::StartDraining() {
  draining_.store(true, std::memory_order_release);
}

bool Calls::AwaitNone(absl::Duration limit) {
  return Await(limit, true);
}

bool Calls::AwaitNoneStubbornly(absl::Duration limit) {
  return Await(limit, false);
}

void Calls::Hurry() {
  MutexLock lock(&mu_);
  hurried_ = true;
  changed_.SignalAll();
}

bool Calls::Await(absl::Duration limit, bool interruptible) {
  const absl::Duration give_up = Clock::System().Steady() + limit;
  MutexLock lock(&mu_);
  const auto busy = [&] {
    return in_flight_.load(std::memory_order_acquire) > 0 || (interruptible && open_work_() > 0);
  };
  while (busy() && !(interruptible && hurried_)) {
    const absl::Duration left = give_up - Clock::System().Steady();
    if (left <= absl::ZeroDuration()) break;
    // A lease may end without any call.
    changed_.WaitWithTimeout(&mu_, std::min(left, kLook));
  }
  return !busy();
}

}  // namespace sluice::rpc
