#include "server/db/postgres/plan_tree.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"
#include "server/db/postgres/plan_findings.h"

namespace sluice::postgres {
namespace {

using Json = nlohmann::json;

// Deeper steps hang on the last that fits: a message of more levels could not be parsed.
constexpr int kDeepest = 40;
// What is deeper, or comes later, is left out.
constexpr int kDeepestRead = 500;
constexpr int kMostSteps = 10'000;
constexpr size_t kMostJsonBytes = 1 << 20;

struct Operation {
  absl::string_view node;
  pb::PlanOperation operation;
};

constexpr Operation kOperations[] = {
    {"Seq Scan", pb::PLAN_OPERATION_SCAN},
    {"Sample Scan", pb::PLAN_OPERATION_SCAN},
    {"Foreign Scan", pb::PLAN_OPERATION_SCAN},
    {"Custom Scan", pb::PLAN_OPERATION_SCAN},
    {"Function Scan", pb::PLAN_OPERATION_SCAN},
    {"Table Function Scan", pb::PLAN_OPERATION_SCAN},
    {"Values Scan", pb::PLAN_OPERATION_SCAN},
    {"CTE Scan", pb::PLAN_OPERATION_SCAN},
    {"WorkTable Scan", pb::PLAN_OPERATION_SCAN},
    {"Named Tuplestore Scan", pb::PLAN_OPERATION_SCAN},
    {"Index Scan", pb::PLAN_OPERATION_SCAN},
    {"Index Only Scan", pb::PLAN_OPERATION_SCAN},
    {"Bitmap Index Scan", pb::PLAN_OPERATION_SCAN},
    {"Bitmap Heap Scan", pb::PLAN_OPERATION_SEARCH},
    {"Tid Scan", pb::PLAN_OPERATION_SEARCH},
    {"Tid Range Scan", pb::PLAN_OPERATION_SEARCH},
    {"Subquery Scan", pb::PLAN_OPERATION_SUBQUERY},
    {"Nested Loop", pb::PLAN_OPERATION_JOIN},
    {"Hash Join", pb::PLAN_OPERATION_JOIN},
    {"Merge Join", pb::PLAN_OPERATION_JOIN},
    {"Sort", pb::PLAN_OPERATION_SORT},
    {"Incremental Sort", pb::PLAN_OPERATION_SORT},
    {"Append", pb::PLAN_OPERATION_COMBINE},
    {"Merge Append", pb::PLAN_OPERATION_COMBINE},
    {"SetOp", pb::PLAN_OPERATION_COMBINE},
    {"Recursive Union", pb::PLAN_OPERATION_COMBINE},
    {"BitmapAnd", pb::PLAN_OPERATION_COMBINE},
    {"BitmapOr", pb::PLAN_OPERATION_COMBINE},
    {"Aggregate", pb::PLAN_OPERATION_AGGREGATE},
    {"Group", pb::PLAN_OPERATION_AGGREGATE},
    {"WindowAgg", pb::PLAN_OPERATION_AGGREGATE},
    {"Unique", pb::PLAN_OPERATION_AGGREGATE},
    {"Limit", pb::PLAN_OPERATION_LIMIT},
    {"ModifyTable", pb::PLAN_OPERATION_MODIFY},
    {"LockRows", pb::PLAN_OPERATION_MODIFY},
    {"Gather", pb::PLAN_OPERATION_GATHER},
    {"Gather Merge", pb::PLAN_OPERATION_GATHER},
    {"Materialize", pb::PLAN_OPERATION_MATERIALIZE},
    {"Memoize", pb::PLAN_OPERATION_MATERIALIZE},
    {"Hash", pb::PLAN_OPERATION_MATERIALIZE},
};

// Where a step says what it reads: the first that it has.
constexpr absl::string_view kSources[] = {"Relation Name", "Function Name", "Table Function Name",
                                          "CTE Name", "Tuplestore Name"};

constexpr absl::string_view kConditions[] = {"Index Cond", "TID Cond", "Hash Cond", "Merge Cond"};

constexpr absl::string_view kFilters[] = {"Filter", "Join Filter", "One-Time Filter"};

constexpr absl::string_view kRemoved[] = {"Rows Removed by Filter", "Rows Removed by Join Filter",
                                          "Rows Removed by Index Recheck"};

// What a line of its own tells in the text, beside its step.
constexpr absl::string_view kLines[] = {
    "Sort Key",         "Presorted Key",
    "Group Key",        "Hash Key",
    "Index Cond",       "Recheck Cond",
    "TID Cond",         "Hash Cond",
    "Merge Cond",       "Join Filter",
    "Filter",           "One-Time Filter",
    "Order By",         "Cache Key",
    "Cache Mode",       "Conflict Resolution",
    "Workers Planned",  "Conflict Arbiter Indexes",
    "Workers Launched", "Subplans Removed",
    "Sort Method",      "Rows Removed by Index Recheck",
    "Sort Space Used",  "Rows Removed by Filter",
    "Heap Fetches",     "Rows Removed by Join Filter",
    "Hash Batches",     "Peak Memory Usage",
};

const Json* Find(const Json& object, absl::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(std::string(key));
  return found == object.end() ? nullptr : &*found;
}

std::string TextOf(const Json& object, absl::string_view key) {
  const Json* const value = Find(object, key);
  const auto* const text = value == nullptr ? nullptr : value->get_ptr<const std::string*>();
  return text == nullptr ? "" : *text;
}

double NumberOf(const Json& object, absl::string_view key) {
  const Json* const value = Find(object, key);
  return value != nullptr && value->is_number() ? value->get<double>() : 0;
}

bool Holds(const Json& object, absl::string_view key) {
  const Json* const value = Find(object, key);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

int64_t CountOf(const Json& object, absl::string_view key) {
  const Json* const value = Find(object, key);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : 0;
}

// Those of several conditions that there are.
template <size_t n>
std::string Joined(const Json& object, const absl::string_view (&keys)[n]) {
  std::vector<std::string> all;
  for (const absl::string_view key : keys) {
    if (std::string text = TextOf(object, key); !text.empty()) all.push_back(std::move(text));
  }
  return absl::StrJoin(all, " AND ");
}

google::protobuf::Duration DurationOf(double milliseconds) {
  const auto nanoseconds = static_cast<int64_t>(milliseconds * 1e6);
  google::protobuf::Duration duration;
  duration.set_seconds(nanoseconds / 1'000'000'000);
  duration.set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  return duration;
}

// `Hash Left Join`, `GroupAggregate`, `Insert`: a step as the server's text calls it.
std::string NameOf(const Json& step) {
  const std::string type = TextOf(step, "Node Type");
  const std::string strategy = TextOf(step, "Strategy");
  std::string name = type;
  if (type == "Aggregate") {
    const absl::string_view how = strategy == "Sorted"   ? "Group"
                                  : strategy == "Hashed" ? "Hash"
                                  : strategy == "Mixed"  ? "Mixed"
                                                         : "";
    const std::string mode = TextOf(step, "Partial Mode");
    const bool partial = mode == "Partial" || mode == "Finalize";
    name = absl::StrCat(partial ? mode : "", partial ? " " : "", how, "Aggregate");
  } else if (type == "SetOp") {
    name = absl::StrCat(strategy == "Hashed" ? "Hash" : "", "SetOp ", TextOf(step, "Command"));
  } else if (type == "ModifyTable") {
    name = TextOf(step, "Operation");
  }
  const std::string join = TextOf(step, "Join Type");
  if (!join.empty() && join != "Inner") {
    const absl::string_view bare = absl::EndsWith(name, " Join")
                                       ? absl::string_view(name).substr(0, name.size() - 5)
                                       : absl::string_view(name);
    name = absl::StrCat(bare, " ", join, " Join");
  }
  return absl::StrCat(Holds(step, "Parallel Aware") ? "Parallel " : "", name,
                      TextOf(step, "Scan Direction") == "Backward" ? " Backward" : "");
}

std::string SourceOf(const Json& step) {
  for (const absl::string_view key : kSources) {
    if (std::string name = TextOf(step, key); !name.empty()) return name;
  }
  return "";
}

// A name as the server's text has it: in quotes unless it is a plain one. Keywords are not known.
std::string Quoted(const std::string& name) {
  const auto plain = [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_';
  };
  const bool bare =
      !name.empty() && plain(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
        return plain(c) || absl::ascii_isdigit(static_cast<unsigned char>(c));
      });
  return bare ? name : absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

// `Index Scan using track_album on track t`
std::string DetailOf(const Json& step) {
  std::string detail = NameOf(step);
  const std::string index = TextOf(step, "Index Name");
  const bool bitmap = TextOf(step, "Node Type") == "Bitmap Index Scan";
  if (!index.empty()) absl::StrAppend(&detail, bitmap ? " on " : " using ", Quoted(index));
  const std::string source = SourceOf(step);
  const std::string alias = TextOf(step, "Alias");
  if (!source.empty()) absl::StrAppend(&detail, " on ", Quoted(source));
  if (!alias.empty() && alias != source) {
    absl::StrAppend(&detail, source.empty() ? " on " : " ", Quoted(alias));
  }
  return detail;
}

pb::PlanOperation OperationOf(const Json& step) {
  const std::string type = TextOf(step, "Node Type");
  const auto found =
      std::find_if(std::begin(kOperations), std::end(kOperations),
                   [&](const Operation& each) { return absl::string_view(type) == each.node; });
  if (found == std::end(kOperations)) return pb::PLAN_OPERATION_UNSPECIFIED;
  const bool looks_up =
      found->operation == pb::PLAN_OPERATION_SCAN && Find(step, "Index Cond") != nullptr;
  return looks_up ? pb::PLAN_OPERATION_SEARCH : found->operation;
}

void FillMeasurement(const Json& step, pb::PlanMeasurement& measured) {
  measured.set_loops(CountOf(step, "Actual Loops"));
  if (measured.loops() == 0) return;
  measured.set_rows(NumberOf(step, "Actual Rows"));
  double removed = 0;
  for (const absl::string_view key : kRemoved) removed += NumberOf(step, key);
  measured.set_rows_removed(removed);
  *measured.mutable_startup_time() = DurationOf(NumberOf(step, "Actual Startup Time"));
  *measured.mutable_total_time() = DurationOf(NumberOf(step, "Actual Total Time"));
  measured.set_shared_hit_blocks(CountOf(step, "Shared Hit Blocks"));
  measured.set_shared_read_blocks(CountOf(step, "Shared Read Blocks"));
  measured.set_shared_dirtied_blocks(CountOf(step, "Shared Dirtied Blocks"));
  measured.set_shared_written_blocks(CountOf(step, "Shared Written Blocks"));
  measured.set_temp_read_blocks(CountOf(step, "Temp Read Blocks"));
  measured.set_temp_written_blocks(CountOf(step, "Temp Written Blocks"));
}

void Fill(const Json& step, pb::PlanNode& node) {
  node.set_operation(OperationOf(step));
  node.set_detail(DetailOf(step));
  node.set_table(TextOf(step, "Relation Name"));
  const std::string alias = TextOf(step, "Alias");
  if (alias != node.table()) node.set_alias(alias);
  node.set_index(TextOf(step, "Index Name"));
  const std::string type = TextOf(step, "Node Type");
  node.set_covering(type == "Index Only Scan");
  node.set_condition(Joined(step, kConditions));
  node.set_filter(Joined(step, kFilters));
  node.set_full_scan(type == "Seq Scan");
  if (Find(step, "Plan Rows") != nullptr) node.set_estimated_rows(NumberOf(step, "Plan Rows"));
  if (Find(step, "Total Cost") != nullptr) node.set_estimated_cost(NumberOf(step, "Total Cost"));
  if (Find(step, "Actual Loops") != nullptr) FillMeasurement(step, *node.mutable_measured());
}

// A value of a line; empty for what is not worth one.
std::string LineValue(const Json& value) {
  if (const auto* const text = value.get_ptr<const std::string*>()) return *text;
  if (value.is_number() && value.get<double>() != 0) return absl::StrCat(value.get<double>());
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const Json& each : value) {
      if (const auto* const part = each.get_ptr<const std::string*>()) parts.push_back(*part);
    }
  }
  return absl::StrJoin(parts, ", ");
}

std::string Estimates(const Json& step) {
  if (Find(step, "Total Cost") == nullptr) return "";
  return absl::StrFormat("  (cost=%.2f..%.2f rows=%.0f width=%.0f)", NumberOf(step, "Startup Cost"),
                         NumberOf(step, "Total Cost"), NumberOf(step, "Plan Rows"),
                         NumberOf(step, "Plan Width"));
}

std::string Actuals(const Json& step) {
  if (Find(step, "Actual Loops") == nullptr) return "";
  if (CountOf(step, "Actual Loops") == 0) return " (never executed)";
  return absl::StrFormat(" (actual time=%.3f..%.3f rows=%.10g loops=%d)",
                         NumberOf(step, "Actual Startup Time"), NumberOf(step, "Actual Total Time"),
                         NumberOf(step, "Actual Rows"), CountOf(step, "Actual Loops"));
}

std::string Blocks(const Json& step, absl::string_view kind) {
  std::string text;
  for (const absl::string_view what : {"Hit", "Read", "Dirtied", "Written"}) {
    const int64_t count = CountOf(step, absl::StrCat(kind, " ", what, " Blocks"));
    const std::string word = what == "Hit"       ? " hit="
                             : what == "Read"    ? " read="
                             : what == "Dirtied" ? " dirtied="
                                                 : " written=";
    if (count > 0) absl::StrAppend(&text, word, count);
  }
  return text;
}

std::string Buffers(const Json& step) {
  const std::string shared = Blocks(step, "Shared");
  const std::string temporary = Blocks(step, "Temp");
  return absl::StrCat(shared.empty() ? "" : "shared", shared,
                      shared.empty() || temporary.empty() ? "" : ", ",
                      temporary.empty() ? "" : "temp", temporary);
}

// TreeMaker: reads the steps, each into a node of the tree and into lines of the text.
class TreeMaker {
 public:
  explicit TreeMaker(pb::ExplainResponse& response) : response_(response) {
    response.mutable_plan()->set_operation(pb::PLAN_OPERATION_STATEMENT);
    response.mutable_plan()->set_detail("QUERY PLAN");
    response.set_text("QUERY PLAN");
  }

