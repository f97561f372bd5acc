// SchemaReader's description of one table.
#include <algorithm>
#include <utility>

#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/codec.h"
#include "server/db/sqlite/policy.h"
#include "server/db/sqlite/schema.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

constexpr int kComputed = 2;  // pragma_table_xinfo.hidden of generated columns
constexpr int kStored = 3;
constexpr int kExpression = -2;  // pragma_index_xinfo.cid

std::string GenerationOf(const WrittenTable& written, absl::string_view column) {
  for (const WrittenColumn& each : written.columns) {
    if (absl::EqualsIgnoreCase(each.name, column)) return each.generation;
  }
  return "";
}

// The name of the constraint that made a key with these columns.
template <class Columns>
std::string KeyName(const WrittenTable& written, bool primary, const Columns& columns) {
  for (const WrittenKey& key : written.keys) {
    const bool same = key.primary == primary &&
                      std::equal(key.columns.begin(), key.columns.end(), columns.begin(),
                                 columns.end(), [](const std::string& a, const std::string& b) {
                                   return absl::EqualsIgnoreCase(a, b);
                                 });
    if (same) return Shown(key.name);
  }
  return "";
}

// BINARY is what holds where nothing is said.
std::string CollationName(absl::string_view name) {
  return absl::EqualsIgnoreCase(name, "BINARY") ? "" : Shown(std::string(name));
}

// The columns of a primary key, in its order.
void AddPrimaryKey(const WrittenTable& written, pb::DescribeTableResponse& message) {
  std::vector<const pb::TableColumn*> members;
  for (const pb::TableColumn& column : message.columns()) {
    if (column.primary_key_position() > 0) members.push_back(&column);
  }
  if (members.empty()) return;
  std::sort(members.begin(), members.end(), [](const auto* a, const auto* b) {
    return a->primary_key_position() < b->primary_key_position();
  });
  pb::TableKey& key = *message.mutable_primary_key();
  for (const pb::TableColumn* const column : members) key.add_columns(column->name());
  key.set_name(KeyName(written, true, key.columns()));
}

// An INTEGER PRIMARY KEY is another name for the rowid: it has no index and is never NULL.
void MarkAutomatic(const WrittenTable& written, pb::DescribeTableResponse& message) {
  if (written.without_rowid || message.primary_key().columns_size() != 1) return;
  const bool indexed = std::any_of(message.indexes().begin(), message.indexes().end(),
                                   [](const pb::Index& index) { return index.primary(); });
  if (indexed) return;
  for (pb::TableColumn& column : *message.mutable_columns()) {
    if (column.primary_key_position() == 0) continue;
    column.set_automatic(true);
    column.set_nullable(false);
  }
}

}  // namespace

absl::StatusOr<pb::DescribeTableResponse> SchemaReader::Describe(absl::string_view schema,
                                                                 absl::string_view table) {
  TRY(const TableEntry entry, Find(schema, table));
  TableMessage message;
  message.set_schema(std::string(kSchema));
  message.set_name(Shown(entry.name));
  message.set_kind(entry.kind);
  TRY(const std::string sql, SqlOf(entry));
  message.set_sql(Shown(sql));
  WrittenTable written;
  if (entry.kind == pb::TABLE_KIND_TABLE) written = ReadTable(sql);
  message.set_without_rowid(written.without_rowid);
  message.set_strict(written.strict);

  absl::Status columns = AddColumns(entry, written, message);
  if (!columns.ok() && !IsBroken(entry, columns)) return columns;
  AddPrimaryKey(written, message);
  if (entry.kind == pb::TABLE_KIND_TABLE) {
    TRY_STATUS(AddIndexes(entry, written, message));
    TRY_STATUS(AddForeignKeys(entry, written, message));
    MarkAutomatic(written, message);
  }
  TRY_STATUS(AddTriggers(entry, message));
  TRY(const std::optional<int64_t> rows, RowEstimate(entry, written));
  if (rows.has_value()) message.set_row_estimate(*rows);
  return message;
}

