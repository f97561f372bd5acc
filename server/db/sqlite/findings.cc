#include "server/db/sqlite/findings.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/db/sqlite/plan.h"
#include "server/db/sqlite/question.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

bool ReadsRows(const pb::PlanNode& node) {
  return node.operation() == pb::PLAN_OPERATION_SCAN ||
         node.operation() == pb::PLAN_OPERATION_SEARCH || node.detail() == "MULTI-INDEX OR";
}

// Finder: walks one tree.
class Finder {
 public:
  explicit Finder(const PlanNames& names) : names_(names) {}

  void Walk(const pb::PlanNode& parent) {
    bool inner = false;  // what reads rows here does so for each row of what came before
    for (const pb::PlanNode& node : parent.children()) {
      const StepParts parts = PartsOf(node.detail());
      if (node.full_scan() && (inner || names_.has_condition())) AddScan(node);
      if (parts.automatic) AddAutomatic(node, parts);
      if (node.operation() == pb::PLAN_OPERATION_SORT) AddSort(parent, parts);
      inner = inner || ReadsRows(node);
      Walk(node);
    }
  }

  std::vector<pb::PlanFinding> Take() {
    std::stable_sort(found_.begin(), found_.end(),
                     [](const pb::PlanFinding& a, const pb::PlanFinding& b) {
                       return Rank(a.kind()) < Rank(b.kind());
                     });
    return std::move(found_);
  }

 private:
  static int Rank(pb::PlanFinding::Kind kind) {
    switch (kind) {
      case pb::PlanFinding::KIND_FULL_SCAN:
        return 0;
      case pb::PlanFinding::KIND_AUTOMATIC_INDEX:
        return 1;
      case pb::PlanFinding::KIND_TEMPORARY_SORT:
        return 2;
      default:
        return 3;
    }
  }

  void AddScan(const pb::PlanNode& node) {
    pb::PlanFinding finding;
    finding.set_kind(pb::PlanFinding::KIND_FULL_SCAN);
    finding.set_table(node.table());
    finding.set_message(absl::StrCat("Every row of ", node.table(), " is read."));
    Add(std::move(finding));
  }

  void AddAutomatic(const pb::PlanNode& node, const StepParts& parts) {
    pb::PlanFinding finding;
    finding.set_kind(pb::PlanFinding::KIND_AUTOMATIC_INDEX);
    finding.set_table(node.table());
    for (const ComparedColumn& column : ColumnsOf(parts.condition)) {
      finding.add_columns(Shown(column.name));
    }
    finding.set_message(absl::StrCat("An index of ", node.table().empty() ? "the rows of " : "",
                                     node.table().empty() ? node.alias() : node.table(), " on (",
                                     absl::StrJoin(finding.columns(), ", "),
                                     ") is built for this one execution."));
    Add(std::move(finding));
  }

  // The rows of one table, if only one is read beside it.
  void AddSort(const pb::PlanNode& parent, const StepParts& parts) {
    pb::PlanFinding finding;
    finding.set_kind(pb::PlanFinding::KIND_TEMPORARY_SORT);
    int readers = 0;
    for (const pb::PlanNode& node : parent.children()) {
      if (!ReadsRows(node)) continue;
      ++readers;
      finding.set_table(readers == 1 ? node.table() : "");
    }
    finding.set_message(absl::StrCat("Rows", finding.table().empty() ? "" : " of ", finding.table(),
                                     " are sorted in a temporary structure, for ",
                                     Shown(parts.purpose), "."));
    Add(std::move(finding));
  }

  void Add(pb::PlanFinding finding) {
    const bool known =
        std::any_of(found_.begin(), found_.end(), [&finding](const pb::PlanFinding& each) {
          return SameFinding(each, finding) && each.message() == finding.message();
        });
    if (!known) found_.push_back(std::move(finding));
  }

  const PlanNames& names_;
  std::vector<pb::PlanFinding> found_;
};

}  // namespace

void ForEachStep(const pb::PlanNode& root, const std::function<void(const pb::PlanNode&)>& f) {
  for (const pb::PlanNode& node : root.children()) {
    f(node);
    ForEachStep(node, f);
  }
}

std::vector<pb::PlanFinding> FindingsOf(const pb::PlanNode& root, const PlanNames& names) {
  Finder finder(names);
  finder.Walk(root);
  return finder.Take();
}

bool SameFinding(const pb::PlanFinding& a, const pb::PlanFinding& b) {
  return a.kind() == b.kind() && a.table() == b.table() &&
         std::equal(a.columns().begin(), a.columns().end(), b.columns().begin(), b.columns().end());
}

}  // namespace sluice::sqlite
