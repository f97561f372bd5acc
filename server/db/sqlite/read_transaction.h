// ReadTransaction: a transaction that only reads.
#ifndef SLUICE_SERVER_DB_SQLITE_READ_TRANSACTION_H_
#define SLUICE_SERVER_DB_SQLITE_READ_TRANSACTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/sqlite/cursor.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/reading.h"
#include "server/db/sqlite/savepoints.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/transaction.h"

namespace sluice::sqlite {

class Database;
class ReadSnapshot;

// ReadSnapshots: the open ones of a Database. Owned by it; any thread.
class ReadSnapshots {
 public:
  explicit ReadSnapshots(Cursors& cursors) : cursors_(cursors) {}

  // Error: POOL_CLOSED.
  absl::Status Add(const std::shared_ptr<ReadSnapshot>& snapshot) ABSL_LOCKS_EXCLUDED(mu_);
  // A place for one that is about to have a connection. Error: POOL_EXHAUSTED.
  absl::Status TakePlace() ABSL_LOCKS_EXCLUDED(mu_);
  void GivePlace() ABSL_LOCKS_EXCLUDED(mu_);
  void Remove(const ReadSnapshot& snapshot) ABSL_LOCKS_EXCLUDED(mu_);

  Cursors& cursors() { return cursors_; }

  // Ends those that are in the way of a journal that has grown to `limit_bytes`.
  void Relieve(int64_t limit_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends all, and waits for none.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  std::vector<std::shared_ptr<ReadSnapshot>> Alive() ABSL_LOCKS_EXCLUDED(mu_);

  Cursors& cursors_;

  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  size_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_map<const ReadSnapshot*, std::weak_ptr<ReadSnapshot>> open_ ABSL_GUARDED_BY(mu_);
};

// ReadSnapshot: what a transaction that only reads holds: a connection of its own, from its first
// statement on, in a read transaction. Used by one reader at a time, for a statement; between two,
// by whoever ends it.
class ReadSnapshot {
 public:
  ReadSnapshot(ReadSnapshots& snapshots, DatabaseFile& file, WorkQueue& readers)
      : snapshots_(snapshots), file_(file), readers_(readers) {}

  ~ReadSnapshot();

  ReadSnapshot(const ReadSnapshot&) = delete;
  ReadSnapshot& operator=(const ReadSnapshot&) = delete;

  // A reader begins a statement: the connection to run it on; the first one opens the snapshot.
  // `continues`: it is the next piece of the one before. Every Enter that was answered with a
  // connection is followed by a Leave, once the queue reaches into the work no more.
  absl::StatusOr<Connection*> Enter(Work& work, bool continues) ABSL_LOCKS_EXCLUDED(mu_);
  // It has run. `fails`: the transaction is of no more use; then it holds nothing any more unless a
  // savepoint is set. The error to answer with, OK if that is the statement's own.
  absl::Status Leave(bool fails) ABSL_LOCKS_EXCLUDED(mu_);

  // Of whoever entered.
  std::optional<Reading>& reading() { return reading_; }

  // Savepoints of what changes nothing: going back to one only forgets a failure.
  void ChangeSavepoint(SavepointAction action, int number) ABSL_LOCKS_EXCLUDED(mu_);

  // Lets go of everything, or has it done by the reader that is at it, which is interrupted. `why`:
  // OK if its owner wanted that.
  void End(const absl::Status& why) ABSL_LOCKS_EXCLUDED(mu_);
  // The same if it holds a snapshot, which keeps a journal of so many bytes from starting over.
  void Relieve(int64_t journal_bytes) ABSL_LOCKS_EXCLUDED(mu_);

  db::TransactionStanding standing() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::Status Open();
  absl::Status OpenConnection();
  std::unique_ptr<Connection> TakeOut() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Free(std::unique_ptr<Connection> connection);

  ReadSnapshots& snapshots_;
  DatabaseFile& file_;
  WorkQueue& readers_;

  // Whoever entered, else whoever holds mu_.
  std::unique_ptr<Connection> connection_;
  std::optional<Reading> reading_;

  mutable Mutex mu_;
  Work* running_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool gone_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_ ABSL_GUARDED_BY(mu_) = false;
  Savepoints savepoints_ ABSL_GUARDED_BY(mu_);
  absl::Status why_ ABSL_GUARDED_BY(mu_);
  absl::Duration end_ ABSL_GUARDED_BY(mu_) = absl::InfiniteDuration();
};

// Sees the database as it was at its first statement, blocks nobody, and waits for nobody.
class ReadTransaction final : public db::Transaction {
 public:
  // `database` lives as long as its transactions do.
  ReadTransaction(std::shared_ptr<Database> database, std::shared_ptr<ReadSnapshot> snapshot);

  ~ReadTransaction() override;

  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override;
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& ctx,
                                                         db::Statement statement) override;
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override;
  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& ctx,
                                                           db::LoadTarget target) override;
  // A key is not stored, for nothing is written.
  Task<absl::Status> Commit(const db::RequestKey* key) override;
  Task<void> Rollback() override;
  Task<absl::Status> Savepoint(const Context& ctx, int number) override;
  Task<absl::Status> RollbackTo(const Context& ctx, int number) override;
  Task<absl::Status> Release(const Context& ctx, int number) override;

  void End(const absl::Status& why) override { snapshot_->End(why); }

  db::TransactionStanding standing() const override { return snapshot_->standing(); }

  db::Isolation isolation() const override { return db::Isolation::kSerializable; }

 private:
  Task<absl::Status> ChangeSavepoint(SavepointAction action, int number);

  const std::shared_ptr<Database> database_;
  const std::shared_ptr<ReadSnapshot> snapshot_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_READ_TRANSACTION_H_
