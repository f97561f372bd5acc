#include "server/db/sqlite/work_queue.h"

#include <utility>

#include "server/base/clock.h"
#include "server/base/errors.h"

namespace sluice::sqlite {

void WorkLink::Unlink() {
  previous->next = next;
  next->previous = previous;
  previous = nullptr;
  next = nullptr;
}

void Work::Interrupt() {
  watch_.stop.store(true, std::memory_order_relaxed);
  Connection* const connection = interruptible_.load(std::memory_order_acquire);
  if (connection != nullptr) connection->Interrupt();
  OnInterrupt();
}

WorkList::WorkList() {
  root_.previous = &root_;
  root_.next = &root_;
}

WorkList::WorkList(WorkList&& other) noexcept : WorkList() {
  Append(other);
}

void WorkList::PushBack(Work& work) {
  WorkLink& link = work;
  link.previous = root_.previous;
  link.next = &root_;
  root_.previous->next = &link;
  root_.previous = &link;
}

Work* WorkList::Front() {
  return empty() ? nullptr : static_cast<Work*>(root_.next);
}

Work* WorkList::PopFront() {
  Work* const work = Front();
  if (work != nullptr) static_cast<WorkLink*>(work)->Unlink();
  return work;
}

void WorkList::Append(WorkList& other) {
  if (other.empty()) return;
  WorkLink* const first = other.root_.next;
  WorkLink* const last = other.root_.previous;
  other.root_.next = &other.root_;
  other.root_.previous = &other.root_;
  first->previous = root_.previous;
  last->next = &root_;
  root_.previous->next = first;
  root_.previous = last;
}

absl::Status WorkQueue::Reserve() {
  if (closed()) return errors::PoolClosed();
  if (waiting_.fetch_add(1, std::memory_order_relaxed) >= limit_) {
    Unreserve();
    return errors::PoolExhausted(name_, limit_);
  }
  return absl::OkStatus();
}

void WorkQueue::Unreserve() {
  waiting_.fetch_sub(1, std::memory_order_relaxed);
}

void WorkQueue::Push(WorkList works) {
  const absl::Duration now = Clock::System().Steady();
  int pushed = 0;
  {
    MutexLock lock(&mu_);
    if (!closed()) {
      works.ForEach([&](Work& work) {
        work.place_ = Work::Place::kWaiting;
        work.queued_ = now;
        if (work.exclusive()) exclusive_.fetch_add(1, std::memory_order_relaxed);
        ++pushed;
      });
      listed_ += pushed;
      list_.Append(works);
      // A thread that takes work wakes the next one if there is more.
      if (idle_ > 0) arrived_.Signal();
      return;
    }
  }
  while (Work* const work = works.PopFront()) {
    Unreserve();
    work->Refuse(errors::PoolClosed());
  }
}

void WorkQueue::PushOwn(Work& work) {
  waiting_.fetch_add(1, std::memory_order_relaxed);
  WorkList one;
  one.PushBack(work);
  Push(std::move(one));
}

WorkQueue::Cancelled WorkQueue::Cancel(Work& work) {
  MutexLock lock(&mu_);
  if (Remove(work)) return Cancelled::kRemoved;
  if (work.place_ != Work::Place::kRunning) return Cancelled::kElsewhere;
  // Under the lock, which Finish takes too: the interrupt can meet no later statement.
  work.Interrupt();
  return Cancelled::kInterrupted;
}

bool WorkQueue::Withdraw(Work& work) {
  MutexLock lock(&mu_);
  return Remove(work);
}

bool WorkQueue::Remove(Work& work) {
  const bool waits = work.place_ == Work::Place::kWaiting;
  if (!waits && work.place_ != Work::Place::kTaken) return false;
  if (waits) --listed_;
  work.Unlink();
  work.place_ = Work::Place::kElsewhere;
  if (work.exclusive()) exclusive_.fetch_sub(1, std::memory_order_relaxed);
  Unreserve();
  return true;
}

void WorkQueue::SetHold(std::shared_ptr<const db::WriterHold> hold) {
  MutexLock lock(&mu_);
  held_.store(hold != nullptr, std::memory_order_relaxed);
  hold_ = std::move(hold);
}

std::shared_ptr<const db::WriterHold> WorkQueue::hold() const {
  MutexLock lock(&mu_);
  return hold_;
}

void WorkQueue::Relieve(int64_t limit_bytes) {
  MutexLock lock(&mu_);
  on_threads_.ForEach([&](Work& work) {
    work.watch_.relieved.store(limit_bytes, std::memory_order_relaxed);
    work.Interrupt();
  });
}

void WorkQueue::Close() {
  WorkList refused;
  {
    MutexLock lock(&mu_);
    closed_.store(true, std::memory_order_release);
    list_.ForEach([](Work& work) { work.place_ = Work::Place::kElsewhere; });
    listed_ = 0;
    refused.Append(list_);
    on_threads_.ForEach([](Work& work) { work.Interrupt(); });
    arrived_.SignalAll();
  }
  while (Work* const work = refused.PopFront()) {
    Unreserve();
    work->Refuse(errors::PoolClosed());
  }
}

int WorkQueue::Take(WorkList& taken, int most) {
  MutexLock lock(&mu_);
  WaitForWork();
  if (closed()) return 0;
  int count = 0;
  for (bool more = true; more; ++count) {
    const Work& work = MoveFront(taken);
    more = count + 1 < most && work.short_read() && !list_.empty() && list_.Front()->short_read();
  }
  if (!list_.empty() && idle_ > 0) arrived_.Signal();
  return count;
}

int WorkQueue::TakeGroup(WorkList& taken, const GroupLimits& limits) {
  MutexLock lock(&mu_);
  WaitForWork();
  if (listed_ < limits.expected) WaitForMore(limits);
  if (closed()) return 0;
  int count = 0;
  int64_t bytes = 0;
  while (!list_.empty() && count < limits.most && bytes < limits.most_bytes) {
    const Work& next = *list_.Front();
    if (next.exclusive() && count > 0) break;
    bytes += next.bytes();
    ++count;
    if (MoveFront(taken).exclusive()) break;
  }
  return count;
}

void WorkQueue::WaitForWork() {
  while (list_.empty() && !closed()) {
    ++idle_;
    arrived_.Wait(&mu_);
    --idle_;
  }
}

void WorkQueue::WaitForMore(const GroupLimits& limits) {
  const absl::Duration until = Clock::System().Steady() + limits.patience;
  ++idle_;
  while (listed_ < limits.expected && !closed()) {
    const absl::Duration left = until - Clock::System().Steady();
    if (left <= absl::ZeroDuration()) break;
    arrived_.WaitWithTimeout(&mu_, left);
  }
  --idle_;
  // What there was may have been cancelled meanwhile.
  WaitForWork();
}

Work& WorkQueue::MoveFront(WorkList& taken) {
  Work* const work = list_.PopFront();
  --listed_;
  work->place_ = Work::Place::kTaken;
  taken.PushBack(*work);
  return *work;
}

Work* WorkQueue::Begin(WorkList& taken) {
  WorkList refused;
  {
    MutexLock lock(&mu_);
    if (!closed()) {
      Work* const work = taken.PopFront();
      if (work == nullptr) return nullptr;
      work->place_ = Work::Place::kRunning;
      on_threads_.PushBack(*work);
      if (work->exclusive()) exclusive_.fetch_sub(1, std::memory_order_relaxed);
      Unreserve();
      running_.fetch_add(1, std::memory_order_relaxed);
      return work;
    }
    taken.ForEach([](Work& work) { work.place_ = Work::Place::kElsewhere; });
    refused.Append(taken);
  }
  while (Work* const work = refused.PopFront()) {
    Unreserve();
    work->Refuse(errors::PoolClosed());
  }
  return nullptr;
}

void WorkQueue::Finish(Work& work) {
  MutexLock lock(&mu_);
  work.Unlink();
  work.place_ = Work::Place::kElsewhere;
  work.interruptible_.store(nullptr, std::memory_order_relaxed);
  running_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace sluice::sqlite
