// SchemaReader: what a database consists of, asked of the engine.
#ifndef SLUICE_SERVER_DB_SQLITE_SCHEMA_H_
#define SLUICE_SERVER_DB_SQLITE_SCHEMA_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/catalog.h"
#include "server/db/sqlite/question.h"
#include "server/db/sqlite/schema_sql.h"

namespace sluice::sqlite {

// The only schema: nothing is attached, and no TEMP object made.
inline constexpr absl::string_view kSchema = "main";

// A table or view that clients may see.
struct TableEntry {
  std::string name;  // as the engine has it
  db::pb::TableKind kind = db::pb::TABLE_KIND_UNSPECIFIED;
  int column_count = 0;
  bool without_rowid = false;
  bool strict = false;
};

// Lives on the stack of the connection's thread, inside one read transaction. Its answers leave out
// the engine's own tables, those that stand behind virtual tables, and the server's own.
class SchemaReader {
 public:
  SchemaReader(Connection& connection, Watch& watch)
      : connection_(connection), question_(connection, watch) {}

  // Makes the connection see the schema as it is in this transaction. First of all.
  absl::Status Refresh();

  // Ordered by name.
  absl::StatusOr<std::vector<TableEntry>> Tables();

  absl::StatusOr<db::TableList> List(const db::TableFilter& filter);

  // Error: TABLE_NOT_FOUND.
  absl::StatusOr<db::pb::DescribeTableResponse> Describe(absl::string_view schema,
                                                         absl::string_view table);

 private:
  using TableMessage = db::pb::DescribeTableResponse;

  absl::Status Summarise(const TableEntry& entry, db::pb::TableSummary& summary);
  absl::StatusOr<TableEntry> Find(absl::string_view schema, absl::string_view table);
  absl::StatusOr<std::optional<int64_t>> RowEstimate(const TableEntry& entry);
  absl::StatusOr<std::optional<int64_t>> CountedByAnalyze(const TableEntry& entry);
  absl::StatusOr<std::vector<std::string>> ColumnNames(absl::string_view table);
  absl::StatusOr<std::vector<std::string>> PrimaryKeyOf(absl::string_view table);

  // The parts of a table, in describe_table.cc.
  absl::Status AddColumns(const TableEntry& entry,
                          const WrittenTable& written,
                          TableMessage& message);
  void AddCollation(const TableEntry& entry, db::pb::TableColumn& column);
  absl::Status AddIndexes(const TableEntry& entry,
                          const WrittenTable& written,
                          TableMessage& message);
  absl::Status AddIndexParts(const std::string& name, db::pb::Index& index);
  absl::Status AddForeignKeys(const TableEntry& entry,
                              const WrittenTable& written,
                              TableMessage& message);
  absl::Status AddReferencedColumns(db::pb::ForeignKey& key);
  absl::Status AddTriggers(const TableEntry& entry, TableMessage& message);
  absl::StatusOr<std::string> SqlOf(absl::string_view type, absl::string_view name);

  Connection& connection_;
  Question question_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_SCHEMA_H_
