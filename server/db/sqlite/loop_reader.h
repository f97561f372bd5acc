// LoopReader and LoopSide: what one Database has on one executor.
#ifndef SLUICE_SERVER_DB_SQLITE_LOOP_READER_H_
#define SLUICE_SERVER_DB_SQLITE_LOOP_READER_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/async/executor.h"
#include "server/base/mutex.h"
#include "server/db/rows.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

// LoopReader: short reads right on the loop, on a read-only connection of its own. A hop to another
// thread and back costs more than such a read.
class LoopReader {
 public:
  LoopReader(std::unique_ptr<Connection> connection, DatabaseFile& file)
      : connection_(std::move(connection)), file_(file) {}

  // The result, or nothing if the statement has to run on a reader. Takes at most the budget of VM
  // steps.
  std::optional<absl::StatusOr<db::Rows>> Read(const db::Statement& statement);

  // Lets go of the snapshot, if there is one.
  void EndDrain();

 private:
  void BeginRead();
  void EndTransaction();

  const std::unique_ptr<Connection> connection_;
  DatabaseFile& file_;
  int64_t reads_ = 0;        // in this drain
  bool company_ = false;     // the drain before had more than one
  uint64_t begun_with_ = 0;  // commits that the open transaction certainly sees
};

// LoopSide: one executor's LoopReader, and the work that it collects for the driver's threads until
// the end of its drain. Owned by the Database, and by the executor while it is to be told of a
// drain. All is done on the executor's thread but Adopt and Close; hence the lock, for which nobody
// ever waits long.
class LoopSide final : public DrainHook, public std::enable_shared_from_this<LoopSide> {
 public:
  LoopSide(Executor& executor, DatabaseFile& file, WorkQueue& readers, WorkQueue& writer)
      : executor_(executor), file_(file), readers_(readers), writer_(writer) {}

  // Runs a statement that is known to be a short read here and now, if it can be.
  std::optional<absl::StatusOr<db::Rows>> TryRead(const db::Statement& statement)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Hands the work to a queue (one of the two) at the end of this drain. An error: it was not
  // taken, and is the caller's again.
  absl::Status Submit(WorkQueue& queue, Work& work) ABSL_LOCKS_EXCLUDED(mu_);
  // True if the work was not begun and is the caller's again; else it will be answered, soon if it
  // runs.
  bool Cancel(WorkQueue& queue, Work& work) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, but lets what runs run on.
  bool Withdraw(WorkQueue& queue, Work& work) ABSL_LOCKS_EXCLUDED(mu_);

  // A connection for this side, opened elsewhere; null if it could not be opened.
  void Adopt(std::unique_ptr<Connection> connection) ABSL_LOCKS_EXCLUDED(mu_);

  // Refuses what was collected and closes the connection. Any thread.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool TakeBack(WorkQueue& queue, Work& work) ABSL_LOCKS_EXCLUDED(mu_);
  void OnDrained() override;
  void HandOver() ABSL_LOCKS_EXCLUDED(mu_);
  void RequestHook() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // True if a connection should be opened now; it is the caller who asks for it, without the lock.
  bool WantsReader() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  Executor& executor_;
  DatabaseFile& file_;
  WorkQueue& readers_;
  WorkQueue& writer_;
  std::shared_ptr<LoopSide> kept_;  // executor's thread: while the hook is set

  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool opening_ ABSL_GUARDED_BY(mu_) = false;
  absl::Duration next_try_ ABSL_GUARDED_BY(mu_) = -absl::InfiniteDuration();
  std::optional<LoopReader> reader_ ABSL_GUARDED_BY(mu_);
  WorkList for_readers_ ABSL_GUARDED_BY(mu_);
  WorkList for_writer_ ABSL_GUARDED_BY(mu_);
  int collected_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_LOOP_READER_H_
