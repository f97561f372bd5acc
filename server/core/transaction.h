// Transaction: one transaction of a caller's, from BEGIN to its end: its state, its lease, its
// savepoints, and the calls that take turns in it.
#ifndef SLUICE_SERVER_CORE_TRANSACTION_H_
#define SLUICE_SERVER_CORE_TRANSACTION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/mutex.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/base/ids.h"
#include "server/base/mutex.h"
#include "server/core/connections.h"
#include "server/core/ending.h"
#include "server/db/session.h"
#include "server/db/transaction.h"

namespace sluice::core {

enum class TransactionState { kActive, kFailed, kCommitted, kRolledBack, kExpired, kUnknown };

// `ACTIVE`, …: as the contract writes it.
absl::string_view NameOf(TransactionState state);

// Whether no statement can follow, and nothing is left to roll back.
bool IsFinished(TransactionState state);

// What a caller is told of its transaction after each call.
struct TransactionFacts {
  std::string id;      // empty once its owner has ended it, and for one without
  std::string handle;  // tx_…
  TransactionState state = TransactionState::kActive;
  absl::Duration expires_in = absl::InfiniteDuration();  // infinite: the lease has ended
  db::Isolation isolation = db::Isolation::kDefault;
  bool commits_on = false;  // its caller was answered, and its COMMIT goes on
  db::Durability durability = db::Durability::kUnknown;  // once it is committed
};

// The same in the metadata of an error: transaction, transaction_state, and, while there is a
// lease, transaction_expires_in_ms.
absl::Status WithTransaction(absl::Status failure, const TransactionFacts& facts);

// What calls in a finished one are answered: `why` it ended, if that was not its owner's doing,
// otherwise TRANSACTION_FINISHED.
absl::Status AnswerAfterEnd(TransactionState state, const absl::Status& why);

// What operators see.
struct TransactionInfo {
  TransactionFacts facts;  // without the id
  std::string label;
  Connections::EntryPtr connection;
  bool read_only = false;
  bool interactive = false;
  std::string holder;
  absl::Time begun;
  absl::Duration age;
  absl::Duration idle;  // infinite while something is done in it
  int64_t statements = 0;
  std::string last_statement;  // its fingerprint's text, and its hash
  std::string fingerprint;
  bool busy = false;
  int64_t waiting_calls = 0;
  int savepoints = 0;
  db::TransactionStanding standing;
};

// How one is begun.
struct TransactionRequest {
  TransactionRequest() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  db::TransactionOptions options;                          // its handle is set by Transactions
  absl::Duration idle_timeout = absl::InfiniteDuration();  // infinite: the most there is
  absl::Duration max_life = absl::InfiniteDuration();
  bool interactive = false;  // it lives in a stream, and has no id
};

// Savepoints that may be set at once, and the longest name of one.
inline constexpr size_t kMostSavepoints = 100;
inline constexpr size_t kMostSavepointName = 63;

// As much of a statement is kept to show its fingerprint.
inline constexpr size_t kMostStatementKept = 4 << 10;

// Shared by the registry of transactions and the calls in it. Calls take turns; the rest is for any
// thread. The registry keeps it while it is open, so that it always has an end.
class Transaction : public std::enable_shared_from_this<Transaction> {
 public:
  class Turn;

  // Told once, when it is finished and nothing can follow: the registry then knows only its state.
  // Any thread, without a lock of the transaction's.
  using OnFinished = std::function<void(Transaction& transaction, TransactionState state)>;

  // `id`: of one that lives in a stream only its hash is kept. `request` has its lease in full.
  // `holder`: how operators are told of who began it. Made by std::make_shared.
  Transaction(std::string id,
              TransactionRequest request,
              Connections::EntryPtr connection,
              std::unique_ptr<db::Transaction> transaction,
              std::string owner,
              std::string holder,
              OnFinished finished,
              const Clock& clock);
  ~Transaction();

  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Constant.
  const std::string& id() const { return id_; }  // empty for one that lives in a stream

  const ids::Hash& key() const { return key_; }

  const std::string& handle() const { return handle_; }

  const std::string& owner() const { return owner_; }  // principal; empty: nobody in particular

  const std::string& holder() const { return holder_; }  // also whom limits per caller count for

  const std::string& label() const { return request_.options.label; }

  bool interactive() const { return request_.interactive; }

  const Connections::EntryPtr& connection() const { return connection_; }

