#include "server/db/sqlite/schema.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/nearest.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/sqlite/policy.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

struct NamedKind {
  absl::string_view name;
  pb::TableKind kind;
};

constexpr NamedKind kKinds[] = {{"table", pb::TABLE_KIND_TABLE},
                                {"view", pb::TABLE_KIND_VIEW},
                                {"virtual", pb::TABLE_KIND_VIRTUAL}};

// Of what is on no list, such as the tables behind a virtual one: UNSPECIFIED.
pb::TableKind KindOf(absl::string_view name) {
  const auto found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                  [name](const NamedKind& each) { return each.name == name; });
  return found == std::end(kKinds) ? pb::TABLE_KIND_UNSPECIFIED : found->kind;
}

bool IsHidden(absl::string_view name) {
  return absl::StartsWithIgnoreCase(name, "sqlite_") || IsReservedName(name);
}

bool IsAsked(const TableEntry& entry, const db::TableFilter& filter) {
  if (!filter.schema.empty() && !absl::EqualsIgnoreCase(filter.schema, kSchema)) return false;
  if (!absl::StartsWithIgnoreCase(entry.name, filter.name_prefix)) return false;
  return filter.kinds.empty() ||
         std::find(filter.kinds.begin(), filter.kinds.end(), entry.kind) != filter.kinds.end();
}

// A caller's own words, of any length, in an error.
std::string InMessage(absl::string_view name) {
  constexpr size_t kShownBytes = 128;
  return SanitizeForMessage({name.data(), name.size()}, kShownBytes);
}

// Whether the page that the filter asks for begins behind this table.
bool IsBefore(const TableEntry& entry, const db::TableFilter& filter) {
  return std::forward_as_tuple(kSchema, absl::string_view(Shown(entry.name))) <=
         std::forward_as_tuple(absl::string_view(filter.after_schema),
                               absl::string_view(filter.after_name));
}

// The table that was probably meant, in any case.
std::string NearestTable(absl::string_view name, const std::vector<TableEntry>& tables) {
  std::vector<std::string> lowered;
  lowered.reserve(tables.size());
  for (const TableEntry& entry : tables) lowered.push_back(absl::AsciiStrToLower(entry.name));
  const std::string nearest = Nearest(absl::AsciiStrToLower(name), lowered);
  const auto found = std::find(lowered.begin(), lowered.end(), nearest);
  if (found == lowered.end()) return "";
  return Shown(tables[static_cast<size_t>(found - lowered.begin())].name);
}

}  // namespace

// A pragma goes by the schema that the connection has in memory. Reading the catalogue compares it
// with the file, and reads it anew if it is another.
absl::Status SchemaReader::Refresh() {
  TRY_STATUS(question_.Ask("SELECT 1 FROM sqlite_schema LIMIT 1"));
  return question_.Next().status();
}

absl::StatusOr<std::vector<TableEntry>> SchemaReader::Tables() {
  TRY_STATUS(
      question_.Ask("SELECT name, type, ncol, wr, strict FROM pragma_table_list"
                    " WHERE schema = 'main' ORDER BY name"));
  std::vector<TableEntry> tables;
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) return tables;
    TableEntry entry;
    entry.name = question_.Text(0);
    entry.kind = KindOf(question_.Text(1));
    entry.column_count = static_cast<int>(question_.Number(2));
    entry.without_rowid = question_.Number(3) != 0;
    entry.strict = question_.Number(4) != 0;
    if (entry.kind != pb::TABLE_KIND_UNSPECIFIED && !IsHidden(entry.name)) {
      tables.push_back(std::move(entry));
    }
  }
}

absl::StatusOr<db::TableList> SchemaReader::List(const db::TableFilter& filter) {
  TRY(const std::vector<TableEntry> tables, Tables());
  db::TableList list;
  for (const TableEntry& entry : tables) {
    if (!IsAsked(entry, filter)) continue;
    ++list.total;
    if (IsBefore(entry, filter) || list.tables.size() >= static_cast<size_t>(filter.limit)) {
      continue;
    }
    TRY_STATUS(Summarise(entry, list.tables.emplace_back()));
  }
  return list;
}

