// Writer: the one thread that changes a database file.
#ifndef SLUICE_SERVER_DB_SQLITE_WRITER_H_
#define SLUICE_SERVER_DB_SQLITE_WRITER_H_

#include <deque>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/base/mutex.h"
#include "server/db/rows.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/result.h"
#include "server/db/sqlite/spool.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

// Owned by the Database. Writing and checkpointing happen on this thread and its one connection
// only: in this version of SQLite a commit on one connection during a checkpoint on another can
// destroy the file.
class Writer {
 public:
  explicit Writer(DatabaseFile& file)
      : file_(file), queue_("the writer", file.settings().queue_limit) {}

  ~Writer() { Close(); }

  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Starts the thread, which first runs `prepare`, opens the file, and tells `opened` how that
  // went; on an error it ends.
  void Start(absl::AnyInvocable<absl::Status()> prepare,
             absl::AnyInvocable<void(absl::Status)> opened) ABSL_LOCKS_EXCLUDED(mu_);

  WorkQueue& queue() { return queue_; }

  const WorkQueue& queue() const { return queue_; }

  // Refuses what waits, rolls back what runs, empties the journal into the file, joins. Any thread
  // but the writer's own; may be repeated.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  absl::StatusOr<std::unique_ptr<Connection>> Open();
  void Serve(Connection& connection);
  void RunBatch(WorkList& batch, Connection& connection);

  DatabaseFile& file_;
  WorkQueue queue_;

  Mutex mu_;
  std::thread thread_ ABSL_GUARDED_BY(mu_);
};

// Write: one statement that writes, in a transaction of its own.
class Write : public Work {
 public:
  void Run(Connection& connection) final;

 protected:
  Write(const Context& ctx,
        const db::Statement& statement,
        DatabaseFile& file,
        const WorkQueue& queue)
      : ctx_(ctx), statement_(statement), file_(file), queue_(queue) {}

  // Steps the bound statement to its end and keeps what it gives.
  virtual absl::Status Apply(Connection& connection, Prepared& prepared) = 0;

  const Context& ctx_;
  const db::Statement& statement_;
  absl::Status status_;  // how it went, once it ran

 private:
  absl::Status RunAlone(Connection& connection);
  absl::Status Begin(Connection& connection);
  absl::Status Commit(Connection& connection);

 protected:
  DatabaseFile& file_;
  const WorkQueue& queue_;
};

// UnaryWrite: a write and its whole result.
class UnaryWrite final : public Write {
 public:
  using Result = absl::StatusOr<db::Rows>;

  UnaryWrite(const Context& ctx,
             const db::Statement& statement,
             DatabaseFile& file,
             const WorkQueue& queue)
      : Write(ctx, statement, file, queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override;

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  absl::Status Apply(Connection& connection, Prepared& prepared) override;

  std::optional<Completion<Result>> done_;
  db::Rows rows_;
};

// SpooledWrite: a write whose rows are read piece by piece. They are kept, up to a limit, since the
// transaction does not wait for whoever reads them.
class SpooledWrite final : public Write {
 public:
  // The chunks, and last the closing facts.
  using Result = absl::StatusOr<Spool>;

  SpooledWrite(const Context& ctx,
               const db::Statement& statement,
               DatabaseFile& file,
               const WorkQueue& queue)
      : Write(ctx, statement, file, queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override;

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  absl::Status Apply(Connection& connection, Prepared& prepared) override;

  std::optional<Completion<Result>> done_;
  std::deque<db::Rows> chunks_;
  int64_t spooled_ = 0;  // bytes taken of the file's room
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_WRITER_H_
