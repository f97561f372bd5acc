#include "server/db/postgres/catalog.h"

#include <utility>

#include "server/base/status.h"
#include "server/db/postgres/explain.h"
#include "server/db/postgres/plan_tree.h"
#include "server/db/postgres/schema.h"
#include "server/db/postgres/session_settings.h"

namespace sluice::postgres {

Task<absl::StatusOr<std::vector<pb::Schema>>> Catalog::ListSchemas(const Context& ctx) {
  using Reply = absl::StatusOr<std::vector<pb::Schema>>;
  Reply schemas = co_await backend_.Run<Reply>(
      ctx, [&](Caller& caller) { return ReadSchemas(backend_, caller); });
  co_return schemas;
}

Task<absl::StatusOr<db::TableList>> Catalog::ListTables(const Context& ctx,
                                                        db::TableFilter filter) {
  using Reply = absl::StatusOr<db::TableList>;
  Reply list = co_await backend_.Run<Reply>(
      ctx, [&](Caller& caller) { return ReadTables(backend_, caller, filter); });
  co_return list;
}

Task<absl::StatusOr<pb::DescribeTableResponse>> Catalog::DescribeTable(const Context& ctx,
                                                                       std::string schema,
                                                                       std::string table) {
  using Reply = absl::StatusOr<pb::DescribeTableResponse>;
  Reply description = co_await backend_.Run<Reply>(
      ctx, [&](Caller& caller) { return ReadTable(backend_, caller, schema, table); });
  co_return description;
}

Task<absl::StatusOr<pb::DescribeResponse>> Catalog::Describe(const Context& ctx,
                                                             db::Statement statement) {
  using Reply = absl::StatusOr<pb::DescribeResponse>;
  Reply description = co_await backend_.Run<Reply>(
      ctx, [&](Caller& caller) { return DescribeStatement(backend_, caller, statement); });
  co_return description;
}

// The plan is read here, and not on the reactor, which others wait for.
Task<absl::StatusOr<pb::ExplainResponse>> Catalog::Explain(const Context& ctx,
                                                           db::Statement statement,
                                                           bool analyze) {
  using Reply = absl::StatusOr<std::string>;
  if (statement.session != nullptr) {
    CO_CHECK(CheckSession(*statement.session, session_settings_));
  }
  CO_TRY(const std::string json, co_await backend_.Run<Reply>(ctx, [&](Caller& caller) {
    return ExplainStatement(backend_, caller, statement, analyze);
  }));
  absl::StatusOr<pb::ExplainResponse> explanation = ReadPlan(json);
  co_return explanation;
}

}  // namespace sluice::postgres
