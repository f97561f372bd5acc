// Catalog: what a database consists of, and how it would run a statement.
#ifndef SLUICE_SERVER_DB_CATALOG_H_
#define SLUICE_SERVER_DB_CATALOG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/statement.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/schema.pb.h"

namespace sluice::db {

// Which tables to list.
struct TableFilter {
  TableFilter() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  std::string schema;  // empty: all
  std::string name_prefix;
  std::vector<pb::TableKind> kinds;  // empty: all
  std::string after_schema;          // keyset: only what comes after this table
  std::string after_name;
  int limit = 50;
};

struct TableList {
  std::vector<pb::TableSummary> tables;  // ordered by schema, then name
  int64_t total = 0;                     // of the filter, without its keyset and limit
};

// Owned by its database; any executor. Answers are messages, which are the contract's own and leave
// nothing to convert.
class Catalog {
 public:
  virtual ~Catalog() = default;

  virtual Task<absl::StatusOr<std::vector<pb::Schema>>> ListSchemas(const Context& ctx) = 0;

  virtual Task<absl::StatusOr<TableList>> ListTables(const Context& ctx, TableFilter filter) = 0;

  // Error: TABLE_NOT_FOUND.
  virtual Task<absl::StatusOr<pb::DescribeTableResponse>> DescribeTable(const Context& ctx,
                                                                        std::string schema,
                                                                        std::string table) = 0;

  // Compiles the statement and tells what it takes and gives.
  virtual Task<absl::StatusOr<pb::DescribeResponse>> Describe(const Context& ctx,
                                                              Statement statement) = 0;

  // Parameters may be left out. `analyze`: run it, measure, and roll it back; with its parameters.
  // Error: FIELD_NOT_IMPLEMENTED, where the engine cannot measure.
  virtual Task<absl::StatusOr<pb::ExplainResponse>> Explain(const Context& ctx,
                                                            Statement statement,
                                                            bool analyze) = 0;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_CATALOG_H_
