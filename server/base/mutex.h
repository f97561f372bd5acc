// Mutex, CondVar and Notification: the standard library's, with the annotations that clang checks.
// Not Abseil's own, since ThreadSanitizer does not see into a library that was built without it and
// would call every hand-over a race.
#ifndef SLUICE_SERVER_BASE_MUTEX_H_
#define SLUICE_SERVER_BASE_MUTEX_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"

namespace sluice {

class ABSL_LOCKABLE Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mu_.lock(); }

  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) { return mu_.try_lock(); }

  void Unlock() ABSL_UNLOCK_FUNCTION() { mu_.unlock(); }

 private:
  friend class CondVar;

  std::mutex mu_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mu) ABSL_EXCLUSIVE_LOCK_FUNCTION(mu) : mu_(mu) { mu_->Lock(); }

  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mu_->Unlock(); }

  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mu_;
};

// Every wait may end without a reason: look again at what was waited for.
class CondVar {
 public:
  void Wait(Mutex* mu) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    changed_.wait(lock);
    lock.release();
  }

  // True if the time passed without a signal. Infinite is a wait without end.
  bool WaitWithTimeout(Mutex* mu, absl::Duration timeout) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    // Waits beyond a day come back early, which is allowed; a longer one could overflow the clock.
    const absl::Duration bounded = std::clamp(timeout, absl::ZeroDuration(), absl::Hours(24));
    std::unique_lock<std::mutex> lock(mu->mu_, std::adopt_lock);
    const std::cv_status ended = changed_.wait_for(lock, absl::ToChronoNanoseconds(bounded));
    lock.release();
    return ended == std::cv_status::timeout && bounded == timeout;
  }

  void Signal() { changed_.notify_one(); }

  void SignalAll() { changed_.notify_all(); }

 private:
  std::condition_variable changed_;
};

// Notification: something that happens once, and that others wait for.
class Notification {
 public:
  void Notify() {
    MutexLock lock(&mu_);
    notified_ = true;
    changed_.SignalAll();  // under the lock: the waiter may destroy this as soon as it has it
  }

  bool HasBeenNotified() const {
    MutexLock lock(&mu_);
    return notified_;
  }

  void WaitForNotification() const {
    MutexLock lock(&mu_);
    while (!notified_) changed_.Wait(&mu_);
  }

  // False if it did not happen within `timeout`.
  bool WaitForNotificationWithTimeout(absl::Duration timeout) const {
    const auto give_up = std::chrono::steady_clock::now() +
                         absl::ToChronoNanoseconds(std::min(timeout, absl::Hours(24)));
    MutexLock lock(&mu_);
    while (!notified_) {
      const auto left = give_up - std::chrono::steady_clock::now();
      if (left <= left.zero()) return false;
      changed_.WaitWithTimeout(&mu_, absl::FromChrono(left));
    }
    return true;
  }

 private:
  mutable Mutex mu_;
  mutable CondVar changed_;
  bool notified_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_MUTEX_H_
