// Writes: what the writer runs inside its transactions.
#ifndef SLUICE_SERVER_DB_SQLITE_WRITE_H_
#define SLUICE_SERVER_DB_SQLITE_WRITE_H_

#include <cstdint>
#include <deque>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/db/batch.h"
#include "server/db/rows.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/spool.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

// What a write owns that may run on when its call has ended: a context without the call in it.
struct OwnContext {
  Context ctx;
};

// Write: a member of a group that is committed together. It does its work inside a transaction that
// is not its own; the writer undoes what a member that failed, or only tried, has done.
class Write : public Work {
 public:
  // Does it. May be called again, if the transaction was lost and nobody was answered.
  void Run(Connection& connection) final;

  // How it went, once it ran.
  const absl::Status& status() const { return status_; }

  // Fails it for a reason of the group's.
  void Fail(absl::Status why) {
    status_ = std::move(why);
    Note();
  }

  // Nothing of it is to stay, even if it went well.
  virtual bool only_tries() const { return false; }

  // The transaction was lost by a part of this write for which it has an answer already: without
  // that part it can run again.
  virtual bool runs_again() const { return false; }

  // It goes on with what the command before it began.
  virtual bool continues() const { return false; }

  // In a transaction that goes on, what it did may have to be undone alone.
  virtual bool may_be_undone() const { return only_tries(); }

  // Asked before it is run on a loop, where others wait: whether it will take but a moment, or find
  // out in time that it does not, and then have done nothing.
  virtual bool FitsLoop(Connection& /*connection*/) { return false; }

  // After it was run there: whether it has to be run again elsewhere.
  virtual bool OutgrewLoop() const { return false; }

  // After it was run elsewhere: finds out what FitsLoop will be asked.
  virtual void LearnForLoop(Connection& /*connection*/) {}

 protected:
  Write(const Context& ctx, DatabaseFile& file, const WorkQueue& queue)
      : ctx_(ctx), file_(file), queue_(queue) {}

  virtual absl::Status Apply(Connection& connection) = 0;

  // Sees each change of `status()`: members behind this one may depend on it.
  virtual void Note() {}

  // Why a statement of it failed, told as its caller has to see it.
  absl::Status Why(absl::Status failure) const;

  const Context& ctx_;
  DatabaseFile& file_;
  const WorkQueue& queue_;

 private:
  absl::Status Attempt(Connection& connection);

  absl::Status status_;
};

// StatementWrite: one statement.
class StatementWrite : public Write {
 public:
  bool only_tries() const final { return statement_.validate_only; }

  bool may_be_undone() const final { return only_tries() || statement_.max_affected_rows > 0; }

  int64_t bytes() const final;

 protected:
  StatementWrite(const Context& ctx,
                 const db::Statement& statement,
                 DatabaseFile& file,
                 const WorkQueue& queue)
      : Write(ctx, file, queue), statement_(statement) {}

  // Steps the bound statement to its end and keeps what it gives.
  virtual absl::Status Collect(Connection& connection, Prepared& prepared) = 0;
  // What it gave, in pieces; the last one has the facts.
  virtual db::BatchResults Answered() const = 0;
  // Gives what an earlier execution gave.
  virtual absl::Status Repeat(db::BatchResults answered) = 0;
  // Forgets what it gave; it runs again.
  virtual void Forget() = 0;

  const db::Statement& statement_;

 private:
  absl::Status Apply(Connection& connection) final;
  absl::Status Execute(Connection& connection);
};

// UnaryWrite: a statement and its whole result.
class UnaryWrite final : public StatementWrite {
 public:
  using Result = absl::StatusOr<db::Rows>;

  UnaryWrite(const Context& ctx,
             const db::Statement& statement,
             DatabaseFile& file,
             const WorkQueue& queue)
      : StatementWrite(ctx, statement, file, queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override;

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

  bool FitsLoop(Connection& connection) override;
  bool OutgrewLoop() const override;
  void LearnForLoop(Connection& connection) override;

 private:
  absl::Status Collect(Connection& connection, Prepared& prepared) override;
  db::BatchResults Answered() const override;
  absl::Status Repeat(db::BatchResults answered) override;

  void Forget() override {}

  std::optional<Completion<Result>> done_;
  db::Rows rows_;
};

// SpooledWrite: a statement whose rows are read piece by piece. They are kept, up to a limit, since
// the transaction does not wait for whoever reads them.
class SpooledWrite final : public StatementWrite {
 public:
  // The chunks, and last the closing facts.
  using Result = absl::StatusOr<Spool>;

  SpooledWrite(const Context& ctx,
               const db::Statement& statement,
               DatabaseFile& file,
               const WorkQueue& queue)
      : StatementWrite(ctx, statement, file, queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override;

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  absl::Status Collect(Connection& connection, Prepared& prepared) override;
  db::BatchResults Answered() const override;
  absl::Status Repeat(db::BatchResults answered) override;
  void Forget() override;
  absl::Status Keep(db::Rows chunk);

  std::optional<Completion<Result>> done_;
  std::deque<db::Rows> chunks_;
  int64_t spooled_ = 0;  // bytes taken of the file's room
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_WRITE_H_
