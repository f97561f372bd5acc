// What statements of a transaction run through: the session of a turn, which keeps the lease while
// something is done, and learns from the database how the transaction stands after it.
#ifndef SLUICE_SERVER_CORE_TRANSACTION_SESSION_H_
#define SLUICE_SERVER_CORE_TRANSACTION_SESSION_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/core/transaction.h"
#include "server/db/batch.h"
#include "server/db/load.h"
#include "server/db/rows.h"
#include "server/db/session.h"
#include "server/db/statement.h"

namespace sluice::core {

// Work: something that is being done in a transaction while it lives, unless it was refused.
class Transaction::Work {
 public:
  Work(Transaction& transaction, Needs needs)
      : transaction_(transaction), refused_(transaction.BeginWork(needs)) {}

  ~Work() {
    if (refused_.ok()) transaction_.EndWork();
  }

  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // OK, or what the caller is answered instead.
  const absl::Status& refused() const { return refused_; }

 private:
  Transaction& transaction_;
  const absl::Status refused_;
};

// TurnSession: lives as long as its transaction, and is used by whoever has the turn.
class Transaction::TurnSession final : public db::Session {
 public:
  explicit TurnSession(Transaction& transaction) : transaction_(transaction) {}

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override;
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& ctx,
                                                         db::Statement statement) override;
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override;
  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& ctx,
                                                           db::LoadTarget target) override;

 private:
  Transaction& transaction_;
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_TRANSACTION_SESSION_H_
