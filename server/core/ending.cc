#include "server/core/ending.h"

#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include "server/async/executor.h"

namespace sluice::core {

void Ending::Come() {
  std::list<Waiter> woken;
  {
    MutexLock lock(&mu_);
    came_ = true;
    woken.swap(waiting_);
  }
  for (Waiter& waiter : woken) waiter.done.Resolve(true);
}

bool Ending::came() const {
  MutexLock lock(&mu_);
  return came_;
}

Task<bool> Ending::Within(const Context& ctx, absl::Duration limit) {
  if (came()) co_return true;
  CallScope scope;
  const std::stop_callback with_caller(ctx.stop, [&] { scope.Stop(StopCause::kCancelled); });
  scope.Arm(*Executor::Current(), limit);
  const Context wait = scope.MakeContext(ctx.deadline, ctx.request_id);
  const int ticket = 0;  // its address names this waiter
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  const bool came_in_time = co_await Async<bool>([&](Completion<bool> done) {
    Await(&ticket, std::move(done));
    on_stop.emplace(wait.stop, [this, &ticket] { Leave(&ticket); });
  });
  co_return came_in_time;
}

void Ending::Await(const void* ticket, Completion<bool> done) {
  {
    MutexLock lock(&mu_);
    if (!came_) {
      waiting_.push_back(Waiter{ticket, std::move(done)});
      return;
    }
  }
  done.Resolve(true);
}

void Ending::Leave(const void* ticket) {
  std::list<Waiter> leaving;
  {
    MutexLock lock(&mu_);
    for (auto waiter = waiting_.begin(); waiter != waiting_.end(); ++waiter) {
      if (waiter->ticket != ticket) continue;
      leaving.splice(leaving.end(), waiting_, waiter);
      break;
    }
  }
  for (Waiter& waiter : leaving) waiter.done.Resolve(false);
}

}  // namespace sluice::core
