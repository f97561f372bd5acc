#include "server/db/sqlite/plan.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <sqlite3.h>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/db/sqlite/question.h"
#include "server/db/sqlite/schema_sql.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

constexpr absl::string_view kOwnKey = "PRIMARY KEY";
// Deeper steps hang on the last that fits: a message of more levels could not be parsed.
constexpr int kDeepest = 40;

struct Wording {
  absl::string_view begin;
  pb::PlanOperation operation;
};

// Sentences that say nothing more; the first that fits.
constexpr Wording kWordings[] = {
    {"MULTI-INDEX OR", pb::PLAN_OPERATION_COMBINE},
    {"COMPOUND QUERY", pb::PLAN_OPERATION_COMBINE},
    {"MERGE (", pb::PLAN_OPERATION_COMBINE},
    {"UNION", pb::PLAN_OPERATION_COMBINE},
    {"INTERSECT", pb::PLAN_OPERATION_COMBINE},
    {"EXCEPT", pb::PLAN_OPERATION_COMBINE},
    {"LEFT-MOST SUBQUERY", pb::PLAN_OPERATION_SUBQUERY},
    {"SCALAR SUBQUERY", pb::PLAN_OPERATION_SUBQUERY},
    {"LIST SUBQUERY", pb::PLAN_OPERATION_SUBQUERY},
    {"REUSE LIST SUBQUERY", pb::PLAN_OPERATION_SUBQUERY},
    {"CORRELATED ", pb::PLAN_OPERATION_SUBQUERY},
};

bool Take(absl::string_view& text, absl::string_view begin) {
  return absl::ConsumePrefix(&text, begin);
}

// What stands before the first of the separators, which stays.
std::string TakeUntil(absl::string_view& text,
                      std::initializer_list<absl::string_view> separators) {
  size_t end = text.size();
  for (const absl::string_view separator : separators) {
    end = std::min(end, text.find(separator));
  }
  std::string taken(text.substr(0, end));
  text.remove_prefix(taken.size());
  return taken;
}

// `track USING COVERING INDEX by_album (AlbumId=? AND rowid>?) LEFT-JOIN`
void ReadLookup(absl::string_view text, StepParts& parts) {
  absl::ConsumeSuffix(&text, " LEFT-JOIN");
  parts.name = TakeUntil(text, {" USING ", " VIRTUAL TABLE INDEX "});
  if (!Take(text, " USING ")) return;
  if (Take(text, "INTEGER PRIMARY KEY") || Take(text, "PRIMARY KEY")) {
    parts.index = std::string(kOwnKey);
  } else {
    parts.automatic = Take(text, "AUTOMATIC ");
    Take(text, "PARTIAL ");
    parts.covering = Take(text, "COVERING ");
    Take(text, "INDEX");
    if (!parts.automatic && Take(text, " ")) parts.index = TakeUntil(text, {" ("});
  }
  text = absl::StripLeadingAsciiWhitespace(text);
  if (Take(text, "(") && absl::ConsumeSuffix(&text, ")")) parts.condition = std::string(text);
}

// `USING INDEX by_album FOR IN-OPERATOR`, `USING ROWID SEARCH ON TABLE album FOR IN-OPERATOR`
bool ReadInOperator(absl::string_view text, StepParts& parts) {
  if (!Take(text, "USING ") || !absl::ConsumeSuffix(&text, " FOR IN-OPERATOR")) return false;
  parts.operation = pb::PLAN_OPERATION_SEARCH;
  if (Take(text, "ROWID SEARCH ON TABLE ")) {
    parts.name = std::string(text);
    parts.index = std::string(kOwnKey);
  } else {
    Take(text, "COVERING ");
    Take(text, "INDEX ");
    parts.index = std::string(text);
  }
  return true;
}

bool IsConstant(absl::string_view scanned) {
  return absl::EndsWith(scanned, "CONSTANT ROW") || absl::EndsWith(scanned, " CONSTANT ROWS");
}

// TreeMaker: hangs the steps under one another.
class TreeMaker {
 public:
  TreeMaker(const std::vector<PlanStep>& steps, const PlanNames& names)
      : steps_(steps), names_(names) {
    for (const PlanStep& step : steps) {
      const StepParts parts = PartsOf(step.detail);
      if (parts.makes) made_.insert(absl::AsciiStrToLower(parts.name));
    }
  }

  pb::PlanNode Make() {
    pb::PlanNode root;
    root.set_operation(pb::PLAN_OPERATION_STATEMENT);
    root.set_detail("QUERY PLAN");
    places_[0] = Place{&root, 1};
    for (const PlanStep& step : steps_) {
      const auto parent = places_.find(step.parent);
      const Place above = parent == places_.end() ? places_[0] : parent->second;
      pb::PlanNode* const node = above.node->add_children();
      Describe(step, *node);
      places_[step.id] = above.depth < kDeepest ? Place{node, above.depth + 1} : above;
    }
    return root;
  }

 private:
  struct Place {
    pb::PlanNode* node = nullptr;
    int depth = 0;
  };

