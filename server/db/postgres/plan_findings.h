// Findings: what in a plan will be slow.
#ifndef SLUICE_SERVER_DB_POSTGRES_PLAN_FINDINGS_H_
#define SLUICE_SERVER_DB_POSTGRES_PLAN_FINDINGS_H_

#include <vector>

#include "sluice/v1/plan.pb.h"

namespace sluice::postgres {

namespace pb = ::sluice::v1;

// Full scans, then sorts. A scan counts where rows are looked for, by a condition or for each row
// of another source, and neither counts where it is cheap: to read a small table as a whole is
// quicker than any index.
std::vector<pb::PlanFinding> FindingsOf(const pb::PlanNode& root);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_PLAN_FINDINGS_H_
