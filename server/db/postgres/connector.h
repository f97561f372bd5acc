// Connector: makes connections and cancels statements, on threads of its own, since libpq waits for
// the network while it does either.
#ifndef SLUICE_SERVER_DB_POSTGRES_CONNECTOR_H_
#define SLUICE_SERVER_DB_POSTGRES_CONNECTOR_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/task.h"
#include "server/db/postgres/target.h"

struct pg_conn;
struct pg_cancel;

namespace sluice::postgres {

// Keywords and values, as libpq takes them.
using Keywords = std::vector<std::pair<std::string, std::string>>;

// Of the libpq that this was built with, which need not be loaded: `15.8`.
std::string ClientVersion();

struct FinishConnection {
  void operator()(pg_conn* connection) const;
};

using RawConnection = std::unique_ptr<pg_conn, FinishConnection>;

// How long Connect takes at most.
absl::Duration ConnectLimit(const ConnectTarget& target);

// Connects to `target`, with `more` keywords beside its own. A server that never lets go of us
// costs its thread, but nobody waits for that: the answer comes in time, and what comes after it
// is closed. Errors: as Resolve; UNAVAILABLE BACKEND_LOST; BACKEND_STARTING; BACKEND_AUTH_FAILED;
// POOL_EXHAUSTED (the server has too many clients); none has a word of libpq's in it.
Task<absl::StatusOr<RawConnection>> Connect(std::shared_ptr<const ConnectTarget> target,
                                            Egress egress,
                                            Keywords more);

// Asks the server to end what a session runs. Answers when that is acknowledged or has failed, or
// after five seconds: then it is not known, and the session is to be given up.
Task<bool> Cancel(std::shared_ptr<pg_cancel> cancel);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CONNECTOR_H_