absl::Status SchemaReader::Summarise(const TableEntry& entry, pb::TableSummary& summary) {
  summary.set_schema(std::string(kSchema));
  summary.set_name(Shown(entry.name));
  summary.set_kind(entry.kind);
  summary.set_column_count(entry.column_count);
  if (entry.kind == pb::TABLE_KIND_VIRTUAL) {
    TRY(const std::vector<std::string> columns, ColumnNames(entry.name));
    summary.set_column_count(static_cast<int>(columns.size()));
  }
  TRY(const std::optional<int64_t> rows, RowEstimate(entry));
  if (rows.has_value()) summary.set_row_estimate(*rows);
  return absl::OkStatus();
}

absl::StatusOr<TableEntry> SchemaReader::Find(absl::string_view schema, absl::string_view table) {
  TRY(const std::vector<TableEntry> tables, Tables());
  if (!schema.empty() && !absl::EqualsIgnoreCase(schema, kSchema)) {
    return errors::TableNotFound(InMessage(absl::StrCat(schema, ".", table)),
                                 NearestTable(table, tables));
  }
  for (const TableEntry& entry : tables) {
    if (absl::EqualsIgnoreCase(entry.name, table)) return entry;
  }
  return errors::TableNotFound(InMessage(table), NearestTable(table, tables));
}

absl::StatusOr<std::optional<int64_t>> SchemaReader::RowEstimate(const TableEntry& entry) {
  std::optional<int64_t> rows;
  if (entry.kind != pb::TABLE_KIND_TABLE) return rows;
  TRY(rows, CountedByAnalyze(entry));
  if (rows.has_value() || entry.without_rowid) return rows;
  TRY(const std::vector<std::string> columns, ColumnNames(entry.name));
  for (const absl::string_view rowid : {"rowid", "_rowid_", "oid"}) {
    const bool taken = std::any_of(columns.begin(), columns.end(), [&](const std::string& column) {
      return absl::EqualsIgnoreCase(column, rowid);
    });
    if (taken) continue;
    // One look at the end of the table's tree, however large it is.
    TRY_STATUS(
        question_.Ask(absl::StrCat("SELECT max(", rowid, ") FROM main.", QuotedName(entry.name))));
    TRY(const bool row, question_.Next());
    if (row) rows = std::max<int64_t>(question_.Number(0), 0);
    return rows;
  }
  return rows;
}

// A partial index counts its own rows, so the highest number is the table's.
absl::StatusOr<std::optional<int64_t>> SchemaReader::CountedByAnalyze(const TableEntry& entry) {
  std::optional<int64_t> rows;
  TRY_STATUS(
      question_.Ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sqlite_stat1'"));
  TRY(const bool analyzed, question_.Next());
  if (!analyzed) return rows;
  TRY_STATUS(question_.Ask("SELECT stat FROM sqlite_stat1 WHERE tbl = ?", {entry.name}));
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) return rows;
    const std::string stat = question_.Text(0);
    int64_t counted = 0;
    if (absl::SimpleAtoi(stat.substr(0, stat.find(' ')), &counted)) {
      rows = std::max({rows.value_or(0), counted, int64_t{0}});
    }
  }
}

// Of a virtual table, those that it does not hide.
absl::StatusOr<std::vector<std::string>> SchemaReader::ColumnNames(absl::string_view table) {
  TRY_STATUS(
      question_.Ask("SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden <> 1"
                    " ORDER BY cid",
                    {table}));
  std::vector<std::string> names;
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) return names;
    names.push_back(question_.Text(0));
  }
}

absl::StatusOr<std::vector<std::string>> SchemaReader::PrimaryKeyOf(absl::string_view table) {
  TRY_STATUS(question_.Ask(
      "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE pk > 0 ORDER BY pk", {table}));
  std::vector<std::string> names;
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) return names;
    names.push_back(question_.Text(0));
  }
}

}  // namespace sluice::sqlite
