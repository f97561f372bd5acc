#include "server/async/mutex.h"

#include <cassert>
#include <optional>
#include <stop_token>
#include <utility>

#include "server/base/mutex.h"

namespace sluice {

FifoMutex::~FifoMutex() {
  MutexLock lock(&mu_);
  assert(!held_ && queue_.empty());
}

Task<absl::StatusOr<FifoMutex::Holding>> FifoMutex::Lock(const Context& ctx) {
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kNo);
  const int ticket = 0;  // its address names this waiter
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  const bool mine = co_await Async<bool>([&](Completion<bool> done) {
    {
      MutexLock lock(&mu_);
      if (held_) {
        queue_.push_back(Entry{&ticket, std::move(done)});
      } else {
        held_ = true;
      }
    }
    if (done.pending()) {
      done.Resolve(true);
    } else {
      on_stop.emplace(ctx.stop, [this, &ticket] { Leave(&ticket); });
    }
  });
  on_stop.reset();
  if (!mine) co_return ctx.Stopped(errors::Executed::kNo);
  co_return Holding(this);
}

std::optional<FifoMutex::Holding> FifoMutex::TryLock() {
  MutexLock lock(&mu_);
  if (std::exchange(held_, true)) return std::nullopt;
  return Holding(this);
}

void FifoMutex::Release() {
  std::optional<Waiter> next;
  {
    MutexLock lock(&mu_);
    if (queue_.empty()) {
      held_ = false;
      return;
    }
    next.emplace(std::move(queue_.front().waiter));  // the mutex stays held, by its next owner
    queue_.pop_front();
  }
  next->Resolve(true);
}

void FifoMutex::Leave(const void* ticket) {
  std::optional<Waiter> leaving;
  {
    MutexLock lock(&mu_);
    for (auto entry = queue_.begin(); entry != queue_.end(); ++entry) {
      if (entry->ticket != ticket) continue;
      leaving.emplace(std::move(entry->waiter));
      queue_.erase(entry);
      break;
    }
  }
  if (leaving.has_value()) leaving->Resolve(false);
}

size_t FifoMutex::waiting() const {
  MutexLock lock(&mu_);
  return queue_.size();
}

}  // namespace sluice
