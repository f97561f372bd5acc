// The C++ client of a Sluice server.
//
//   auto client = sluice::client::Client::Connect("127.0.0.1:50051");
//   auto result = client->Query(MakeQuery("SELECT name FROM artist WHERE id = ?", 7));
//   for (const auto& row : result->rows()) … Get<std::string>(row.values(0)) …
//
// Requests and results are the messages of sluice.v1; values.h makes them from C++ values and reads
// them back. Failures are absl::Status; errors.h takes them apart.
#ifndef SLUICE_CLIENT_CLIENT_H_
#define SLUICE_CLIENT_CLIENT_H_

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "client/errors.h"
#include "client/retry.h"
#include "client/row_stream.h"
#include "client/values.h"
#include "sluice/v1/connection.pb.h"
#include "sluice/v1/monitoring.pb.h"
#include "sluice/v1/query.pb.h"

namespace sluice::client {

// How a client behaves; fixed when it connects.
struct ClientOptions {
  // Every call except a stream ends after this long, its retries included.
  absl::Duration deadline = absl::Seconds(60);
  // Larger messages from the server fail the call with RESOURCE_EXHAUSTED.
  int max_receive_bytes = 128 << 20;
  // Resending of read-only queries.
  RetryPolicy retry;
  // Further gRPC channel arguments by name, for example {"grpc.keepalive_time_ms", 600000}.
  std::map<std::string, std::variant<int, std::string>> channel_args;
};

// What one call asks for beyond its request.
struct CallOptions {
  // Ends the call after this long. Default: the client's deadline; for a stream none, since how
  // long it lasts depends on how fast it is read.
  std::optional<absl::Duration> timeout;
  // Cancels the call, on the server too, when stop is requested. A stream may be stopped while Next
  // waits.
  std::stop_token stop;
};

// A connection to one server. Any number of threads may use it at once; calls wait for the answer.
// Nothing of a call's arguments is kept; a RowStream may outlive its client.
class Client {
 public:
  // Prepares a client of the server at `address`: `HOST:PORT` or `unix:PATH`. Does not wait for the
  // server: the first call finds out. INVALID_ARGUMENT if the address has another form.
  static absl::StatusOr<Client> Connect(absl::string_view address, ClientOptions options = {});
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;
  ~Client();

  // Runs a statement and answers its whole result, up to the request's caps: look at `truncated`.
  // With `read_only`, UNAVAILABLE that certainly was not applied is retried as ClientOptions says.
  absl::StatusOr<v1::QueryResponse> Query(const v1::QueryRequest& request,
                                          const CallOptions& options = {}) const;

  // Runs a statement and hands its result out row by row, however long. Never retried.
  absl::StatusOr<std::unique_ptr<RowStream>> StreamQuery(const v1::StreamQueryRequest& request,
                                                         const CallOptions& options = {}) const;

  // Connections. An id is what registration answered, or `default`.
  absl::StatusOr<v1::Connection> GetConnection(absl::string_view connection_id,
                                               const CallOptions& options = {}) const;
  absl::StatusOr<v1::ListConnectionsResponse> ListConnections(
      const v1::ListConnectionsRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::TestConnectionResponse> TestConnection(absl::string_view connection_id,
                                                            const CallOptions& options = {}) const;

  // What the server is and how it does. An empty `connection_id` asks about all connections.
  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(const CallOptions& options = {}) const;
  absl::StatusOr<v1::GetHealthResponse> GetHealth(absl::string_view connection_id = "",
                                                  const CallOptions& options = {}) const;
  // Asks grpc.health.v1 whether `service` is serving; "" is the server as a whole.
  absl::StatusOr<bool> IsServing(absl::string_view service = "",
                                 const CallOptions& options = {}) const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CLIENT_H_
