// Routes: the table of every method that the server serves.
#ifndef SLUICE_SERVER_RPC_ROUTES_H_
#define SLUICE_SERVER_RPC_ROUTES_H_

#include "absl/time/time.h"

#include "server/rpc/server.h"
#include "server/services/connection_service.h"
#include "server/services/monitoring_service.h"
#include "server/services/query_service.h"

namespace sluice::rpc {

struct RouteOptions {
  absl::Duration command_timeout = absl::Seconds(60);
  absl::Duration stream_stall = absl::Seconds(30);
  bool names_every_call = false;  // for logs that tell of calls that succeed
};

// The services outlive the server.
void AddRoutes(Server& server,
               services::QueryService& query,
               services::ConnectionService& connection,
               services::MonitoringService& monitoring,
               const RouteOptions& options);

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_ROUTES_H_
