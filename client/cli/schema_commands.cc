// `sluice schema`.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/cli/commands.h"
#include "client/cli/records.h"
#include "client/cli/utf8.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

using client::ToValue;

std::string KindName(v1::TableKind kind) {
  return EnumWord(v1::TableKind_Name(kind), "TABLE_KIND_");
}

template <class Message>
v1::Value Estimate(const Message& message) {
  return message.has_row_estimate() ? ToValue(message.row_estimate()) : ToValue(nullptr);
}

Record SchemaRecord(const v1::Schema& schema) {
  return {{"name", ToValue(schema.name())}, {"tables", ToValue(schema.table_count())}};
}

Record TableRecord(const v1::TableSummary& table) {
  return {{"schema", ToValue(table.schema())},
          {"name", ToValue(table.name())},
          {"kind", ToValue(KindName(table.kind()))},
          {"columns", ToValue(table.column_count())},
          {"row_estimate", Estimate(table)}};
}

// The default, or how the column is computed.
v1::Value Expression(const v1::TableColumn& column) {
  if (column.has_generation_expression()) {
    return ToValue(absl::StrCat("generated as (", column.generation_expression(), ")",
                                column.stored() ? " stored" : ""));
  }
  if (column.has_default_expression()) return ToValue(column.default_expression());
  return ToValue("");
}

Record ColumnRecord(const v1::TableColumn& column) {
  return {{"column", ToValue(column.name())},
          {"type", ToValue(column.native_type())},
          {"nullable", ToValue(column.nullable() ? "" : "not null")},
          {"default", Expression(column)}};
}

// The text of a table's page: titles, and a line for each thing.
class TablePage {
 public:
  explicit TablePage(Session& session) : session_(session) {}

  void Print(const v1::DescribeTableResponse& table) {
    Line(absl::StrCat(
        KindName(table.kind()), " ", table.schema(), ".", table.name(),
        table.strict() ? ", strict" : "", table.without_rowid() ? ", without rowid" : "",
        table.has_row_estimate() ? absl::StrCat(", about ", CountOf(table.row_estimate(), "row"))
                                 : ""));
    std::vector<Record> columns;
    for (const auto& column : table.columns()) columns.push_back(ColumnRecord(column));
    PrintRecords(session_, columns, ColumnRecord({}));
    if (table.has_primary_key()) {
      Title("Primary key");
      Item(absl::StrJoin(table.primary_key().columns(), ", "));
    }
    PrintAll("Unique keys", table.unique_keys(),
             [](const v1::TableKey& key) { return absl::StrJoin(key.columns(), ", "); });
    PrintAll("Foreign keys", table.foreign_keys(), ForeignKeyText);
    PrintAll("Indexes", table.indexes(), IndexText);
    PrintAll("Triggers", table.triggers(), [](const v1::Trigger& trigger) {
      return absl::StrCat(trigger.name(), " ", trigger.timing(), " ", trigger.event());
    });
    if (table.kind() == v1::TABLE_KIND_VIEW) {
      Title("Definition");
      Item(table.sql());
    }
  }

 private:
  static std::string ForeignKeyText(const v1::ForeignKey& key) {
    std::string text =
        absl::StrCat("(", absl::StrJoin(key.columns(), ", "), ") → ", key.referenced_table(), " (",
                     absl::StrJoin(key.referenced_columns(), ", "), ")");
    if (key.on_update() != "NO ACTION") absl::StrAppend(&text, " on update ", key.on_update());
    if (key.on_delete() != "NO ACTION") absl::StrAppend(&text, " on delete ", key.on_delete());
    if (key.deferred()) absl::StrAppend(&text, " deferred");
    return text;
  }

  static std::string PartText(const v1::IndexPart& part) {
    std::string text = part.column();
    if (text.empty()) text = part.expression().empty() ? "(expression)" : part.expression();
    if (!part.collation().empty()) absl::StrAppend(&text, " collate ", part.collation());
    return absl::StrCat(text, part.descending() ? " desc" : "");
  }

  static std::string IndexText(const v1::Index& index) {
    std::vector<std::string> parts;
    for (const v1::IndexPart& part : index.parts()) {
      parts.push_back(PartText(part));
    }
    return absl::StrCat(index.name(), index.unique() ? " unique" : "", " (",
                        absl::StrJoin(parts, ", "), ")", index.predicate().empty() ? "" : " where ",
                        index.predicate(), index.from_constraint() ? ", of a constraint" : "");
  }

  template <class List, class Text>
  void PrintAll(absl::string_view title, const List& list, Text text) {
    if (list.empty()) return;
    Title(title);
    for (const auto& entry : list) Item(text(entry));
  }

  void Title(absl::string_view text) {
    absl::StrAppend(&session_.out.Buffer(),
                    Painted(session_.out_style, Paint::kBold, absl::StrCat(text, ":")), "\n");
  }

  void Item(absl::string_view text) { Line(text, "  "); }

  void Line(absl::string_view text, absl::string_view indent = "") {
    AppendPrintableLines(text, indent, &session_.out.Buffer());
  }

  Session& session_;
};

}  // namespace

ExitCode RunSchemaSchemas(Session& session) {
  std::vector<Record> records;
  v1::ListSchemasRequest request;
  request.set_connection_id(session.options.connection_id);
  do {
    const auto page = session.client.ListSchemas(request, session.Call());
    if (!page.ok()) return Fail(session, page.status(), "", true);
    for (const auto& schema : page->schemas()) records.push_back(SchemaRecord(schema));
    request.set_page_token(page->page().next_page_token());
  } while (!request.page_token().empty());
  PrintRecords(session, records, SchemaRecord({}));
  return FinishOutput(session);
}

ExitCode RunSchemaTables(Session& session) {
  constexpr int kPageSize = 500;
  std::vector<Record> records;
  v1::ListTablesRequest request;
  request.set_connection_id(session.options.connection_id);
  request.set_schema(session.options.schema.schema);
  request.set_name_prefix(session.options.schema.prefix);
  request.set_page_size(kPageSize);
  do {
    const auto page = session.client.ListTables(request, session.Call());
    if (!page.ok()) return Fail(session, page.status(), "", true);
    for (const auto& table : page->tables()) records.push_back(TableRecord(table));
    request.set_page_token(page->page().next_page_token());
  } while (!request.page_token().empty());
  PrintRecords(session, records, TableRecord({}));
  return FinishOutput(session);
}

ExitCode RunSchemaDescribe(Session& session) {
  v1::DescribeTableRequest request;
  request.set_connection_id(session.options.connection_id);
  request.set_schema(session.options.schema.schema);
  request.set_table(session.options.schema.table);
  const auto table = session.client.DescribeTable(request, session.Call());
  if (!table.ok()) return Fail(session, table.status(), "", true);
  if (session.format == Format::kTable) {
    TablePage(session).Print(*table);
  } else if (IsJsonForm(session.format)) {
    PrintMessage(session, *table);
  } else {
    std::vector<Record> columns;
    for (const auto& column : table->columns()) columns.push_back(ColumnRecord(column));
    PrintRecords(session, columns, ColumnRecord({}));
  }
  return FinishOutput(session);
}

}  // namespace sluice::cli
