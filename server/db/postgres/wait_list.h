// WaitList: callers that wait for the same thing, in order.
#ifndef SLUICE_SERVER_DB_POSTGRES_WAIT_LIST_H_
#define SLUICE_SERVER_DB_POSTGRES_WAIT_LIST_H_

#include <list>
#include <optional>
#include <utility>

#include "server/async/completion.h"
#include "server/async/task.h"
#include "server/db/postgres/caller.h"

namespace sluice::postgres {

// The reactor's thread only.
class WaitList {
 public:
  WaitList() = default;
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;

  // False: the caller was stopped first.
  Task<bool> Wait(Caller& caller) {
    Waiter waiter;
    const Caller::Watch watch(caller, [&] { Tell(waiter, false); });
    const bool woken = co_await Async<bool>([&](Completion<bool> done) {
      if (caller.stopped()) return done.Resolve(false);
      waiter.done.emplace(std::move(done));
      waiters_.push_back(&waiter);
    });
    co_return woken;
  }

  void WakeOne() {
    if (!waiters_.empty()) Tell(*waiters_.front(), true);
  }

  void WakeAll() {
    while (!waiters_.empty()) WakeOne();
  }

  size_t size() const { return waiters_.size(); }

 private:
  // Lives in the coroutine of who waits.
  struct Waiter {
    std::optional<Completion<bool>> done;
  };

  void Tell(Waiter& waiter, bool woken) {
    if (!waiter.done.has_value()) return;
    waiters_.remove(&waiter);
    Completion<bool> done = *std::move(waiter.done);
    waiter.done.reset();
    done.Resolve(woken);
  }

  std::list<Waiter*> waiters_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_WAIT_LIST_H_
