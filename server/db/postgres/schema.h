// What a database consists of, asked of the server's own catalogue.
#ifndef SLUICE_SERVER_DB_POSTGRES_SCHEMA_H_
#define SLUICE_SERVER_DB_POSTGRES_SCHEMA_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/async/task.h"
#include "server/db/catalog.h"
#include "server/db/postgres/backend.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/result.h"

namespace sluice::postgres {

// The reactor's thread, all that follows; what is given outlives the task.

// Ordered by name; those that the role may use, without the server's own.
Task<absl::StatusOr<std::vector<pb::Schema>>> ReadSchemas(Backend& backend, Caller& caller);

Task<absl::StatusOr<db::TableList>> ReadTables(Backend& backend,
                                               Caller& caller,
                                               const db::TableFilter& filter);

// Without a schema, the table that a statement would mean. Error: TABLE_NOT_FOUND.
Task<absl::StatusOr<pb::DescribeTableResponse>> ReadTable(Backend& backend,
                                                          Caller& caller,
                                                          const std::string& schema,
                                                          const std::string& table);

// Of pg_class.relkind.
pb::TableKind KindOf(absl::string_view relkind);

// A text of the server's as a reply may hold it: a database without an encoding takes any bytes.
std::string Shown(absl::string_view text);

// A value of a result, empty for NULL, and as a number.
std::string TextAt(const Result& result, int row, int column);
int64_t NumberAt(const Result& result, int row, int column);
bool TruthAt(const Result& result, int row, int column);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_SCHEMA_H_