absl::Status SchemaReader::AddColumns(const TableEntry& entry,
                                      const WrittenTable& written,
                                      TableMessage& message) {
  TRY_STATUS(question_.Ask(
      "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main')"
      " WHERE hidden <> 1 ORDER BY cid",
      {entry.name}));
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) break;
    pb::TableColumn& column = *message.add_columns();
    const std::string name = question_.Text(0);
    column.set_name(Shown(name));
    column.set_position(message.columns_size());
    const std::string declared = question_.Text(1);
    column.set_type(TypeOfDeclaration(declared));
    column.set_native_type(Shown(declared));
    column.set_nullable(question_.Number(2) == 0);
    if (!question_.IsNull(3)) column.set_default_expression(Shown(question_.Text(3)));
    column.set_primary_key_position(static_cast<int>(question_.Number(4)));
    const int64_t hidden = question_.Number(5);
    column.set_stored(hidden == kStored);
    if (hidden == kComputed || hidden == kStored) {
      column.set_generation_expression(Shown(GenerationOf(written, name)));
    }
    if (entry.kind == pb::TABLE_KIND_TABLE) AddCollation(entry, column);
  }
  return absl::OkStatus();
}

void SchemaReader::AddCollation(const TableEntry& entry, pb::TableColumn& column) {
  const char* collation = nullptr;
  sqlite3_table_column_metadata(connection_.raw(), "main", entry.name.c_str(),
                                column.name().c_str(), nullptr, &collation, nullptr, nullptr,
                                nullptr);
  if (collation != nullptr) column.set_collation(CollationName(collation));
}

absl::Status SchemaReader::AddIndexes(const TableEntry& entry,
                                      const WrittenTable& written,
                                      TableMessage& message) {
  struct Listed {
    std::string name;
    std::string origin;
  };

  TRY_STATUS(question_.Ask(
      "SELECT name, \"unique\", origin FROM pragma_index_list(?, 'main') ORDER BY seq DESC",
      {entry.name}));
  std::vector<Listed> all;
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) break;
    if (IsReservedName(question_.Text(0))) continue;
    Listed& listed = all.emplace_back(Listed{question_.Text(0), question_.Text(2)});
    pb::Index& index = *message.add_indexes();
    index.set_name(Shown(listed.name));
    index.set_unique(question_.Number(1) != 0);
    index.set_primary(listed.origin == "pk");
    index.set_from_constraint(listed.origin != "c");
    index.set_method("btree");
  }
  for (size_t i = 0; i < all.size(); ++i) {
    pb::Index& index = *message.mutable_indexes(static_cast<int>(i));
    TRY_STATUS(AddIndexParts(all[i].name, index));
    if (all[i].origin != "u") continue;
    pb::TableKey& key = *message.add_unique_keys();
    for (const pb::IndexPart& part : index.parts()) key.add_columns(part.column());
    key.set_name(KeyName(written, false, key.columns()));
  }
  std::sort(message.mutable_indexes()->begin(), message.mutable_indexes()->end(),
            [](const pb::Index& a, const pb::Index& b) { return a.name() < b.name(); });
  return absl::OkStatus();
}

absl::Status SchemaReader::AddIndexParts(const std::string& name, pb::Index& index) {
  WrittenIndex written;
  if (!index.from_constraint()) {
    TRY(const std::string sql, SqlOf("index", name));
    written = ReadIndex(sql);
    index.set_sql(Shown(sql));
    index.set_predicate(Shown(written.predicate));
  }
  TRY_STATUS(question_.Ask(
      "SELECT cid, name, \"desc\", coll FROM pragma_index_xinfo(?, 'main') WHERE key <> 0"
      " ORDER BY seqno",
      {name}));
  for (size_t i = 0;; ++i) {
    TRY(const bool row, question_.Next());
    if (!row) return absl::OkStatus();
    pb::IndexPart& part = *index.add_parts();
    if (!question_.IsNull(1)) {
      part.set_column(Shown(question_.Text(1)));
    } else if (question_.Number(0) != kExpression) {
      part.set_column("rowid");
    } else if (i < written.expressions.size()) {
      part.set_expression(Shown(written.expressions[i]));
    }
    part.set_descending(question_.Number(2) != 0);
    part.set_collation(CollationName(question_.Text(3)));
  }
}

