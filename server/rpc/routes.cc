#include "server/rpc/routes.h"

#include <string>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"

#include "sluice/v1/connection.grpc.pb.h"
#include "sluice/v1/monitoring.grpc.pb.h"
#include "sluice/v1/query.grpc.pb.h"

namespace sluice::rpc {
namespace {

namespace pb = ::sluice::v1;
namespace health_pb = ::grpc::health::v1;

// Each proto's service with all of its methods raw: requests and replies stay bytes until a handler
// has them.
using RawQuery = pb::QueryService::WithRawMethod_Query<
    pb::QueryService::WithRawMethod_StreamQuery<pb::QueryService::Service>>;
using RawConnection = pb::ConnectionService::WithRawMethod_GetConnection<
    pb::ConnectionService::WithRawMethod_ListConnections<
        pb::ConnectionService::WithRawMethod_TestConnection<pb::ConnectionService::Service>>>;
using RawMonitoring = pb::MonitoringService::WithRawMethod_GetServerInfo<
    pb::MonitoringService::WithRawMethod_GetHealth<pb::MonitoringService::Service>>;
using RawHealth = health_pb::Health::WithRawMethod_Check<
    health_pb::Health::WithRawMethod_Watch<health_pb::Health::Service>>;

// A handler that calls one method of a service; what it returns is the service's own task.
template <class Service, class Method>
auto Bind(Service& service, Method method) {
  return [&service, method](auto&&... arguments) {
    return (service.*method)(std::forward<decltype(arguments)>(arguments)...);
  };
}

}  // namespace

void AddRoutes(Server& server,
               services::QueryService& query,
               services::ConnectionService& connection,
               services::MonitoringService& monitoring,
               const RouteOptions& options) {
  using services::ConnectionService;
  using services::MonitoringService;
  using services::QueryService;
  const auto unary = [&](absl::string_view name) {
    MethodOptions method;
    method.name = std::string(name);
    method.names_every_call = options.names_every_call;
    method.time_limit = options.command_timeout;
    method.stall_limit = options.stream_stall;
    return method;
  };
  const auto stream = [&](absl::string_view name) {
    MethodOptions method;
    method.name = std::string(name);
    method.names_every_call = options.names_every_call;
    method.stall_limit = options.stream_stall;
    method.ends_with_drain = true;
    return method;
  };
  const auto exempt = [](MethodOptions method) {
    method.exempt = true;
    return method;
  };
  Router& router = server.router();

  auto& raw_query = router.AddService<RawQuery>("sluice.v1.QueryService");
  router.Unary<pb::QueryRequest>(unary("sluice.v1.QueryService/Query"), raw_query,
                                 &RawQuery::RequestQuery, Bind(query, &QueryService::Query));
  router.ServerStream<pb::StreamQueryRequest, Reply<pb::StreamQueryResponse>>(
      stream("sluice.v1.QueryService/StreamQuery"), raw_query, &RawQuery::RequestStreamQuery,
      Bind(query, &QueryService::StreamQuery));

  auto& raw_connection = router.AddService<RawConnection>("sluice.v1.ConnectionService");
  router.Unary<pb::GetConnectionRequest>(unary("sluice.v1.ConnectionService/GetConnection"),
                                         raw_connection, &RawConnection::RequestGetConnection,
                                         Bind(connection, &ConnectionService::GetConnection));
  router.Unary<pb::ListConnectionsRequest>(unary("sluice.v1.ConnectionService/ListConnections"),
                                           raw_connection, &RawConnection::RequestListConnections,
                                           Bind(connection, &ConnectionService::ListConnections));
  router.Unary<pb::TestConnectionRequest>(unary("sluice.v1.ConnectionService/TestConnection"),
                                          raw_connection, &RawConnection::RequestTestConnection,
                                          Bind(connection, &ConnectionService::TestConnection));

  auto& raw_monitoring = router.AddService<RawMonitoring>("sluice.v1.MonitoringService");
  router.Unary<pb::GetServerInfoRequest>(exempt(unary("sluice.v1.MonitoringService/GetServerInfo")),
                                         raw_monitoring, &RawMonitoring::RequestGetServerInfo,
                                         Bind(monitoring, &MonitoringService::GetServerInfo));
  router.Unary<pb::GetHealthRequest>(exempt(unary("sluice.v1.MonitoringService/GetHealth")),
                                     raw_monitoring, &RawMonitoring::RequestGetHealth,
                                     Bind(monitoring, &MonitoringService::GetHealth));

  auto& raw_health = router.AddService<RawHealth>("grpc.health.v1.Health");
  router.Unary<health_pb::HealthCheckRequest>(exempt(unary("grpc.health.v1.Health/Check")),
                                              raw_health, &RawHealth::RequestCheck,
                                              Bind(server.health(), &Health::Check));
  router.ServerStream<health_pb::HealthCheckRequest, health_pb::HealthCheckResponse>(
      stream("grpc.health.v1.Health/Watch"), raw_health, &RawHealth::RequestWatch,
      Bind(server.health(), &Health::Watch));
}

}  // namespace sluice::rpc
