// Migrations: how the tables of the server's own database came to be, one number after the other.
#ifndef SLUICE_SERVER_CORE_MIGRATIONS_H_
#define SLUICE_SERVER_CORE_MIGRATIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/async/task.h"
#include "server/db/database.h"
#include "server/db/statement.h"
#include "sluice/v1/query.pb.h"

namespace sluice::core {

// The newest there is.
int64_t NewestMigration();

// Runs those that the database lacks, in order. Error: FAILED_PRECONDITION if it has one that is
// not known here.
Task<absl::Status> Migrate(db::Database& database);

// Runs a statement of our own and answers its rows.
Task<absl::StatusOr<sluice::v1::QueryResponse>> RunOwn(db::Database& database,
                                                       absl::string_view sql,
                                                       const db::Params& params);

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_MIGRATIONS_H_