  void Describe(const PlanStep& step, pb::PlanNode& node) const {
    StepParts parts = PartsOf(step.detail);
    node.set_operation(parts.operation);
    node.set_detail(Shown(step.detail));
    node.set_index(Shown(parts.index));
    node.set_covering(parts.covering);
    node.set_condition(Shown(parts.condition));
    if (parts.name.empty() && parts.index.empty()) return;
    const SchemaObject* const table = TableOf(step, parts);
    if (table != nullptr) node.set_table(Shown(table->name));
    if (table == nullptr || (parts.name != table->name && !parts.name.empty())) {
      node.set_alias(Shown(parts.name));
    }
    if (absl::EqualsIgnoreCase(node.alias(), node.table()) ||
        node.alias() == absl::StrCat("main.", node.table())) {
      node.clear_alias();
    }
    node.set_full_scan(parts.operation == pb::PLAN_OPERATION_SCAN && table != nullptr &&
                       !IsVirtual(*table) && !IsPartial(parts.index));
  }

  const SchemaObject* TableOf(const PlanStep& step, const StepParts& parts) const {
    if (const SchemaObject* const table = names_.TableWith(parts.index)) return table;
    if (step.table.has_value()) return names_.TableOf(parts.name, *step.table);
    const bool made = made_.contains(absl::AsciiStrToLower(parts.name));
    return made ? nullptr : names_.TableOf(parts.name);
  }

  static bool IsVirtual(const SchemaObject& table) {
    return absl::StartsWithIgnoreCase(table.sql, "CREATE VIRTUAL");
  }

  // Such an index does not lead to every row.
  bool IsPartial(absl::string_view name) const {
    const SchemaObject* const index = names_.FindIndex(name);
    return index != nullptr && !ReadIndex(index->sql).predicate.empty();
  }

  const std::vector<PlanStep>& steps_;
  const PlanNames& names_;
  absl::flat_hash_set<std::string> made_;  // names of subqueries, views and the like
  absl::flat_hash_map<int, Place> places_;
};

void AppendLines(const pb::PlanNode& node, const std::string& indent, std::string& text) {
  for (int i = 0; i < node.children_size(); ++i) {
    const bool last = i + 1 == node.children_size();
    absl::StrAppend(&text, "\n", indent, last ? "`--" : "|--", node.children(i).detail());
    AppendLines(node.children(i), indent + (last ? "   " : "|  "), text);
  }
}

}  // namespace

PlanStep StepOf(sqlite3_stmt* stmt) {
  PlanStep step;
  step.id = sqlite3_column_int(stmt, 0);
  step.parent = sqlite3_column_int(stmt, 1);
  const auto* const detail = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 3));
  if (detail != nullptr) step.detail = detail;
  return step;
}

Instruction InstructionOf(sqlite3_stmt* stmt) {
  const auto* const opcode = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 1));
  const auto* const p4 = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 5));
  return {.address = sqlite3_column_int(stmt, 0),
          .opcode = opcode == nullptr ? "" : opcode,
          .p1 = sqlite3_column_int(stmt, 2),
          .p2 = sqlite3_column_int(stmt, 3),
          .p3 = sqlite3_column_int(stmt, 4),
          .p4 = p4 == nullptr ? "" : p4};
}

StepParts PartsOf(absl::string_view detail) {
  StepParts parts;
  absl::string_view text = detail;
  if (Take(text, "SCAN ")) {
    parts.operation = pb::PLAN_OPERATION_SCAN;
    if (!IsConstant(text)) ReadLookup(text, parts);
    return parts;
  }
  if (Take(text, "SEARCH ")) {
    parts.operation = pb::PLAN_OPERATION_SEARCH;
    ReadLookup(text, parts);
    return parts;
  }
  if (Take(text, "CO-ROUTINE ") || Take(text, "MATERIALIZE ")) {
    parts.operation = pb::PLAN_OPERATION_SUBQUERY;
    parts.name = std::string(text);
    parts.makes = true;
    return parts;
  }
  if (Take(text, "USE TEMP B-TREE FOR ")) {
    parts.operation = pb::PLAN_OPERATION_SORT;
    parts.purpose = std::string(text);
    return parts;
  }
  if (ReadInOperator(text, parts)) return parts;
  const auto known =
      std::find_if(std::begin(kWordings), std::end(kWordings),
                   [text](const Wording& each) { return absl::StartsWith(text, each.begin); });
  if (known != std::end(kWordings)) parts.operation = known->operation;
  return parts;
}

std::vector<ComparedColumn> ColumnsOf(absl::string_view condition) {
  std::vector<ComparedColumn> columns;
  if (condition.empty()) return columns;
  for (const absl::string_view term : absl::StrSplit(condition, " AND ")) {
    const size_t end = term.find_last_of("=<>");
    if (end == absl::string_view::npos || end == 0) continue;
    columns.push_back({.name = std::string(term.substr(0, end)), .comparison = term[end]});
  }
  return columns;
}

pb::PlanNode TreeOf(const std::vector<PlanStep>& steps, const PlanNames& names) {
  return TreeMaker(steps, names).Make();
}

std::string TextOf(const pb::PlanNode& root) {
  std::string text = root.detail();
  AppendLines(root, "", text);
  return text;
}

}  // namespace sluice::sqlite
