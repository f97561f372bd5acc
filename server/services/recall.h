// Recalled: the answer of a request whose transaction is over, if it was committed with it.
#ifndef SLUICE_SERVER_SERVICES_RECALL_H_
#define SLUICE_SERVER_SERVICES_RECALL_H_

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/status.h"
#include "server/core/connections.h"
#include "server/db/batch.h"
#include "server/db/database.h"
#include "server/db/request_key.h"
#include "server/services/request_id.h"
#include "server/services/venue.h"

namespace sluice::services {

// What was stored with a key, or `why` if nothing was. Errors: REQUEST_ID_REUSED, REPLAY_TOO_LARGE,
// COMMIT_OUTCOME_UNKNOWN.
inline Task<absl::StatusOr<db::BatchResults>> Recalled(const Context& ctx,
                                                       const core::Connections::Entry& connection,
                                                       const db::RequestKey& key,
                                                       absl::Status why) {
  CO_TRY(std::optional<db::BatchResults> results, co_await connection.database->Recall(ctx, key));
  if (!results.has_value()) co_return why;
  co_return *std::move(results);
}

// The same for a request with a selector that led nowhere, for `why`: a repeat, perhaps, of one
// whose answer was lost.
template <class Request>
Task<absl::StatusOr<db::BatchResults>> Recalled(const Context& ctx,
                                                const Venues& venues,
                                                const Request& request,
                                                absl::Status why) {
  if (request.request_id().empty() || !IsOver(why)) co_return why;
  const std::string transaction_id = request.transaction().transaction_id();
  auto connection = co_await venues.ConnectionOf(ctx, request.connection_id(), transaction_id);
  if (!connection.ok()) co_return why;
  CO_TRY(const std::optional<db::RequestKey> key, RequestKeyOf(**connection, request));
  absl::StatusOr<db::BatchResults> results =
      co_await Recalled(ctx, **connection, *key, std::move(why));
  co_return results;
}

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_RECALL_H_
