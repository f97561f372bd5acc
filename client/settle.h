// Finding out what became of a COMMIT. Internal to the library.
#ifndef SLUICE_CLIENT_SETTLE_H_
#define SLUICE_CLIENT_SETTLE_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "client/transaction_calls.h"
#include "client/transaction_facts.h"

namespace sluice::client {

// A call that commits, and may be sent again as often as it takes: it has a `request_id`.
struct Commitment {
  TransactionFacts::Step step;
  // Sends it once, and tells the facts if it was answered with OK.
  std::function<absl::Status(const CallOptions& options)> send;
  // An attempt may be given up while it runs: COMMIT goes on without its caller, a statement ends.
  bool may_give_up = false;
  // An answer was lost before.
  bool lost = false;
  // How to ask about it.
  v1::GetTransactionOutcomeRequest question;
};

// Sends it until its outcome is certain, or until the deadline. OK: it is committed. UNKNOWN
// `COMMIT_OUTCOME_UNKNOWN`: it may be. Any other error: it is not; with ABORTED
// `TRANSACTION_ROLLED_BACK` the answer that said why was lost.
absl::Status Settle(TransactionCalls& calls,
                    TransactionFacts& facts,
                    const Commitment& commitment,
                    absl::Time deadline,
                    const std::stop_token& stop);

// Asks until the outcome is certain, or until the deadline; `cause` is why it has to. REQUIRES: the
// call that commits has ended. Answers as Settle does.
absl::Status AskOutcome(TransactionCalls& calls,
                        TransactionFacts& facts,
                        const v1::GetTransactionOutcomeRequest& question,
                        const absl::Status& cause,
                        absl::Time deadline,
                        const std::stop_token& stop);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_SETTLE_H_
