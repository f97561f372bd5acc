// Target: where a PostgreSQL database is, judged: what of a URL is taken, what is refused.
#ifndef SLUICE_SERVER_DB_POSTGRES_TARGET_H_
#define SLUICE_SERVER_DB_POSTGRES_TARGET_H_

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/base/url.h"
#include "server/db/driver.h"
#include "server/db/postgres/egress.h"

namespace sluice::postgres {

using Host = DatabaseHost;

// Where to connect, with everything that libpq is to be told, before names are resolved.
struct ConnectTarget {
  std::vector<Host> hosts;
  std::string database;
  std::string user;
  std::string password;
  // Keywords of libpq beyond those, judged and complete: sslmode, channel_binding,
  // target_session_attrs, keepalives and the like.
  std::vector<std::pair<std::string, std::string>> keywords;
  absl::Duration connect_timeout = absl::Seconds(10);
  bool trusted = false;         // from the operator, not from a caller: no egress rules
  bool local_password = false;  // the password may go to this machine only: TLS is not certain

  // How the connections are used, where the target says so.
  bool pooler = false;  // the server is a pooler that changes sessions between transactions
  std::optional<int> pool_min;
  std::optional<int> pool_max;
  std::optional<int> pool_overflow;
  std::optional<absl::Duration> pool_acquire_timeout;
  std::optional<absl::Duration> pool_idle_timeout;
  std::optional<absl::Duration> pool_recycle;   // zero: never
  std::optional<absl::Duration> pool_pre_ping;  // zero: never
  std::optional<int> pool_waiters;
  std::optional<int> statement_cache;
  std::optional<int> lanes;
  std::optional<absl::Duration> lane_allowance;
  std::optional<absl::Duration> commit_grace;
  // Settings of programs' own that requests may set, in lower case; empty: any.
  std::vector<std::string> session_settings;
  std::optional<bool> strict_hygiene;  // whoever uses a connection finds it as new; else on demand
};

// Judges a target. Errors: INVALID_ARGUMENT CONNECTION_INVALID_TARGET (a keyword that is refused or
// not known, by its name and never by its value), FAILED_PRECONDITION BACKEND_INSECURE_AUTH (a
// password that would cross a network without TLS).
absl::StatusOr<ConnectTarget> Judge(const db::Target& target);

// Whether `name` could be a setting of a program's own: `app.tenant`.
bool IsOwnSetting(absl::string_view name);

// The addresses of a name, empty if it has none. Error: UNAVAILABLE BACKEND_LOST, where asking
// again may help.
using Lookup = std::function<absl::StatusOr<std::vector<Address>>(const std::string& name)>;

// Asks the system. Blocks.
absl::StatusOr<std::vector<Address>> SystemLookup(const std::string& name);

// Resolves the names and checks each address. Blocks: runs on a connector's thread only. Answers
// libpq's keywords and values for expand_dbname = 0, with `hostaddr` beside `host`, so that libpq
// looks nothing up again; all but `options`. Errors: PERMISSION_DENIED EGRESS_DENIED,
// FAILED_PRECONDITION CONNECTION_INVALID_TARGET (no such host), BACKEND_INSECURE_AUTH (the password
// would leave this machine without TLS), and the lookup's.
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Resolve(
    const ConnectTarget& target, const Egress& egress, const Lookup& lookup = SystemLookup);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_TARGET_H_
