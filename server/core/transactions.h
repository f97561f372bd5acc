// Transactions: what the transaction ids of requests mean.
#ifndef SLUICE_SERVER_CORE_TRANSACTIONS_H_
#define SLUICE_SERVER_CORE_TRANSACTIONS_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/executor.h"
#include "server/async/inbox.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/base/ids.h"
#include "server/base/mutex.h"
#include "server/core/connections.h"
#include "server/core/ending.h"
#include "server/core/transaction.h"

namespace sluice::core {

// The server's settings that concern transactions.
struct TransactionLimits {
  absl::Duration idle_timeout = absl::Seconds(30);  // the default, and the most
  absl::Duration max_life = absl::Minutes(10);      // the same
  int64_t per_connection = 1000;                    // open ones
  int64_t per_caller = 250;                         // the same
};

// Finished ones are remembered so long, and so many of them.
inline constexpr absl::Duration kRememberFinished = absl::Minutes(10);
inline constexpr size_t kMostRemembered = 65'536;

// How often leases are looked at while a transaction is open.
inline constexpr absl::Duration kLeaseWatch = absl::Milliseconds(50);

// What transactions on one connection did since the server started.
struct TransactionCounts {
  int64_t open = 0;
  absl::Duration oldest;  // age; zero if none is open
  int64_t begun = 0;
  int64_t committed = 0;
  int64_t rolled_back = 0;
  int64_t expired = 0;
  int64_t ended = 0;  // by the server, but not for their lease
  int64_t unknown = 0;
  int64_t refused = 0;
  int64_t conflicts_retried = 0;
};

// Owned by the app, which outlives every call; any thread. Ids are known by their SHA-256 only.
class Transactions {
 public:
  Transactions(TransactionLimits limits, const Clock& clock);
  ~Transactions();  // not before Join returned, if it was started

  Transactions(const Transactions&) = delete;
  Transactions& operator=(const Transactions&) = delete;

  // Begins one on a connection whose database is open, and has the first turn in it. Errors:
  // PARAMETER_INVALID (a lease below 1 ms), TRANSACTION_LIMIT, SERVER_DRAINING, and what the
  // database says.
  absl::StatusOr<Transaction::Turn> Begin(const Context& ctx,
                                          const Connections::EntryPtr& connection,
                                          TransactionRequest request);

  // The transaction of an id that the caller may use, open or FAILED. Errors: PARAMETER_INVALID (no
  // id), TRANSACTION_NOT_FOUND, TRANSACTION_FINISHED, TRANSACTION_EXPIRED.
  absl::StatusOr<std::shared_ptr<Transaction>> Find(const Context& ctx, absl::string_view id) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // What is remembered of an id that the caller may use, open or finished; nothing if nothing is.
  struct Known {
    TransactionFacts facts;
    ids::Hash connection{};    // key of its connection
    std::string committed_by;  // id of the request that did; empty if it had none
    std::string outcome_token;
  };

  std::optional<Known> Remember(const Context& ctx, absl::string_view id) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // The open one with a public handle. Error: TRANSACTION_NOT_FOUND.
  absl::StatusOr<std::shared_ptr<Transaction>> FindHandle(absl::string_view handle) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // The open ones, the oldest first, of one connection or all.
  std::vector<std::shared_ptr<Transaction>> List(const ids::Hash* connection = nullptr) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // Ends all of a connection that was closed, and forgets its counts.
  void EndConnection(const ids::Hash& connection) ABSL_LOCKS_EXCLUDED(mu_);

  TransactionCounts Counts(const ids::Hash& connection) const ABSL_LOCKS_EXCLUDED(mu_);
  void CountConflict(const ids::Hash& connection) ABSL_LOCKS_EXCLUDED(mu_);

  const TransactionLimits& limits() const { return limits_; }

  // Open ones that may still be committed.
  int64_t Unended() const ABSL_LOCKS_EXCLUDED(mu_);

