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

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "client/bulk_inserter.h"
#include "client/call_options.h"
#include "client/errors.h"
#include "client/interaction.h"
#include "client/request_id.h"
#include "client/retry.h"
#include "client/row_stream.h"
#include "client/run_transaction.h"
#include "client/transaction.h"
#include "client/values.h"
#include "sluice/v1/connection.pb.h"
#include "sluice/v1/monitoring.pb.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/schema.pb.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::client {

// How a client behaves; fixed when it connects.
struct ClientOptions {
  // Every call except a stream ends after this long, its retries included.
  absl::Duration deadline = absl::Seconds(60);
  // Larger messages from the server fail the call with RESOURCE_EXHAUSTED.
  int max_receive_bytes = 128 << 20;
  // Resending of calls that can be repeated.
  RetryPolicy retry;
  // Further gRPC channel arguments by name, for example {"grpc.keepalive_time_ms", 600000}.
  std::map<std::string, std::variant<int, std::string>> channel_args;
};

// What a backup was.
struct Copy {
  int64_t bytes = 0;
  std::string sha256;  // 32 bytes
};

// A connection to one server. Any number of threads may use it at once; calls wait for the answer.
// Nothing of a call's arguments is kept; streams and transactions may outlive their client.
//
// UNAVAILABLE that certainly was not applied is retried, as ClientOptions says, where a repeat can
// do no harm: calls that only read, and writes with a `request_id`.
class Client {
 public:
  // Prepares a client of the server at `address`: `HOST:PORT` or `unix:PATH`. Does not wait for the
  // server: the first call finds out. INVALID_ARGUMENT if the address has another form.
  static absl::StatusOr<Client> Connect(absl::string_view address, ClientOptions options = {});
  Client(Client&& other) noexcept;
  Client& operator=(Client&& other) noexcept;
  ~Client();

  // Runs a statement and answers its whole result, up to the request's caps: look at `truncated`.
  // Retried with `read_only`, or with a `request_id`.
  absl::StatusOr<v1::QueryResponse> Query(const v1::QueryRequest& request,
                                          const CallOptions& options = {}) const;

  // Runs a statement and hands its result out row by row, however long. Never retried.
  absl::StatusOr<std::unique_ptr<RowStream>> StreamQuery(const v1::StreamQueryRequest& request,
                                                         const CallOptions& options = {}) const;

  // Runs several statements in one call. Retried with `read_only`, or with a `request_id`. In the
  // modes other than ATOMIC a failed step is in the answer: look at `failed`.
  absl::StatusOr<v1::ExecuteBatchResponse> ExecuteBatch(const v1::ExecuteBatchRequest& request,
                                                        const CallOptions& options = {}) const;

  // Loads rows into one table. `header` says which and how, and has no rows. Never retried. A
  // timeout counts for the whole load; default: none.
  std::unique_ptr<BulkInserter> BulkInsert(const v1::BulkInsertRequest& header,
                                           const CallOptions& options = {}) const;

  // A transaction that begins with its first statement; see transaction.h. RunTransaction does more
  // by itself.
  Transaction Begin(absl::string_view connection_id = "default",
                    const v1::TransactionOptions& options = {}) const;

  // Starts a conversation in which transactions live no longer than the stream; see interaction.h.
  // A timeout counts for the whole of it; default: none.
  std::unique_ptr<Interaction> Interact(const CallOptions& options = {}) const;

