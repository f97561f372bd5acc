// Session options of requests, for the database.
#ifndef SLUICE_SERVER_SERVICES_SESSION_OPTIONS_H_
#define SLUICE_SERVER_SERVICES_SESSION_OPTIONS_H_

#include "absl/status/statusor.h"

#include "server/core/connections.h"
#include "server/db/session_options.h"
#include "server/services/venue.h"
#include "sluice/v1/common.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Those of a transaction that is begun on a connection. Error: FIELD_NOT_IMPLEMENTED where the
// engine has no sessions. What the engine does not take, it says itself.
absl::StatusOr<db::SessionOptionsPtr> SessionOf(const core::Connections::Entry& connection,
                                                const pb::SessionOptions& session);

// Those that a request hands to the database: one that begins a transaction has handed them over
// with it, and then they are null. `venue`: the caller's transaction that it runs in; null: none.
// Errors: as above, and PARAMETER_INVALID if the transaction was begun before.
absl::StatusOr<db::SessionOptionsPtr> SessionAt(const core::Connections::Entry& connection,
                                                const Venue* venue,
                                                const pb::SessionOptions& session);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_SESSION_OPTIONS_H_
