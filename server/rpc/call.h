// Call: one RPC from its acceptance to its end, on its loop.
#ifndef SLUICE_SERVER_RPC_CALL_H_
#define SLUICE_SERVER_RPC_CALL_H_

#include <coroutine>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "grpcpp/server_context.h"

#include "server/async/context.h"
#include "server/rpc/calls.h"
#include "server/rpc/loop.h"
#include "server/rpc/tag.h"

namespace sluice::rpc {

class Call;

// The calls that live on one loop, so that a drain can end them, and so that one timer can watch
// the limits of all. The loop's thread only.
class LiveCalls {
 public:
  LiveCalls() : watchdog_(*this) {}

  void Add(Call& call);
  void Remove(Call& call);
  void StopAll(StopCause cause);
  // Only those whose method ends with a drain.
  void StopStreams(StopCause cause);
  // Sees to it that the call is stopped when it is due.
  void Watch(Call& call);

 private:
  // Set to when the first of the calls is due, or earlier: a call that ends does not set it back,
  // since a timer of its own for each call would cost more than the call's own part of it.
  struct Watchdog : Timer {
    explicit Watchdog(LiveCalls& owner)
        : Timer([](Timer* timer) { static_cast<Watchdog*>(timer)->live.StopOverdue(); }),
          live(owner) {}

    LiveCalls& live;
    absl::Duration due = absl::InfiniteDuration();  // on the steady clock
  };

  void StopOverdue();

  Watchdog watchdog_;
  Call* first_ = nullptr;
};

// What a method says of its calls.
struct MethodOptions {
  std::string name;                                      // "sluice.v1.QueryService/Query"
  absl::Duration time_limit = absl::InfiniteDuration();  // beside the caller's deadline
  absl::Duration stall_limit = absl::Seconds(30);        // for a stream whose peer takes nothing
  absl::Duration idle_limit = absl::InfiniteDuration();  // for a stream whose peer sends nothing
  bool exempt = false;                                   // begun even when the server is full
  bool finishes_transactions = false;  // begun in a drain while transactions are open
  bool has_reserve = false;            // begun when the server is just full
  bool ends_with_drain = false;        // told to end as soon as a drain begins: streams
  bool names_every_call = false;       // a request id from the start; else only a failure gets one
};

class Call final : private Peer {
 public:
  Call(Loop& loop, LiveCalls& live, Calls& calls, const MethodOptions& method);
  // Only before Begin, when the call was never accepted, or after End.
  ~Call() override;

  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  grpc::ServerContext context;

  // Right after acceptance. Not ok: answer with it.
  absl::Status Begin();

  // After the last operation's tag: waits for gRPC's done tag, which may come before or after it.
  auto End() { return EndAwaiter(*this); }

  const Context& ctx() const { return ctx_; }

  CallScope& scope() { return scope_; }

  StopCause cause() const { return scope_.cause(); }

  const MethodOptions& method() const { return method_; }

  Loop& loop() { return loop_; }

  // The status as it travels; failures are logged here, once.
  grpc::Status Finish(const absl::Status& status);

 private:
  friend class LiveCalls;

  std::string Address() const override { return context.peer(); }

  class DoneTag final : public Tag {
   public:
    explicit DoneTag(Call& call) : call_(call) {}

    void Complete(bool ok) override;

   private:
    Call& call_;
  };

  class EndAwaiter {
   public:
    explicit EndAwaiter(Call& call) : call_(call) {}

    bool await_ready() const noexcept { return call_.done_; }

    void await_suspend(std::coroutine_handle<> waiter) noexcept { call_.waiter_ = waiter; }

    void await_resume() const noexcept {}

   private:
    Call& call_;
  };

  Loop& loop_;
  LiveCalls& live_;
  Calls& calls_;
  const MethodOptions& method_;
  DoneTag done_tag_;
  CallScope scope_;
  Context ctx_;
  std::string request_id_;
  absl::Duration begun_ = absl::ZeroDuration();    // steady clock
  absl::Duration due_ = absl::InfiniteDuration();  // steady clock: the method's limit
  bool accepted_ = false;
  bool done_ = false;  // gRPC's done tag is here
  std::coroutine_handle<> waiter_;
  Call* previous_ = nullptr;
  Call* next_ = nullptr;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_CALL_H_
