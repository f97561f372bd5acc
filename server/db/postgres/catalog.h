// Catalog: what a PostgreSQL database consists of, and how it would run a statement.
#ifndef SLUICE_SERVER_DB_POSTGRES_CATALOG_H_
#define SLUICE_SERVER_DB_POSTGRES_CATALOG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/catalog.h"
#include "server/db/postgres/backend.h"
#include "server/db/statement.h"

namespace sluice::postgres {

// Owned by the Database; any executor. What it asks, it asks on the reactor.
class Catalog final : public db::Catalog {
 public:
  // `session_settings`: what CheckSession takes.
  Catalog(Backend& backend, const std::vector<std::string>& session_settings)
      : backend_(backend), session_settings_(session_settings) {}

  Task<absl::StatusOr<std::vector<db::pb::Schema>>> ListSchemas(const Context& ctx) override;
  Task<absl::StatusOr<db::TableList>> ListTables(const Context& ctx,
                                                 db::TableFilter filter) override;
  Task<absl::StatusOr<db::pb::DescribeTableResponse>> DescribeTable(const Context& ctx,
                                                                    std::string schema,
                                                                    std::string table) override;
  Task<absl::StatusOr<db::pb::DescribeResponse>> Describe(const Context& ctx,
                                                          db::Statement statement) override;
  Task<absl::StatusOr<db::pb::ExplainResponse>> Explain(const Context& ctx,
                                                        db::Statement statement,
                                                        bool analyze) override;

 private:
  Backend& backend_;
  const std::vector<std::string>& session_settings_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CATALOG_H_
