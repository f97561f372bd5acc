// Ending: something that comes once, and that coroutines wait for.
#ifndef SLUICE_SERVER_CORE_ENDING_H_
#define SLUICE_SERVER_CORE_ENDING_H_

#include <list>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/mutex.h"

namespace sluice::core {

// Shared by what ends and whoever waits; any thread.
class Ending {
 public:
  Ending() = default;
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

  // It is over. Wakes everyone who waits.
  void Come() ABSL_LOCKS_EXCLUDED(mu_);

  bool came() const ABSL_LOCKS_EXCLUDED(mu_);

  // Waits for it. False: `limit` passed, or the call was stopped, before it came.
  Task<bool> Within(const Context& ctx, absl::Duration limit);

 private:
  struct Waiter {
    const void* ticket;
    Completion<bool> done;
  };

  void Await(const void* ticket, Completion<bool> done) ABSL_LOCKS_EXCLUDED(mu_);
  void Leave(const void* ticket) ABSL_LOCKS_EXCLUDED(mu_);

  mutable Mutex mu_;
  bool came_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Waiter> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_ENDING_H_
