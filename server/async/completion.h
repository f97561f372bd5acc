// Completion: the only bridge from a driver's thread to a coroutine. The waiter always resumes on
// the executor on which it began to wait.
#ifndef SLUICE_SERVER_ASYNC_COMPLETION_H_
#define SLUICE_SERVER_ASYNC_COMPLETION_H_

#include <cassert>
#include <coroutine>
#include <optional>
#include <utility>

#include "server/async/executor.h"
#include "server/async/inbox.h"

namespace sluice {

namespace completion_internal {

// Where the answer lands; lives in the frame of the coroutine that waits.
template <class T>
class Slot : public Job {
 public:
  Slot() : Job([](Job* job) { static_cast<Slot*>(job)->waiter_.resume(); }) {}

  void Suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    executor_ = Executor::Current();
    assert(executor_ != nullptr && "a coroutine waits only on an executor's thread");
  }

  void Resolve(T value) {
    value_.emplace(std::move(value));
    executor_->Post(this);
  }

  T Take() { return std::move(*value_); }

 private:
  std::coroutine_handle<> waiter_;
  Executor* executor_ = nullptr;
  std::optional<T> value_;
};

}  // namespace completion_internal

// Move-only; resolved exactly once, from any thread. An unresolved one must not be destroyed: its
// waiter would never wake.
template <class T>
class Completion {
 public:
  explicit Completion(completion_internal::Slot<T>* slot) : slot_(slot) {}

  Completion(Completion&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}

  Completion& operator=(Completion&& other) noexcept {
    assert(slot_ == nullptr);
    slot_ = std::exchange(other.slot_, nullptr);
    return *this;
  }

  ~Completion() { assert(slot_ == nullptr && "a Completion was dropped"); }

  void Resolve(T value) {
    assert(slot_ != nullptr && "a Completion was resolved twice");
    std::exchange(slot_, nullptr)->Resolve(std::move(value));
  }

  bool pending() const { return slot_ != nullptr; }

 private:
  completion_internal::Slot<T>* slot_;
};

namespace completion_internal {

template <class T, class Start>
class AsyncAwaiter {
 public:
  explicit AsyncAwaiter(Start start) : start_(std::move(start)) {}

  bool await_ready() const noexcept { return false; }

  void await_suspend(std::coroutine_handle<> waiter) {
    slot_.Suspend(waiter);
    start_(Completion<T>(&slot_));
  }

  T await_resume() { return slot_.Take(); }

 private:
  Start start_;
  Slot<T> slot_;
};

}  // namespace completion_internal

// const auto result = co_await Async<T>([&](Completion<T> done) { hand `done` to a thread that
// resolves it; }); `start` runs at once on the waiting thread.
template <class T, class Start>
auto Async(Start start) {
  return completion_internal::AsyncAwaiter<T, Start>(std::move(start));
}

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_COMPLETION_H_
