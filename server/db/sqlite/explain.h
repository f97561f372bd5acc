// What a statement takes and gives, and how the engine would run it.
#ifndef SLUICE_SERVER_DB_SQLITE_EXPLAIN_H_
#define SLUICE_SERVER_DB_SQLITE_EXPLAIN_H_

#include "absl/status/statusor.h"

#include "server/db/sqlite/connection.h"
#include "server/db/statement.h"
#include "sluice/v1/query.pb.h"

namespace sluice::sqlite {

// On the connection's thread, inside a read transaction that has seen the schema. What would be
// refused to run is refused here, with the same error.
absl::StatusOr<db::pb::DescribeResponse> DescribeStatement(Connection& connection,
                                                           const db::Statement& statement);

absl::StatusOr<db::pb::ExplainResponse> ExplainStatement(Connection& connection,
                                                         Watch& watch,
                                                         const db::Statement& statement);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_EXPLAIN_H_
