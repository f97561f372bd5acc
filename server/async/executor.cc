#include "server/async/executor.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

thread_local Executor* current_executor = nullptr;

void RunAll(Job* job) {
  while (job != nullptr) {
    Job* const next = job->next;  // read first: a job may be gone once it ran
    job->run(job);
    job = next;
  }
}

}  // namespace

// Out of line and not inlined: a coroutine may resume on another thread, and clang takes the
// address of a thread_local for a constant within one function.
__attribute__((noinline)) Executor* Executor::Current() {
  return current_executor;
}

Executor::Scope::Scope(Executor& executor) : outer_(std::exchange(current_executor, &executor)) {}

Executor::Scope::~Scope() {
  current_executor = outer_;
}

void Executor::Post(Job* job) {
  if (Current() == this) {
    job->next = nullptr;
    if (local_tail_ == nullptr) {
      local_ = job;
    } else {
      local_tail_->next = job;
    }
    local_tail_ = job;
    return;
  }
  if (inbox_.Push(job)) Wake();
}

bool Executor::RunLocal() {
  bool ran = false;
  while (Job* const jobs = std::exchange(local_, nullptr)) {
    local_tail_ = nullptr;
    RunAll(jobs);
    ran = true;
  }
  return ran;
}

bool Executor::RunInbox() {
  Job* const jobs = inbox_.Take();
  RunAll(jobs);
  return jobs != nullptr;
}

void Executor::StartTimer(Timer& timer, absl::Duration delay) {
  CancelTimer(timer);
  if (delay == absl::InfiniteDuration()) return;
  timer.due_ = clock_.Steady() + std::max(delay, absl::ZeroDuration());
  timers_.emplace(timer.due_, &timer);
}

void Executor::CancelTimer(Timer& timer) {
  if (timer.due_ == absl::InfiniteDuration()) return;
  timers_.erase({timer.due_, &timer});
  timer.due_ = absl::InfiniteDuration();
}

bool Executor::RunTimers() {
  if (timers_.empty()) return false;
  const absl::Duration now = clock_.Steady();
  bool fired = false;
  while (!timers_.empty() && timers_.begin()->first <= now) {
    Timer* const timer = timers_.begin()->second;
    CancelTimer(*timer);
    timer->fire_(timer);
    fired = true;
  }
  return fired;
}

absl::Duration Executor::NextTimer() const {
  return timers_.empty() ? absl::InfiniteDuration() : timers_.begin()->first;
}

absl::Duration Executor::UntilNextTimer() const {
  if (timers_.empty()) return absl::InfiniteDuration();
  return std::max(NextTimer() - clock_.Steady(), absl::ZeroDuration());
}

void Executor::AtDrained(DrainHook& hook) {
  if (std::exchange(hook.due_, true)) return;
  hooks_.push_back(&hook);
}

bool Executor::RunDrainHooks() {
  if (hooks_.empty()) return false;
  std::vector<DrainHook*> due;
  due.swap(hooks_);
  for (DrainHook* hook : due) {
    hook->due_ = false;
    hook->OnDrained();
  }
  return true;
}

}  // namespace sluice
