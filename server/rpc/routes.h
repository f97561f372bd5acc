// Routes: the table of every method that the server serves.
#ifndef SLUICE_SERVER_RPC_ROUTES_H_
#define SLUICE_SERVER_RPC_ROUTES_H_

#include "absl/time/time.h"

#include "server/rpc/server.h"
#include "server/services/backup_service.h"
#include "server/services/batch_service.h"
#include "server/services/bulk_service.h"
#include "server/services/connection_service.h"
#include "server/services/interact_service.h"
#include "server/services/monitoring_service.h"
#include "server/services/plan_service.h"
#include "server/services/query_service.h"
#include "server/services/schema_service.h"
#include "server/services/transaction_service.h"

namespace sluice::rpc {

struct RouteOptions {
  absl::Duration command_timeout = absl::Seconds(60);
  absl::Duration stream_stall = absl::Seconds(30);
  absl::Duration stream_idle = absl::Seconds(60);
  bool names_every_call = false;  // for logs that tell of calls that succeed
};

// What serves the methods. All of them outlive the server.
struct Services {
  services::QueryService& query;
  services::BatchService& batch;
  services::BulkService& bulk;
  services::PlanService& plan;
  services::SchemaService& schema;
  services::ConnectionService& connection;
  services::BackupService& backup;
  services::MonitoringService& monitoring;
  services::TransactionService& transaction;
  services::InteractService& interact;
};

void AddRoutes(Server& server, const Services& services, const RouteOptions& options);

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_ROUTES_H_
