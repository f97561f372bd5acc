#include "server/services/plan_service.h"

#include "server/base/status.h"
#include "server/db/database.h"
#include "server/db/statement.h"
#include "server/services/validation.h"

namespace sluice::services {

Task<absl::StatusOr<pb::DescribeResponse>> PlanService::Describe(
    const Context& ctx, const pb::DescribeRequest& request) {
  CO_CHECK(CheckRequest(request));
  CO_TRY(const auto connection, co_await connections_.Open(ctx, request.connection_id()));
  const db::Statement statement(request.sql());
  absl::StatusOr<pb::DescribeResponse> response =
      co_await connection->database->catalog().Describe(ctx, statement);
  co_return response;
}

Task<absl::StatusOr<pb::ExplainResponse>> PlanService::Explain(const Context& ctx,
                                                               const pb::ExplainRequest& request) {
  CO_CHECK(CheckRequest(request, value_depth_));
  CO_TRY(const auto connection, co_await connections_.Open(ctx, request.connection_id()));
  const db::Statement statement(request.sql(), request.params(), request.named_params());
  absl::StatusOr<pb::ExplainResponse> response =
      co_await connection->database->catalog().Explain(ctx, statement, request.analyze());
  co_return response;
}

}  // namespace sluice::services
