// TransactionService: transactions that last longer than a call.
#ifndef SLUICE_SERVER_SERVICES_TRANSACTION_SERVICE_H_
#define SLUICE_SERVER_SERVICES_TRANSACTION_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/transaction.h"
#include "server/services/page_token.h"
#include "server/services/venue.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class TransactionService {
 public:
  TransactionService(const Venues& venues, const PageTokens& page_tokens, const Clock& clock)
      : venues_(venues), page_tokens_(page_tokens), clock_(clock) {}

  Task<absl::StatusOr<pb::BeginTransactionResponse>> BeginTransaction(
      const Context& ctx, const pb::BeginTransactionRequest& request);
  Task<absl::StatusOr<pb::CommitTransactionResponse>> CommitTransaction(
      const Context& ctx, const pb::CommitTransactionRequest& request);
  Task<absl::StatusOr<pb::RollbackTransactionResponse>> RollbackTransaction(
      const Context& ctx, const pb::RollbackTransactionRequest& request);
  Task<absl::StatusOr<pb::SavepointResponse>> Savepoint(const Context& ctx,
                                                        const pb::SavepointRequest& request);
  Task<absl::StatusOr<pb::RollbackToSavepointResponse>> RollbackToSavepoint(
      const Context& ctx, const pb::RollbackToSavepointRequest& request);
  Task<absl::StatusOr<pb::ReleaseSavepointResponse>> ReleaseSavepoint(
      const Context& ctx, const pb::ReleaseSavepointRequest& request);
  Task<absl::StatusOr<pb::KeepAliveResponse>> KeepAlive(const Context& ctx,
                                                        const pb::KeepAliveRequest& request);
  Task<absl::StatusOr<pb::GetTransactionResponse>> GetTransaction(
      const Context& ctx, const pb::GetTransactionRequest& request);
  Task<absl::StatusOr<pb::ListTransactionsResponse>> ListTransactions(
      const Context& ctx, const pb::ListTransactionsRequest& request);
  Task<absl::StatusOr<pb::GetTransactionOutcomeResponse>> GetTransactionOutcome(
      const Context& ctx, const pb::GetTransactionOutcomeRequest& request);
  Task<absl::StatusOr<pb::EndTransactionResponse>> EndTransaction(
      const Context& ctx, const pb::EndTransactionRequest& request);

 private:
  using Turn = core::Transaction::Turn;

  // The call's turn in the transaction that a request names.
  Task<absl::StatusOr<Turn>> Enter(const Context& ctx,
                                   std::string transaction_id,
                                   std::string connection_id);
  Task<absl::StatusOr<pb::CommitTransactionResponse>> Commit(
      const Context& ctx, const pb::CommitTransactionRequest& request);
  // Whether a commit whose transaction is over was done by an earlier call with its request_id: OK,
  // or `why` if not.
  Task<absl::Status> WasCommitted(const Context& ctx,
                                  const pb::CommitTransactionRequest& request,
                                  absl::Status why);
  Task<absl::StatusOr<pb::TransactionOutcome>> OutcomeOfTransaction(
      const Context& ctx, const pb::GetTransactionOutcomeRequest& request);
  Task<absl::StatusOr<pb::TransactionOutcome>> OutcomeOfRequest(const Context& ctx,
                                                                std::string connection_id,
                                                                std::string request_id);
  Task<absl::StatusOr<pb::TransactionOutcome>> OutcomeOfToken(
      const Context& ctx, const core::Connections::Entry& connection, std::string token);
  Task<absl::StatusOr<pb::TransactionOutcome>> OutcomeOfKey(
      const Context& ctx, const core::Connections::Entry& connection, const db::RequestKey& key);

  // What the three savepoint methods have in common.
  template <class Response, class Request, class Action>
  Task<absl::StatusOr<Response>> ChangeSavepoint(const Context& ctx,
                                                 const Request& request,
                                                 Action action);

  const Venues& venues_;
  const PageTokens& page_tokens_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_TRANSACTION_SERVICE_H_
