// ConnectionService: opens and closes connections, and tells what there are and whether they
// answer.
#ifndef SLUICE_SERVER_SERVICES_CONNECTION_SERVICE_H_
#define SLUICE_SERVER_SERVICES_CONNECTION_SERVICE_H_

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/connections.h"
#include "server/core/registrar.h"
#include "server/services/page_token.h"
#include "sluice/v1/connection.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class ConnectionService {
 public:
  ConnectionService(core::Connections& connections,
                    core::Registrar& registrar,
                    const Clock& clock,
                    const PageTokens& tokens)
      : connections_(connections), registrar_(registrar), clock_(clock), tokens_(tokens) {}

  Task<absl::StatusOr<pb::RegisterConnectionResponse>> RegisterConnection(
      const Context& ctx, const pb::RegisterConnectionRequest& request);

  Task<absl::StatusOr<pb::KeepRequestsResponse>> KeepRequests(
      const Context& ctx, const pb::KeepRequestsRequest& request);

  Task<absl::StatusOr<pb::CloseConnectionResponse>> CloseConnection(
      const Context& ctx, const pb::CloseConnectionRequest& request);

  Task<absl::StatusOr<pb::GetConnectionResponse>> GetConnection(
      const Context& ctx, const pb::GetConnectionRequest& request);

  Task<absl::StatusOr<pb::ListConnectionsResponse>> ListConnections(
      const Context& ctx, const pb::ListConnectionsRequest& request);

  Task<absl::StatusOr<pb::TestConnectionResponse>> TestConnection(
      const Context& ctx, const pb::TestConnectionRequest& request);

 private:
  core::Connections& connections_;
  core::Registrar& registrar_;
  const Clock& clock_;
  const PageTokens& tokens_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_CONNECTION_SERVICE_H_
