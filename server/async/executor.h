// Executor: a thread that runs coroutines. rpc/loop is the one that serves; ManualExecutor is the
// one for start-up and tests.
#ifndef SLUICE_SERVER_ASYNC_EXECUTOR_H_
#define SLUICE_SERVER_ASYNC_EXECUTOR_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/time/time.h"

#include "server/async/inbox.h"
#include "server/base/clock.h"

namespace sluice {

// Timer: fires once, on its executor's thread, unless it is cancelled first. Owned by whoever
// waits.
class Timer {
 public:
  using Fire = void (*)(Timer*);

  explicit Timer(Fire fire) : fire_(fire) {}

  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  friend class Executor;

  const Fire fire_;
  absl::Duration due_ = absl::InfiniteDuration();  // on the steady clock; infinite = not set
};

// DrainHook: told when its executor has nothing more to do for now, just before it would wait.
class DrainHook {
 public:
  virtual void OnDrained() = 0;

 protected:
  virtual ~DrainHook() = default;

 private:
  friend class Executor;

  bool due_ = false;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // The executor that runs the calling thread; null on a driver's thread. Never keep it across a
  // co_await in a local.
  static Executor* Current();

  // Runs the job on this executor's thread, after what is there already. Any thread.
  void Post(Job* job);

  // Executor's own thread only, all of these.
  void StartTimer(Timer& timer, absl::Duration delay);
  void CancelTimer(Timer& timer);
  // Calls the hook once, at the end of the current drain.
  void AtDrained(DrainHook& hook);

  const Clock& clock() const { return clock_; }

 protected:
  explicit Executor(const Clock& clock) : clock_(clock) {}

  // Makes the owner's thread call RunJobs soon. Any thread; called once per batch of jobs.
  virtual void Wake() = 0;

  // Makes the calling thread this executor's for as long as the scope lives.
  class Scope {
   public:
    explicit Scope(Executor& executor);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Executor* const outer_;
  };

  // Runs what this thread posted to itself, until nothing is left. True if there was something.
  bool RunLocal();
  // Runs what is in the inbox now. True if there was something.
  bool RunInbox();

  bool InboxHoldsAtLeast(size_t jobs) const { return inbox_.HoldsAtLeast(jobs); }

  // Fires what is due. True if a timer fired.
  bool RunTimers();
  // When the next timer is due, on the steady clock; infinite if there is none.
  absl::Duration NextTimer() const;
  // How long until then.
  absl::Duration UntilNextTimer() const;
  // Calls the hooks that asked for the end of this drain. True if there was one.
  bool RunDrainHooks();

  // Whether others posted something that did not run yet. Any thread.
  bool HasInbox() const { return !inbox_.empty(); }

 private:
  const Clock& clock_;
  Inbox inbox_;           // any thread
  Job* local_ = nullptr;  // own thread: posted from itself, newest last
  Job* local_tail_ = nullptr;
  absl::btree_set<std::pair<absl::Duration, Timer*>> timers_;  // own thread
  std::vector<DrainHook*> hooks_;                              // own thread
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_EXECUTOR_H_
