// BulkService: rows into a table. Part of QueryService.
#ifndef SLUICE_SERVER_SERVICES_BULK_SERVICE_H_
#define SLUICE_SERVER_SERVICES_BULK_SERVICE_H_

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/connections.h"
#include "server/db/load.h"
#include "server/services/query_options.h"
#include "sluice/v1/query.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class BulkService {
 public:
  BulkService(core::Connections& connections, QueryOptions options, const Clock& clock)
      : connections_(connections), options_(options), clock_(clock) {}

  Task<absl::StatusOr<pb::BulkInsertResponse>> BulkInsert(const Context& ctx,
                                                          Source<pb::BulkInsertRequest>& requests);

 private:
  // A load between its first message and its answer.
  struct Upload;

  Task<absl::Status> Feed(const Context& ctx,
                          Source<pb::BulkInsertRequest>& requests,
                          pb::BulkInsertRequest message,
                          Upload& upload);
  Task<absl::Status> Hand(const Context& ctx, pb::BulkInsertRequest& message, Upload& upload);

  core::Connections& connections_;
  const QueryOptions options_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_BULK_SERVICE_H_
