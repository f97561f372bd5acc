#include "server/async/manual_executor.h"

#include "server/base/mutex.h"

namespace sluice {

ManualExecutor::~ManualExecutor() {
  MutexLock lock(&mu_);
  while (wakes_ < taken_) woken_.Wait(&mu_);
}

bool ManualExecutor::TakeInbox() {
  if (!RunInbox()) return false;
  ++taken_;
  return true;
}

void ManualExecutor::Start(Task<void> task) {
  const Scope scope(*this);
  Spawn(std::move(task));
}

bool ManualExecutor::RunUntilIdle() {
  const Scope scope(*this);
  bool ran = false;
  while (RunLocal() || TakeInbox() || RunTimers() || RunDrainHooks()) ran = true;
  return ran;
}

void ManualExecutor::Wake() {
  MutexLock lock(&mu_);
  awake_ = true;
  ++wakes_;
  woken_.Signal();
}

void ManualExecutor::RunOnce() {
  if (RunUntilIdle()) return;
  MutexLock lock(&mu_);
  if (!awake_) woken_.WaitWithTimeout(&mu_, UntilNextTimer());
  awake_ = false;
}

}  // namespace sluice
