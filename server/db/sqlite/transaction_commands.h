// Commands: what a transaction that has the writer does beside statements and batches.
#ifndef SLUICE_SERVER_DB_SQLITE_TRANSACTION_COMMANDS_H_
#define SLUICE_SERVER_DB_SQLITE_TRANSACTION_COMMANDS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/load.h"
#include "server/db/sqlite/held_wait.h"
#include "server/db/sqlite/request_log.h"
#include "server/db/sqlite/transaction_write.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

// Hands a command to a transaction and waits for its result.
template <class W>
Task<typename W::Result> Await(const Context& ctx,
                               std::shared_ptr<TransactionWrite> transaction,
                               WorkQueue& writer,
                               W& command) {
  const std::stop_callback on_stop(ctx.stop, [&] {
    if (!transaction->Cancel(command)) return;
    command.Refuse(WhyNotReached(ctx.Stopped(errors::Executed::kNo), writer));
  });
  HeldWait limit(
      ctx, writer,
      [&] {
        if (transaction->Withdraw(command)) command.Refuse(WriterHeldTooLong(writer));
      },
      /*waits=*/!transaction->holds());
  typename W::Result result =
      co_await Async<typename W::Result>([&](Completion<typename W::Result> done) {
        command.WaitFor(std::move(done));
        if (ctx.stop.stop_requested()) {
          command.Refuse(ctx.Stopped(errors::Executed::kNo));
        } else {
          transaction->Submit(command);
        }
      });
  co_return result;
}

// SavepointStep: sets a savepoint, goes back to it, or forgets it.
class SavepointStep final : public Write {
 public:
  using Result = absl::Status;

  SavepointStep(const Context& ctx,
                TransactionWrite& transaction,
                SavepointAction action,
                int number,
                DatabaseFile& file,
                const WorkQueue& queue)
      : Write(ctx, file, queue), transaction_(transaction), action_(action), number_(number) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override { done_->Resolve(status()); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  absl::Status Apply(Connection& connection) override {
    return transaction_.ChangeSavepoint(connection, action_, number_);
  }

  TransactionWrite& transaction_;
  const SavepointAction action_;
  const int number_;
  std::optional<Completion<Result>> done_;
};

// ReadStep: the next chunk of a statement that reads. The first step begins it.
class ReadStep final : public Write {
 public:
  // Nothing: the statement writes, and did not run.
  using Result = absl::StatusOr<std::optional<db::Rows>>;

  // `statement`: of the first step, else null.
  ReadStep(const Context& ctx,
           TransactionWrite& transaction,
           const db::Statement* statement,
           DatabaseFile& file,
           const WorkQueue& queue)
      : Write(ctx, file, queue), transaction_(transaction), statement_(statement) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override;

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

  bool continues() const override { return statement_ == nullptr; }

 private:
  absl::Status Apply(Connection& connection) override;
  absl::Status Begin(Connection& connection);

  TransactionWrite& transaction_;
  const db::Statement* const statement_;
  std::optional<Completion<Result>> done_;
  std::optional<db::Rows> chunk_;
};

// What the chunks of one load in a transaction have in common. The writer has it while a step runs,
// else the load.
struct NestedLoad {
  explicit NestedLoad(db::LoadTarget its_target) : target(std::move(its_target)) {}

  const db::LoadTarget target;
  bool begun = false;
  bool stopped = false;                      // kStopOnError: a chunk has failed
  std::optional<RequestLog::Record> record;  // what its key did before
  absl::Status failure;                      // of the whole: nothing more is taken
  int64_t affected = 0;
  db::BatchResults results;  // one per chunk, for its key
  std::vector<db::ChunkOutcome> outcomes;
};

// LoadStep: the next chunk of a load, or its end.
class LoadStep final : public Write {
 public:
  using Result = absl::Status;

  // No chunk: the load is complete, and `content` the hash of it.
  LoadStep(const Context& ctx,
           TransactionWrite& transaction,
           NestedLoad& load,
           std::optional<db::LoadChunk> chunk,
           std::string content,
           DatabaseFile& file,
           const WorkQueue& queue)
      : Write(ctx, file, queue),
        transaction_(transaction),
        load_(load),
        chunk_(std::move(chunk)),
        content_(std::move(content)),
        continues_(load.begun) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Answer() override { done_->Resolve(status()); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

  bool continues() const override { return continues_; }

 private:
  absl::Status Apply(Connection& connection) override;
  absl::Status Proceed(Connection& connection);
  absl::Status Begin(Connection& connection);
  absl::Status Insert(Connection& connection);
  absl::Status InsertApart(Connection& connection);
  absl::Status InsertRows(Connection& connection, db::ChunkOutcome& outcome);
  absl::Status Complete(Connection& connection);
  absl::Status Repeat();
  bool keyed() const;
  void Report(db::ChunkOutcome outcome);

  TransactionWrite& transaction_;
  NestedLoad& load_;
  const std::optional<db::LoadChunk> chunk_;
  const std::string content_;
  const bool continues_;
  std::optional<Completion<Result>> done_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_TRANSACTION_COMMANDS_H_
