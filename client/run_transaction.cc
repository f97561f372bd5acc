#include "client/run_transaction.h"

#include "client/errors.h"
#include "client/retry.h"

namespace sluice::client {
namespace {

struct Attempt {
  absl::Status status;
  bool may_be_committed = false;
};

// What is not committed is rolled back on leaving.
Attempt RunOnce(Transaction transaction, const TransactionBody& body) {
  Attempt attempt;
  attempt.status = body(transaction);
  if (attempt.status.ok() && !transaction.Done()) attempt.status = transaction.Commit();
  attempt.may_be_committed = transaction.State() == v1::TRANSACTION_STATE_COMMITTED ||
                             transaction.State() == v1::TRANSACTION_STATE_UNKNOWN;
  return attempt;
}

}  // namespace

bool MayRunAgain(const absl::Status& status) {
  const Error error = DecodeError(status);
  if (error.executed == Executed::kUnknown) return false;
  if (error.code == absl::StatusCode::kUnavailable) return error.executed == Executed::kNo;
  return error.code == absl::StatusCode::kAborted &&
         (error.reason == "SERIALIZATION_FAILURE" || error.reason == "DEADLOCK" ||
          error.reason == "LOCK_TIMEOUT" || error.reason == "TRANSACTION_ROLLED_BACK");
}

absl::Status RunTransaction(const std::shared_ptr<TransactionCalls>& calls,
                            const RunOptions& options,
                            const TransactionBody& body) {
  const absl::Time deadline = calls->Now() + options.timeout.value_or(calls->DefaultTimeout());
  const BeginOptions begin = {options.connection_id, options.options, deadline, options.stop};
  for (int attempts = 1;; ++attempts) {
    const Attempt attempt = RunOnce(Transaction(calls, begin), body);
    const absl::Status& status = attempt.status;
    const bool again = !status.ok() && !attempt.may_be_committed &&
                       attempts < options.max_attempts && MayRunAgain(status);
    if (!again) return status;
    const absl::Duration pause =
        DecodeError(status).retry_delay.value_or(absl::ZeroDuration()) +
        Backoff(options.initial_backoff, options.max_backoff, attempts, calls->Random());
    if (calls->Now() + pause >= deadline) return status;
    if (!calls->Pause(pause, options.stop)) {
      return LocalError(absl::StatusCode::kCancelled, "CALL_CANCELLED", Executed::kRolledBack,
                        "the transaction was cancelled before its next attempt");
    }
  }
}

}  // namespace sluice::client
