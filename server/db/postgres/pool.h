// Pool: the connections to one target, and who has them.
#ifndef SLUICE_SERVER_DB_POSTGRES_POOL_H_
#define SLUICE_SERVER_DB_POSTGRES_POOL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/async/task.h"
#include "server/db/driver.h"
#include "server/db/pool_stats.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/connection.h"
#include "server/db/postgres/connector.h"
#include "server/db/postgres/link.h"
#include "server/db/postgres/reactor.h"
#include "server/db/postgres/target.h"

namespace sluice::postgres {

class Pool;

// What a session must not take along to its next user.
enum class Hygiene {
  kClean,  // nothing is left behind, as far as the text of what ran can tell
  kReset,  // forget everything first
  kClose,  // not to be trusted any more
};

// Tenant: for whom a connection is leased, for those who look.
struct Tenant {
  std::string transaction;  // its handle; empty: it is a statement by itself
  std::string caller;       // empty: not known
  std::string request_id;   // empty: the call has no name
};

// Lease: a connection of one's own, for as long as it lives. Its end gives the connection back:
// what is under way comes to its end first, a transaction is rolled back, and what it may have left
// behind is discarded; where that fails, it is closed.
class Lease final : public Link {
 public:
  Lease() = default;

  Lease(Pool* pool, std::unique_ptr<Connection> connection)
      : pool_(pool), connection_(std::move(connection)) {}

  Lease(Lease&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        connection_(std::move(other.connection_)),
        hygiene_(other.hygiene_) {}

  Lease& operator=(Lease&& other) noexcept;

  ~Lease() { Release(); }

  explicit operator bool() const { return connection_ != nullptr; }

  Connection& connection() const override { return *connection_; }

  // The worst that was said stands.
  void Leaves(Hygiene hygiene) { hygiene_ = std::max(hygiene_, hygiene); }

  // What is told of it to those who look.
  void Serves(Tenant tenant);
  void Runs(absl::string_view sql);

  // Waits for the end of a trip. A stopped caller has its statement cancelled, and waits no longer
  // than that may take: then the trip counts as abandoned, and the connection forgets everything
  // before it is used again.
  Task<Trip::End> Await(std::shared_ptr<Trip> trip, Caller& caller) override;

  // The same for what nobody stops, but not for longer than `limit`.
  Task<Trip::End> AwaitAtMost(std::shared_ptr<Trip> trip, absl::Duration limit);

  // Gives it back now.
  void Release();

 private:
  Pool* pool_ = nullptr;
  std::unique_ptr<Connection> connection_;
  Hygiene hygiene_ = Hygiene::kClean;
};

struct PoolOptions {
  int min = 0;
  int max = 10;
  int overflow = 20;
  int waiters = 1024;  // callers that may wait
  absl::Duration acquire_timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Minutes(10);
  absl::Duration recycle = absl::Hours(1);     // with a tenth of jitter; zero: never
  absl::Duration pre_ping = absl::Seconds(5);  // after so long without use
  size_t statements = 200;                     // prepared, a connection
  int lanes = 0;                               // connections that only lanes may take
};

// The reactor's thread only, but for the counters. Owned by its database.
class Pool {
 public:
  Pool(Reactor& reactor,
       std::shared_ptr<const ConnectTarget> target,
       const Egress& egress,
       const PoolOptions& options);
  ~Pool();

  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A connection, the one used last if there is one, else a new one; who waits is served in order.
  // Errors: POOL_EXHAUSTED, POOL_CLOSED, what connecting brought, and the caller's own end.
  Task<absl::StatusOr<Lease>> Acquire(Caller& caller);

  // A connection for a lane, whose statements the server ends after `allowance`. It counts as one
  // of the pool's. Errors: as above, and never waits for room.
  Task<absl::StatusOr<std::unique_ptr<Connection>>> MakeForLane(absl::Duration allowance);
  void CloseLane(std::shared_ptr<Connection> connection);
  // Has lived as long as connections may, or writes to a server that another has taken over from.
  bool Expired(const Connection& connection) const;

  // If its server takes no more writes: none of the connections that there are now is given to
  // anybody. What is under way comes to its end.
  void LookAt(const Connection& connection);

  // Told of that.
  void set_on_leave(std::function<void()> on_leave) { on_leave_ = std::move(on_leave); }

  // A lane's connection was given up because the server was silent.
  void CountCondemned() { ++lanes_condemned_; }

  // What the pool and its connections do; without what only lanes know.
  db::PoolStats Stats() const;