  absl::Duration begun() const { return begun_; }  // on the steady clock

  // Waits for the call's turn. Errors: why the call ended first, executed=no.
  Task<absl::StatusOr<Turn>> Enter(const Context& ctx);
  // The turn, if nobody has it. Never waits.
  std::optional<Turn> TryEnter();

  TransactionFacts facts() const ABSL_LOCKS_EXCLUDED(mu_);
  TransactionInfo Info() const ABSL_LOCKS_EXCLUDED(mu_);

  // Starts the idle time anew. False: it has ended.
  bool KeepAlive() ABSL_LOCKS_EXCLUDED(mu_);

  // When the lease ends, on the steady clock; infinite while a COMMIT runs, and once it is
  // finished.
  absl::Duration Expiry() const ABSL_LOCKS_EXCLUDED(mu_);

  // Ends it as kExpired if its lease is over, or if the database has ended it by itself.
  void ExpireIfDue() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends it in any case: rolled back by the server, for `why`, a TRANSACTION_EXPIRED that every
  // call in it is answered from then on. False: it is finished, or its COMMIT has begun.
  bool End(const absl::Status& why, TransactionState state) ABSL_LOCKS_EXCLUDED(mu_);

  // Why it ended; OK while it is open, and if its owner ended it.
  absl::Status why() const ABSL_LOCKS_EXCLUDED(mu_);

  // Of the error that its COMMIT was answered with; empty: none was given.
  std::string outcome_token() const ABSL_LOCKS_EXCLUDED(mu_);

  // The id of the request that committed it; empty if it had none.
  std::string committed_by() const ABSL_LOCKS_EXCLUDED(mu_);

  // Comes when it is finished, whoever did it.
  const std::shared_ptr<Ending>& finished() const { return finished_; }

 private:
  // In transaction_session.h: something that is being done, and what statements run through.
  class Work;
  class TurnSession;
  class TurnCursor;
  class TurnLoad;

  // What has to be so for something to be done.
  enum class Needs { kActive, kOpen };

  // The end of the lease but for idle times.
  absl::Duration EndOfLife(const db::TransactionStanding& standing) const;
  absl::Duration IdleLimit(const db::TransactionStanding& standing) const;
  absl::Duration ExpiryLocked(const db::TransactionStanding& standing) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WhyExpired(const db::TransactionStanding& standing, absl::Duration now) const;
  TransactionFacts FactsLocked(const db::TransactionStanding& standing) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Error: what the caller is answered instead.
  absl::Status BeginWork(Needs needs) ABSL_LOCKS_EXCLUDED(mu_);
  void EndWork() ABSL_LOCKS_EXCLUDED(mu_);
  // From then on nothing but the COMMIT ends it.
  absl::Status BeginCommit(const db::RequestKey* key) ABSL_LOCKS_EXCLUDED(mu_);
  // Its COMMIT, which has been answered, goes on, or went on. True: then it ends it.
  bool CommitsOn(const db::TransactionStanding& standing) ABSL_LOCKS_EXCLUDED(mu_);
  // After that: false while there is no end yet.
  bool FinishLateCommit(const db::TransactionStanding& standing) ABSL_LOCKS_EXCLUDED(mu_);
  // Savepoints, if any are set, still help.
  bool MarkFailed() ABSL_LOCKS_EXCLUDED(mu_);
  // How it stands after a statement, as the one who has the turn sees it.
  void Settle(const db::TransactionStanding& standing) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Counts a statement, or with empty SQL something else that counts as one.
  void CountStatement(absl::string_view sql) ABSL_LOCKS_EXCLUDED(mu_);
  // The key of what is about to run in it, if any: one that commits tells the outcome later, even
  // where the COMMIT's answer is lost.
  void NoteRequest(const db::RequestKey* key) ABSL_LOCKS_EXCLUDED(mu_);
  void NoteToken(const absl::Status& unknown) ABSL_LOCKS_EXCLUDED(mu_);

  // Savepoints are numbered from 1. Error: TRANSACTION_LIMIT.
  absl::StatusOr<int> NextSavepoint() const ABSL_LOCKS_EXCLUDED(mu_);
  void AddSavepoint(std::string name) ABSL_LOCKS_EXCLUDED(mu_);
  // Number of the newest one of a name; 0 = there is none.
  int FindSavepoint(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);
  // After going back to it.
  void ReturnTo(int number) ABSL_LOCKS_EXCLUDED(mu_);
  // Forgets all but the first ones.
  void KeepSavepoints(int count) ABSL_LOCKS_EXCLUDED(mu_);

