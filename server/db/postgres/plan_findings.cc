#include "server/db/postgres/plan_findings.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sluice::postgres {
namespace {

// In the planner's unit, a page read in order: less is not worth a word.
constexpr double kWorthCost = 100;

bool RepeatsInner(const pb::PlanNode& node) {
  return absl::StartsWith(node.detail(), "Nested Loop");
}

// Its rows are kept, so what is below it runs once.
bool RunsOnce(const pb::PlanNode& node) {
  return node.operation() == pb::PLAN_OPERATION_MATERIALIZE ||
         node.operation() == pb::PLAN_OPERATION_SORT;
}

// The cost of the step alone.
double OwnCost(const pb::PlanNode& node) {
  double cost = node.estimated_cost();
  for (const pb::PlanNode& child : node.children()) cost -= child.estimated_cost();
  return cost;
}

// Finder: walks one tree.
class Finder {
 public:
  // `inner`: the step runs for each row of another.
  void Walk(const pb::PlanNode& node, bool inner) {
    if (node.full_scan() && node.estimated_cost() >= kWorthCost &&
        (inner || !node.filter().empty())) {
      Add(scans_, pb::PlanFinding::KIND_FULL_SCAN, node.table(),
          absl::StrCat("Every row of ", node.table(), " is read",
                       inner ? ", again for each row of another source." : "."));
    }
    if (node.operation() == pb::PLAN_OPERATION_SORT && OwnCost(node) >= kWorthCost) {
      const std::string table = node.children_size() > 0 ? node.children(0).table() : "";
      Add(sorts_, pb::PlanFinding::KIND_TEMPORARY_SORT, table,
          absl::StrCat("Rows", table.empty() ? "" : " of ", table,
                       " are sorted in a temporary structure."));
    }
    bool first = true;
    for (const pb::PlanNode& child : node.children()) {
      const bool subquery = child.operation() == pb::PLAN_OPERATION_SUBQUERY;
      const bool repeated = RepeatsInner(node) && !first && !subquery;
      Walk(child, !RunsOnce(node) && (inner || repeated));
      first = first && subquery;
    }
  }

  std::vector<pb::PlanFinding> Take() {
    std::move(sorts_.begin(), sorts_.end(), std::back_inserter(scans_));
    return std::move(scans_);
  }

 private:
  static void Add(std::vector<pb::PlanFinding>& found,
                  pb::PlanFinding::Kind kind,
                  const std::string& table,
                  std::string message) {
    const bool known = std::any_of(found.begin(), found.end(), [&](const pb::PlanFinding& each) {
      return each.message() == message;
    });
    if (known) return;
    pb::PlanFinding& finding = found.emplace_back();
    finding.set_kind(kind);
    finding.set_table(table);
    finding.set_message(std::move(message));
  }

  std::vector<pb::PlanFinding> scans_;
  std::vector<pb::PlanFinding> sorts_;
};

}  // namespace

std::vector<pb::PlanFinding> FindingsOf(const pb::PlanNode& root) {
  Finder finder;
  finder.Walk(root, false);
  return finder.Take();
}

}  // namespace sluice::postgres