  // Refuses whoever waits and whoever comes, and answers when every connection is back and closed.
  Task<void> Close();

  // Any thread.
  int64_t leased() const { return leased_.load(std::memory_order_relaxed); }

  int64_t open() const { return open_.load(std::memory_order_relaxed); }

  int64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

  const PoolOptions& options() const { return options_; }

 private:
  friend class Lease;

  struct Idle {
    std::unique_ptr<Connection> connection;
    absl::Duration since;
  };

  // A connection that is leased.
  struct Held {
    Tenant tenant;
    std::string sql;  // cut
    absl::Duration since;
  };

  // Somebody who waits; lives in his coroutine.
  struct Waiter {
    std::optional<Completion<absl::Status>> done;
    std::unique_ptr<Connection> got;
  };

  struct Sweep final : Timer {
    explicit Sweep(Pool& owner)
        : Timer([](Timer* timer) { static_cast<Sweep*>(timer)->pool.OnSweep(); }), pool(owner) {}

    Pool& pool;
  };

  struct Retry final : Timer {
    explicit Retry(Pool& owner)
        : Timer([](Timer* timer) { static_cast<Retry*>(timer)->pool.MayConnect(); }), pool(owner) {}

    Pool& pool;
  };

  // The one used last that is still there; null if there is none. `fresh`: it was used lately.
  std::unique_ptr<Connection> TakeIdle(bool& fresh);
  Task<absl::StatusOr<std::unique_ptr<Connection>>> WaitForOne(Caller& caller);
  // Whether an idle connection still has a server behind it.
  Task<bool> Ping(Connection& connection);
  // Why no attempt is made now; OK if one may be.
  absl::Status Resting() const;
  // Whether a connection may come free that has a server behind it.
  bool OthersMayReturn() const;
  // Whether there is room for one more that is leased.
  bool HasRoom() const;
  void MayConnect();
  Task<void> ConnectOne();
  // With so long for each statement; infinite: as long as it takes.
  Task<absl::StatusOr<std::unique_ptr<Connection>>> Make(absl::Duration allowance);
  Keywords Startup(absl::Duration allowance) const;
  void Learn(const absl::Status& outcome);
  // Asks a new connection for its timeline; nobody waits for the answer.
  void AskTimeline(Connection& connection);
  void LearnTimeline(const Timeline& timeline);
  // A connection is free: for who waits first, or for the shelf. One that was never used, and is no
  // longer waited for, is taken from there after all others.
  void Serve(std::unique_ptr<Connection> connection, bool used);
  void FailWaiters(const absl::Status& why);
  void Tell(Waiter& waiter, absl::Status status);
  // Takes a leased connection back.
  void Return(std::unique_ptr<Connection> connection, Hygiene hygiene);
  Task<void> Settle(std::unique_ptr<Connection> connection, Hygiene hygiene);
  // Whether another may have it.
  Task<bool> CleanUp(Connection& connection, Hygiene hygiene);
  Task<bool> Finish(Connection& connection, absl::string_view sql);
  void CloseConnection(std::unique_ptr<Connection> connection);
  void Closed();
  void OnSweep();
  void CheckClosed();

  Reactor& reactor_;
  const std::shared_ptr<const ConnectTarget> target_;
  const Egress egress_;
  const PoolOptions options_;
  const bool must_write_;
  std::function<void()> on_leave_;
  absl::Duration left_at_;  // connections made before are not used again, on the steady clock
  std::vector<Idle> idle_;  // used last at the end, never used at the beginning
  absl::flat_hash_map<const Connection*, Held> held_;
  std::list<Waiter*> waiters_;
  bool connecting_ = false;
  int count_ = 0;            // open, wherever they are, and those being made
  int lanes_ = 0;            // of these, the lanes'
  int failures_ = 0;         // in a row
  absl::Status failure_;     // of the last attempt; OK after a success
  absl::Duration retry_at_;  // no attempt before, on the steady clock
  std::minstd_rand random_;
  std::optional<Timeline> timeline_;  // the latest of the cluster that was connected to last
  int64_t timeline_changes_ = 0;
  bool closing_ = false;
  std::optional<Completion<bool>> closed_;
  Sweep sweep_;
  Retry retry_;
  int64_t connects_ = 0;
  int64_t connects_failed_ = 0;
  int64_t acquire_timeouts_ = 0;
  int64_t lanes_open_ = 0;
  int64_t lanes_condemned_ = 0;
  std::atomic<int64_t> leased_{0};
  std::atomic<int64_t> open_{0};
  std::atomic<int64_t> waiting_{0};
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_POOL_H_
