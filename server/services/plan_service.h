// PlanService: what a statement takes and gives, and how it would be run. Part of QueryService.
#ifndef SLUICE_SERVER_SERVICES_PLAN_SERVICE_H_
#define SLUICE_SERVER_SERVICES_PLAN_SERVICE_H_

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/core/connections.h"
#include "sluice/v1/query.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// Owned by the app, which outlives every call; constant, so any executor.
class PlanService {
 public:
  // A Value of a request may hold others `value_depth` deep.
  PlanService(core::Connections& connections, int value_depth)
      : connections_(connections), value_depth_(value_depth) {}

  Task<absl::StatusOr<pb::DescribeResponse>> Describe(const Context& ctx,
                                                      const pb::DescribeRequest& request);

  Task<absl::StatusOr<pb::ExplainResponse>> Explain(const Context& ctx,
                                                    const pb::ExplainRequest& request);

 private:
  core::Connections& connections_;
  const int value_depth_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_PLAN_SERVICE_H_
