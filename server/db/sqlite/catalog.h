// Catalog: what a SQLite database consists of, and how it would run a statement.
#ifndef SLUICE_SERVER_DB_SQLITE_CATALOG_H_
#define SLUICE_SERVER_DB_SQLITE_CATALOG_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/catalog.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

class Connection;
class Database;
struct Watch;

// Owned by the Database; any executor. All of it runs on the readers.
class Catalog final : public db::Catalog {
 public:
  explicit Catalog(Database& database) : database_(database) {}

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
  // Asks a reader. `question` runs on its thread, and nothing that it borrows goes before.
  template <class T>
  Task<absl::StatusOr<T>> Ask(const Context& ctx,
                              std::function<absl::StatusOr<T>(Connection&, Watch&)> question);

  Database& database_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_CATALOG_H_
