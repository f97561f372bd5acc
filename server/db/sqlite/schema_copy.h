// SchemaCopy: an empty copy of a database's tables in memory, to try indexes on.
#ifndef SLUICE_SERVER_DB_SQLITE_SCHEMA_COPY_H_
#define SLUICE_SERVER_DB_SQLITE_SCHEMA_COPY_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/db/parameters.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/plan.h"
#include "server/db/sqlite/plan_names.h"

namespace sluice::sqlite {

// A row of sqlite_stat1, by which the planner chooses.
struct Statistic {
  std::string table;
  std::string index;  // empty: of the table itself
  std::string text;
};

// Lives on the stack of the connection's thread, with a connection of its own that no file stands
// behind. What fails is left out; all of it ends with the watch, and with its own time.
class SchemaCopy {
 public:
  explicit SchemaCopy(const Watch& watch);
  ~SchemaCopy();

  SchemaCopy(const SchemaCopy&) = delete;
  SchemaCopy& operator=(const SchemaCopy&) = delete;

  // Makes the tables, indexes and views. False if that is too much.
  bool Load(const std::vector<SchemaObject>& objects, const std::vector<Statistic>& statistics);

  // How the statement would be run; nothing if it cannot be told.
  std::optional<std::vector<PlanStep>> Plan(absl::string_view sql,
                                            const db::BoundParameters& values);

  bool Run(const std::string& sql);
  // The first column of the answer to a question about `name`.
  std::vector<std::string> Names(absl::string_view sql, absl::string_view name);

  // There is no time for more.
  bool ended() const;

 private:
  static int OnProgress(void* self);
  void Make(const std::vector<SchemaObject>& objects, absl::string_view type);
  // Gives every row to `take`; false if that is not all.
  bool List(const std::string& sql,
            const db::BoundParameters& values,
            const std::function<void(sqlite3_stmt*)>& take);
  sqlite3_stmt* Compile(absl::string_view sql);

  const Watch& watch_;
  const absl::Duration until_;  // on the steady clock
  sqlite3* db_ = nullptr;       // null if there was no memory
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_SCHEMA_COPY_H_
