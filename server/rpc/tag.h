// Tag: what a completion queue gives back. An operation awaits its own.
#ifndef SLUICE_SERVER_RPC_TAG_H_
#define SLUICE_SERVER_RPC_TAG_H_

#include <coroutine>
#include <utility>

namespace sluice::rpc {

class Tag {
 public:
  // On the thread of the queue's loop. `ok` as gRPC defines it for the operation.
  virtual void Complete(bool ok) = 0;

 protected:
  ~Tag() = default;
};

namespace tag_internal {

template <class Start>
class OperationAwaiter final : public Tag {
 public:
  explicit OperationAwaiter(Start start) : start_(std::move(start)) {}

  bool await_ready() const noexcept { return false; }

  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    start_(static_cast<Tag*>(this));
  }

  bool await_resume() const noexcept { return ok_; }

  void Complete(bool ok) override {
    ok_ = ok;
    waiter_.resume();
  }

 private:
  Start start_;
  std::coroutine_handle<> waiter_;
  bool ok_ = false;
};

}  // namespace tag_internal

// const bool ok = co_await Operation([&](void* tag) { writer.Write(buffer, tag); });
template <class Start>
auto Operation(Start start) {
  return tag_internal::OperationAwaiter<Start>(std::move(start));
}

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_TAG_H_