  // Open ones. Never waits.
  int64_t open() const { return open_count_.load(std::memory_order_acquire); }

  // Begins to watch over leases, on an executor. Once. Any thread.
  void Start(Executor& executor);
  // From now on Begin refuses with SERVER_DRAINING. `draining` comes.
  void Drain();

  const std::shared_ptr<Ending>& draining() const { return draining_; }

  // Ends all that are open: the server goes down.
  void EndAll() ABSL_LOCKS_EXCLUDED(mu_);
  // Asks the watch to end, and never waits; then waits for it, on any thread but the executor's,
  // which must still run.
  void Stop();
  void Join();

 private:
  // When it began, and its key.
  using Place = std::pair<absl::Duration, ids::Hash>;

  struct OnConnection {
    TransactionCounts counts;       // without `open` and `oldest`
    absl::btree_set<Place> open{};  // the oldest first
  };

  // What is left of one.
  struct Finished {
    TransactionState state;
    db::Isolation isolation;
    std::string owner;
    ids::Hash connection;
    std::string committed_by;
    std::string outcome_token;
    absl::Status why;
    absl::Duration since;
  };

  // What an id of the caller's leads to: one of them, or nothing.
  struct Found {
    std::shared_ptr<Transaction> open;
    std::optional<Finished> finished;
  };

  struct WatchJob : Job {
    WatchJob(Run run_function, Transactions* its_transactions)
        : Job(run_function), transactions(its_transactions) {}

    Transactions* const transactions;
  };

  // The lease in full. Error: PARAMETER_INVALID.
  absl::Status CompleteLease(TransactionRequest& request) const;
  // Errors: SERVER_DRAINING, TRANSACTION_LIMIT.
  absl::Status Add(const std::shared_ptr<Transaction>& transaction) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status CheckRoom(const Transaction& transaction, const OnConnection& connection) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<std::shared_ptr<Transaction>> AllOpen() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::shared_ptr<Transaction>> AllOf(const OnConnection& connection) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Found Lookup(const Context& ctx, absl::string_view id) const ABSL_LOCKS_EXCLUDED(mu_);
  static TransactionFacts FactsOf(const ids::Hash& key, const Finished& finished);
  void OnFinished(Transaction& transaction, TransactionState state) ABSL_LOCKS_EXCLUDED(mu_);
  void KeepFinished(const ids::Hash& key, const Finished& finished)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Forgets those that were remembered for long enough, or that are too many.
  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Task<void> Watch();
  void Sweep() ABSL_LOCKS_EXCLUDED(mu_);
  // Resolved when something is open, or when the watch has to end.
  void AwaitOpen(Completion<bool> woken) ABSL_LOCKS_EXCLUDED(mu_);
  void EndWatch() ABSL_LOCKS_EXCLUDED(mu_);

  const TransactionLimits limits_;
  const Clock& clock_;
  const std::shared_ptr<Ending> draining_ = std::make_shared<Ending>();
  std::atomic<int64_t> open_count_{0};

  mutable Mutex mu_;
  bool refusing_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<ids::Hash, std::shared_ptr<Transaction>> open_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<ids::Hash, OnConnection> connections_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, int64_t> by_holder_ ABSL_GUARDED_BY(mu_);  // open ones
  absl::flat_hash_map<ids::Hash, Finished> finished_ ABSL_GUARDED_BY(mu_);
  std::deque<ids::Hash> in_order_ ABSL_GUARDED_BY(mu_);  // of finished_, the oldest first

  Executor* executor_ = nullptr;  // set by Start
  WatchJob start_;
  WatchJob stop_;
  std::atomic<bool> stopping_{false};
  Notification ended_;
  CallScope scope_;                                              // the executor's thread
  std::optional<Completion<bool>> asleep_ ABSL_GUARDED_BY(mu_);  // the watch, while nothing is open
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_TRANSACTIONS_H_
