// BatchWrite and BatchRead: many statements in one go.
#ifndef SLUICE_SERVER_DB_SQLITE_BATCH_WRITE_H_
#define SLUICE_SERVER_DB_SQLITE_BATCH_WRITE_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/db/batch.h"
#include "server/db/sqlite/write.h"

namespace sluice::sqlite {

// BatchRunner: runs the statements of a batch one by one on a connection, within the limits of the
// whole. Used on the connection's thread.
class BatchRunner {
 public:
  BatchRunner(Connection& connection, DatabaseFile& file, const db::Batch& batch, Watch& watch)
      : connection_(connection), file_(file), batch_(batch), watch_(watch) {}

  // One execution. `may_write`: otherwise one that writes does not run, and `writes()` says so. Not
  // told yet why a watch ended it.
  absl::StatusOr<db::Rows> Run(const db::Execution& execution, bool may_write);

  // Whether an execution writes, without running it.
  absl::Status Compile(const db::Execution& execution);

  // The last result is not used after all.
  void Drop() { told_ = -1; }

  bool writes() const { return writes_; }

 private:
  absl::StatusOr<Prepared*> Prepare(absl::string_view sql);

  Connection& connection_;
  DatabaseFile& file_;
  const db::Batch& batch_;
  Watch& watch_;
  // Of the execution before, which often has the same text: then it need not be looked up.
  absl::string_view sql_;
  Prepared* prepared_ = nullptr;
  int64_t bytes_ = 0;    // of columns and rows so far
  int told_ = -1;        // the step whose columns were told: its next results need not
  bool writes_ = false;  // some statement writes
};

// BatchWrite: a batch, as one member of a group. In the modes that go on after an error each
// execution has a savepoint of its own, and all that went well is committed together.
class BatchWrite final : public Write {
 public:
  using Result = absl::StatusOr<db::BatchResults>;

  // `nested`: in a transaction of the caller's, at whose end deferred keys are looked at.
  BatchWrite(const Context& ctx,
             const db::Batch& batch,
             DatabaseFile& file,
             const WorkQueue& queue,
             bool nested = false)
      : Write(ctx, file, queue),
        batch_(batch),
        nested_(nested),
        failures_(batch.executions.size()) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override;

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

  bool only_tries() const override { return batch_.validate_only; }

  bool runs_again() const override { return runs_again_; }

  bool may_be_undone() const override;

  int64_t bytes() const override;

 private:
  absl::Status Apply(Connection& connection) override;
  absl::Status RunAll(Connection& connection);
  absl::Status RunAtomic(BatchRunner& runner);
  absl::Status RunEach(Connection& connection, BatchRunner& runner);
  absl::Status RunApart(Connection& connection, BatchRunner& runner, size_t index);

  const db::Batch& batch_;
  const bool nested_;
  std::optional<Completion<Result>> done_;
  db::BatchResults results_;
  // Of executions that took the transaction with them: they do not run again.
  std::vector<absl::Status> failures_;
  int losses_ = 0;
  bool runs_again_ = false;
  bool only_read_ = false;  // no need to record it: a repeat does no harm
};

// BatchRead: a batch that may only read, as one snapshot.
class BatchRead : public Work {
 public:
  // Nothing if it is the writer's after all: a statement writes, or may do so.
  using Result = std::optional<absl::StatusOr<db::BatchResults>>;

  BatchRead(const Context& ctx,
            const db::Batch& batch,
            bool may_write,
            DatabaseFile& file,
            const WorkQueue& queue,
            bool nested = false)
      : ctx_(ctx),
        batch_(batch),
        may_write_(may_write),
        nested_(nested),
        file_(file),
        queue_(queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& connection) override;

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(Result(why)); }

 protected:
  void Fail(const absl::Status& why) { result_ = Result(why); }

  const Result& result() const { return result_; }

 private:
  Result Read(Connection& connection);
  bool OnlyReads(BatchRunner& runner) const;
  Result RunAll(BatchRunner& runner);

  const Context& ctx_;
  const db::Batch& batch_;
  const bool may_write_;  // the batch may go to the writer
  const bool nested_;     // in a transaction of the caller's
  DatabaseFile& file_;
  const WorkQueue& queue_;
  std::optional<Completion<Result>> done_;
  Result result_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_BATCH_WRITE_H_
