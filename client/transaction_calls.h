// What transactions need of the world.
#ifndef SLUICE_CLIENT_TRANSACTION_CALLS_H_
#define SLUICE_CLIENT_TRANSACTION_CALLS_H_

#include <memory>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/bulk_inserter.h"
#include "client/call_options.h"
#include "client/row_stream.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::client {

// The calls that a transaction consists of, and the time between them: a client's, or in a test
// whatever the test says. Any number of transactions may share it.
class TransactionCalls {
 public:
  virtual ~TransactionCalls() = default;

  virtual absl::StatusOr<v1::QueryResponse> Query(const v1::QueryRequest& request,
                                                  const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::ExecuteBatchResponse> ExecuteBatch(
      const v1::ExecuteBatchRequest& request, const CallOptions& options) = 0;
  // Streams that were started, and nothing was read or written yet.
  virtual std::unique_ptr<MessageSource> StreamQuery(const v1::StreamQueryRequest& request,
                                                     const CallOptions& options) = 0;
  virtual std::unique_ptr<ChunkSink> BulkInsert(const CallOptions& options) = 0;

  virtual absl::StatusOr<v1::BeginTransactionResponse> Begin(
      const v1::BeginTransactionRequest& request, const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::CommitTransactionResponse> Commit(
      const v1::CommitTransactionRequest& request, const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::RollbackTransactionResponse> Rollback(
      const v1::RollbackTransactionRequest& request, const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                                          const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::RollbackToSavepointResponse> RollbackTo(
      const v1::RollbackToSavepointRequest& request, const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::ReleaseSavepointResponse> Release(
      const v1::ReleaseSavepointRequest& request, const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::KeepAliveResponse> KeepAlive(const v1::KeepAliveRequest& request,
                                                          const CallOptions& options) = 0;
  virtual absl::StatusOr<v1::GetTransactionOutcomeResponse> GetOutcome(
      const v1::GetTransactionOutcomeRequest& request, const CallOptions& options) = 0;

  virtual absl::Time Now() = 0;
  // How long a unary call takes at most if nothing else is said.
  virtual absl::Duration DefaultTimeout() = 0;
  // Waits, unless stop is requested first: then false.
  virtual bool Pause(absl::Duration duration, const std::stop_token& stop) = 0;
  // In [0, 1).
  virtual double Random() = 0;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_TRANSACTION_CALLS_H_
