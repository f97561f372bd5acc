#include "server/db/sqlite/index_advice.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/db/sqlite/findings.h"
#include "server/db/sqlite/plan.h"
#include "server/db/sqlite/policy.h"
#include "server/db/sqlite/question.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

constexpr size_t kMostCandidates = 64;

// An index that is tried.
struct Candidate {
  std::string name;  // in the copy
  std::string table;
  std::vector<std::string> columns;
};

using Candidates = std::vector<Candidate>;

std::string CreateIndex(absl::string_view name, const Candidate& candidate) {
  const auto quoted = [](std::string* out, const std::string& column) {
    out->append(QuotedName(column));
  };
  return absl::StrCat("CREATE INDEX ", QuotedName(name), " ON ", QuotedName(candidate.table), " (",
                      absl::StrJoin(candidate.columns, ", ", quoted), ")");
}

// How much sorting there is; what is sorted already in part counts half.
int SortsIn(const pb::PlanNode& plan) {
  int sorts = 0;
  ForEachStep(plan, [&sorts](const pb::PlanNode& node) {
    if (node.operation() != pb::PLAN_OPERATION_SORT) return;
    sorts += absl::StrContains(node.detail(), "ORDER BY") &&
                     !absl::StrContains(node.detail(), "FOR ORDER BY")
                 ? 1
                 : 2;
  });
  return sorts;
}

int FullScansIn(const pb::PlanNode& plan) {
  int scans = 0;
  ForEachStep(plan, [&scans](const pb::PlanNode& node) { scans += node.full_scan() ? 1 : 0; });
  return scans;
}

// A lookup that names neither index nor condition: the lowest or highest of all rows.
bool IsExtreme(const pb::PlanNode& node) {
  return node.operation() == pb::PLAN_OPERATION_SEARCH && node.condition().empty() &&
         !absl::StrContains(node.detail(), " VIRTUAL TABLE ");
}

class Advisor {
 public:
  Advisor(const AdviceCase& subject, const Watch& watch)
      : subject_(subject), copy_(watch), sorts_(SortsIn(subject.plan)) {}

  void Advise(std::vector<pb::PlanFinding>& findings) {
    const std::vector<std::string> tables = TablesToHelp();
    if (tables.empty() || !copy_.Load(subject_.objects, subject_.statistics)) return;
    Candidates tried;
    for (const std::string& table : tables) AddSingles(table, tried);
    Candidates chosen = TrySingles(tried);
    if (chosen.empty()) return;
    chosen = Widen(std::move(chosen));
    const std::optional<pb::PlanNode> plan = PlanWith(chosen);
    if (!plan.has_value() || copy_.ended()) return;
    chosen = Useful(chosen, *plan, sorts_, 1);
    Report(chosen, FindingsOf(*plan, subject_.names), findings);
  }

 private:
  // Those of slow steps; behind them, where there is a full scan, all others of the statement: it
  // may be one of these that should come first. None if no step is slow.
  std::vector<std::string> TablesToHelp() const {
    absl::btree_set<std::string> slow;
    absl::btree_set<std::string> others;
    ForEachStep(subject_.plan, [&](const pb::PlanNode& node) {
      const bool helped = node.full_scan() || IsExtreme(node) || PartsOf(node.detail()).automatic;
      if (!node.table().empty()) (helped ? slow : others).insert(node.table());
    });
    std::vector<std::string> tables(slow.begin(), slow.end());
    if (FullScansIn(subject_.plan) == 0) return tables;
    std::set_difference(others.begin(), others.end(), slow.begin(), slow.end(),
                        std::back_inserter(tables));
    return tables;
  }

  // Columns that the statement speaks of.
  std::vector<std::string> ColumnsToTry(const std::string& table) {
    std::vector<std::string> columns =
        copy_.Names("SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1", table);
    if (subject_.names.Mentions("natural")) return columns;
    columns.erase(std::remove_if(columns.begin(), columns.end(),
                                 [this](const std::string& column) {
                                   return !subject_.names.Mentions(column);
                                 }),
                  columns.end());
    return columns;
  }

  // Without those by which rows can be found already.
  void AddSingles(const std::string& table, Candidates& tried) {
    std::vector<std::string> led = copy_.Names(
        "SELECT part.name FROM pragma_index_list(?) AS list, pragma_index_xinfo(list.name) AS part"
        " WHERE list.partial = 0 AND part.seqno = 0",
        table);
    const std::vector<std::string> rowid = copy_.Names(
        "SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 AND type = 'INTEGER' COLLATE NOCASE",
        table);
    if (rowid.size() == 1) led.push_back(rowid.front());
    for (std::string& column : ColumnsToTry(table)) {
      const bool found = std::any_of(led.begin(), led.end(), [&column](const std::string& each) {
        return absl::EqualsIgnoreCase(each, column);
      });
      if (!found) Add(table, {std::move(column)}, tried);
    }
  }

  void Add(const std::string& table, std::vector<std::string> columns, Candidates& tried) {
    if (tried.size() >= kMostCandidates) return;
    tried.push_back({.name = absl::StrCat(kReservedPrefix, ++made_),
                     .table = table,
                     .columns = std::move(columns)});
  }

  // The plan with these indexes and no others that are tried.
  std::optional<pb::PlanNode> PlanWith(const Candidates& candidates) {
    for (const Candidate& candidate : candidates) {
      if (!copy_.ended()) copy_.Run(CreateIndex(candidate.name, candidate));
    }
    std::optional<pb::PlanNode> plan;
    if (const auto steps = copy_.Plan(subject_.sql, subject_.values)) {
      plan = TreeOf(*steps, subject_.names);
    }
    for (const Candidate& candidate : candidates) {
      copy_.Run(absl::StrCat("DROP INDEX IF EXISTS ", QuotedName(candidate.name)));
    }
    return plan;
  }

