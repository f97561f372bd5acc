// Findings: what in a plan will be slow.
#ifndef SLUICE_SERVER_DB_SQLITE_FINDINGS_H_
#define SLUICE_SERVER_DB_SQLITE_FINDINGS_H_

#include <functional>
#include <vector>

#include "server/db/sqlite/plan_names.h"
#include "server/db/statement.h"
#include "sluice/v1/query.pb.h"

namespace sluice::sqlite {

// Each step below the root, parents first.
void ForEachStep(const db::pb::PlanNode& root,
                 const std::function<void(const db::pb::PlanNode&)>& f);

// Full scans, automatic indexes and sorts, in this order. A scan counts where rows are looked for:
// the statement has a WHERE, or the scan is repeated for each row of another. One that reads what
// was asked for, which is everything, does not.
std::vector<db::pb::PlanFinding> FindingsOf(const db::pb::PlanNode& root, const PlanNames& names);

// Whether both are about the same thing.
bool SameFinding(const db::pb::PlanFinding& a, const db::pb::PlanFinding& b);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_FINDINGS_H_