  void AddRoot(const Json& step) { Add(step, Place{response_.mutable_plan(), 1, 1, "", true}); }

  void AddLine(absl::string_view indent, absl::string_view line) {
    absl::StrAppend(response_.mutable_text(), "\n", indent, line);
  }

 private:
  struct Place {
    pb::PlanNode* above;
    int depth;  // of the node, in the message
    int level;  // of the step, in the plan
    std::string indent;
    bool top;  // it has no arrow
  };

  void Add(const Json& step, Place place) {
    if (!step.is_object() || place.level > kDeepestRead || ++steps_ > kMostSteps) return;
    AddSubplan(step, place);
    pb::PlanNode& node = *place.above->add_children();
    Fill(step, node);
    AddLine(place.indent,
            absl::StrCat(place.top ? "" : "->  ", node.detail(), Estimates(step), Actuals(step)));
    const std::string inner = absl::StrCat(place.indent, place.top ? "  " : "      ");
    for (const absl::string_view key : kLines) {
      const Json* const value = Find(step, key);
      const std::string line = value == nullptr ? "" : LineValue(*value);
      if (!line.empty()) AddLine(inner, absl::StrCat(key, ": ", line));
    }
    if (const std::string buffers = Buffers(step); !buffers.empty()) {
      AddLine(inner, absl::StrCat("Buffers: ", buffers));
    }
    const Json* const children = Find(step, "Plans");
    if (children == nullptr || !children->is_array()) return;
    const bool fits = place.depth < kDeepest;
    for (const Json& child : *children) {
      Add(child, Place{fits ? &node : place.above, fits ? place.depth + 1 : place.depth,
                       place.level + 1, inner, false});
    }
  }

