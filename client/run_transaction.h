// Transactions that are repeated when they meet a conflict.
#ifndef SLUICE_CLIENT_RUN_TRANSACTION_H_
#define SLUICE_CLIENT_RUN_TRANSACTION_H_

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "client/transaction.h"

namespace sluice::client {

class Client;

// How RunTransaction runs.
struct RunOptions {
  std::string connection_id = "default";
  v1::TransactionOptions options;
  int max_attempts = 5;  // in all; 1 = never repeat
  // Pauses are random up to a bound that doubles.
  absl::Duration initial_backoff = absl::Milliseconds(20);
  absl::Duration max_backoff = absl::Seconds(2);
  // Of everything together, the calls of the body included. Default: the client's deadline.
  std::optional<absl::Duration> timeout;
  // Cancels the calls that bring no stop token of their own, and the pauses.
  std::stop_token stop;
};

// What is to be done in a transaction. It may run several times, each time in a new one, so what it
// does outside of it should bear that.
using TransactionBody = std::function<absl::Status(Transaction& transaction)>;

// Runs the body in a transaction and commits; rolls back if the body fails. The body may end the
// transaction by itself, with ThenCommit, Commit or Rollback.
//
// All of it is repeated after ABORTED `SERIALIZATION_FAILURE`, `DEADLOCK` and `LOCK_TIMEOUT`, and
// UNAVAILABLE that certainly was not executed; not after `TRANSACTION_EXPIRED`, since the same
// again would take as long again, and never where it may have been committed.
absl::Status RunTransaction(const Client& client,
                            const RunOptions& options,
                            const TransactionBody& body);

// The same, with other calls than a client's.
absl::Status RunTransaction(const std::shared_ptr<TransactionCalls>& calls,
                            const RunOptions& options,
                            const TransactionBody& body);

// True if a transaction that ended so, and was rolled back, may be run again as a whole.
bool MayRunAgain(const absl::Status& status);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_RUN_TRANSACTION_H_
