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
#include "server/db/session.h"
#include "server/services/query_options.h"
#include "server/services/retry.h"
#include "server/services/venue.h"
#include "sluice/v1/query.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class BatchService {
 public:
  BatchService(const Venues& venues, QueryOptions options, const Clock& clock)
      : venues_(venues), options_(options), clock_(clock) {}

  // The reply's body is the results, around the rows that the driver encoded.
  Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> ExecuteBatch(
      const Context& ctx, const pb::ExecuteBatchRequest& request);

  // The same for one who is in a transaction already: neither enters nor leaves. The status of the
  // transaction is left to him.
  Task<absl::StatusOr<Reply<pb::ExecuteBatchResponse>>> ExecuteBatchAt(
      const Context& ctx, const pb::ExecuteBatchRequest& request, const Venue& venue);

 private:
  using BatchReply = Reply<pb::ExecuteBatchResponse>;

  // The batch of a request that is in order; it borrows from the request.
  absl::StatusOr<db::Batch> BatchOf(const pb::ExecuteBatchRequest& request,
                                    const core::Connections::Entry& connection) const;

  // `venue`: the caller's transaction; null: there is none.
  Task<absl::StatusOr<BatchReply>> Run(const Context& ctx,
                                       const pb::ExecuteBatchRequest& request,
                                       const core::Connections::Entry& connection,
                                       const Venue* venue);
  Task<absl::StatusOr<db::BatchResults>> Execute(const Context& ctx,
                                                 db::Session& session,
                                                 const db::Batch& batch,
                                                 Retry& retry);
  // The answer of a request that was committed with a transaction that is over, or `why`.
  Task<absl::StatusOr<BatchReply>> Recall(const Context& ctx,
                                          const pb::ExecuteBatchRequest& request,
                                          absl::Status why);

  const Venues& venues_;
  const QueryOptions options_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_BATCH_SERVICE_H_
