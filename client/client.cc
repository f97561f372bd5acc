#include "client/client.h"

#include <condition_variable>
#include <mutex>
#include <random>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/grpcpp.h"

#include "client/address.h"
#include "sluice/v1/connection.grpc.pb.h"
#include "sluice/v1/monitoring.grpc.pb.h"
#include "sluice/v1/query.grpc.pb.h"

namespace sluice::client {
namespace {

using StopCallback = std::stop_callback<std::function<void()>>;

absl::Status ToAbsl(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return MakeStatus(status.error_code(), status.error_message(), status.error_details());
}

void SetDeadline(grpc::ClientContext& context, absl::Time deadline) {
  if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
}

// Waits, unless stop is requested first: then false.
bool Sleep(absl::Duration duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait_for(lock, stop, absl::ToChronoNanoseconds(duration), [] { return false; });
  return !stop.stop_requested();
}

double Random() {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

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

// One unary call.
template <class Stub, class Request, class Response>
absl::Status Call(Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                  const Request& request,
                  Response* response,
                  absl::Time deadline,
                  const std::stop_token& stop) {
  grpc::ClientContext context;
  SetDeadline(context, deadline);
  const StopCallback cancel(stop, [&context] { context.TryCancel(); });
  return ToAbsl((stub.*method)(&context, request, response));
}

// A StreamQuery in flight. Owned by its RowStream.
class CallSource final : public MessageSource {
 public:
  CallSource(v1::QueryService::Stub& stub,
             const v1::StreamQueryRequest& request,
             absl::Time deadline,
             std::stop_token stop)
      : cancel_(std::move(stop), [this] { context_.TryCancel(); }) {
    SetDeadline(context_, deadline);
    reader_ = stub.StreamQuery(&context_, request);
  }

  bool Read(v1::StreamQueryResponse* message) override { return reader_->Read(message); }

  absl::Status Finish() override { return ToAbsl(reader_->Finish()); }

  void Cancel() override { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::StreamQueryResponse>> reader_;
  StopCallback cancel_;  // last: it must not fire on a context that is gone
};

}  // namespace

struct Client::Impl {
  ClientOptions options;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::QueryService::Stub> query;
  std::unique_ptr<v1::ConnectionService::Stub> connection;
  std::unique_ptr<v1::MonitoringService::Stub> monitoring;
  std::unique_ptr<grpc::health::v1::Health::Stub> health;

  absl::Time Deadline(const CallOptions& call) const {
    return absl::Now() + call.timeout.value_or(options.deadline);
  }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Client::Client(Client&& other) noexcept = default;
Client& Client::operator=(Client&& other) noexcept = default;
Client::~Client() = default;

absl::StatusOr<Client> Client::Connect(absl::string_view address, ClientOptions options) {
  absl::Status status = CheckAddress(address);
  if (!status.ok()) return status;
  auto impl = std::make_unique<Impl>();
  impl->channel = grpc::CreateCustomChannel(
      std::string(address), grpc::InsecureChannelCredentials(), ChannelArguments(options));
  impl->options = std::move(options);
  impl->query = v1::QueryService::NewStub(impl->channel);
  impl->connection = v1::ConnectionService::NewStub(impl->channel);
  impl->monitoring = v1::MonitoringService::NewStub(impl->channel);
  impl->health = grpc::health::v1::Health::NewStub(impl->channel);
  return Client(std::move(impl));
}

absl::StatusOr<v1::QueryResponse> Client::Query(const v1::QueryRequest& request,
                                                const CallOptions& options) const {
  const absl::Time deadline = impl_->Deadline(options);
  for (int attempts = 1;; ++attempts) {
    v1::QueryResponse response;
    absl::Status status = Call(*impl_->query, &v1::QueryService::Stub::Query, request, &response,
                               deadline, options.stop);
    if (status.ok()) return response;
    if (!request.read_only()) return status;
    const auto delay = RetryDelay(impl_->options.retry, status, attempts, Random());
    if (!delay || absl::Now() + *delay >= deadline) return status;
    if (!Sleep(*delay, options.stop)) {
      return LocalError(absl::StatusCode::kCancelled, "CALL_CANCELLED", Executed::kNo,
                        "the call was cancelled before its next attempt");
    }
  }
}

absl::StatusOr<std::unique_ptr<RowStream>> Client::StreamQuery(
    const v1::StreamQueryRequest& request, const CallOptions& options) const {
  const absl::Time deadline =
      options.timeout ? absl::Now() + *options.timeout : absl::InfiniteFuture();
  return RowStream::Open(
      std::make_unique<CallSource>(*impl_->query, request, deadline, options.stop));
}

absl::StatusOr<v1::Connection> Client::GetConnection(absl::string_view connection_id,
                                                     const CallOptions& options) const {
  v1::GetConnectionRequest request;
  request.set_connection_id(std::string(connection_id));
  v1::GetConnectionResponse response;
  absl::Status status = Call(*impl_->connection, &v1::ConnectionService::Stub::GetConnection,
                             request, &response, impl_->Deadline(options), options.stop);
  if (!status.ok()) return status;
  return std::move(*response.mutable_connection());
}

absl::StatusOr<v1::ListConnectionsResponse> Client::ListConnections(
    const v1::ListConnectionsRequest& request, const CallOptions& options) const {
  v1::ListConnectionsResponse response;
  absl::Status status = Call(*impl_->connection, &v1::ConnectionService::Stub::ListConnections,
                             request, &response, impl_->Deadline(options), options.stop);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::TestConnectionResponse> Client::TestConnection(
    absl::string_view connection_id, const CallOptions& options) const {
  v1::TestConnectionRequest request;
  request.set_connection_id(std::string(connection_id));
  v1::TestConnectionResponse response;
  absl::Status status = Call(*impl_->connection, &v1::ConnectionService::Stub::TestConnection,
                             request, &response, impl_->Deadline(options), options.stop);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo(const CallOptions& options) const {
  v1::GetServerInfoResponse response;
  absl::Status status =
      Call(*impl_->monitoring, &v1::MonitoringService::Stub::GetServerInfo,
           v1::GetServerInfoRequest(), &response, impl_->Deadline(options), options.stop);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::GetHealthResponse> Client::GetHealth(absl::string_view connection_id,
                                                        const CallOptions& options) const {
  v1::GetHealthRequest request;
  request.set_connection_id(std::string(connection_id));
  v1::GetHealthResponse response;
  absl::Status status = Call(*impl_->monitoring, &v1::MonitoringService::Stub::GetHealth, request,
                             &response, impl_->Deadline(options), options.stop);
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<bool> Client::IsServing(absl::string_view service,
                                       const CallOptions& options) const {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(std::string(service));
  grpc::health::v1::HealthCheckResponse response;
  absl::Status status = Call(*impl_->health, &grpc::health::v1::Health::Stub::Check, request,
                             &response, impl_->Deadline(options), options.stop);
  if (!status.ok()) return status;
  return response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
}

}  // namespace sluice::client
