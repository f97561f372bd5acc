#include "server/services/transaction_service.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "server/base/errors.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/db/database.h"
#include "server/services/protobuf_time.h"
#include "server/services/recall.h"
#include "server/services/request_id.h"
#include "server/services/validation.h"

namespace sluice::services {
namespace {

using core::Transaction;
using core::TransactionInfo;
using core::TransactionState;

void Show(const TransactionInfo& info, absl::Duration now, pb::Transaction& shown) {
  shown.set_handle(info.facts.handle);
  shown.set_label(info.label);
  shown.set_connection_handle(info.connection->handle);
  shown.set_connection_name(info.connection->name);
  shown.set_state(StateOf(info.facts.state));
  shown.set_read_only(info.read_only);
  shown.set_isolation(IsolationOf(info.facts.isolation));
  shown.set_holder(info.holder);
  shown.set_interactive(info.interactive);
  SetTimestamp(info.begun, *shown.mutable_begin_time());
  SetDuration(info.age, *shown.mutable_age());
  if (info.idle != absl::InfiniteDuration()) SetDuration(info.idle, *shown.mutable_idle());
  if (info.facts.expires_in != absl::InfiniteDuration()) {
    SetDuration(info.facts.expires_in, *shown.mutable_expires_in());
  }
  shown.set_statements(info.statements);
  shown.set_last_statement(info.last_statement);
  shown.set_fingerprint(info.fingerprint);
  shown.set_busy(info.busy);
  shown.set_waiting_calls(info.waiting_calls);
  shown.set_savepoints(info.savepoints);
  const db::TransactionStanding& standing = info.standing;
  if (standing.writer_since.has_value()) {
    shown.set_holds_writer(true);
    SetDuration(now - *standing.writer_since, *shown.mutable_holds_writer_for());
  }
  if (!standing.waiting_since.has_value()) return;
  pb::TransactionWait& wait = *shown.mutable_waits_for();
  SetDuration(now - *standing.waiting_since, *wait.mutable_waited());
  if (standing.waits_for == nullptr) return;
  wait.set_held_by(standing.waits_for->handle);
  wait.set_label(standing.waits_for->label);
  SetDuration(now - standing.waits_for->since, *wait.mutable_held_for());
}

// The place of an entry in a list: when it was begun, and its handle.
std::string BegunText(const Transaction& transaction) {
  return absl::StrCat(absl::Dec(absl::ToInt64Nanoseconds(transaction.begun()), absl::kZeroPad20));
}

pb::TransactionOutcome OutcomeOf(db::Outcome outcome) {
  switch (outcome) {
    case db::Outcome::kCommitted:
      return pb::TRANSACTION_OUTCOME_COMMITTED;
    case db::Outcome::kRolledBack:
      return pb::TRANSACTION_OUTCOME_ROLLED_BACK;
    case db::Outcome::kPending:
      return pb::TRANSACTION_OUTCOME_PENDING;
    case db::Outcome::kUnknown:
      return pb::TRANSACTION_OUTCOME_UNKNOWN;
  }
  return pb::TRANSACTION_OUTCOME_UNSPECIFIED;
}

pb::TransactionOutcome OutcomeOf(TransactionState state) {
  switch (state) {
    case TransactionState::kActive:
    case TransactionState::kFailed:
      return pb::TRANSACTION_OUTCOME_PENDING;
    case TransactionState::kCommitted:
      return pb::TRANSACTION_OUTCOME_COMMITTED;
    case TransactionState::kRolledBack:
    case TransactionState::kExpired:
      return pb::TRANSACTION_OUTCOME_ROLLED_BACK;
    case TransactionState::kUnknown:
      return pb::TRANSACTION_OUTCOME_UNKNOWN;
  }
  return pb::TRANSACTION_OUTCOME_UNSPECIFIED;
}

}  // namespace

Task<absl::StatusOr<pb::BeginTransactionResponse>> TransactionService::BeginTransaction(
    const Context& ctx, const pb::BeginTransactionRequest& request) {
  CO_CHECK(CheckRequest(request));
  CO_TRY(const Turn turn,
         co_await venues_.Begin(ctx, request.connection_id(), request.options(),
                                Venues::SessionIn(request), /*interactive=*/false));
  pb::BeginTransactionResponse response;
  SetStatus(turn.facts(), clock_.Now(), *response.mutable_transaction());
  co_return response;
}

Task<absl::StatusOr<TransactionService::Turn>> TransactionService::Enter(
    const Context& ctx, std::string transaction_id, std::string connection_id) {
  CO_TRY(const std::shared_ptr<Transaction> transaction,
         venues_.transactions().Find(ctx, transaction_id));
  absl::Status agrees = Venues::CheckAgrees(*transaction, connection_id);
  if (!agrees.ok()) co_return core::WithTransaction(std::move(agrees), transaction->facts());
  absl::StatusOr<Turn> turn = co_await transaction->Enter(ctx);
  if (!turn.ok()) co_return core::WithTransaction(turn.status(), transaction->facts());
  co_return turn;
}

Task<absl::StatusOr<pb::CommitTransactionResponse>> TransactionService::CommitTransaction(
    const Context& ctx, const pb::CommitTransactionRequest& request) {
  const absl::Duration begun = clock_.Steady();
  absl::StatusOr<pb::CommitTransactionResponse> response = co_await Commit(ctx, request);
  if (!response.ok()) {
    CO_CHECK(co_await WasCommitted(ctx, request, response.status()));
    response.emplace();
    response->set_replayed(true);
    SetReplayed(ctx, venues_.transactions(), request.transaction_id(), clock_.Now(),
                *response->mutable_transaction());
  }
  SetDuration(clock_.Steady() - begun, *response->mutable_elapsed());
  co_return response;
}

Task<absl::StatusOr<pb::CommitTransactionResponse>> TransactionService::Commit(
    const Context& ctx, const pb::CommitTransactionRequest& request) {
  CO_TRY(Turn turn, co_await Enter(ctx, request.transaction_id(), request.connection_id()));
  const core::Connections::EntryPtr connection = turn.transaction().connection();
  const auto key_or = RequestKeyOf(*connection, request);
  if (!key_or.ok()) co_return core::WithTransaction(key_or.status(), turn.facts());
  const std::optional<db::RequestKey>& key = *key_or;
  const absl::Status committed = co_await turn.Commit(ctx, key.has_value() ? &*key : nullptr);
  if (!committed.ok()) co_return core::WithTransaction(committed, turn.facts());
  pb::CommitTransactionResponse response;
  SetStatus(turn.facts(), clock_.Now(), *response.mutable_transaction());
  co_return response;
}

Task<absl::Status> TransactionService::WasCommitted(const Context& ctx,
                                                    const pb::CommitTransactionRequest& request,
                                                    absl::Status why) {
  if (request.request_id().empty() || !IsOver(why)) co_return why;
  const auto connection =
      co_await venues_.ConnectionOf(ctx, request.connection_id(), request.transaction_id());
  if (!connection.ok()) co_return why;
  CO_TRY(const std::optional<db::RequestKey> key, RequestKeyOf(**connection, request));
  const absl::StatusOr<db::BatchResults> results =
      co_await Recalled(ctx, **connection, *key, std::move(why));
  if (results.ok() || !IsOver(results.status())) co_return results.status();
  // One that only read has stored nothing.
  const auto known = venues_.transactions().Remember(ctx, request.transaction_id());
  if (known.has_value() && known->facts.state == TransactionState::kCommitted &&
      known->committed_by == key->id) {
    co_return absl::OkStatus();
  }
  co_return results.status();
}

Task<absl::StatusOr<pb::RollbackTransactionResponse>> TransactionService::RollbackTransaction(
    const Context& ctx, const pb::RollbackTransactionRequest& request) {
  pb::RollbackTransactionResponse response;
  // One that is gone already is what was asked for.
  const auto known = venues_.transactions().Remember(ctx, request.transaction_id());
  const bool gone = known.has_value() && (known->facts.state == TransactionState::kRolledBack ||
                                          known->facts.state == TransactionState::kExpired);
  if (gone) {
    const bool agrees = request.connection_id().empty() ||
                        ids::HashOf(request.connection_id()) == known->connection;
    if (!agrees) co_return Venues::Disagrees();
    SetStatus(known->facts, clock_.Now(), *response.mutable_transaction());
    co_return response;
  }
  CO_TRY(Turn turn, co_await Enter(ctx, request.transaction_id(), request.connection_id()));
  const absl::Status rolled_back = co_await turn.Rollback();
  if (!rolled_back.ok()) co_return core::WithTransaction(rolled_back, turn.facts());
  SetStatus(turn.facts(), clock_.Now(), *response.mutable_transaction());
  co_return response;
}

template <class Response, class Request, class Action>
Task<absl::StatusOr<Response>> TransactionService::ChangeSavepoint(const Context& ctx,
                                                                   const Request& request,
                                                                   Action action) {
  CO_TRY(Turn turn, co_await Enter(ctx, request.transaction_id(), request.connection_id()));
  const absl::Status changed = co_await (turn.*action)(ctx, request.name());
  if (!changed.ok()) co_return core::WithTransaction(changed, turn.facts());
  Response response;
  SetStatus(turn.facts(), clock_.Now(), *response.mutable_transaction());
  co_return response;
}

Task<absl::StatusOr<pb::SavepointResponse>> TransactionService::Savepoint(
    const Context& ctx, const pb::SavepointRequest& request) {
  return ChangeSavepoint<pb::SavepointResponse>(ctx, request, &Turn::Savepoint);
}

Task<absl::StatusOr<pb::RollbackToSavepointResponse>> TransactionService::RollbackToSavepoint(
    const Context& ctx, const pb::RollbackToSavepointRequest& request) {
  return ChangeSavepoint<pb::RollbackToSavepointResponse>(ctx, request, &Turn::RollbackTo);
}

Task<absl::StatusOr<pb::ReleaseSavepointResponse>> TransactionService::ReleaseSavepoint(
    const Context& ctx, const pb::ReleaseSavepointRequest& request) {
  return ChangeSavepoint<pb::ReleaseSavepointResponse>(ctx, request, &Turn::Release);
}

Task<absl::StatusOr<pb::KeepAliveResponse>> TransactionService::KeepAlive(
    const Context& ctx, const pb::KeepAliveRequest& request) {
  CO_TRY(const std::shared_ptr<Transaction> transaction,
         venues_.transactions().Find(ctx, request.transaction_id()));
  CO_CHECK(Venues::CheckAgrees(*transaction, request.connection_id()));
  if (!transaction->KeepAlive()) {
    CO_CHECK(venues_.transactions().Find(ctx, request.transaction_id()).status());
  }
  pb::KeepAliveResponse response;
  SetStatus(transaction->facts(), clock_.Now(), *response.mutable_transaction());
  co_return response;
}

Task<absl::StatusOr<pb::GetTransactionResponse>> TransactionService::GetTransaction(
    const Context& ctx, const pb::GetTransactionRequest& request) {
  pb::GetTransactionResponse response;
  pb::Transaction& shown = *response.mutable_transaction();
  if (request.key_case() == pb::GetTransactionRequest::kHandle) {
    CO_TRY(const std::shared_ptr<Transaction> transaction,
           venues_.transactions().FindHandle(request.handle()));
    Show(transaction->Info(), clock_.Steady(), shown);
    co_return response;
  }
  const auto known = venues_.transactions().Remember(ctx, request.transaction_id());
  const bool finished = known.has_value() && core::IsFinished(known->facts.state);
  if (finished) {
    shown.set_handle(known->facts.handle);
    shown.set_state(StateOf(known->facts.state));
    co_return response;
  }
  CO_TRY(const std::shared_ptr<Transaction> transaction,
         venues_.transactions().Find(ctx, request.transaction_id()));
  Show(transaction->Info(), clock_.Steady(), shown);
  co_return response;
}

Task<absl::StatusOr<pb::ListTransactionsResponse>> TransactionService::ListTransactions(
    const Context& ctx, const pb::ListTransactionsRequest& request) {
  CO_TRY(const size_t page_size, PageSizeOf(request.page_size()));
  core::Connections::EntryPtr connection;
  std::string list = "transactions";
  if (!request.connection_id().empty()) {
    CO_TRY(connection, venues_.connections().Find(ctx, request.connection_id()));
    absl::StrAppend(&list, "/", connection->handle);
  }
  std::vector<std::string> after = {"", ""};
  if (!request.page_token().empty()) {
    CO_TRY(after, page_tokens_.Read(list, request.page_token(), 2));
  }
  const auto all = venues_.transactions().List(connection == nullptr ? nullptr : &connection->key);
  pb::ListTransactionsResponse response;
  response.set_total_size(static_cast<int64_t>(all.size()));
  const absl::Duration now = clock_.Steady();
  std::string begun;
  std::string handle;
  for (const std::shared_ptr<Transaction>& transaction : all) {
    const std::string next = BegunText(*transaction);
    if (std::pair(next, transaction->handle()) <= std::pair(after[0], after[1])) continue;
    if (static_cast<size_t>(response.transactions_size()) == page_size) {
      response.set_next_page_token(page_tokens_.Make(list, {begun, handle}));
      break;
    }
    begun = next;
    handle = transaction->handle();
    Show(transaction->Info(), now, *response.add_transactions());
  }
  co_return response;
}

Task<absl::StatusOr<pb::GetTransactionOutcomeResponse>> TransactionService::GetTransactionOutcome(
    const Context& ctx, const pb::GetTransactionOutcomeRequest& request) {
  pb::GetTransactionOutcomeResponse response;
  switch (request.key_case()) {
    case pb::GetTransactionOutcomeRequest::kTransactionId: {
      CO_TRY(const pb::TransactionOutcome outcome, co_await OutcomeOfTransaction(ctx, request));
      response.set_outcome(outcome);
      co_return response;
    }
    case pb::GetTransactionOutcomeRequest::kRequestId: {
      CO_TRY(const pb::TransactionOutcome outcome,
             co_await OutcomeOfRequest(ctx, request.connection_id(), request.request_id()));
      response.set_outcome(outcome);
      co_return response;
    }
    case pb::GetTransactionOutcomeRequest::kOutcomeToken: {
      CO_TRY(const core::Connections::EntryPtr connection,
             co_await venues_.connections().Open(ctx, request.connection_id()));
      CO_TRY(const pb::TransactionOutcome outcome,
             co_await OutcomeOfToken(ctx, *connection, request.outcome_token()));
      response.set_outcome(outcome);
      co_return response;
    }
    case pb::GetTransactionOutcomeRequest::KEY_NOT_SET:
      break;
  }
  co_return errors::ParameterInvalid(
      "key", "is not set; give a transaction_id, a request_id or an outcome_token");
}

Task<absl::StatusOr<pb::TransactionOutcome>> TransactionService::OutcomeOfTransaction(
    const Context& ctx, const pb::GetTransactionOutcomeRequest& request) {
  const auto known = venues_.transactions().Remember(ctx, request.transaction_id());
  if (!known.has_value()) co_return errors::TransactionNotFound();
  // Its commit's answer was lost, but the commit may have left a trace.
  const bool left_a_trace = known->facts.state == TransactionState::kUnknown &&
                            !(known->committed_by.empty() && known->outcome_token.empty());
  if (!left_a_trace) co_return OutcomeOf(known->facts.state);
  const auto connection =
      co_await venues_.ConnectionOf(ctx, request.connection_id(), request.transaction_id());
  if (!connection.ok()) co_return OutcomeOf(known->facts.state);
  absl::StatusOr<pb::TransactionOutcome> outcome{OutcomeOf(known->facts.state)};
  if (!known->committed_by.empty()) {
    outcome = co_await OutcomeOfKey(ctx, **connection, KeyOfId(**connection, known->committed_by));
  } else {
    outcome = co_await OutcomeOfToken(ctx, **connection, known->outcome_token);
  }
  co_return outcome.ok() ? *outcome : OutcomeOf(known->facts.state);
}

Task<absl::StatusOr<pb::TransactionOutcome>> TransactionService::OutcomeOfToken(
    const Context& ctx, const core::Connections::Entry& connection, std::string token) {
  std::string scope = KeyOfId(connection, "").scope;
  CO_TRY(const db::Outcome outcome,
         co_await connection.database->OutcomeOf(ctx, std::move(token), std::move(scope)));
  co_return OutcomeOf(outcome);
}

Task<absl::StatusOr<pb::TransactionOutcome>> TransactionService::OutcomeOfRequest(
    const Context& ctx, std::string connection_id, std::string request_id) {
  CO_TRY(const core::Connections::EntryPtr connection,
         co_await venues_.connections().Open(ctx, std::move(connection_id)));
  CO_TRY(const db::RequestKey key, AnyKeyOf(*connection, request_id));
  absl::StatusOr<pb::TransactionOutcome> outcome = co_await OutcomeOfKey(ctx, *connection, key);
  co_return outcome;
}

Task<absl::StatusOr<pb::TransactionOutcome>> TransactionService::OutcomeOfKey(
    const Context& ctx, const core::Connections::Entry& connection, const db::RequestKey& key) {
  const auto found = co_await connection.database->Recall(ctx, key);
  // Its answer was too large to be kept, but it is there.
  if (errors::ReasonOf(found.status()) == "REPLAY_TOO_LARGE") {
    co_return pb::TRANSACTION_OUTCOME_COMMITTED;
  }
  if (errors::ReasonOf(found.status()) == "COMMIT_OUTCOME_UNKNOWN") {
    co_return pb::TRANSACTION_OUTCOME_PENDING;
  }
  if (!found.ok()) co_return found.status();
  co_return found->has_value() ? pb::TRANSACTION_OUTCOME_COMMITTED
                               : pb::TRANSACTION_OUTCOME_ROLLED_BACK;
}

Task<absl::StatusOr<pb::EndTransactionResponse>> TransactionService::EndTransaction(
    const Context& /*ctx*/, const pb::EndTransactionRequest& request) {
  if (request.handle().empty()) {
    co_return errors::ParameterInvalid("handle", "is empty; ListTransactions shows the handles");
  }
  CO_TRY(const std::shared_ptr<Transaction> transaction,
         venues_.transactions().FindHandle(request.handle()));
  pb::EndTransactionResponse response;
  Show(transaction->Info(), clock_.Steady(), *response.mutable_transaction());
  const bool ended = transaction->End(
      errors::WithMetadata(errors::TransactionExpired("The transaction was ended by an operator"),
                           "ended_by", "operator"),
      TransactionState::kRolledBack);
  if (!ended) {
    const TransactionState state = transaction->facts().state;
    co_return errors::TransactionFinished(core::IsFinished(state) ? core::NameOf(state)
                                                                  : "COMMITTING");
  }
  co_return response;
}

}  // namespace sluice::services
