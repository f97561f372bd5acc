// What a statement takes and gives, and how the server would run it.
#ifndef SLUICE_SERVER_DB_POSTGRES_EXPLAIN_H_
#define SLUICE_SERVER_DB_POSTGRES_EXPLAIN_H_

#include <string>

#include "absl/status/statusor.h"

#include "server/async/task.h"
#include "server/db/postgres/backend.h"
#include "server/db/postgres/caller.h"
#include "server/db/statement.h"
#include "sluice/v1/query.pb.h"

namespace sluice::postgres {

// The reactor's thread, both; what is given outlives the task.

Task<absl::StatusOr<pb::DescribeResponse>> DescribeStatement(Backend& backend,
                                                             Caller& caller,
                                                             const db::Statement& statement);

// The plan as the server writes it for programs; empty for a statement that it makes none for.
// Without values the plan is the one for any. `analyze`: run with its values, measured, and undone.
Task<absl::StatusOr<std::string>> ExplainStatement(Backend& backend,
                                                   Caller& caller,
                                                   const db::Statement& statement,
                                                   bool analyze);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_EXPLAIN_H_