  // Finishes it, unless somebody else was first.
  void Finish(TransactionState state, const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);
  void FinishLocked(TransactionState state, const absl::Status& why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TellOfEnd(TransactionState state) ABSL_LOCKS_EXCLUDED(mu_);

  const ids::Hash key_;
  const std::string id_;
  const std::string handle_;
  const std::string owner_;
  const std::string holder_;
  const TransactionRequest request_;
  const Connections::EntryPtr connection_;
  const OnFinished on_finished_;
  const Clock& clock_;
  const absl::Duration begun_;
  const absl::Time begun_at_;
  const std::shared_ptr<Ending> finished_ = std::make_shared<Ending>();

  FifoMutex turns_;

  mutable Mutex mu_;
  TransactionState state_ ABSL_GUARDED_BY(mu_) = TransactionState::kActive;
  absl::Status why_ ABSL_GUARDED_BY(mu_);
  absl::Duration last_use_ ABSL_GUARDED_BY(mu_);
  int busy_ ABSL_GUARDED_BY(mu_) = 0;  // what is being done in it
  bool committing_ ABSL_GUARDED_BY(mu_) = false;
  bool commits_on_ ABSL_GUARDED_BY(mu_) = false;  // and its caller was answered
  std::string committed_by_ ABSL_GUARDED_BY(mu_);
  std::string outcome_token_ ABSL_GUARDED_BY(mu_);
  bool marked_failed_ ABSL_GUARDED_BY(mu_) = false;  // though its database knows nothing of that
  int64_t statements_ ABSL_GUARDED_BY(mu_) = 0;
  std::string last_sql_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> savepoints_ ABSL_GUARDED_BY(mu_);  // number n is at n - 1

  const std::unique_ptr<db::Transaction> transaction_;  // never called under mu_
  const std::unique_ptr<db::Session> session_;
};

// Turn: the right to do something in a transaction, until it is destroyed. Lives in a call's
// coroutine; movable. What a turn does keeps the lease from running idle, and when it is done the
// idle time starts anew.
class Transaction::Turn {
 public:
  Turn(Turn&& other) noexcept = default;

  Turn& operator=(Turn&& other) noexcept {
    std::swap(transaction_, other.transaction_);
    std::swap(holding_, other.holding_);
    return *this;
  }

  // Runs statements in the transaction. Where it cannot take any, each of its methods answers
  // TRANSACTION_FAILED, TRANSACTION_FINISHED or TRANSACTION_EXPIRED instead of running. What it
  // gives (cursors, loads) keeps the lease as the turn does, may be used only while the turn lives,
  // and counts as idle while nobody waits for its next piece. Lives as long as the turn.
  db::Session& session();

  // Commits. FAILED: TRANSACTION_FAILED, and it stays FAILED. See db::Transaction::Commit; whatever
  // else it answers, the transaction is finished, or will be without any more being done in it.
  // With a `key` it is stored, too. `ctx`: until when the caller listens.
  Task<absl::Status> Commit(const Context& ctx, const db::RequestKey* key);
  // Rolls back and waits for it. A transaction that is finished, and not committed, is left alone.
  // Error: TRANSACTION_FINISHED (committed, or unknown).
  Task<absl::Status> Rollback();

  // Makes it FAILED, as a statement that failed does, for the sake of what was to follow.
  Task<void> Fail();

  // By name; the newest of that name counts. Errors: PARAMETER_INVALID (empty, too long),
  // TRANSACTION_FAILED (not RollbackTo, which helps), TRANSACTION_LIMIT, SAVEPOINT_NOT_FOUND.
  Task<absl::Status> Savepoint(const Context& ctx, std::string name);
  Task<absl::Status> RollbackTo(const Context& ctx, std::string name);
  Task<absl::Status> Release(const Context& ctx, std::string name);

  Transaction& transaction() const { return *transaction_; }

  TransactionFacts facts() const { return transaction().facts(); }

 private:
  friend class Transaction;

  Turn(std::shared_ptr<Transaction> transaction, FifoMutex::Holding holding)
      : transaction_(std::move(transaction)), holding_(std::move(holding)) {}

  std::shared_ptr<Transaction> transaction_;
  FifoMutex::Holding holding_;  // given back before the transaction
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_TRANSACTION_H_
