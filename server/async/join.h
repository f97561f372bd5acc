// Join: several tasks side by side on one executor; done when all are.
#ifndef SLUICE_SERVER_ASYNC_JOIN_H_
#define SLUICE_SERVER_ASYNC_JOIN_H_

#include <coroutine>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "server/async/task.h"

namespace sluice {

namespace join_internal {

// Counts the tasks that are still running. All of them run on one thread, so a plain number does.
class Latch {
 public:
  explicit Latch(size_t count) : left_(count) {}

  void Arrive() {
    if (--left_ == 0 && waiter_) waiter_.resume();
  }

  bool await_ready() const noexcept { return left_ == 0; }

  void await_suspend(std::coroutine_handle<> waiter) noexcept { waiter_ = waiter; }

  void await_resume() const noexcept {}

 private:
  size_t left_;
  std::coroutine_handle<> waiter_;
};

template <class T>
Task<void> RunInto(Task<T> task, std::optional<T>& result, Latch& latch) {
  result.emplace(co_await task);
  latch.Arrive();
}

}  // namespace join_internal

// Both results, once both tasks ended. Neither cancels the other.
template <class A, class B>
Task<std::pair<A, B>> Join(Task<A> first, Task<B> second) {
  join_internal::Latch latch(2);
  std::optional<A> a;
  std::optional<B> b;
  Spawn(join_internal::RunInto(std::move(first), a, latch));
  Spawn(join_internal::RunInto(std::move(second), b, latch));
  co_await latch;
  co_return std::pair<A, B>(std::move(*a), std::move(*b));
}

// All results in the tasks' order.
template <class T>
Task<std::vector<T>> JoinAll(std::vector<Task<T>> tasks) {
  join_internal::Latch latch(tasks.size());
  std::vector<std::optional<T>> slots(tasks.size());
  for (size_t i = 0; i < tasks.size(); ++i) {
    Spawn(join_internal::RunInto(std::move(tasks[i]), slots[i], latch));
  }
  co_await latch;
  std::vector<T> results;
  results.reserve(slots.size());
  for (std::optional<T>& slot : slots) results.push_back(std::move(*slot));
  co_return results;
}

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_JOIN_H_
