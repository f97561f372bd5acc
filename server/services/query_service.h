// QueryService: one call runs one statement, once, and answers its result whole or piece by piece.
#ifndef SLUICE_SERVER_SERVICES_QUERY_SERVICE_H_
#define SLUICE_SERVER_SERVICES_QUERY_SERVICE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/reply.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/connections.h"
#include "server/db/rows.h"
#include "server/db/session.h"
#include "server/db/statement.h"
#include "server/services/query_options.h"
#include "server/services/retry.h"
#include "server/services/venue.h"
#include "sluice/v1/query.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class QueryService {
 public:
  QueryService(const Venues& venues, QueryOptions options, const Clock& clock)
      : venues_(venues), connections_(venues.connections()), options_(options), clock_(clock) {}

  // The reply's body is what the driver encoded: columns and rows; its head is all the rest.
  Task<absl::StatusOr<Reply<pb::QueryResponse>>> Query(const Context& ctx,
                                                       const pb::QueryRequest& request);

  Task<absl::Status> StreamQuery(const Context& ctx,
                                 const pb::StreamQueryRequest& request,
                                 Sink<Reply<pb::StreamQueryResponse>>& sink);

  // Query for one who is where it is to run already: neither enters nor leaves. The status of the
  // transaction is left to him.
  Task<absl::StatusOr<Reply<pb::QueryResponse>>> QueryAt(const Context& ctx,
                                                         const pb::QueryRequest& request,
                                                         const Venue& venue);

 private:
  using QueryReply = Reply<pb::QueryResponse>;
  using StreamReply = Reply<pb::StreamQueryResponse>;

  // The statement of a request that is in order, with its limits.
  absl::StatusOr<db::Statement> StatementOf(const pb::QueryRequest& request,
                                            const core::Connections::Entry& connection) const;
  absl::StatusOr<db::Statement> StatementOf(const pb::StreamQueryRequest& request,
                                            const core::Connections::Entry& connection) const;

  Task<absl::StatusOr<QueryReply>> QueryInTransaction(const Context& ctx,
                                                      const pb::QueryRequest& request);
  // The answer of a request that was committed with a transaction that is over, or `why`.
  Task<absl::StatusOr<QueryReply>> Recall(const Context& ctx,
                                          const pb::QueryRequest& request,
                                          absl::Status why);
  // `venue`: the caller's transaction; null: there is none.
  Task<absl::StatusOr<QueryReply>> Run(const Context& ctx,
                                       const pb::QueryRequest& request,
                                       const core::Connections::Entry& connection,
                                       const Venue* venue);
  static QueryReply ReplyOf(db::Rows rows, absl::Duration elapsed);
  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx,
                                         db::Session& session,
                                         db::Statement statement,
                                         RetryPolicy policy);

  // A stream between its first piece and its end.
  struct Stream;
  Task<absl::Status> StreamIn(const Context& ctx,
                              const pb::StreamQueryRequest& request,
                              const core::Connections::Entry& connection,
                              Stream& stream,
                              Sink<StreamReply>& sink);
  Task<absl::Status> StreamInTransaction(const Context& ctx,
                                         const pb::StreamQueryRequest& request,
                                         Sink<StreamReply>& sink);
  Task<absl::Status> StreamRecalled(const Context& ctx,
                                    const pb::StreamQueryRequest& request,
                                    absl::Status why,
                                    Sink<StreamReply>& sink);
  Task<absl::Status> Open(const Context& ctx,
                          db::Session& session,
                          db::Statement statement,
                          RetryPolicy policy,
                          Stream& stream);
  Task<absl::Status> TryOpen(const Context& ctx,
                             db::Session& session,
                             db::Statement statement,
                             Stream& stream);
  Task<absl::Status> Pump(const Context& ctx, Stream& stream, Sink<StreamReply>& sink);

  const Venues& venues_;
  core::Connections& connections_;
  const QueryOptions options_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_QUERY_SERVICE_H_
