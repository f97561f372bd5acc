#include "server/db/sqlite/schema.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
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

struct Module {
  absl::string_view name;
  std::vector<absl::string_view> parts;
};

// How the engine's modules call the tables in which a virtual table keeps its rows, behind its name
// and `_`. To ask the engine whether a table is such a one is to have it look into every view.
const std::vector<Module>& Modules() {
  static const auto* const kModules =
      new std::vector<Module>{{"fts3", {"content", "docsize", "segdir", "segments", "stat"}},
                              {"fts4", {"content", "docsize", "segdir", "segments", "stat"}},
                              {"fts5", {"config", "content", "data", "docsize", "idx"}},
                              {"rtree", {"node", "parent", "rowid"}},
                              {"rtree_i32", {"node", "parent", "rowid"}}};
  return *kModules;
}

// The names, in lower case, of the tables behind a virtual one that this SQL made.
void AddParts(absl::string_view name,
              absl::string_view sql,
              absl::flat_hash_set<std::string>& parts) {
  const std::string used = ReadModule(sql);
  for (const Module& module : Modules()) {
    if (!absl::EqualsIgnoreCase(module.name, used)) continue;
    for (const absl::string_view part : module.parts) {
      parts.insert(absl::StrCat(absl::AsciiStrToLower(name), "_", part));
    }
  }
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

bool IsBroken(const TableEntry& entry, const absl::Status& status) {
  return entry.kind == pb::TABLE_KIND_VIEW && errors::ReasonOf(status) == "SQL_ERROR";
}

// A pragma goes by the schema that the connection has in memory. Reading the catalogue compares it
// with the file, and reads it anew if it is another.
absl::Status SchemaReader::Refresh() {
  TRY_STATUS(question_.Ask("SELECT 1 FROM sqlite_schema LIMIT 1"));
  return question_.Next().status();
}

absl::StatusOr<std::vector<TableEntry>> SchemaReader::Tables() {
  return TablesWhere("true");
}

absl::StatusOr<std::vector<TableEntry>> SchemaReader::TablesWhere(
    absl::string_view condition, std::initializer_list<absl::string_view> texts) {
  TRY_STATUS(question_.Ask(
      absl::StrCat("SELECT name, type, rowid, CASE WHEN type = 'table' AND rootpage = 0 THEN sql"
                   " END FROM sqlite_schema WHERE type IN ('table', 'view') AND (",
                   condition, " OR type = 'table' AND rootpage = 0) ORDER BY name"),
      texts));
  std::vector<TableEntry> tables;
  absl::flat_hash_set<std::string> parts;
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) break;
    TableEntry entry;
    entry.name = question_.Text(0);
    entry.kind = question_.Text(1) == "view" ? pb::TABLE_KIND_VIEW : pb::TABLE_KIND_TABLE;
    entry.row = question_.Number(2);
    if (!question_.IsNull(3)) {
      entry.kind = pb::TABLE_KIND_VIRTUAL;
      AddParts(entry.name, question_.Text(3), parts);
    }
    if (!IsHidden(entry.name)) tables.push_back(std::move(entry));
  }
  const auto behind = [&parts](const TableEntry& entry) {
    return entry.kind == pb::TABLE_KIND_TABLE && parts.contains(absl::AsciiStrToLower(entry.name));
  };
  tables.erase(std::remove_if(tables.begin(), tables.end(), behind), tables.end());
  return tables;
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
    TRY_STATUS(CheckEnded(watch_));
    TRY_STATUS(Summarise(entry, list.tables.emplace_back()));
  }
  return list;
}

absl::Status SchemaReader::Summarise(const TableEntry& entry, pb::TableSummary& summary) {
  summary.set_schema(std::string(kSchema));
  summary.set_name(Shown(entry.name));
  summary.set_kind(entry.kind);
  const auto columns = ColumnNames(entry.name);
  if (columns.ok()) {
    summary.set_column_count(static_cast<int>(columns->size()));
  } else if (!IsBroken(entry, columns.status())) {
    return columns.status();
  }
  WrittenTable written;
  if (entry.kind == pb::TABLE_KIND_TABLE) {
    TRY(const std::string sql, SqlOf(entry));
    written = ReadTable(sql);
  }
  TRY(const std::optional<int64_t> rows, RowEstimate(entry, written));
  if (rows.has_value()) summary.set_row_estimate(*rows);
  return absl::OkStatus();
}

absl::StatusOr<TableEntry> SchemaReader::Find(absl::string_view schema, absl::string_view table) {
  const bool known = schema.empty() || absl::EqualsIgnoreCase(schema, kSchema);
  if (known) {
    TRY(const std::vector<TableEntry> found, TablesWhere("name = ? COLLATE NOCASE", {table}));
    for (const TableEntry& entry : found) {
      if (absl::EqualsIgnoreCase(entry.name, table)) return entry;
    }
  }
  TRY(const std::vector<TableEntry> tables, Tables());
  return errors::TableNotFound(
      InMessage(known ? std::string(table) : absl::StrCat(schema, ".", table)),
      NearestTable(table, tables));
}

absl::StatusOr<std::optional<int64_t>> SchemaReader::RowEstimate(const TableEntry& entry,
                                                                 const WrittenTable& written) {
  std::optional<int64_t> rows;
  if (entry.kind != pb::TABLE_KIND_TABLE) return rows;
  if (!counted_.has_value()) {
    TRY_STATUS(ReadCounted());
  }
  if (const auto found = counted_->find(entry.name); found != counted_->end()) {
    return std::optional<int64_t>(found->second);
  }
  if (written.without_rowid) return rows;
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
absl::Status SchemaReader::ReadCounted() {
  counted_.emplace();
  TRY_STATUS(
      question_.Ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sqlite_stat1'"));
  TRY(const bool analyzed, question_.Next());
  if (!analyzed) return absl::OkStatus();
  TRY_STATUS(question_.Ask("SELECT tbl, stat FROM sqlite_stat1"));
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) return absl::OkStatus();
    const std::string stat = question_.Text(1);
    int64_t rows = 0;
    if (!absl::SimpleAtoi(stat.substr(0, stat.find(' ')), &rows)) continue;
    int64_t& counted = (*counted_)[question_.Text(0)];  // 0 if it was not there
    counted = std::max(counted, rows);
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
