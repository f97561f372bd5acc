#include "server/services/schema_service.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/catalog.h"
#include "server/db/database.h"

namespace sluice::services {
namespace {

// What a token is bound to: the list, and all that decides what stands in it.
std::string ListName(const pb::ListSchemasRequest& request) {
  return absl::StrCat("schemas:", request.connection_id());
}

std::string ListName(const pb::ListTablesRequest& request) {
  std::string name = "tables";
  for (const std::string* const field :
       {&request.connection_id(), &request.schema(), &request.name_prefix()}) {
    absl::StrAppend(&name, ":", field->size(), ":", *field);
  }
  const std::set<int> kinds(request.kinds().begin(), request.kinds().end());
  for (const int kind : kinds) absl::StrAppend(&name, ":", kind);
  return name;
}

absl::StatusOr<std::vector<pb::TableKind>> KindsOf(const pb::ListTablesRequest& request) {
  std::vector<pb::TableKind> kinds;
  bool all = false;
  for (const int kind : request.kinds()) {
    if (!pb::TableKind_IsValid(kind)) {
      return errors::ParameterInvalid("kinds", absl::StrCat("has ", kind, ", which is no kind"));
    }
    all = all || kind == pb::TABLE_KIND_UNSPECIFIED;
    kinds.push_back(static_cast<pb::TableKind>(kind));
  }
  if (all) kinds.clear();
  return kinds;
}

}  // namespace

Task<absl::StatusOr<pb::ListSchemasResponse>> SchemaService::ListSchemas(
    const Context& ctx, const pb::ListSchemasRequest& request) {
  CO_TRY(const size_t page_size, PageSizeOf(request.page_size()));
  std::vector<std::string> after;  // the last name that was shown
  if (!request.page_token().empty()) {
    CO_TRY(after, page_tokens_.Read(ListName(request), request.page_token(), 1));
  }
  CO_TRY(const auto connection, co_await connections_.Open(ctx, request.connection_id()));
  CO_TRY(const std::vector<pb::Schema> schemas,
         co_await connection->database->catalog().ListSchemas(ctx));

  pb::ListSchemasResponse response;
  response.mutable_page()->set_total_size(static_cast<int64_t>(schemas.size()));
  for (const pb::Schema& schema : schemas) {
    if (!after.empty() && schema.name() <= after[0]) continue;
    const auto shown = static_cast<size_t>(response.schemas_size());
    if (shown == page_size) {
      response.mutable_page()->set_next_page_token(
          page_tokens_.Make(ListName(request), {response.schemas().rbegin()->name()}));
      break;
    }
    *response.add_schemas() = schema;
  }
  co_return response;
}

Task<absl::StatusOr<pb::ListTablesResponse>> SchemaService::ListTables(
    const Context& ctx, const pb::ListTablesRequest& request) {
  CO_TRY(const size_t page_size, PageSizeOf(request.page_size()));
  db::TableFilter filter;
  filter.schema = request.schema();
  filter.name_prefix = request.name_prefix();
  CO_TRY(filter.kinds, KindsOf(request));
  filter.limit = static_cast<int>(page_size) + 1;  // one more tells that there is a next page
  if (!request.page_token().empty()) {
    CO_TRY(std::vector<std::string> after,
           page_tokens_.Read(ListName(request), request.page_token(), 2));
    filter.after_schema = std::move(after[0]);
    filter.after_name = std::move(after[1]);
  }
  CO_TRY(const auto connection, co_await connections_.Open(ctx, request.connection_id()));
  CO_TRY(db::TableList list,
         co_await connection->database->catalog().ListTables(ctx, std::move(filter)));

  pb::ListTablesResponse response;
  response.mutable_page()->set_total_size(list.total);
  const bool more = list.tables.size() > page_size;
  if (more) list.tables.resize(page_size);
  for (pb::TableSummary& table : list.tables) *response.add_tables() = std::move(table);
  if (more) {
    const pb::TableSummary& last = *response.tables().rbegin();
    response.mutable_page()->set_next_page_token(
        page_tokens_.Make(ListName(request), {last.schema(), last.name()}));
  }
  co_return response;
}

Task<absl::StatusOr<pb::DescribeTableResponse>> SchemaService::DescribeTable(
    const Context& ctx, const pb::DescribeTableRequest& request) {
  if (request.table().empty()) {
    co_return errors::ParameterInvalid("table", "is empty; name a table or view");
  }
  CO_TRY(const auto connection, co_await connections_.Open(ctx, request.connection_id()));
  absl::StatusOr<pb::DescribeTableResponse> response =
      co_await connection->database->catalog().DescribeTable(ctx, request.schema(),
                                                             request.table());
  co_return response;
}

}  // namespace sluice::services
