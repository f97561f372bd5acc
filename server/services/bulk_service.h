// BulkService: rows into a table. Part of QueryService.
#ifndef SLUICE_SERVER_SERVICES_BULK_SERVICE_H_
#define SLUICE_SERVER_SERVICES_BULK_SERVICE_H_

#include <memory>

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/connections.h"
#include "server/db/load.h"
#include "server/db/session.h"
#include "server/services/query_options.h"
#include "server/services/venue.h"
#include "sluice/v1/query.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class BulkService {
 public:
  BulkService(const Venues& venues, QueryOptions options, const Clock& clock)
      : venues_(venues), options_(options), clock_(clock) {}

  Task<absl::StatusOr<pb::BulkInsertResponse>> BulkInsert(const Context& ctx,
                                                          Source<pb::BulkInsertRequest>& requests);

 private:
  // A load between its first message and its answer.
  struct Upload;

  // The whole load, where it is to run.
  Task<absl::Status> Run(const Context& ctx,
                         Source<pb::BulkInsertRequest>& requests,
                         std::shared_ptr<pb::BulkInsertRequest> first,
                         const core::Connections::Entry& connection,
                         const Venue* venue,  // null: in no transaction
                         Upload& upload);
  // The answer of a load that was committed with a transaction that is over, or `why`.
  Task<absl::Status> Recall(const Context& ctx,
                            Source<pb::BulkInsertRequest>& requests,
                            std::shared_ptr<pb::BulkInsertRequest> first,
                            absl::Status why,
                            Upload& upload);
  Task<absl::Status> Feed(const Context& ctx,
                          Source<pb::BulkInsertRequest>& requests,
                          std::shared_ptr<pb::BulkInsertRequest> message,
                          Upload& upload);
  Task<absl::Status> Hand(const Context& ctx,
                          const std::shared_ptr<pb::BulkInsertRequest>& message,
                          Upload& upload);

  const Venues& venues_;
  const QueryOptions options_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_BULK_SERVICE_H_
