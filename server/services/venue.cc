#include "server/services/venue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "server/base/errors.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/database.h"
#include "server/services/protobuf_time.h"
#include "server/services/session_options.h"

namespace sluice::services {
namespace {

constexpr size_t kMostLabelBytes = 64;

absl::StatusOr<db::Isolation> IsolationOf(pb::IsolationLevel level, absl::string_view field) {
  switch (level) {
    case pb::ISOLATION_LEVEL_UNSPECIFIED:
      return db::Isolation::kDefault;
    case pb::ISOLATION_LEVEL_READ_COMMITTED:
      return db::Isolation::kReadCommitted;
    case pb::ISOLATION_LEVEL_REPEATABLE_READ:
      return db::Isolation::kRepeatableRead;
    case pb::ISOLATION_LEVEL_SERIALIZABLE:
      return db::Isolation::kSerializable;
    default:
      return errors::ParameterInvalid(absl::StrCat(field, ".isolation"),
                                      "is no level that this server knows");
  }
}

}  // namespace

absl::StatusOr<core::TransactionRequest> TransactionRequestOf(const pb::TransactionOptions& options,
                                                              absl::string_view field) {
  core::TransactionRequest request;
  TRY(request.options.isolation, IsolationOf(options.isolation(), field));
  request.options.read_only = options.read_only();
  request.options.deferrable = options.deferrable();
  if (options.label().size() > kMostLabelBytes) {
    return errors::ParameterInvalid(absl::StrCat(field, ".label"),
                                    absl::StrCat("has more than ", kMostLabelBytes, " bytes"));
  }
  request.options.label = SanitizeForMessage(options.label(), kMostLabelBytes);
  if (options.has_idle_timeout()) request.idle_timeout = DurationOf(options.idle_timeout());
  if (options.has_max_life()) request.max_life = DurationOf(options.max_life());
  return request;
}

pb::TransactionState StateOf(core::TransactionState state) {
  switch (state) {
    case core::TransactionState::kActive:
      return pb::TRANSACTION_STATE_ACTIVE;
    case core::TransactionState::kFailed:
      return pb::TRANSACTION_STATE_FAILED;
    case core::TransactionState::kCommitted:
      return pb::TRANSACTION_STATE_COMMITTED;
    case core::TransactionState::kRolledBack:
      return pb::TRANSACTION_STATE_ROLLED_BACK;
    case core::TransactionState::kExpired:
      return pb::TRANSACTION_STATE_EXPIRED;
    case core::TransactionState::kUnknown:
      return pb::TRANSACTION_STATE_UNKNOWN;
  }
  return pb::TRANSACTION_STATE_UNSPECIFIED;
}

pb::Durability DurabilityOf(db::Durability durability) {
  switch (durability) {
    case db::Durability::kUnknown:
      return pb::DURABILITY_UNSPECIFIED;
    case db::Durability::kMemory:
      return pb::DURABILITY_MEMORY;
    case db::Durability::kLocal:
      return pb::DURABILITY_LOCAL;
    case db::Durability::kReplicated:
      return pb::DURABILITY_REPLICATED;
  }
  return pb::DURABILITY_UNSPECIFIED;
}

pb::IsolationLevel IsolationOf(db::Isolation isolation) {
  switch (isolation) {
    case db::Isolation::kDefault:
      return pb::ISOLATION_LEVEL_UNSPECIFIED;
    case db::Isolation::kReadCommitted:
      return pb::ISOLATION_LEVEL_READ_COMMITTED;
    case db::Isolation::kRepeatableRead:
      return pb::ISOLATION_LEVEL_REPEATABLE_READ;
    case db::Isolation::kSerializable:
      return pb::ISOLATION_LEVEL_SERIALIZABLE;
  }
  return pb::ISOLATION_LEVEL_UNSPECIFIED;
}

void SetStatus(const core::TransactionFacts& facts, absl::Time now, pb::TransactionStatus& status) {
  status.set_transaction_id(facts.id);
  status.set_state(StateOf(facts.state));
  status.set_handle(facts.handle);
  status.set_isolation(IsolationOf(facts.isolation));
  status.set_durability(DurabilityOf(facts.durability));
  if (facts.expires_in == absl::InfiniteDuration()) return;
  SetTimestamp(now + facts.expires_in, *status.mutable_expire_time());
  SetDuration(facts.expires_in, *status.mutable_expires_in());
}

void SetReplayed(const Context& ctx,
                 const core::Transactions& transactions,
                 absl::string_view transaction_id,
                 absl::Time now,
                 pb::TransactionStatus& status) {
  core::TransactionFacts facts;
  const auto known = transactions.Remember(ctx, transaction_id);
  if (known.has_value()) facts = known->facts;
  facts.id.clear();
  facts.state = core::TransactionState::kCommitted;  // even if that was not known until now
  SetStatus(facts, now, status);
}

bool IsOver(const absl::Status& failure) {
  const std::string reason = errors::ReasonOf(failure);
  return reason == "TRANSACTION_NOT_FOUND" || reason == "TRANSACTION_FINISHED" ||
         reason == "TRANSACTION_EXPIRED";
}

Task<absl::StatusOr<core::Connections::EntryPtr>> Venues::Open(const Context& ctx,
                                                               std::string id) const {
  if (ctx.draining) co_return errors::ServerDraining(errors::Executed::kNo);
  CO_TRY(core::Connections::EntryPtr entry, co_await connections_.Open(ctx, std::move(id)));
  co_return entry;
}

Task<absl::StatusOr<core::Transaction::Turn>> Venues::Begin(const Context& ctx,
                                                            std::string connection_id,
                                                            const pb::TransactionOptions& options,
                                                            const pb::SessionOptions* session,
                                                            bool interactive) const {
  CO_TRY(core::TransactionRequest request, TransactionRequestOf(options, "options"));
  CO_TRY(const core::Connections::EntryPtr connection,
         co_await Open(ctx, std::move(connection_id)));
  if (session != nullptr) {
    CO_TRY(request.options.session, SessionOf(*connection, *session));
  }
  request.interactive = interactive;
  request.options.read_only = request.options.read_only || connection->read_only;
  CO_TRY(core::Transaction::Turn turn, transactions_.Begin(ctx, connection, std::move(request)));
  co_return turn;
}

Task<absl::StatusOr<Venue>> Venues::Enter(const Context& ctx,
                                          std::string connection_id,
                                          const pb::TransactionSelector& selector,
                                          const pb::SessionOptions* session) const {
  using Turn = core::Transaction::Turn;
  Venue venue;
  venue.commit = selector.commit();
  switch (selector.selector_case()) {
    case pb::TransactionSelector::kBegin: {
      CO_TRY(Turn turn, co_await Begin(ctx, std::move(connection_id), selector.begin(), session,
                                       /*interactive=*/false));
      venue.turn = std::make_shared<Turn>(std::move(turn));
      venue.begun = true;
      break;
    }
    case pb::TransactionSelector::kTransactionId: {
      CO_TRY(const std::shared_ptr<core::Transaction> transaction,
             transactions_.Find(ctx, selector.transaction_id()));
      absl::Status agrees = CheckAgrees(*transaction, connection_id);
      if (!agrees.ok()) co_return core::WithTransaction(std::move(agrees), transaction->facts());
      absl::StatusOr<Turn> turn = co_await transaction->Enter(ctx);
      if (!turn.ok()) co_return core::WithTransaction(turn.status(), transaction->facts());
      // Whoever had the turn before may have finished it.
      CO_CHECK(transactions_.Find(ctx, selector.transaction_id()).status());
      venue.turn = std::make_shared<Turn>(*std::move(turn));
      break;
    }
    case pb::TransactionSelector::SELECTOR_NOT_SET:
      co_return errors::ParameterInvalid("transaction",
                                         "names no transaction; set transaction_id or begin");
  }
  venue.connection = venue.turn->transaction().connection();
  co_return venue;
}

Task<absl::Status> Venues::Leave(const Context& ctx, Venue& venue, absl::Status outcome) const {
  core::Transaction::Turn& turn = *venue.turn;
  // Nobody would learn the id of what was begun.
  const bool lost = venue.begun && !venue.commit && !venue.kept && ctx.stop.stop_requested();
  if (lost && outcome.ok()) outcome = ctx.Stopped(errors::Executed::kRolledBack);
  if (outcome.ok() && venue.commit) {
    outcome = co_await turn.Commit(ctx, nullptr);
  } else if (!outcome.ok() && venue.begun) {
    const absl::Status gone = co_await turn.Rollback();
    gone.IgnoreError();  // it had ended by itself
  }
  if (outcome.ok()) co_return outcome;
  co_return core::WithTransaction(std::move(outcome), venue.facts());
}

Task<absl::StatusOr<core::Connections::EntryPtr>> Venues::ConnectionOf(
    const Context& ctx, std::string connection_id, absl::string_view transaction_id) const {
  if (connection_id.empty()) {
    const auto known = transactions_.Remember(ctx, transaction_id);
    if (!known.has_value()) co_return errors::TransactionNotFound();
    CO_TRY(core::Connections::EntryPtr entry, connections_.FindKey(known->connection));
    CO_TRY(entry, co_await connections_.Open(ctx, std::move(entry)));
    co_return entry;
  }
  CO_TRY(core::Connections::EntryPtr entry,
         co_await connections_.Open(ctx, std::move(connection_id)));
  co_return entry;
}

absl::Status Venues::CheckAgrees(const core::Transaction& transaction,
                                 absl::string_view connection_id) {
  if (connection_id.empty()) return absl::OkStatus();
  const std::string id(connection_id);
  if (ids::HashOf(id) == transaction.connection()->key) return absl::OkStatus();
  return Disagrees();
}

absl::Status Venues::Disagrees() {
  return errors::ParameterInvalid("connection_id",
                                  "is not the connection that the transaction runs on");
}

}  // namespace sluice::services
