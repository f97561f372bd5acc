// TransactionWrite: a caller's transaction at the writer.
#ifndef SLUICE_SERVER_DB_SQLITE_TRANSACTION_WRITE_H_
#define SLUICE_SERVER_DB_SQLITE_TRANSACTION_WRITE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/base/mutex.h"
#include "server/db/request_key.h"
#include "server/db/sqlite/reading.h"
#include "server/db/sqlite/savepoints.h"
#include "server/db/sqlite/write.h"
#include "server/db/transaction.h"

namespace sluice::sqlite {

// Whether a request that failed like this left the transaction that it was for as it was: it was
// refused before anything ran. What the engine says of a statement has a sqlstate; where that is a
// refusal, its reason tells.
bool LeavesTransaction(const absl::Status& failure);

// A member of a group that is the whole group: from the first command to the last the writer runs
// nothing else, and waits for the next one while there is none. Commands are writes, too; they are
// handed over one at a time. While the writer waits, whoever hands over one that takes but a moment
// borrows the connection and runs it himself: to wake the writer and to be woken costs more. Shared
// by the transaction and, from its submission to its answer, the queue.
class TransactionWrite final : private OwnContext,
                               public Write,
                               public std::enable_shared_from_this<TransactionWrite> {
 public:
  TransactionWrite(std::string handle, std::string label, DatabaseFile& file, WorkQueue& queue);

  // The transaction's side, any thread.

  // Runs `command` in the transaction and answers it, perhaps at once, or refuses it. The first one
  // brings the transaction into the queue for the writer.
  void Submit(Write& command) ABSL_LOCKS_EXCLUDED(mu_);
  // True if the command was not begun and is the caller's again; else it is asked to end, and will
  // be answered. One that waited for the writer takes the transaction out of the queue with it.
  bool Cancel(Write& command) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, but lets what runs run on.
  bool Withdraw(Write& command) ABSL_LOCKS_EXCLUDED(mu_);

  // Ends it. `done`: how COMMIT went, or OK once it is rolled back. `key` outlives that.
  void Commit(const db::RequestKey* key, Completion<absl::Status> done) ABSL_LOCKS_EXCLUDED(mu_);
  void Rollback(Completion<absl::Status> done) ABSL_LOCKS_EXCLUDED(mu_);
  void End(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);

  // It has the writer.
  bool holds() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return phase_ == Phase::kHolding;
  }

  db::TransactionStanding standing() const ABSL_LOCKS_EXCLUDED(mu_);

  // Of commands, while they run.

  // Number of a savepoint, and what becomes of it.
  absl::Status ChangeSavepoint(Connection& connection, SavepointAction action, int number)
      ABSL_LOCKS_EXCLUDED(mu_);

  std::optional<Reading>& reading() { return reading_; }

  // Begins a load, whose rows are undone alone if it is not finished.
  absl::Status BeginLoad(Connection& connection);
  absl::Status FinishLoad(Connection& connection, bool keep);

  // The writer's side.
  void Answer() override ABSL_LOCKS_EXCLUDED(mu_);
  void Refuse(const absl::Status& why) override ABSL_LOCKS_EXCLUDED(mu_);

  bool exclusive() const override { return true; }

 private:
  enum class Phase {
    kNew,      // nothing ran yet
    kQueued,   // waits for the writer
    kHolding,  // has it
    kGone,     // had it, or never will
  };

  enum class Ending { kNone, kCommit, kRollback };

  void OnInterrupt() override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Apply(Connection& connection) override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Serve(Connection& connection) ABSL_LOCKS_EXCLUDED(mu_);
  // The next command; null: it is to end.
  Write* NextCommand(Connection& connection) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the writer has something to do, once the connection is not lent.
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // What is known after a command. kOutgrown: it was borrowed for, and has to be run by the writer.
  enum class After { kGoesOn, kOver, kOutgrown };
  After RunCommand(Connection& connection, Write& command, bool borrowed) ABSL_LOCKS_EXCLUDED(mu_);
  // The connection, with which `command` is to be run and which is then to be given back; null: the
  // writer does it.
  Connection* Borrow(Write& command) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RunBorrowed(Connection& connection, Write& command) ABSL_LOCKS_EXCLUDED(mu_);
  void GiveBack(Connection& connection, Write& command, After after) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends what the commands before began and left.
  absl::Status TidyUp(Connection& connection);
  absl::Status UndoAlone(Connection& connection, const Write& command);
  absl::Status Conclude(Connection& connection) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Enqueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void GetInLine() ABSL_LOCKS_EXCLUDED(mu_);
  void LeaveQueue() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string handle_;
  const std::string label_;
  WorkQueue& writer_;

  // Of whoever has the connection.
  std::optional<Reading> reading_;
  bool loading_ = false;

  mutable Mutex mu_;
  CondVar changed_;
  Connection* idle_ ABSL_GUARDED_BY(mu_) = nullptr;  // while the writer waits, unless it is lent
  Write* last_ ABSL_GUARDED_BY(mu_) = nullptr;       // the command with which it ended
  std::shared_ptr<TransactionWrite> kept_ ABSL_GUARDED_BY(mu_);  // while the queue has it
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kNew;
  Write* command_ ABSL_GUARDED_BY(mu_) = nullptr;  // handed over
  Write* running_ ABSL_GUARDED_BY(mu_) = nullptr;
  Ending ending_ ABSL_GUARDED_BY(mu_) = Ending::kNone;
  const db::RequestKey* key_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::optional<Completion<absl::Status>> ended_ ABSL_GUARDED_BY(mu_);
  absl::Status why_ ABSL_GUARDED_BY(mu_);  // it was ended from outside, for this
  bool failed_ ABSL_GUARDED_BY(mu_) = false;
  Savepoints savepoints_ ABSL_GUARDED_BY(mu_);
  absl::Duration queued_at_ ABSL_GUARDED_BY(mu_);
  absl::Duration held_since_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_TRANSACTION_WRITE_H_
