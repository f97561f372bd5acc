// FifoMutex: one coroutine at a time, in order of arrival, across executors. A waiter leaves the
// queue when its call is stopped.
#ifndef SLUICE_SERVER_ASYNC_MUTEX_H_
#define SLUICE_SERVER_ASYNC_MUTEX_H_

#include <functional>
#include <list>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/mutex.h"

namespace sluice {

class FifoMutex {
 public:
  // Holding: owns the mutex while it lives. Movable; may be released on any executor.
  class Holding {
   public:
    explicit Holding(FifoMutex* mutex) : mutex_(mutex) {}

    Holding(Holding&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}

    Holding& operator=(Holding&& other) noexcept {
      std::swap(mutex_, other.mutex_);
      return *this;
    }

    ~Holding() {
      if (mutex_ != nullptr) mutex_->Release();
    }

   private:
    FifoMutex* mutex_;
  };

  FifoMutex() = default;
  FifoMutex(const FifoMutex&) = delete;
  FifoMutex& operator=(const FifoMutex&) = delete;
  ~FifoMutex();  // nobody may hold it or wait for it

  // The turn, or why the call ended while it waited (executed=no).
  Task<absl::StatusOr<Holding>> Lock(const Context& ctx);

  // The turn, if nobody has it. Any thread, never waits.
  std::optional<Holding> TryLock();

  size_t waiting() const;

 private:
  using Waiter = Completion<bool>;  // true: it is your turn; false: you left the queue

  void Release();
  void Leave(const void* ticket);

  struct Entry {
    const void* ticket;
    Waiter waiter;
  };

  mutable Mutex mu_;
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Entry> queue_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_MUTEX_H_
