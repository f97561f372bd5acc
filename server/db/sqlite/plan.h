// Plans: what EXPLAIN QUERY PLAN says, taken apart. The engine writes a sentence for each step; the
// wording is that of SQLite 3.39 and 3.40, and what is not known stays a sentence.
#ifndef SLUICE_SERVER_DB_SQLITE_PLAN_H_
#define SLUICE_SERVER_DB_SQLITE_PLAN_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "server/db/sqlite/plan_names.h"
#include "server/db/statement.h"
#include "sluice/v1/query.pb.h"

struct sqlite3_stmt;

namespace sluice::sqlite {

// A row of EXPLAIN QUERY PLAN.
struct PlanStep {
  int id = 0;
  int parent = 0;  // 0: none
  std::string detail;
  // That it reads; empty if none of the file's, unset if that is not known.
  std::optional<std::string> table = std::nullopt;
};

// The current row of the statement.
PlanStep StepOf(sqlite3_stmt* stmt);

// A row of EXPLAIN.
struct Instruction {
  int address = 0;
  std::string opcode;
  int p1 = 0;
  int p2 = 0;
  int p3 = 0;
  std::string p4 = "";
};

// The current row of the statement.
Instruction InstructionOf(sqlite3_stmt* stmt);

// What one sentence says.
struct StepParts {
  db::pb::PlanOperation operation = db::pb::PLAN_OPERATION_UNSPECIFIED;
  std::string name;       // of what it reads or makes, as the plan calls it
  std::string index;      // PRIMARY KEY for the table's own
  std::string condition;  // of a lookup
  std::string purpose;    // of a sort: ORDER BY, GROUP BY, DISTINCT
  bool covering = false;
  bool automatic = false;  // the index is built for this execution
  bool makes = false;      // the rows that others then read under this name
};

StepParts PartsOf(absl::string_view detail);

// The columns that a condition compares, and with which operator.
struct ComparedColumn {
  std::string name;
  char comparison = '=';
};

std::vector<ComparedColumn> ColumnsOf(absl::string_view condition);

// The tree of the steps, under a root that is the statement.
db::pb::PlanNode TreeOf(const std::vector<PlanStep>& steps, const PlanNames& names);

// The tree as the engine's own shell shows it.
std::string TextOf(const db::pb::PlanNode& root);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_PLAN_H_
