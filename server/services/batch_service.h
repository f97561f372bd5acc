// BatchService: many statements in one call. Part of QueryService.
#ifndef SLUICE_SERVER_SERVICES_BATCH_SERVICE_H_
#define SLUICE_SERVER_SERVICES_BATCH_SERVICE_H_

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/reply.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/connections.h"
#include "server/db/batch.h"
#include "server/services/query_options.h"
#include "server/services/retry.h"
#include "sluice/v1/query.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class BatchService {
 public:
  BatchService(core::Connections& connections, QueryOptions options, const Clock& clock)
      : connections_(connections), options_(options), clock_(clock) {}

  // The reply's body is the results, around the rows that the driver encoded.
  Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> ExecuteBatch(
      const Context& ctx, const pb::ExecuteBatchRequest& request);

 private:
  // The batch of a request that is in order; it borrows from the request.
  absl::StatusOr<db::Batch> BatchOf(const pb::ExecuteBatchRequest& request,
                                    const core::Connections::Entry& connection) const;

  Task<absl::StatusOr<db::BatchResults>> Execute(const Context& ctx,
                                                 db::Database& database,
                                                 const db::Batch& batch,
                                                 RetryPolicy policy);

  core::Connections& connections_;
  const QueryOptions options_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_BATCH_SERVICE_H_
