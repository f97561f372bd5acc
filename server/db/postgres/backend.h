// Backend: everything of one database that lives on the reactor's thread.
#ifndef SLUICE_SERVER_DB_POSTGRES_BACKEND_H_
#define SLUICE_SERVER_DB_POSTGRES_BACKEND_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/driver.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/lanes.h"
#include "server/db/postgres/plan.h"
#include "server/db/postgres/pool.h"
#include "server/db/postgres/reactor.h"
#include "server/db/postgres/runner.h"
#include "server/db/postgres/types.h"

namespace sluice::postgres {

class Work;

// The result of a question of our own, which is the only one of its trip.
struct Answer {
  std::shared_ptr<Trip> trip;

  const Result& result() const { return trip->results.front(); }
};

// Made on any thread, used on the reactor's; nothing of it is there any more once it was closed.
class Backend {
 public:
  Backend(std::shared_ptr<const ConnectTarget> target,
          const Egress& egress,
          const db::PostgresSettings& settings);

  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // Runs an operation of a call's on the reactor: `body` makes a Task<T> of a Caller&. Any
  // executor.
  template <class T, class Body>
  Task<T> Run(const Context& ctx, Body body) {
    T result = co_await OnReactor<T>(
        reactor_, ctx, [&](Caller& caller) { return Counted<T>(*this, caller, body(caller)); });
    co_return result;
  }

  // The reactor's thread only, all that follows.

  // Runs a statement by itself: on a lane where it may, else on a connection of its own.
  Task<absl::StatusOr<db::Rows>> Execute(Caller& caller, const db::Statement& statement);

  // A question of our own about the database, which writes nothing: on a connection of its own, in
  // a read-only transaction. Results are text, or binary where that is asked for.
  Task<absl::StatusOr<Answer>> Ask(Caller& caller,
                                   absl::string_view sql,
                                   ParameterValues values = {},
                                   Format results = Format::kText);

  // A request was kept. Now and then those that are too old to be answered again are deleted, by
  // and by.
  void RequestKept();

  // Refuses what comes, ends what runs, and answers when nothing is left.
  Task<void> Close();

  // Transactions that are open; they are ended when the backend is closed.
  void Add(Work& work) { works_.insert(&work); }

  void Remove(Work& work) { works_.erase(&work); }

  bool closing() const { return closing_; }

  // While it lives, a COMMIT is on its way.
  class Committing {
   public:
    explicit Committing(Backend& backend) : count_(backend.commits_) { ++count_; }

    ~Committing() { --count_; }

    Committing(const Committing&) = delete;
    Committing& operator=(const Committing&) = delete;

   private:
    std::atomic<int>& count_;
  };

  // How many are. Any thread.
  int commits() const { return commits_; }

  // What a statement that ran on a connection of its own may have left behind there.
  Hygiene HygieneOf(const Plan& plan) const;

  const db::PostgresSettings& settings() const { return settings_; }

  Reactor& reactor() const { return reactor_; }

  Pool& pool() { return pool_; }

  Lanes& lanes() { return lanes_; }

  Runner& runner() { return runner_; }

  PlanBook& plans() { return plans_; }

  TypeBook& types() { return types_; }

  Habits& habits() { return habits_; }

 private:
  template <class T>
  static Task<T> Counted(Backend& backend, Caller& caller, Task<T> task) {
    backend.callers_.insert(&caller);
    T result = co_await task;
    backend.callers_.erase(&caller);
    backend.MayBeIdle();
    co_return result;
  }

  static Task<void> ForgetRequests(Backend& backend);
  Task<absl::Status> ForgetRequestsNow(Caller& caller);
  void MayBeIdle();
  bool MayUseLanes(const Plan& plan, const db::Statement& statement) const;

  Reactor& reactor_ = Reactor::Shared();
  const std::shared_ptr<const ConnectTarget> target_;
  const db::PostgresSettings settings_;
  TypeBook types_;
  PlanBook plans_;
  Habits habits_;
  Runner runner_{types_, plans_, habits_};
  Pool pool_;
  Lanes lanes_;
  absl::flat_hash_set<Work*> works_;
  absl::flat_hash_set<Caller*> callers_;
  absl::Duration requests_forgotten_ = -absl::InfiniteDuration();  // on the steady clock
  bool closing_ = false;
  std::atomic<int> commits_{0};  // on their way
  std::optional<Completion<bool>> idle_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_BACKEND_H_
