// Context: what every operation knows of the call that it serves.
#ifndef SLUICE_SERVER_ASYNC_CONTEXT_H_
#define SLUICE_SERVER_ASYNC_CONTEXT_H_

#include <atomic>
#include <stop_token>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/executor.h"
#include "server/base/errors.h"

namespace sluice {

// Who a call acts for, as authentication found out.
struct Principal {
  std::string name;
};

// The other end of a call.
class Peer {
 public:
  // Where it is, as gRPC writes it: `ipv4:127.0.0.1:40112`.
  virtual std::string Address() const = 0;

 protected:
  virtual ~Peer() = default;
};

// Why a call has to end before it is done.
enum class StopCause {
  kNone,
  kCancelled,  // the caller cancelled, or its connection is gone
  kDeadline,   // the caller's deadline, or a limit of the server's, has passed
  kDraining,   // the server is going down
  kStalled,    // the caller takes no messages
  kIdle,       // the caller sends none
};

struct Context {
  std::stop_token stop;  // fires on the call's own thread
  absl::Time deadline = absl::InfiniteFuture();
  const Principal* who = nullptr;  // null: there is no authentication
  const Peer* peer = nullptr;      // null: the server itself
  // The server drains: the call may only bring to an end what was begun before.
  bool draining = false;
  absl::string_view request_id;  // may be empty: most calls get a name only when they fail
  const std::atomic<StopCause>* cause = nullptr;  // null: cancelled

  // Who calls, for those who look: a principal's name or an address; empty if nobody knows.
  std::string CallerName() const;

  // The error of a call that was stopped, given what became of its work.
  absl::Status Stopped(errors::Executed executed) const;
};

// CallScope: what can end a call early. Owned by whoever runs the call, and used on its thread
// only.
class CallScope {
 public:
  CallScope() : timer_(this) {}

  ~CallScope() { Disarm(); }

  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  // Ends the call after `limit` unless it ends before. `executor` is the call's own.
  void Arm(Executor& executor, absl::Duration limit);
  void Disarm();
  // Asks everything that runs for the call to end. The first cause stands.
  void Stop(StopCause cause);

  bool stopped() const { return source_.stop_requested(); }

  StopCause cause() const { return cause_.load(std::memory_order_relaxed); }

  Context MakeContext(absl::Time deadline, absl::string_view request_id) const;

 private:
  struct DeadlineTimer : Timer {
    explicit DeadlineTimer(CallScope* call)
        : Timer([](Timer* timer) {
            static_cast<DeadlineTimer*>(timer)->scope->Stop(StopCause::kDeadline);
          }),
          scope(call) {}

    CallScope* const scope;
  };

  std::stop_source source_;
  std::atomic<StopCause> cause_{StopCause::kNone};
  DeadlineTimer timer_;
  Executor* executor_ = nullptr;  // set while the timer is armed
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_CONTEXT_H_
