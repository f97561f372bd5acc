// Transaction: a caller's transaction, and what he holds of one, from any executor.
#ifndef SLUICE_SERVER_DB_POSTGRES_TRANSACTION_H_
#define SLUICE_SERVER_DB_POSTGRES_TRANSACTION_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/postgres/backend.h"
#include "server/db/postgres/loading.h"
#include "server/db/postgres/running_requests.h"
#include "server/db/postgres/work.h"
#include "server/db/transaction.h"

namespace sluice::postgres {

// What keeps a database there for those who hold a part of it.
struct Owner {
  std::shared_ptr<db::Database> database;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<RunningRequests> requests;
};

// The transaction as the reactor has it. Made with the first thing that is done in it.
class WorkSlot : public std::enable_shared_from_this<WorkSlot> {
 public:
  WorkSlot(std::shared_ptr<Backend> backend, db::TransactionOptions options)
      : backend_(std::move(backend)), options_(std::move(options)) {}

  // The reactor's thread.
  std::shared_ptr<Work> Get();
  void End(const absl::Status& why);
  Task<void> Drop();

  // Any thread.
  db::TransactionStanding standing() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Set(const Work::Change& change) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<Backend> backend_;
  const db::TransactionOptions options_;
  std::shared_ptr<Work> work_;

  mutable Mutex mu_;
  db::TransactionStanding standing_ ABSL_GUARDED_BY(mu_);
};

class Transaction final : public db::Transaction {
 public:
  Transaction(Owner owner, db::TransactionOptions options);
  ~Transaction() override;

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override;
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& ctx,
                                                         db::Statement statement) override;
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override;
  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& ctx,
                                                           db::LoadTarget target) override;
  Task<absl::Status> Commit(const db::RequestKey* key) override;
  Task<absl::Status> CommitFor(const Context& ctx, const db::RequestKey* key) override;
  Task<void> Rollback() override;
  Task<absl::Status> Savepoint(const Context& ctx, int number) override;
  Task<absl::Status> RollbackTo(const Context& ctx, int number) override;
  Task<absl::Status> Release(const Context& ctx, int number) override;
  void End(const absl::Status& why) override;

  db::TransactionStanding standing() const override { return slot_->standing(); }

  db::Isolation isolation() const override { return isolation_; }

 private:
  static Task<bool> RollbackOf(std::shared_ptr<Work> work, Caller& caller);

  const Owner owner_;
  const db::Isolation isolation_;
  const std::shared_ptr<WorkSlot> slot_;
};

// A result in pieces.
class WorkCursor final : public db::Cursor {
 public:
  // `own`: the transaction is the cursor's, and ends with it.
  WorkCursor(Owner owner, std::shared_ptr<Work> work, std::shared_ptr<Reading> reading, bool own)
      : owner_(std::move(owner)), work_(std::move(work)), reading_(std::move(reading)), own_(own) {}

  ~WorkCursor() override;

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override;

 private:
  const Owner owner_;
  std::shared_ptr<Work> work_;
  std::shared_ptr<Reading> reading_;
  const bool own_;
};

class WorkLoad final : public db::Load {
 public:
  // `slot`: the caller's transaction; null: there is none.
  WorkLoad(Owner owner, std::shared_ptr<WorkSlot> slot, db::LoadTarget target);
  ~WorkLoad() override;

  Task<absl::Status> Add(const Context& ctx, db::LoadChunk chunk, std::string content) override;

  void OnEnd(std::function<void()> /*told*/) override {}  // it only ends while a call waits

  bool stopped() const override { return stopped_; }

  std::vector<db::ChunkOutcome> TakeOutcomes() override { return std::exchange(outcomes_, {}); }

  Task<absl::Status> Finish(const Context& ctx, std::string content) override;

 private:
  // Made on the reactor with the first call.
  struct Slot {
    std::optional<Loading> loading;
  };

  static Task<void> DropLoading(std::shared_ptr<Backend> backend, std::shared_ptr<Slot> slot);
  Loading& LoadingOf(Slot& slot);
  void TakeOver();

  const Owner owner_;
  const std::shared_ptr<WorkSlot> work_;
  const db::LoadTarget target_;
  const RunningRequests::Mark runs_;
  const std::shared_ptr<Slot> slot_ = std::make_shared<Slot>();
  // Taken over after each call.
  bool stopped_ = false;
  std::vector<db::ChunkOutcome> outcomes_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_TRANSACTION_H_