  // `InitPlan 1 (returns $0)`, `CTE t`: a query inside the query has a node of its own.
  void AddSubplan(const Json& step, Place& place) {
    const std::string name = TextOf(step, "Subplan Name");
    if (name.empty()) return;
    AddLine(place.indent, name);
    absl::StrAppend(&place.indent, "  ");
    if (place.depth >= kDeepest) return;
    pb::PlanNode& node = *place.above->add_children();
    node.set_operation(pb::PLAN_OPERATION_SUBQUERY);
    node.set_detail(name);
    if (absl::StartsWith(name, "CTE ")) node.set_alias(name.substr(4));
    place.above = &node;
    ++place.depth;
  }

  pb::ExplainResponse& response_;
  int steps_ = 0;
};

// What a statement with rules became is several plans.
void AddTimes(const Json& query, TreeMaker& maker, pb::ExplainResponse& response) {
  const Json* const triggers = Find(query, "Triggers");
  if (triggers != nullptr && triggers->is_array()) {
    for (const Json& each : *triggers) {
      maker.AddLine("",
                    absl::StrFormat("Trigger %s: time=%.3f calls=%d", TextOf(each, "Trigger Name"),
                                    NumberOf(each, "Time"), CountOf(each, "Calls")));
    }
  }
  if (Find(query, "Execution Time") == nullptr) return;
  const double planning = NumberOf(query, "Planning Time");
  const double execution = NumberOf(query, "Execution Time");
  maker.AddLine("", absl::StrFormat("Planning Time: %.3f ms", planning));
  maker.AddLine("", absl::StrFormat("Execution Time: %.3f ms", execution));
  *response.mutable_planning_time() = DurationOf(planning);
  *response.mutable_execution_time() = DurationOf(execution);
}

}  // namespace

absl::StatusOr<pb::ExplainResponse> ReadPlan(absl::string_view json) {
  pb::ExplainResponse response;
  TreeMaker maker(response);
  if (json.empty()) {
    maker.AddLine("", "The server makes no plan for this statement.");
    return response;
  }
  // A database without an encoding may have names of any bytes.
  const std::string_view view(json.data(), json.size());
  const std::string text =
      IsValidUtf8(view) ? std::string(view) : SanitizeForMessage(view, 4 * view.size());
  const Json queries = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!queries.is_array()) return errors::Internal("A plan that is no JSON array");
  for (const Json& query : queries) {
    if (const Json* const plan = Find(query, "Plan")) maker.AddRoot(*plan);
    AddTimes(query, maker, response);
  }
  for (pb::PlanFinding& finding : FindingsOf(response.plan())) {
    *response.add_findings() = std::move(finding);
  }
  if (text.size() <= kMostJsonBytes) response.set_json(text);
  return response;
}

}  // namespace sluice::postgres