  // The calls that those consist of. For a transaction whose id goes from hand to hand, its
  // statements go through Query and the others with `transaction` set. Begin, Savepoint, Release
  // and End are never retried; Commit is with a `request_id`; the others are.
  absl::StatusOr<v1::BeginTransactionResponse> BeginTransaction(
      const v1::BeginTransactionRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::CommitTransactionResponse> CommitTransaction(
      const v1::CommitTransactionRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::RollbackTransactionResponse> RollbackTransaction(
      const v1::RollbackTransactionRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::SavepointResponse> Savepoint(const v1::SavepointRequest& request,
                                                  const CallOptions& options = {}) const;
  absl::StatusOr<v1::RollbackToSavepointResponse> RollbackToSavepoint(
      const v1::RollbackToSavepointRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::ReleaseSavepointResponse> ReleaseSavepoint(
      const v1::ReleaseSavepointRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::KeepAliveResponse> KeepAlive(const v1::KeepAliveRequest& request,
                                                  const CallOptions& options = {}) const;
  absl::StatusOr<v1::GetTransactionResponse> GetTransaction(
      const v1::GetTransactionRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::ListTransactionsResponse> ListTransactions(
      const v1::ListTransactionsRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::GetTransactionOutcomeResponse> GetTransactionOutcome(
      const v1::GetTransactionOutcomeRequest& request, const CallOptions& options = {}) const;
  absl::StatusOr<v1::EndTransactionResponse> EndTransaction(
      const v1::EndTransactionRequest& request, const CallOptions& options = {}) const;

  // What a statement takes and gives, and how it would be run. Neither runs it.
  absl::StatusOr<v1::DescribeResponse> Describe(const v1::DescribeRequest& request,
                                                const CallOptions& options = {}) const;
  absl::StatusOr<v1::ExplainResponse> Explain(const v1::ExplainRequest& request,
                                              const CallOptions& options = {}) const;

  // What a database consists of. Lists come in pages.
  absl::StatusOr<v1::ListSchemasResponse> ListSchemas(const v1::ListSchemasRequest& request,
                                                      const CallOptions& options = {}) const;
  absl::StatusOr<v1::ListTablesResponse> ListTables(const v1::ListTablesRequest& request,
                                                    const CallOptions& options = {}) const;
  absl::StatusOr<v1::DescribeTableResponse> DescribeTable(const v1::DescribeTableRequest& request,
                                                          const CallOptions& options = {}) const;

  // Opens a database and answers its id, which is shown only here. Never retried.
  absl::StatusOr<v1::RegisterConnectionResponse> RegisterConnection(
      const v1::RegisterConnectionRequest& request, const CallOptions& options = {}) const;
  // Makes a database able to keep the answers of requests with a `request_id`.
  absl::StatusOr<v1::KeepRequestsResponse> KeepRequests(absl::string_view connection_id,
                                                        const CallOptions& options = {}) const;
  // Closes one. Never retried. The call may take as long as `drain_timeout`.
  absl::StatusOr<v1::CloseConnectionResponse> CloseConnection(
      const v1::CloseConnectionRequest& request, const CallOptions& options = {}) const;

  // Takes the pieces of a copy; an error ends the backup with it. `total` is the size of the whole.
  using CopySink = std::function<absl::Status(absl::string_view data, int64_t total)>;
  // Copies the whole database as it is at one moment. OK only if the copy is complete and its
  // SHA-256 is right. Never retried: pieces were handed out. Default timeout: none.
  absl::StatusOr<Copy> Backup(absl::string_view connection_id,
                              const CopySink& sink,
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
  // The server's connections to databases behind a network, and who has them.
  absl::StatusOr<v1::GetPoolStatsResponse> GetPoolStats(absl::string_view connection_id = "",
                                                        const CallOptions& options = {}) const;
  // Asks grpc.health.v1 whether `service` is serving; "" is the server as a whole.
  absl::StatusOr<bool> IsServing(absl::string_view service = "",
                                 const CallOptions& options = {}) const;

 private:
  struct Impl;
  class Calls;
  friend absl::Status RunTransaction(const Client& client,
                                     const RunOptions& options,
                                     const TransactionBody& body);

  explicit Client(std::shared_ptr<const Impl> impl);

  std::shared_ptr<TransactionCalls> MakeCalls() const;

  std::shared_ptr<const Impl> impl_;  // shared with its transactions
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CLIENT_H_
