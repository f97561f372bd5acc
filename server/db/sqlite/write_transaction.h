// WriteTransaction: a transaction that may write.
#ifndef SLUICE_SERVER_DB_SQLITE_WRITE_TRANSACTION_H_
#define SLUICE_SERVER_DB_SQLITE_WRITE_TRANSACTION_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/database.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/transaction_write.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/transaction.h"

namespace sluice::sqlite {

// Has the writer for itself from its first statement to its end, so it is serializable and meets no
// conflict, and everyone else who writes waits for it.
class WriteTransaction final : public db::Transaction {
 public:
  // `database` lives as long as its transactions do.
  WriteTransaction(std::shared_ptr<db::Database> database,
                   db::TransactionOptions options,
                   DatabaseFile& file,
                   WorkQueue& writer);
  ~WriteTransaction() override;

  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override;
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& ctx,
                                                         db::Statement statement) override;
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override;
  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& ctx,
                                                           db::LoadTarget target) override;
  Task<absl::Status> Commit(const db::RequestKey* key) override;
  Task<void> Rollback() override;
  Task<absl::Status> Savepoint(const Context& ctx, int number) override;
  Task<absl::Status> RollbackTo(const Context& ctx, int number) override;
  Task<absl::Status> Release(const Context& ctx, int number) override;

  void End(const absl::Status& why) override { write_->End(why); }

  db::TransactionStanding standing() const override { return write_->standing(); }

  db::Isolation isolation() const override { return db::Isolation::kSerializable; }

 private:
  Task<absl::Status> ChangeSavepoint(const Context& ctx, SavepointAction action, int number);

  const std::shared_ptr<db::Database> database_;
  DatabaseFile& file_;
  WorkQueue& writer_;
  const std::shared_ptr<TransactionWrite> write_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_WRITE_TRANSACTION_H_
