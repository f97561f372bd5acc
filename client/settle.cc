#include "client/settle.h"

#include <algorithm>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"

#include "client/errors.h"
#include "client/retry.h"

namespace sluice::client {
namespace {

constexpr absl::Duration kInitialPause = absl::Milliseconds(50);
constexpr absl::Duration kMaxPause = absl::Seconds(2);
// An attempt that may be given up early is given at least this long.
constexpr absl::Duration kLeastPatience = absl::Seconds(1);

// Waits before the next attempt. False: there is no time for one.
bool PauseAfter(TransactionCalls& calls,
                int attempts,
                absl::Time deadline,
                const std::stop_token& stop) {
  const absl::Duration pause = Backoff(kInitialPause, kMaxPause, attempts, calls.Random());
  if (stop.stop_requested() || calls.Now() + pause >= deadline) return false;
  return calls.Pause(pause, stop);
}

// How long a call may take. An answer that never comes leaves time to ask again.
absl::Duration Patience(absl::Duration rest, bool may_give_up) {
  return may_give_up ? std::max(rest / 2, std::min(rest, kLeastPatience)) : rest;
}

absl::Status Unknown(TransactionFacts& facts,
                     const v1::GetTransactionOutcomeRequest& question,
                     const absl::Status& cause) {
  facts.SetState(v1::TRANSACTION_STATE_UNKNOWN);
  std::map<std::string, std::string> metadata;
  if (question.has_request_id()) metadata["request_id"] = question.request_id();
  return LocalError(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", Executed::kUnknown,
                    absl::StrCat("the transaction may be committed or not: ", cause.message()),
                    metadata);
}

absl::Status Committed(TransactionFacts& facts) {
  facts.SetState(v1::TRANSACTION_STATE_COMMITTED);
  return absl::OkStatus();
}

// True if an error says only that the transaction is over, not how it ended.
bool OnlyOver(const Error& error) {
  return error.reason == "TRANSACTION_FINISHED" || error.reason == "TRANSACTION_NOT_FOUND";
}

// True for REPLAY_TOO_LARGE: an earlier call with the same request_id was committed.
bool SaysCommitted(const Error& error) {
  const auto outcome = error.metadata.find("outcome");
  return outcome != error.metadata.end() && outcome->second == "committed";
}

// It is certain that nothing was committed, and `status` is what was heard last.
absl::Status NotCommitted(TransactionFacts& facts, const absl::Status& status) {
  const Error error = DecodeError(status);
  const v1::TransactionState told = ToldState(error);
  facts.SetState(told == v1::TRANSACTION_STATE_FAILED || told == v1::TRANSACTION_STATE_EXPIRED
                     ? told
                     : v1::TRANSACTION_STATE_ROLLED_BACK);
  if (error.executed != Executed::kUnknown && !OnlyOver(error)) return status;
  return LocalError(absl::StatusCode::kAborted, "TRANSACTION_ROLLED_BACK", Executed::kRolledBack,
                    "the transaction is rolled back; the answer that said why was lost");
}

// What an answer says after an earlier one was lost.
enum class Verdict {
  kOpen,          // nothing yet: send it again
  kCommitted,     // done
  kNotCommitted,  // certainly not
  kOver,          // no attempt is under way any more: ask
};

Verdict VerdictOf(const Error& error, TransactionFacts::Step step) {
  if (error.reason == "COMMIT_OUTCOME_UNKNOWN") return Verdict::kOver;
  if (SaysCommitted(error)) return Verdict::kCommitted;
  if (error.executed == Executed::kUnknown) return Verdict::kOpen;
  if (step.begin) {
    // What it says is said of the transaction that this attempt began, not of the one before it.
    const bool refused_for_now =
        error.executed == Executed::kNo && (error.code == absl::StatusCode::kUnavailable ||
                                            error.code == absl::StatusCode::kDeadlineExceeded ||
                                            error.code == absl::StatusCode::kResourceExhausted);
    return refused_for_now ? Verdict::kOpen : Verdict::kOver;
  }
  switch (ToldState(error)) {
    case v1::TRANSACTION_STATE_COMMITTED:
      return Verdict::kCommitted;
    case v1::TRANSACTION_STATE_FAILED:
    case v1::TRANSACTION_STATE_ROLLED_BACK:
    case v1::TRANSACTION_STATE_EXPIRED:
      return Verdict::kNotCommitted;
    default:
      return OnlyOver(error) ? Verdict::kOver : Verdict::kOpen;
  }
}

bool Passing(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

}  // namespace

absl::Status Settle(TransactionCalls& calls,
                    TransactionFacts& facts,
                    const Commitment& commitment,
                    absl::Time deadline,
                    const std::stop_token& stop) {
  bool lost = commitment.lost;
  if (!lost && calls.Now() >= deadline) {
    return LocalError(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED", Executed::kNo,
                      "the deadline passed before the transaction could be committed");
  }
  for (int attempts = 1;; ++attempts) {
    const absl::Duration rest = deadline - calls.Now();
    absl::Status status = commitment.send({Patience(rest, commitment.may_give_up), stop});
    if (status.ok()) return status;
    const Error error = DecodeError(status);
    if (!lost && (error.executed != Executed::kUnknown || SaysCommitted(error))) {
      facts.Failed(status, commitment.step);
      return status;
    }
    lost = true;
    switch (VerdictOf(error, commitment.step)) {
      case Verdict::kCommitted:
        return Committed(facts);
      case Verdict::kNotCommitted:
        return NotCommitted(facts, status);
      case Verdict::kOver:
        return AskOutcome(calls, facts, commitment.question, status, deadline, stop);
      case Verdict::kOpen:
        break;
    }
    if (!PauseAfter(calls, attempts, deadline, stop)) {
      return Unknown(facts, commitment.question, status);
    }
  }
}

absl::Status AskOutcome(TransactionCalls& calls,
                        TransactionFacts& facts,
                        const v1::GetTransactionOutcomeRequest& question,
                        const absl::Status& cause,
                        absl::Time deadline,
                        const std::stop_token& stop) {
  const bool answerable = question.key_case() != v1::GetTransactionOutcomeRequest::KEY_NOT_SET;
  for (int attempts = 1; answerable; ++attempts) {
    const absl::Duration rest = deadline - calls.Now();
    const auto answer = calls.GetOutcome(question, {Patience(rest, true), stop});
    if (!answer.ok() && !Passing(answer.status())) break;
    const auto outcome = answer.ok() ? answer->outcome() : v1::TRANSACTION_OUTCOME_PENDING;
    if (outcome == v1::TRANSACTION_OUTCOME_COMMITTED) return Committed(facts);
    if (outcome == v1::TRANSACTION_OUTCOME_ROLLED_BACK) return NotCommitted(facts, cause);
    if (outcome != v1::TRANSACTION_OUTCOME_PENDING) break;
    if (!PauseAfter(calls, attempts, deadline, stop)) break;
  }
  return Unknown(facts, question, cause);
}

}  // namespace sluice::client
