// PlanProgram: what the engine has compiled a statement to. A step of a plan has but a name, which
// two tables may share; the program opens each by the page where it begins.
#ifndef SLUICE_SERVER_DB_SQLITE_PLAN_PROGRAM_H_
#define SLUICE_SERVER_DB_SQLITE_PLAN_PROGRAM_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/plan.h"

namespace sluice::sqlite {

// The first page of each table, and of each index, with the table's name.
using TablesByPage = absl::flat_hash_map<int64_t, std::string>;

// A compiled EXPLAIN's, as many as `most`; its parameters, if it has values for them, are bound.
absl::StatusOr<std::vector<Instruction>> ReadInstructions(Connection& connection,
                                                          Prepared& listing,
                                                          Watch* watch,
                                                          size_t most = SIZE_MAX);

// A value; what the opcodes mean is that of SQLite 3.39 and 3.40, and what is not known tells
// nothing.
class PlanProgram {
 public:
  // In the order of EXPLAIN.
  void Add(Instruction instruction);

  // Sets the table of each step of this statement's plan, where the program tells it.
  void NameTables(const TablesByPage& pages, std::vector<PlanStep>& steps) const;

 private:
  // What is read first by [from, to): a table's name, or empty if that is no table of the file.
  std::optional<std::string> TableAt(const TablesByPage& pages, size_t from, size_t to) const;
  // Where the cursor is opened that is used at `used`; `used` if nowhere.
  size_t OpeningOf(int cursor, size_t used) const;

  std::vector<Instruction> main_;  // without those of triggers, which follow
  bool ended_ = false;             // they have begun
  bool shifted_ = false;           // it is not laid out as the plan takes it to be
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_PLAN_PROGRAM_H_
