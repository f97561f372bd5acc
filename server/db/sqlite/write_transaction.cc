#include "server/db/sqlite/write_transaction.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/batch_write.h"
#include "server/db/sqlite/cursor.h"
#include "server/db/sqlite/transaction_commands.h"
#include "server/db/sqlite/write.h"

namespace sluice::sqlite {
namespace {

using Known = StatementBook::Known;

// What the parts of a transaction that a call holds need of it. A transaction outlives its parts.
struct Parent {
  std::shared_ptr<TransactionWrite> write;
  DatabaseFile& file;
  WorkQueue& writer;
};

// A statement that reads, in pieces.
class TransactionCursor final : public db::Cursor {
 public:
  TransactionCursor(Parent parent, db::Rows first)
      : parent_(std::move(parent)), first_(std::move(first)) {}

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override {
    if (first_.has_value()) {
      db::Rows first = *std::move(first_);
      first_.reset();
      co_return first;
    }
    ReadStep step(ctx, *parent_.write, nullptr, parent_.file, parent_.writer);
    CO_TRY(std::optional<db::Rows> chunk, co_await Await(ctx, parent_.write, parent_.writer, step));
    if (!chunk.has_value()) co_return errors::Internal("A cursor was read on after its end.");
    co_return *std::move(chunk);
  }

 private:
  const Parent parent_;
  std::optional<db::Rows> first_;
};

class TransactionLoad final : public db::Load {
 public:
  TransactionLoad(Parent parent, db::LoadTarget target)
      : parent_(std::move(parent)), load_(std::move(target)) {}

  Task<absl::Status> Add(const Context& ctx,
                         db::LoadChunk chunk,
                         std::string /*content*/) override {
    std::optional<db::LoadChunk> rows(std::move(chunk));
    LoadStep step(ctx, *parent_.write, load_, std::move(rows), "", parent_.file, parent_.writer);
    absl::Status added = co_await Await(ctx, parent_.write, parent_.writer, step);
    co_return added;
  }

  void OnEnd(std::function<void()> /*told*/) override {}  // its transaction's end is told otherwise

  bool stopped() const override { return load_.stopped; }

  std::vector<db::ChunkOutcome> TakeOutcomes() override {
    return std::exchange(load_.outcomes, {});
  }

  Task<absl::Status> Finish(const Context& ctx, std::string content) override {
    LoadStep step(ctx, *parent_.write, load_, std::nullopt, std::move(content), parent_.file,
                  parent_.writer);
    absl::Status finished = co_await Await(ctx, parent_.write, parent_.writer, step);
    co_return finished;
  }

 private:
  const Parent parent_;
  NestedLoad load_;
};

}  // namespace

WriteTransaction::WriteTransaction(std::shared_ptr<db::Database> database,
                                   db::TransactionOptions options,
                                   DatabaseFile& file,
                                   WorkQueue& writer)
    : database_(std::move(database)),
      file_(file),
      writer_(writer),
      write_(std::make_shared<TransactionWrite>(
          std::move(options.handle), std::move(options.label), file, writer)) {}

WriteTransaction::~WriteTransaction() {
  write_->End(errors::Cancelled(errors::Executed::kRolledBack));
}

Task<absl::StatusOr<db::Rows>> WriteTransaction::Execute(const Context& ctx,
                                                         db::Statement statement) {
  UnaryWrite write(ctx, statement, file_, writer_);
  absl::StatusOr<db::Rows> rows = co_await Await(ctx, write_, writer_, write);
  co_return rows;
}

Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> WriteTransaction::Open(const Context& ctx,
                                                                         db::Statement statement) {
  // Its answer is to be stored; without `commits`, that of a statement that reads is not.
  const bool keyed = statement.request != nullptr && statement.request->commits;
  if (!keyed && file_.book().Find(statement.sql()) != Known::kWrites) {
    ReadStep step(ctx, *write_, &statement, file_, writer_);
    CO_TRY(std::optional<db::Rows> first, co_await Await(ctx, write_, writer_, step));
    if (first.has_value()) {
      Parent parent{write_, file_, writer_};
      co_return std::make_unique<TransactionCursor>(std::move(parent), *std::move(first));
    }
  }
  SpooledWrite write(ctx, statement, file_, writer_);
  SpooledWrite::Result chunks = co_await Await(ctx, write_, writer_, write);
  if (!chunks.ok()) co_return chunks.status();
  co_return std::make_unique<SpoolCursor>(database_, *std::move(chunks));
}

Task<absl::StatusOr<db::BatchResults>> WriteTransaction::ExecuteBatch(const Context& ctx,
                                                                      const db::Batch& batch) {
  BatchWrite write(ctx, batch, file_, writer_, /*nested=*/true);
  BatchWrite::Result results = co_await Await(ctx, write_, writer_, write);
  co_return results;
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> WriteTransaction::OpenLoad(const Context& /*ctx*/,
                                                                           db::LoadTarget target) {
  Parent parent{write_, file_, writer_};
  co_return std::make_unique<TransactionLoad>(std::move(parent), std::move(target));
}

Task<absl::Status> WriteTransaction::Commit(const db::RequestKey* key) {
  absl::Status committed = co_await Async<absl::Status>(
      [&](Completion<absl::Status> done) { write_->Commit(key, std::move(done)); });
  co_return committed;
}

Task<void> WriteTransaction::Rollback() {
  const absl::Status gone = co_await Async<absl::Status>(
      [&](Completion<absl::Status> done) { write_->Rollback(std::move(done)); });
  gone.IgnoreError();  // what cannot be rolled back is gone all the same
}

Task<absl::Status> WriteTransaction::Savepoint(const Context& ctx, int number) {
  return ChangeSavepoint(ctx, SavepointAction::kSet, number);
}

Task<absl::Status> WriteTransaction::RollbackTo(const Context& ctx, int number) {
  return ChangeSavepoint(ctx, SavepointAction::kRollBackTo, number);
}

Task<absl::Status> WriteTransaction::Release(const Context& ctx, int number) {
  return ChangeSavepoint(ctx, SavepointAction::kRelease, number);
}

Task<absl::Status> WriteTransaction::ChangeSavepoint(const Context& ctx,
                                                     SavepointAction action,
                                                     int number) {
  SavepointStep step(ctx, *write_, action, number, file_, writer_);
  absl::Status changed = co_await Await(ctx, write_, writer_, step);
  co_return changed;
}

}  // namespace sluice::sqlite
