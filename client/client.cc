#include "client/client.h"

#include <utility>

#include "client/address.h"
#include "client/bulk_call.h"
#include "client/client_impl.h"
#include "client/copy_check.h"

namespace sluice::client {
namespace {

grpc::ChannelArguments ChannelArguments(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(options.max_receive_bytes);
  arguments.SetMaxSendMessageSize(-1);  // the server says what is too large
  arguments.SetUserAgentPrefix("sluice-cpp/" SLUICE_VERSION);
  // A gateway to databases is reached directly; an http_proxy in the environment is meant for
  // others.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  for (const auto& [name, value] : options.channel_args) {
    if (const int* number = std::get_if<int>(&value)) {
      arguments.SetInt(name, *number);
    } else {
      arguments.SetString(name, std::get<std::string>(value));
    }
  }
  return arguments;
}

// True if a repeat of the request can do no harm.
template <class Request>
bool Repeatable(const Request& request) {
  return request.read_only() || !request.request_id().empty();
}

}  // namespace

Client::Client(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Client::Client(Client&& other) noexcept = default;
Client& Client::operator=(Client&& other) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Client> Client::Connect(absl::string_view address, ClientOptions options) {
  absl::Status status = CheckAddress(address);
  if (!status.ok()) return status;
  auto impl = std::make_shared<Impl>();
  impl->channel = grpc::CreateCustomChannel(
      std::string(address), grpc::InsecureChannelCredentials(), ChannelArguments(options));
  impl->options = std::move(options);
  impl->query = v1::QueryService::NewStub(impl->channel);
  impl->transaction = v1::TransactionService::NewStub(impl->channel);
  impl->connection = v1::ConnectionService::NewStub(impl->channel);
  impl->schema = v1::SchemaService::NewStub(impl->channel);
  impl->monitoring = v1::MonitoringService::NewStub(impl->channel);
  impl->health = grpc::health::v1::Health::NewStub(impl->channel);
  return Client(std::move(impl));
}

absl::StatusOr<v1::QueryResponse> Client::Query(const v1::QueryRequest& request,
                                                const CallOptions& options) const {
  return impl_->Call(impl_->query, &v1::QueryService::Stub::Query, request, options,
                     Repeatable(request));
}

absl::StatusOr<std::unique_ptr<RowStream>> Client::StreamQuery(
    const v1::StreamQueryRequest& request, const CallOptions& options) const {
  return RowStream::Open(std::make_unique<CallSource>(*impl_->query, request,
                                                      Impl::StreamDeadline(options), options.stop));
}

absl::StatusOr<v1::ExecuteBatchResponse> Client::ExecuteBatch(
    const v1::ExecuteBatchRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->query, &v1::QueryService::Stub::ExecuteBatch, request, options,
                     Repeatable(request));
}

std::unique_ptr<BulkInserter> Client::BulkInsert(const v1::BulkInsertRequest& header,
                                                 const CallOptions& options) const {
  return std::make_unique<BulkInserter>(
      std::make_unique<BulkCall>(impl_->channel, Impl::StreamDeadline(options), options.stop),
      header);
}

absl::StatusOr<v1::DescribeResponse> Client::Describe(const v1::DescribeRequest& request,
                                                      const CallOptions& options) const {
  return impl_->Call(impl_->query, &v1::QueryService::Stub::Describe, request, options);
}

absl::StatusOr<v1::ExplainResponse> Client::Explain(const v1::ExplainRequest& request,
                                                    const CallOptions& options) const {
  return impl_->Call(impl_->query, &v1::QueryService::Stub::Explain, request, options);
}

absl::StatusOr<v1::ListSchemasResponse> Client::ListSchemas(const v1::ListSchemasRequest& request,
                                                            const CallOptions& options) const {
  return impl_->Call(impl_->schema, &v1::SchemaService::Stub::ListSchemas, request, options);
}

absl::StatusOr<v1::ListTablesResponse> Client::ListTables(const v1::ListTablesRequest& request,
                                                          const CallOptions& options) const {
  return impl_->Call(impl_->schema, &v1::SchemaService::Stub::ListTables, request, options);
}

absl::StatusOr<v1::DescribeTableResponse> Client::DescribeTable(
    const v1::DescribeTableRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->schema, &v1::SchemaService::Stub::DescribeTable, request, options);
}

