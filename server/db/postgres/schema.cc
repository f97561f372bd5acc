#include "server/db/postgres/schema.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/postgres/catalog_sql.h"

namespace sluice::postgres {
namespace {

struct Kind {
  char relkind;
  pb::TableKind kind;
};

constexpr Kind kKinds[] = {
    {'r', pb::TABLE_KIND_TABLE},   {'p', pb::TABLE_KIND_PARTITIONED},
    {'v', pb::TABLE_KIND_VIEW},    {'m', pb::TABLE_KIND_MATERIALIZED_VIEW},
    {'f', pb::TABLE_KIND_FOREIGN},
};

// The kinds that are asked for, as an array of the server's.
std::string Relkinds(const std::vector<pb::TableKind>& kinds) {
  std::vector<std::string> letters;
  for (const Kind& each : kKinds) {
    const bool asked =
        kinds.empty() || std::find(kinds.begin(), kinds.end(), each.kind) != kinds.end();
    if (asked) letters.emplace_back(1, each.relkind);
  }
  return absl::StrCat("{", absl::StrJoin(letters, ","), "}");
}

// A pattern of LIKE that fits what begins so.
std::string Beginning(const std::string& prefix) {
  return absl::StrCat(absl::StrReplaceAll(prefix, {{"\\", "\\\\"}, {"%", "\\%"}, {"_", "\\_"}}),
                      "%");
}

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

void Fill(const Result& result, int row, pb::TableSummary& table) {
  table.set_schema(TextAt(result, row, tables_row::kSchema));
  table.set_name(TextAt(result, row, tables_row::kName));
  table.set_kind(KindOf(result.text(row, tables_row::kKind)));
  if (!result.is_null(row, tables_row::kRows)) {
    table.set_row_estimate(NumberAt(result, row, tables_row::kRows));
  }
  table.set_comment(TextAt(result, row, tables_row::kComment));
  table.set_column_count(static_cast<int>(NumberAt(result, row, tables_row::kColumns)));
}

}  // namespace

pb::TableKind KindOf(absl::string_view relkind) {
  const auto found = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& each) {
    return relkind == absl::string_view(&each.relkind, 1);
  });
  return found == std::end(kKinds) ? pb::TABLE_KIND_UNSPECIFIED : found->kind;
}

std::string Shown(absl::string_view text) {
  const std::string_view view(text.data(), text.size());
  return IsValidUtf8(view) ? std::string(view) : SanitizeForMessage(view, 4 * view.size());
}

std::string TextAt(const Result& result, int row, int column) {
  return result.is_null(row, column) ? "" : Shown(result.text(row, column));
}

int64_t NumberAt(const Result& result, int row, int column) {
  int64_t number = 0;
  return absl::SimpleAtoi(result.text(row, column), &number) ? number : 0;
}

bool TruthAt(const Result& result, int row, int column) {
  return result.text(row, column) == "t";
}

Task<absl::StatusOr<std::vector<pb::Schema>>> ReadSchemas(Backend& backend, Caller& caller) {
  CO_TRY(const Answer answer, co_await backend.Ask(caller, SchemasSql()));
  const Result& result = answer.result();
  std::vector<pb::Schema> schemas;
  for (int row = 0; row < result.rows(); ++row) {
    pb::Schema& schema = schemas.emplace_back();
    schema.set_name(TextAt(result, row, 0));
    schema.set_table_count(NumberAt(result, row, 1));
    schema.set_comment(TextAt(result, row, 2));
  }
  co_return schemas;
}

Task<absl::StatusOr<db::TableList>> ReadTables(Backend& backend,
                                               Caller& caller,
                                               const db::TableFilter& filter) {
  db::TableList list;
  // No name has one, and the server refuses such a text.
  if (HasNul(filter.schema) || HasNul(filter.name_prefix)) co_return list;
  ParameterValues values;
  values.Add(filter.schema, Format::kText);
  values.Add(Beginning(filter.name_prefix), Format::kText);
  values.Add(Relkinds(filter.kinds), Format::kText);
  values.Add(filter.after_schema, Format::kText);
  values.Add(filter.after_name, Format::kText);
  values.Add(absl::StrCat(filter.limit), Format::kText);
  CO_TRY(const Answer answer, co_await backend.Ask(caller, TablesSql(), std::move(values)));
  const Result& result = answer.result();
  for (int row = 0; row < result.rows(); ++row) {
    list.total = NumberAt(result, row, tables_row::kTotal);
    // The total has a row even where the page has none.
    if (!result.is_null(row, tables_row::kName)) Fill(result, row, list.tables.emplace_back());
  }
  co_return list;
}

}  // namespace sluice::postgres
