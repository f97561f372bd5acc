#include "server/async/manual_executor.h"

#include "server/base/mutex.h"

namespace sluice {

void ManualExecutor::Start(Task<void> task) {
  const Scope scope(*this);
  Spawn(std::move(task));
}

bool ManualExecutor::RunUntilIdle() {
  const Scope scope(*this);
  bool ran = false;
  while (RunLocal() || RunInbox() || RunTimers() || RunDrainHooks()) ran = true;
  return ran;
}

void ManualExecutor::Wake() {
  MutexLock lock(&mu_);
  awake_ = true;
  woken_.Signal();
}

void ManualExecutor::RunOnce() {
  if (RunUntilIdle()) return;
  MutexLock lock(&mu_);
  if (!awake_) woken_.WaitWithTimeout(&mu_, UntilNextTimer());
  awake_ = false;
}

}  // namespace sluice
