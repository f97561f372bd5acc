// SessionSettings: what a request may set of a session, for the length of its transaction.
#ifndef SLUICE_SERVER_DB_POSTGRES_SESSION_SETTINGS_H_
#define SLUICE_SERVER_DB_POSTGRES_SESSION_SETTINGS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/postgres/connection.h"
#include "server/db/session_options.h"

namespace sluice::postgres {

// `taken`: the names of a program's own that may be set, in lower case; empty: any that has a dot.
// Error: PARAMETER_INVALID, which names the one that may not.
absl::Status CheckSession(const db::SessionOptions& options, const std::vector<std::string>& taken);

// Whether the names in a statement may mean something else than without them.
bool ChangesNames(const db::SessionOptions& options);

// Whether what was prepared without them, or is prepared with them, is of no use to the other.
bool ChangesPlans(const db::SessionOptions& options);

// Sets them until the transaction ends. Of its row the first two values are the search path and the
// role that were in force before.
std::string EnterSql(const db::SessionOptions& options);
ParameterValues EnterValues(const db::SessionOptions& options);

// Puts a search path and a role back in force.
std::string LeaveSql();
ParameterValues LeaveValues(absl::string_view search_path, absl::string_view role);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_SESSION_SETTINGS_H_