absl::StatusOr<v1::RegisterConnectionResponse> Client::RegisterConnection(
    const v1::RegisterConnectionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->connection, &v1::ConnectionService::Stub::RegisterConnection, request,
                     options, kOnce);
}

absl::StatusOr<v1::KeepRequestsResponse> Client::KeepRequests(absl::string_view connection_id,
                                                              const CallOptions& options) const {
  v1::KeepRequestsRequest request;
  request.set_connection_id(std::string(connection_id));
  return impl_->Call(impl_->connection, &v1::ConnectionService::Stub::KeepRequests, request,
                     options);
}

absl::StatusOr<v1::CloseConnectionResponse> Client::CloseConnection(
    const v1::CloseConnectionRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->connection, &v1::ConnectionService::Stub::CloseConnection, request,
                     options, kOnce);
}

absl::StatusOr<Copy> Client::Backup(absl::string_view connection_id,
                                    const CopySink& sink,
                                    const CallOptions& options) const {
  v1::BackupRequest request;
  request.set_connection_id(std::string(connection_id));
  grpc::ClientContext context;
  SetDeadline(context, Impl::StreamDeadline(options));
  const auto reader = impl_->connection->Backup(&context, request);
  const StopCallback cancel(options.stop, [&context] { context.TryCancel(); });

  CopyCheck check;
  Copy copy;
  absl::Status status;
  v1::BackupResponse message;
  while (reader->Read(&message)) {
    if (status.ok()) status = check.Add(message);
    if (status.ok() && !message.data().empty()) {
      status = sink(message.data(), message.total_bytes());
    }
    if (!status.ok()) context.TryCancel();
    copy.bytes = message.total_bytes();
  }
  absl::Status ended = ToAbsl(reader->Finish());
  if (!status.ok()) return status;
  if (!ended.ok()) return ended;
  auto sha256 = check.Finish();
  if (!sha256.ok()) return sha256.status();
  copy.sha256 = *std::move(sha256);
  return copy;
}

absl::StatusOr<v1::Connection> Client::GetConnection(absl::string_view connection_id,
                                                     const CallOptions& options) const {
  v1::GetConnectionRequest request;
  request.set_connection_id(std::string(connection_id));
  auto response =
      impl_->Call(impl_->connection, &v1::ConnectionService::Stub::GetConnection, request, options);
  if (!response.ok()) return response.status();
  return std::move(*response->mutable_connection());
}

absl::StatusOr<v1::ListConnectionsResponse> Client::ListConnections(
    const v1::ListConnectionsRequest& request, const CallOptions& options) const {
  return impl_->Call(impl_->connection, &v1::ConnectionService::Stub::ListConnections, request,
                     options);
}

absl::StatusOr<v1::TestConnectionResponse> Client::TestConnection(
    absl::string_view connection_id, const CallOptions& options) const {
  v1::TestConnectionRequest request;
  request.set_connection_id(std::string(connection_id));
  return impl_->Call(impl_->connection, &v1::ConnectionService::Stub::TestConnection, request,
                     options);
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo(const CallOptions& options) const {
  return impl_->Call(impl_->monitoring, &v1::MonitoringService::Stub::GetServerInfo,
                     v1::GetServerInfoRequest(), options);
}

absl::StatusOr<v1::GetHealthResponse> Client::GetHealth(absl::string_view connection_id,
                                                        const CallOptions& options) const {
  v1::GetHealthRequest request;
  request.set_connection_id(std::string(connection_id));
  return impl_->Call(impl_->monitoring, &v1::MonitoringService::Stub::GetHealth, request, options,
                     kOnce);
}

absl::StatusOr<v1::GetPoolStatsResponse> Client::GetPoolStats(absl::string_view connection_id,
                                                              const CallOptions& options) const {
  v1::GetPoolStatsRequest request;
  request.set_connection_id(std::string(connection_id));
  return impl_->Call(impl_->monitoring, &v1::MonitoringService::Stub::GetPoolStats, request,
                     options);
}

absl::StatusOr<bool> Client::IsServing(absl::string_view service,
                                       const CallOptions& options) const {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  const auto response =
      impl_->Call(impl_->health, &grpc::health::v1::Health::Stub::Check, request, options, kOnce);
  if (!response.ok()) return response.status();
  return response->status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

}  // namespace sluice::client