absl::Status SchemaReader::AddForeignKeys(const TableEntry& entry,
                                          const WrittenTable& written,
                                          TableMessage& message) {
  // The last that was declared has the lowest id.
  TRY_STATUS(
      question_.Ask("SELECT id, \"table\", \"from\", \"to\", on_update, on_delete"
                    " FROM pragma_foreign_key_list(?, 'main') ORDER BY id DESC, seq",
                    {entry.name}));
  int64_t last = -1;
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) break;
    if (question_.Number(0) != last) {
      last = question_.Number(0);
      pb::ForeignKey& added = *message.add_foreign_keys();
      added.set_referenced_schema(std::string(kSchema));
      added.set_referenced_table(Shown(question_.Text(1)));
      added.set_on_update(question_.Text(4));
      added.set_on_delete(question_.Text(5));
    }
    pb::ForeignKey& key = *message.mutable_foreign_keys(message.foreign_keys_size() - 1);
    key.add_columns(Shown(question_.Text(2)));
    if (!question_.IsNull(3)) key.add_referenced_columns(Shown(question_.Text(3)));
  }
  const auto count = static_cast<size_t>(message.foreign_keys_size());
  for (size_t i = 0; i < count; ++i) {
    pb::ForeignKey& key = *message.mutable_foreign_keys(static_cast<int>(i));
    key.set_deferred(written.deferred.size() == count && written.deferred[i]);
    TRY_STATUS(AddReferencedColumns(key));
  }
  return absl::OkStatus();
}

// The name as the table itself has it, and its primary key where no columns are named. A table that
// is not there may yet be made.
absl::Status SchemaReader::AddReferencedColumns(pb::ForeignKey& key) {
  TRY_STATUS(question_.Ask(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE",
      {key.referenced_table()}));
  TRY(const bool found, question_.Next());
  if (!found) return absl::OkStatus();
  key.set_referenced_table(Shown(question_.Text(0)));
  if (key.referenced_columns_size() > 0) return absl::OkStatus();
  TRY(const std::vector<std::string> columns, PrimaryKeyOf(key.referenced_table()));
  for (const std::string& column : columns) key.add_referenced_columns(Shown(column));
  return absl::OkStatus();
}

absl::Status SchemaReader::AddTriggers(const TableEntry& entry, TableMessage& message) {
  TRY_STATUS(
      question_.Ask("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"
                    " AND tbl_name = ? COLLATE NOCASE ORDER BY name",
                    {entry.name}));
  while (true) {
    TRY(const bool row, question_.Next());
    if (!row) return absl::OkStatus();
    const std::string name = question_.Text(0);
    if (IsReservedName(name)) continue;
    const std::string sql = question_.Text(1);
    const WrittenTrigger written = ReadTrigger(sql);
    pb::Trigger& trigger = *message.add_triggers();
    trigger.set_name(Shown(name));
    trigger.set_timing(Shown(written.timing));
    trigger.set_event(Shown(written.event));
    trigger.set_sql(Shown(sql));
  }
}

absl::StatusOr<std::string> SchemaReader::SqlOf(const TableEntry& entry) {
  TRY_STATUS(
      question_.Ask(absl::StrCat("SELECT sql FROM sqlite_schema WHERE rowid = ", entry.row)));
  TRY(const bool row, question_.Next());
  return row ? question_.Text(0) : "";
}

absl::StatusOr<std::string> SchemaReader::SqlOf(absl::string_view type, absl::string_view name) {
  TRY_STATUS(
      question_.Ask("SELECT sql FROM sqlite_schema WHERE type = ? AND name = ?", {type, name}));
  TRY(const bool row, question_.Next());
  return row ? question_.Text(0) : "";
}

}  // namespace sluice::sqlite