  // The candidates by which the plan looks up rows, with so many terms, or that spare sorting.
  Candidates Useful(const Candidates& candidates,
                    const pb::PlanNode& plan,
                    int sorts,
                    size_t terms) const {
    const bool sorts_less = SortsIn(plan) < sorts;
    Candidates useful;
    for (const Candidate& candidate : candidates) {
      bool used = false;
      ForEachStep(plan, [&](const pb::PlanNode& node) {
        if (node.index() != candidate.name || absl::StartsWith(node.detail(), "USING ")) return;
        used = used || LooksUp(node, terms) || sorts_less;
      });
      if (used) useful.push_back(candidate);
    }
    return useful;
  }

  static bool LooksUp(const pb::PlanNode& node, size_t terms) {
    return ColumnsOf(node.condition()).size() >= terms || (terms == 1 && IsExtreme(node));
  }

  // Which of them the plan reads from one end to the other, for their order.
  static Candidates Scanned(const Candidates& candidates, const pb::PlanNode& plan) {
    Candidates scanned;
    for (const Candidate& candidate : candidates) {
      bool found = false;
      ForEachStep(plan, [&](const pb::PlanNode& node) {
        found = found || (node.full_scan() && node.index() == candidate.name);
      });
      if (found) scanned.push_back(candidate);
    }
    return scanned;
  }

  // An index that spares a sort may hide another that spares the scan, which is worth more.
  Candidates TrySingles(const Candidates& tried) {
    const std::optional<pb::PlanNode> plan = PlanWith(tried);
    if (!plan.has_value() || copy_.ended()) return {};
    Candidates chosen = Useful(tried, *plan, sorts_, /*terms=*/1);
    const Candidates scanned = Scanned(chosen, *plan);
    if (scanned.empty()) return chosen;
    const auto is_scanned = [&scanned](const Candidate& each) {
      return std::any_of(scanned.begin(), scanned.end(),
                         [&each](const Candidate& one) { return one.name == each.name; });
    };
    Candidates rest;
    std::remove_copy_if(tried.begin(), tried.end(), std::back_inserter(rest), is_scanned);
    const std::optional<pb::PlanNode> other = PlanWith(rest);
    if (!other.has_value() || FullScansIn(*other) >= FullScansIn(*plan)) return chosen;
    return Useful(rest, *other, sorts_, /*terms=*/1);
  }

  Candidates Try(Candidates candidates, int sorts, size_t terms) {
    const std::optional<pb::PlanNode> plan = PlanWith(candidates);
    if (!plan.has_value() || copy_.ended()) return {};
    return Useful(candidates, *plan, sorts, terms);
  }

  // Each index with a second column, where that makes it find fewer rows, or spares a sort.
  Candidates Widen(Candidates narrow) {
    const std::optional<pb::PlanNode> now = PlanWith(narrow);
    if (!now.has_value()) return narrow;
    Candidates tried;
    for (const Candidate& each : narrow) {
      for (std::string& column : ColumnsToTry(each.table)) {
        if (column != each.columns[0]) Add(each.table, {each.columns[0], std::move(column)}, tried);
      }
    }
    const Candidates wide = Try(std::move(tried), SortsIn(*now), /*terms=*/2);
    for (const Candidate& each : wide) {
      const auto replaced = std::find_if(narrow.begin(), narrow.end(), [&](const Candidate& one) {
        return one.table == each.table && one.columns[0] == each.columns[0];
      });
      if (replaced != narrow.end()) *replaced = each;
    }
    return narrow;
  }

  std::string NameFor(const Candidate& candidate) const {
    const std::string name =
        absl::StrCat("idx_", candidate.table, "_", absl::StrJoin(candidate.columns, "_"));
    std::string free = name;
    for (int i = 2; subject_.names.IsTaken(free); ++i) free = absl::StrCat(name, "_", i);
    return free;
  }

  void Report(const Candidates& chosen,
              const std::vector<pb::PlanFinding>& left,
              std::vector<pb::PlanFinding>& findings) const {
    absl::btree_map<std::string, std::vector<std::string>> by_table;
    std::vector<pb::PlanFinding> missing;
    for (const Candidate& candidate : chosen) {
      pb::PlanFinding& finding = missing.emplace_back();
      finding.set_kind(pb::PlanFinding::KIND_MISSING_INDEX);
      finding.set_table(candidate.table);
      for (const std::string& column : candidate.columns) finding.add_columns(column);
      finding.set_message(absl::StrCat("An index of ", candidate.table, " on (",
                                       absl::StrJoin(candidate.columns, ", "), ") would be used."));
      finding.set_suggestion(CreateIndex(NameFor(candidate), candidate));
      by_table[candidate.table].push_back(finding.suggestion());
    }
    for (pb::PlanFinding& finding : findings) {
      const bool cured = std::none_of(left.begin(), left.end(), [&](const pb::PlanFinding& each) {
        return SameFinding(each, finding);
      });
      const auto found = by_table.find(finding.table());
      if (cured && found != by_table.end() && found->second.size() == 1) {
        finding.set_suggestion(found->second.front());
      }
    }
    findings.insert(findings.end(), std::make_move_iterator(missing.begin()),
                    std::make_move_iterator(missing.end()));
  }

  const AdviceCase& subject_;
  SchemaCopy copy_;
  const int sorts_;  // of the plan as it is
  int made_ = 0;
};

}  // namespace

void AddIndexAdvice(const AdviceCase& subject,
                    const Watch& watch,
                    std::vector<pb::PlanFinding>& findings) {
  Advisor(subject, watch).Advise(findings);
}

}  // namespace sluice::sqlite
