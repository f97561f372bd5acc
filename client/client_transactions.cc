// The part of Client that is about transactions.
#include <utility>

#include "client/bulk_call.h"
#include "client/client_impl.h"
#include "client/interact_call.h"

namespace sluice::client {

using Transactions = v1::TransactionService::Stub;

// The calls of a transaction's, which share the channel with their client and may outlive it.
class Client::Calls final : public TransactionCalls {
 public:
  explicit Calls(std::shared_ptr<const Impl> impl) : impl_(impl), client_(std::move(impl)) {}

  absl::StatusOr<v1::QueryResponse> Query(const v1::QueryRequest& request,
                                          const CallOptions& options) override {
    return client_.Query(request, options);
  }

  absl::StatusOr<v1::ExecuteBatchResponse> ExecuteBatch(const v1::ExecuteBatchRequest& request,
                                                        const CallOptions& options) override {
    return client_.ExecuteBatch(request, options);
  }

  std::unique_ptr<MessageSource> StreamQuery(const v1::StreamQueryRequest& request,
                                             const CallOptions& options) override {
    return std::make_unique<CallSource>(*impl_->query, request, Impl::StreamDeadline(options),
                                        options.stop);
  }

  std::unique_ptr<ChunkSink> BulkInsert(const CallOptions& options) override {
    return std::make_unique<BulkCall>(impl_->channel, Impl::StreamDeadline(options), options.stop);
  }

  absl::StatusOr<v1::BeginTransactionResponse> Begin(const v1::BeginTransactionRequest& request,
                                                     const CallOptions& options) override {
    return client_.BeginTransaction(request, options);
  }

  absl::StatusOr<v1::CommitTransactionResponse> Commit(const v1::CommitTransactionRequest& request,
                                                       const CallOptions& options) override {
    return client_.CommitTransaction(request, options);
  }

  absl::StatusOr<v1::RollbackTransactionResponse> Rollback(
      const v1::RollbackTransactionRequest& request, const CallOptions& options) override {
    return client_.RollbackTransaction(request, options);
  }

  absl::StatusOr<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                                  const CallOptions& options) override {
    return client_.Savepoint(request, options);
  }

  absl::StatusOr<v1::RollbackToSavepointResponse> RollbackTo(
      const v1::RollbackToSavepointRequest& request, const CallOptions& options) override {
    return client_.RollbackToSavepoint(request, options);
  }

  absl::StatusOr<v1::ReleaseSavepointResponse> Release(const v1::ReleaseSavepointRequest& request,
                                                       const CallOptions& options) override {
    return client_.ReleaseSavepoint(request, options);
  }

  absl::StatusOr<v1::KeepAliveResponse> KeepAlive(const v1::KeepAliveRequest& request,
                                                  const CallOptions& options) override {
    return client_.KeepAlive(request, options);
  }

  absl::StatusOr<v1::GetTransactionOutcomeResponse> GetOutcome(
      const v1::GetTransactionOutcomeRequest& request, const CallOptions& options) override {
    return client_.GetTransactionOutcome(request, options);
  }

  absl::Time Now() override { return absl::Now(); }

  absl::Duration DefaultTimeout() override { return impl_->options.deadline; }

  bool Pause(absl::Duration duration, const std::stop_token& stop) override {
    return client::Pause(duration, stop);
  }

  double Random() override { return RandomFraction(); }

 private:
  const std::shared_ptr<const Impl> impl_;
  const Client client_;
};

std::shared_ptr<TransactionCalls> Client::MakeCalls() const {
  return std::make_shared<Calls>(impl_);
}

Transaction Client::Begin(absl::string_view connection_id,
                          const v1::TransactionOptions& options) const {
  BeginOptions begin;
  begin.connection_id = std::string(connection_id);
  begin.options = options;
  return Transaction(MakeCalls(), std::move(begin));
}

absl::Status RunTransaction(const Client& client,
                            const RunOptions& options,
                            const TransactionBody& body) {
  return RunTransaction(client.MakeCalls(), options, body);
}

std::unique_ptr<Interaction> Client::Interact(const CallOptions& options) const {
  return std::make_unique<Interaction>(std::make_unique<InteractCall>(
      *impl_->transaction, Impl::StreamDeadline(options), options.stop));
}

absl::StatusOr<v1::BeginTransactionResponse> Client::BeginTransaction(
    const v1::BeginTransactionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::BeginTransaction, request, options, kOnce);
}

absl::StatusOr<v1::CommitTransactionResponse> Client::CommitTransaction(
    const v1::CommitTransactionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::CommitTransaction, request, options,
                     !request.request_id().empty());
}

absl::StatusOr<v1::RollbackTransactionResponse> Client::RollbackTransaction(
    const v1::RollbackTransactionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::RollbackTransaction, request, options);
}

absl::StatusOr<v1::SavepointResponse> Client::Savepoint(const v1::SavepointRequest& request,
                                                        const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::Savepoint, request, options, kOnce);
}

absl::StatusOr<v1::RollbackToSavepointResponse> Client::RollbackToSavepoint(
    const v1::RollbackToSavepointRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::RollbackToSavepoint, request, options);
}

absl::StatusOr<v1::ReleaseSavepointResponse> Client::ReleaseSavepoint(
    const v1::ReleaseSavepointRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::ReleaseSavepoint, request, options, kOnce);
}

absl::StatusOr<v1::KeepAliveResponse> Client::KeepAlive(const v1::KeepAliveRequest& request,
                                                        const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::KeepAlive, request, options);
}

absl::StatusOr<v1::GetTransactionResponse> Client::GetTransaction(
    const v1::GetTransactionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::GetTransaction, request, options);
}

absl::StatusOr<v1::ListTransactionsResponse> Client::ListTransactions(
    const v1::ListTransactionsRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::ListTransactions, request, options);
}

absl::StatusOr<v1::GetTransactionOutcomeResponse> Client::GetTransactionOutcome(
    const v1::GetTransactionOutcomeRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::GetTransactionOutcome, request, options);
}

absl::StatusOr<v1::EndTransactionResponse> Client::EndTransaction(
    const v1::EndTransactionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->transaction, &Transactions::EndTransaction, request, options, kOnce);
}

}  // namespace sluice::client
