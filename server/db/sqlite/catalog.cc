#include "server/db/sqlite/catalog.h"

#include <utility>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/await.h"
#include "server/db/sqlite/database.h"
#include "server/db/sqlite/explain.h"
#include "server/db/sqlite/inquiry.h"
#include "server/db/sqlite/schema.h"

namespace sluice::sqlite {

namespace pb = db::pb;

template <class T>
using QuestionTo = std::function<absl::StatusOr<T>(Connection&, Watch&)>;

template <class T>
Task<absl::StatusOr<T>> Catalog::Ask(
    const Context& ctx, std::function<absl::StatusOr<T>(Connection&, Watch&)> question) {
  CO_CHECK(database_.Usable(ctx));
  WorkQueue& queue = database_.readers_.queue();
  Inquiry<T> inquiry(ctx, database_.file_, queue, std::move(question));
  absl::StatusOr<T> answer = co_await Await(ctx, database_.Side(), queue, inquiry);
  co_return answer;
}

Task<absl::StatusOr<std::vector<pb::Schema>>> Catalog::ListSchemas(const Context& ctx) {
  QuestionTo<std::vector<pb::Schema>> question =
      [](Connection& connection, Watch& watch) -> absl::StatusOr<std::vector<pb::Schema>> {
    TRY(const std::vector<TableEntry> tables, SchemaReader(connection, watch).Tables());
    std::vector<pb::Schema> schemas(1);
    schemas[0].set_name(std::string(kSchema));
    schemas[0].set_table_count(static_cast<int64_t>(tables.size()));
    return schemas;
  };
  absl::StatusOr<std::vector<pb::Schema>> schemas = co_await Ask(ctx, std::move(question));
  co_return schemas;
}

Task<absl::StatusOr<db::TableList>> Catalog::ListTables(const Context& ctx,
                                                        db::TableFilter filter) {
  QuestionTo<db::TableList> question = [&filter](Connection& connection, Watch& watch) {
    return SchemaReader(connection, watch).List(filter);
  };
  absl::StatusOr<db::TableList> list = co_await Ask(ctx, std::move(question));
  co_return list;
}

Task<absl::StatusOr<pb::DescribeTableResponse>> Catalog::DescribeTable(const Context& ctx,
                                                                       std::string schema,
                                                                       std::string table) {
  QuestionTo<pb::DescribeTableResponse> question = [&](Connection& connection, Watch& watch) {
    return SchemaReader(connection, watch).Describe(schema, table);
  };
  absl::StatusOr<pb::DescribeTableResponse> description = co_await Ask(ctx, std::move(question));
  co_return description;
}

Task<absl::StatusOr<pb::DescribeResponse>> Catalog::Describe(const Context& ctx,
                                                             db::Statement statement) {
  QuestionTo<pb::DescribeResponse> question = [&statement](Connection& connection,
                                                           Watch& /*watch*/) {
    return DescribeStatement(connection, statement);
  };
  absl::StatusOr<pb::DescribeResponse> description = co_await Ask(ctx, std::move(question));
  co_return description;
}

Task<absl::StatusOr<pb::ExplainResponse>> Catalog::Explain(const Context& ctx,
                                                           db::Statement statement,
                                                           bool analyze) {
  if (analyze) co_return errors::FieldNotImplemented("analyze");
  QuestionTo<pb::ExplainResponse> question = [&statement](Connection& connection, Watch& watch) {
    return ExplainStatement(connection, watch, statement);
  };
  absl::StatusOr<pb::ExplainResponse> explanation = co_await Ask(ctx, std::move(question));
  co_return explanation;
}

}  // namespace sluice::sqlite
