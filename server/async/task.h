// Task: a lazy coroutine with one owner and one awaiter. It starts when it is awaited and resumes
// its awaiter by symmetric transfer, so a chain of tasks costs no stack.
#ifndef SLUICE_SERVER_ASYNC_TASK_H_
#define SLUICE_SERVER_ASYNC_TASK_H_

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

namespace sluice {

template <class T>
class Task;

namespace task_internal {

// Resumes whoever awaited the task when its body has ended.
struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }

  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
    return finished.promise().continuation;
  }

  void await_resume() const noexcept {}
};

struct PromiseBase {
  std::suspend_always initial_suspend() const noexcept { return {}; }

  FinalAwaiter final_suspend() const noexcept { return {}; }

  // No exception crosses a coroutine here: errors are values.
  [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }

  std::coroutine_handle<> continuation = std::noop_coroutine();
};

template <class T>
struct Promise final : PromiseBase {
  Task<T> get_return_object() noexcept;

  template <class U>
  void return_value(U&& value) {
    result.emplace(std::forward<U>(value));
  }

  T Take() { return std::move(*result); }

  std::optional<T> result;
};

template <>
struct Promise<void> final : PromiseBase {
  Task<void> get_return_object() noexcept;

  void return_void() const noexcept {}

  void Take() const noexcept {}
};

}  // namespace task_internal

// The frame is destroyed with its Task; that is only allowed before it starts or after it ended,
// never in between.
template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) noexcept : handle_(handle) {}

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }

  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(Handle handle) noexcept : handle_(handle) {}

    bool await_ready() const noexcept { return false; }

    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
      handle_.promise().continuation = awaiting;
      return handle_;
    }

    T await_resume() const { return handle_.promise().Take(); }

   private:
    const Handle handle_;
  };

  Awaiter operator co_await() const& noexcept { return Awaiter(handle_); }

 private:
  Handle handle_;
};

namespace task_internal {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}

inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

// A coroutine that nobody awaits; its frame destroys itself at the end.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }

    std::suspend_never initial_suspend() const noexcept { return {}; }

    std::suspend_never final_suspend() const noexcept { return {}; }

    [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }

    void return_void() const noexcept {}
  };
};

inline Detached RunDetached(Task<void> task) {
  co_await task;
}

}  // namespace task_internal

// Runs the task now, on this thread, up to its first wait; it owns itself from then on.
inline void Spawn(Task<void> task) {
  task_internal::RunDetached(std::move(task));
}

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_TASK_H_
