#include "server/rpc/routes.h"

#include <string>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"

#include "sluice/v1/connection.grpc.pb.h"
#include "sluice/v1/monitoring.grpc.pb.h"
#include "sluice/v1/query.grpc.pb.h"
#include "sluice/v1/schema.grpc.pb.h"
#include "sluice/v1/transaction.grpc.pb.h"

namespace sluice::rpc {
namespace {

namespace pb = ::sluice::v1;
namespace health_pb = ::grpc::health::v1;

// Each proto's service with all of its methods raw: requests and replies stay bytes until a handler
// has them.
using RawQuery = pb::QueryService::WithRawMethod_Query<
    pb::QueryService::WithRawMethod_StreamQuery<pb::QueryService::WithRawMethod_ExecuteBatch<
        pb::QueryService::WithRawMethod_BulkInsert<pb::QueryService::WithRawMethod_Describe<
            pb::QueryService::WithRawMethod_Explain<pb::QueryService::Service>>>>>>;
using RawConnection = pb::ConnectionService::WithRawMethod_RegisterConnection<
    pb::ConnectionService::WithRawMethod_KeepRequests<
        pb::ConnectionService::WithRawMethod_CloseConnection<
            pb::ConnectionService::WithRawMethod_Backup<
                pb::ConnectionService::WithRawMethod_GetConnection<
                    pb::ConnectionService::WithRawMethod_ListConnections<
                        pb::ConnectionService::WithRawMethod_TestConnection<
                            pb::ConnectionService::Service>>>>>>>;
using RawSchema =
    pb::SchemaService::WithRawMethod_ListSchemas<pb::SchemaService::WithRawMethod_ListTables<
        pb::SchemaService::WithRawMethod_DescribeTable<pb::SchemaService::Service>>>;
using RawTransaction = pb::TransactionService::WithRawMethod_BeginTransaction<
    pb::TransactionService::WithRawMethod_CommitTransaction<
        pb::TransactionService::WithRawMethod_RollbackTransaction<
            pb::TransactionService::WithRawMethod_Savepoint<
                pb::TransactionService::WithRawMethod_RollbackToSavepoint<
                    pb::TransactionService::WithRawMethod_ReleaseSavepoint<
                        pb::TransactionService::WithRawMethod_KeepAlive<
                            pb::TransactionService::WithRawMethod_GetTransaction<
                                pb::TransactionService::WithRawMethod_ListTransactions<
                                    pb::TransactionService::WithRawMethod_GetTransactionOutcome<
                                        pb::TransactionService::WithRawMethod_EndTransaction<
                                            pb::TransactionService::WithRawMethod_Interact<
                                                pb::TransactionService::Service>>>>>>>>>>>>;
using RawMonitoring = pb::MonitoringService::WithRawMethod_GetServerInfo<
    pb::MonitoringService::WithRawMethod_GetHealth<
        pb::MonitoringService::WithRawMethod_GetPoolStats<pb::MonitoringService::Service>>>;
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

void AddRoutes(Server& server, const Services& services, const RouteOptions& options) {
  using services::BackupService;
  using services::BatchService;
  using services::BulkService;
  using services::ConnectionService;
  using services::InteractService;
  using services::MonitoringService;
  using services::PlanService;
  using services::QueryService;
  using services::SchemaService;
  using services::TransactionService;
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
  // Takes as long as its client feeds it; a drain waits for it as for any write.
  const auto upload = [&](absl::string_view name) {
    MethodOptions method;
    method.name = std::string(name);
    method.names_every_call = options.names_every_call;
    method.stall_limit = options.stream_stall;
    method.idle_limit = options.stream_idle;
    return method;
  };
  // Knows itself when its client is idle, which is not while it has a transaction.
  const auto conversation = [&](absl::string_view name) {
    MethodOptions method = upload(name);
    method.idle_limit = absl::InfiniteDuration();
    return method;
  };
  // May bring an open transaction to its end while the server drains.
  const auto finishing = [](MethodOptions method) {
    method.finishes_transactions = true;
    return method;
  };
  // What ends or keeps a transaction, or tells of it.
  const auto control = [&](absl::string_view name) {
    MethodOptions method = finishing(unary(name));
    method.has_reserve = true;
    return method;
  };
  const auto exempt = [](MethodOptions method) {
    method.exempt = true;
    return method;
  };
  Router& router = server.router();

  auto& raw_query = router.AddService<RawQuery>("sluice.v1.QueryService");
  router.Unary<pb::QueryRequest>(finishing(unary("sluice.v1.QueryService/Query")), raw_query,
                                 &RawQuery::RequestQuery,
                                 Bind(services.query, &QueryService::Query));
  router.ServerStream<pb::StreamQueryRequest, Reply<pb::StreamQueryResponse>>(
      finishing(stream("sluice.v1.QueryService/StreamQuery")), raw_query,
      &RawQuery::RequestStreamQuery, Bind(services.query, &QueryService::StreamQuery));

  router.Unary<pb::ExecuteBatchRequest>(finishing(unary("sluice.v1.QueryService/ExecuteBatch")),
                                        raw_query, &RawQuery::RequestExecuteBatch,
                                        Bind(services.batch, &BatchService::ExecuteBatch));
  router.ClientStream<pb::BulkInsertRequest>(finishing(upload("sluice.v1.QueryService/BulkInsert")),
                                             raw_query, &RawQuery::RequestBulkInsert,
                                             Bind(services.bulk, &BulkService::BulkInsert));
  router.Unary<pb::DescribeRequest>(unary("sluice.v1.QueryService/Describe"), raw_query,
                                    &RawQuery::RequestDescribe,
                                    Bind(services.plan, &PlanService::Describe));
  router.Unary<pb::ExplainRequest>(unary("sluice.v1.QueryService/Explain"), raw_query,
                                   &RawQuery::RequestExplain,
                                   Bind(services.plan, &PlanService::Explain));

  auto& raw_schema = router.AddService<RawSchema>("sluice.v1.SchemaService");
  router.Unary<pb::ListSchemasRequest>(unary("sluice.v1.SchemaService/ListSchemas"), raw_schema,
                                       &RawSchema::RequestListSchemas,
                                       Bind(services.schema, &SchemaService::ListSchemas));
  router.Unary<pb::ListTablesRequest>(unary("sluice.v1.SchemaService/ListTables"), raw_schema,
                                      &RawSchema::RequestListTables,
                                      Bind(services.schema, &SchemaService::ListTables));
  router.Unary<pb::DescribeTableRequest>(unary("sluice.v1.SchemaService/DescribeTable"), raw_schema,
                                         &RawSchema::RequestDescribeTable,
                                         Bind(services.schema, &SchemaService::DescribeTable));

  auto& raw_connection = router.AddService<RawConnection>("sluice.v1.ConnectionService");
  router.Unary<pb::RegisterConnectionRequest>(
      unary("sluice.v1.ConnectionService/RegisterConnection"), raw_connection,
      &RawConnection::RequestRegisterConnection,
      Bind(services.connection, &ConnectionService::RegisterConnection));
  router.Unary<pb::KeepRequestsRequest>(
      unary("sluice.v1.ConnectionService/KeepRequests"), raw_connection,
      &RawConnection::RequestKeepRequests,
      Bind(services.connection, &ConnectionService::KeepRequests));
  router.Unary<pb::CloseConnectionRequest>(
      unary("sluice.v1.ConnectionService/CloseConnection"), raw_connection,
      &RawConnection::RequestCloseConnection,
      Bind(services.connection, &ConnectionService::CloseConnection));
  router.ServerStream<pb::BackupRequest, pb::BackupResponse>(
      stream("sluice.v1.ConnectionService/Backup"), raw_connection, &RawConnection::RequestBackup,
      Bind(services.backup, &BackupService::Backup));
  router.Unary<pb::GetConnectionRequest>(
      unary("sluice.v1.ConnectionService/GetConnection"), raw_connection,
      &RawConnection::RequestGetConnection,
      Bind(services.connection, &ConnectionService::GetConnection));
  router.Unary<pb::ListConnectionsRequest>(
      unary("sluice.v1.ConnectionService/ListConnections"), raw_connection,
      &RawConnection::RequestListConnections,
      Bind(services.connection, &ConnectionService::ListConnections));
  router.Unary<pb::TestConnectionRequest>(
      unary("sluice.v1.ConnectionService/TestConnection"), raw_connection,
      &RawConnection::RequestTestConnection,
      Bind(services.connection, &ConnectionService::TestConnection));

  auto& raw_transaction = router.AddService<RawTransaction>("sluice.v1.TransactionService");
  router.Unary<pb::BeginTransactionRequest>(
      unary("sluice.v1.TransactionService/BeginTransaction"), raw_transaction,
      &RawTransaction::RequestBeginTransaction,
      Bind(services.transaction, &TransactionService::BeginTransaction));
  router.Unary<pb::CommitTransactionRequest>(
      control("sluice.v1.TransactionService/CommitTransaction"), raw_transaction,
      &RawTransaction::RequestCommitTransaction,
      Bind(services.transaction, &TransactionService::CommitTransaction));
  router.Unary<pb::RollbackTransactionRequest>(
      control("sluice.v1.TransactionService/RollbackTransaction"), raw_transaction,
      &RawTransaction::RequestRollbackTransaction,
      Bind(services.transaction, &TransactionService::RollbackTransaction));
  router.Unary<pb::SavepointRequest>(control("sluice.v1.TransactionService/Savepoint"),
                                     raw_transaction, &RawTransaction::RequestSavepoint,
                                     Bind(services.transaction, &TransactionService::Savepoint));
  router.Unary<pb::RollbackToSavepointRequest>(
      control("sluice.v1.TransactionService/RollbackToSavepoint"), raw_transaction,
      &RawTransaction::RequestRollbackToSavepoint,
      Bind(services.transaction, &TransactionService::RollbackToSavepoint));
  router.Unary<pb::ReleaseSavepointRequest>(
      control("sluice.v1.TransactionService/ReleaseSavepoint"), raw_transaction,
      &RawTransaction::RequestReleaseSavepoint,
      Bind(services.transaction, &TransactionService::ReleaseSavepoint));
  router.Unary<pb::KeepAliveRequest>(control("sluice.v1.TransactionService/KeepAlive"),
                                     raw_transaction, &RawTransaction::RequestKeepAlive,
                                     Bind(services.transaction, &TransactionService::KeepAlive));
  router.Unary<pb::GetTransactionRequest>(
      control("sluice.v1.TransactionService/GetTransaction"), raw_transaction,
      &RawTransaction::RequestGetTransaction,
      Bind(services.transaction, &TransactionService::GetTransaction));
  router.Unary<pb::ListTransactionsRequest>(
      control("sluice.v1.TransactionService/ListTransactions"), raw_transaction,
      &RawTransaction::RequestListTransactions,
      Bind(services.transaction, &TransactionService::ListTransactions));
  router.Unary<pb::GetTransactionOutcomeRequest>(
      control("sluice.v1.TransactionService/GetTransactionOutcome"), raw_transaction,
      &RawTransaction::RequestGetTransactionOutcome,
      Bind(services.transaction, &TransactionService::GetTransactionOutcome));
  router.Unary<pb::EndTransactionRequest>(
      control("sluice.v1.TransactionService/EndTransaction"), raw_transaction,
      &RawTransaction::RequestEndTransaction,
      Bind(services.transaction, &TransactionService::EndTransaction));
  router.Bidirectional<pb::InteractRequest, Reply<pb::InteractResponse>>(
      finishing(conversation("sluice.v1.TransactionService/Interact")), raw_transaction,
      &RawTransaction::RequestInteract, Bind(services.interact, &InteractService::Interact));

  auto& raw_monitoring = router.AddService<RawMonitoring>("sluice.v1.MonitoringService");
  router.Unary<pb::GetServerInfoRequest>(
      exempt(unary("sluice.v1.MonitoringService/GetServerInfo")), raw_monitoring,
      &RawMonitoring::RequestGetServerInfo,
      Bind(services.monitoring, &MonitoringService::GetServerInfo));
  router.Unary<pb::GetHealthRequest>(exempt(unary("sluice.v1.MonitoringService/GetHealth")),
                                     raw_monitoring, &RawMonitoring::RequestGetHealth,
                                     Bind(services.monitoring, &MonitoringService::GetHealth));
  router.Unary<pb::GetPoolStatsRequest>(
      exempt(unary("sluice.v1.MonitoringService/GetPoolStats")), raw_monitoring,
      &RawMonitoring::RequestGetPoolStats,
      Bind(services.monitoring, &MonitoringService::GetPoolStats));

  auto& raw_health = router.AddService<RawHealth>("grpc.health.v1.Health");
  router.Unary<health_pb::HealthCheckRequest>(exempt(unary("grpc.health.v1.Health/Check")),
                                              raw_health, &RawHealth::RequestCheck,
                                              Bind(server.health(), &Health::Check));
  router.ServerStream<health_pb::HealthCheckRequest, health_pb::HealthCheckResponse>(
      stream("grpc.health.v1.Health/Watch"), raw_health, &RawHealth::RequestWatch,
      Bind(server.health(), &Health::Watch));
}

}  // namespace sluice::rpc
