// ManualExecutor: runs coroutines on the calling thread until a given one is done. Start-up,
// shutdown and tests use it; drivers' threads post to it as they post to a loop.
#ifndef SLUICE_SERVER_ASYNC_MANUAL_EXECUTOR_H_
#define SLUICE_SERVER_ASYNC_MANUAL_EXECUTOR_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "server/async/executor.h"
#include "server/async/task.h"
#include "server/base/mutex.h"

namespace sluice {

class ManualExecutor final : public Executor {
 public:
  explicit ManualExecutor(const Clock& clock = Clock::System()) : Executor(clock) {}

  // Waits for those whose jobs have run, and who are still about to wake it.
  ~ManualExecutor() override;

  // Runs the task and whatever else is posted, until the task is done.
  template <class T>
  T Run(Task<T> task) {
    std::optional<T> result;
    const Scope scope(*this);
    Spawn(Store(std::move(task), result));
    while (!result.has_value()) RunOnce();
    RunUntilIdle();  // what the task left behind: hooks, timers that are due
    return std::move(*result);
  }

  void Run(Task<void> task) {
    bool done = false;
    const Scope scope(*this);
    Spawn(Mark(std::move(task), done));
    while (!done) RunOnce();
    RunUntilIdle();
  }

  // Starts the task and returns at its first wait; RunUntilIdle carries it on.
  void Start(Task<void> task);

  // Runs what is ready now, and never waits. True if anything ran.
  bool RunUntilIdle();

 private:
  template <class T>
  static Task<void> Store(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await task);
  }

  static Task<void> Mark(Task<void> task, bool& done) {
    co_await task;
    done = true;
  }

  void Wake() override;
  bool TakeInbox();
  // Runs what is ready, or waits for a job or the next timer.
  void RunOnce();

  Mutex mu_;
  CondVar woken_;
  bool awake_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t wakes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t taken_ = 0;  // batches of jobs, each of which comes with a wake
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_MANUAL_EXECUTOR_H_
