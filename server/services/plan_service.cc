#include "server/services/plan_service.h"

#include "server/base/status.h"
#include "server/db/database.h"
#include "server/db/statement.h"
#include "server/services/param_types.h"
#include "server/services/session_options.h"
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
  db::Statement statement(request.sql(), request.params(), request.named_params());
  if (request.param_types_size() > 0) {
    CO_CHECK(CheckParamTypes(connection->engine, request.param_types(), request.params()));
    statement.param_types = &request.param_types();
  }
  if (request.has_session()) {
    CO_TRY(statement.session, SessionOf(*connection, request.session()));
  }
  absl::StatusOr<pb::ExplainResponse> response =
      co_await connection->database->catalog().Explain(ctx, statement, request.analyze());
  co_return response;
}

}  // namespace sluice::services
