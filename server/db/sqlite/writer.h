// Writer: the one thread that changes a database file.
#ifndef SLUICE_SERVER_DB_SQLITE_WRITER_H_
#define SLUICE_SERVER_DB_SQLITE_WRITER_H_

#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/sqlite/write.h"
#include "server/db/sqlite/writer_counters.h"

namespace sluice::sqlite {

// Owned by the Database. Writing and checkpointing happen on the one connection of this thread,
// which lends it for brief statements of a transaction (transaction_write.h), and on no other: in
// this version of SQLite a commit on one connection during a checkpoint on another can destroy the
// file.
//
// Group commit, after LevelDB's: what waits is taken together, each write runs inside a savepoint
// of one transaction, and one COMMIT, one wait for the disk, serves all. Nobody is answered before
// it. A write that fails is undone alone. One that took the transaction with it (it was
// interrupted, or its own ON CONFLICT ROLLBACK) is answered, and the others, of whom nobody knows
// anything yet, run again without it. A fault of the device, or of the COMMIT, fails all.
class Writer {
 public:
  // Asks whoever holds a snapshot to let go; given the journal's size in bytes.
  using Relieve = absl::AnyInvocable<void(int64_t)>;

  // `relieve` may be called by the writer's thread until Close returns.
  Writer(DatabaseFile& file, Relieve relieve)
      : file_(file),
        queue_("the writer", file.settings().queue_limit),
        relieve_(std::move(relieve)) {}

  ~Writer() { Close(); }

  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Starts the thread, which first runs `prepare`, opens the file, and tells `opened` how that
  // went; on an error it ends.
  void Start(absl::AnyInvocable<absl::Status()> prepare,
             absl::AnyInvocable<void(absl::Status)> opened) ABSL_LOCKS_EXCLUDED(mu_);

  WorkQueue& queue() { return queue_; }

  const WorkQueue& queue() const { return queue_; }

  db::WriterStats stats() const { return counters_.Read(); }

  // Refuses what waits, rolls back what runs, empties the journal into the file, joins. Any thread
  // but the writer's own; may be repeated.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // How a member left the transaction.
  enum class Left {
    kWhole,   // it is as if the member had run alone, or not at all
    kLost,    // rolled back, with what the others had done
    kBroken,  // nothing can be done with it any more: the device failed
  };

  absl::StatusOr<std::unique_ptr<Connection>> Open();
  void Serve();
  void RunGroup(WorkList& taken, int count);
  absl::Status BeginGroup();
  absl::Status RunMembers(WorkList& taken, bool alone);
  Left RunMember(Write& write, bool alone);
  absl::Status Commit();
  absl::Status Recover(const absl::Status& failure);
  void AnswerMembers();
  void RefuseTaken(WorkList& taken, const absl::Status& why);

  void LookAfterJournal();
  void CopyJournal(Connection::Checkpoint how);
  void EmptyJournal();

  DatabaseFile& file_;
  WorkQueue queue_;
  Relieve relieve_;
  WriterCounters counters_;

  // The thread's own.
  struct Member {
    Write* write;
    bool answered;  // it has its outcome, and does not run again
  };

  std::unique_ptr<Connection> connection_;  // null while the file could not be opened again
  std::vector<Member> members_;             // of the group that runs
  int64_t copied_at_ = 0;                   // pages in the journal at the last checkpoint
  int64_t restart_at_ = 0;                  // pages from which on it is worth waiting for readers
  int64_t relieve_at_ = 0;  // bytes, beyond the limit, from which on reads are ended
  int64_t page_bytes_ = 0;

  Mutex mu_;
  std::thread thread_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_WRITER_H_
