// Caller: a call as the reactor sees it, and the way from the call's executor to the reactor and
// back.
#ifndef SLUICE_SERVER_DB_POSTGRES_CALLER_H_
#define SLUICE_SERVER_DB_POSTGRES_CALLER_H_

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/errors.h"
#include "server/db/postgres/reactor.h"

namespace sluice::postgres {

// Lives on the reactor's thread, and until the call is answered: its context is gone then.
class Caller {
 public:
  Caller(Reactor& reactor, const Context& ctx) : reactor_(reactor), ctx_(&ctx), timer_(*this) {}

  // Work of our own, which nobody stops.
  explicit Caller(Reactor& reactor) : reactor_(reactor), timer_(*this) {}

  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  // Between the two its deadline counts.
  void Arm() {
    if (ctx_ == nullptr) return;
    if (ctx_->stop.stop_requested() || ctx_->deadline <= absl::Now()) return Stop();
    if (ctx_->deadline == absl::InfiniteFuture()) return;
    reactor_.StartTimer(timer_, ctx_->deadline - absl::Now());
  }

  void Disarm() { reactor_.CancelTimer(timer_); }

  bool stopped() const { return stopped_; }

  // Null: work of our own.
  const Context* context() const { return ctx_; }

  // Its call was stopped, or its deadline has passed.
  void Stop() {
    if (std::exchange(stopped_, true)) return;
    if (on_stop_) on_stop_();
  }

  // The database is being closed.
  void Close() {
    closing_ = true;
    Stop();
  }

  // Why it ended, given what became of its work.
  absl::Status Why(errors::Executed executed) const {
    if (ctx_ != nullptr && ctx_->stop.stop_requested()) return ctx_->Stopped(executed);
    if (!closing_) return errors::DeadlineExceeded(executed);
    return executed == errors::Executed::kNo ? errors::PoolClosed()
                                             : errors::ServerDraining(executed);
  }

  // While it lives, `told` is called once the call is stopped; at once if it is already.
  class Watch {
   public:
    Watch(Caller& caller, std::function<void()> told) : caller_(caller) {
      outer_ = std::exchange(caller_.on_stop_, std::move(told));
      if (caller_.stopped_) caller_.on_stop_();
    }

    ~Watch() { caller_.on_stop_ = std::move(outer_); }

    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Caller& caller_;
    std::function<void()> outer_;
  };

 private:
  struct Deadline final : Timer {
    explicit Deadline(Caller& owner)
        : Timer([](Timer* timer) { static_cast<Deadline*>(timer)->caller.Stop(); }),
          caller(owner) {}

    Caller& caller;
  };

  Reactor& reactor_;
  const Context* const ctx_ = nullptr;  // null: nobody's
  Deadline timer_;
  bool stopped_ = false;
  bool closing_ = false;
  std::function<void()> on_stop_;
};

namespace caller_internal {

// Tells the reactor that a call was stopped; whichever of the two is last frees it.
struct StopJob final : Job {
  explicit StopJob(std::weak_ptr<Caller> whom)
      : Job([](Job* job) {
          const std::unique_ptr<StopJob> self(static_cast<StopJob*>(job));
          if (const std::shared_ptr<Caller> alive = self->caller.lock()) alive->Stop();
        }),
        caller(std::move(whom)) {}

  const std::weak_ptr<Caller> caller;
};

template <class T, class Body>
struct Hop final : Job {
  Hop(Reactor& its_reactor, std::shared_ptr<Caller> its_caller, Body& its_body)
      : Job([](Job* job) { Spawn(Run(*static_cast<Hop*>(job))); }),
        reactor(its_reactor),
        caller(std::move(its_caller)),
        body(its_body) {}

  // The hop is gone once it has answered.
  static Task<void> Run(Hop& hop) {
    hop.caller->Arm();
    T result = co_await hop.body(*hop.caller);
    hop.caller->Disarm();
    hop.done->Resolve(std::move(result));
  }

  Reactor& reactor;
  const std::shared_ptr<Caller> caller;
  Body& body;
  std::optional<Completion<T>> done;
};

}  // namespace caller_internal

// Runs `body`, which makes a Task<T> of a Caller&, on the reactor, and answers what it answers.
// What stops the call stops the caller, and is not waited for.
template <class T, class Body>
Task<T> OnReactor(Reactor& reactor, const Context& ctx, Body body) {
  caller_internal::Hop<T, Body> hop(reactor, std::make_shared<Caller>(reactor, ctx), body);
  const std::stop_callback on_stop(ctx.stop,
                                   [&] { reactor.Post(new caller_internal::StopJob(hop.caller)); });
  T result = co_await Async<T>([&](Completion<T> done) {
    hop.done.emplace(std::move(done));
    reactor.Post(&hop);
  });
  co_return result;
}

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CALLER_H_
