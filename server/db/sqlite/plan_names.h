// PlanNames: which table a plan means. A plan calls a table by its alias, and says nowhere whose
// alias that is.
#ifndef SLUICE_SERVER_DB_SQLITE_PLAN_NAMES_H_
#define SLUICE_SERVER_DB_SQLITE_PLAN_NAMES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/sqlite/connection.h"

namespace sluice::sqlite {

// One entry of sqlite_schema.
struct SchemaObject {
  std::string type;  // table, view, index
  std::string name;
  std::string table;  // of an index
  std::string sql;    // empty for an index of a constraint
  int64_t page;       // where it begins; 0 for a view or a virtual table
};

// Everything but the triggers.
absl::StatusOr<std::vector<SchemaObject>> ReadObjects(Connection& connection, Watch& watch);

// Borrows the objects.
class PlanNames {
 public:
  // How many views a statement is followed into.
  static constexpr size_t kMostViews = 1000;

  // `sql`: the statement of the plan.
  PlanNames(const std::vector<SchemaObject>& objects, absl::string_view sql);

  // The table with this index; null if there is no such index.
  const SchemaObject* TableWith(absl::string_view index) const;
  // The only table that can be called so; null for a view, a subquery, a name that several tables
  // may have, or one that is not known.
  const SchemaObject* TableOf(absl::string_view name) const;
  // The same of a step that is known to read `table`; null if that cannot be called so.
  const SchemaObject* TableOf(absl::string_view name, absl::string_view table) const;

  const SchemaObject* FindIndex(absl::string_view name) const;
  // Whether a table, view or index is called so.
  bool IsTaken(absl::string_view name) const;

  // Whether the statement, or a view that it reads, says so: a column, in any case.
  bool Mentions(absl::string_view word) const;

  // Whether it has a condition on rows.
  bool has_condition() const { return has_condition_; }

 private:
  using Objects = std::vector<const SchemaObject*>;

  // Adds the views that it names to those that are to be read.
  void Read(absl::string_view sql, Objects& views);
  // All that can be called so.
  Objects Called(absl::string_view name) const;

  absl::flat_hash_map<std::string, const SchemaObject*> relations_;  // tables and views
  absl::flat_hash_map<std::string, const SchemaObject*> indexes_;
  absl::flat_hash_map<std::string, Objects> aliases_;
  absl::flat_hash_set<const SchemaObject*> seen_;  // views
  bool complete_ = true;                           // there were no more views
  absl::flat_hash_set<std::string> words_;
  bool has_condition_ = false;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_PLAN_NAMES_H_
