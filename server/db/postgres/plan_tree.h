// The plan that the server writes for programs, as the contract has it.
#ifndef SLUICE_SERVER_DB_POSTGRES_PLAN_TREE_H_
#define SLUICE_SERVER_DB_POSTGRES_PLAN_TREE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "sluice/v1/query.pb.h"

namespace sluice::postgres {

namespace pb = ::sluice::v1;

// Reads what EXPLAIN (FORMAT JSON) answered; empty: the statement has no plan. The text is laid out
// as the server's own. Error: INTERNAL, for what is no plan.
absl::StatusOr<pb::ExplainResponse> ReadPlan(absl::string_view json);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_PLAN_TREE_H_
