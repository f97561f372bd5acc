// SchemaReader: what a database consists of, asked of the engine.
#ifndef SLUICE_SERVER_DB_SQLITE_SCHEMA_H_
#define SLUICE_SERVER_DB_SQLITE_SCHEMA_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
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
  int64_t row = 0;  // of sqlite_schema
};

// Whether this is what looking into a view says whose tables are gone. It is a view all the same.
bool IsBroken(const TableEntry& entry, const absl::Status& status);

// Lives on the stack of the connection's thread, inside one read transaction. Its answers leave out
// the engine's own tables, those that stand behind virtual tables, and the server's own.
class SchemaReader {
 public:
  SchemaReader(Connection& connection, Watch& watch)
      : connection_(connection), watch_(watch), question_(connection, watch) {}

  // Makes the connection see the schema as it is in this transaction. First of all.
  absl::Status Refresh();

  // Ordered by name. Looks into none of them: of many views that would take minutes.
  absl::StatusOr<std::vector<TableEntry>> Tables();

  absl::StatusOr<db::TableList> List(const db::TableFilter& filter);

  // Error: TABLE_NOT_FOUND.
  absl::StatusOr<db::pb::DescribeTableResponse> Describe(absl::string_view schema,
                                                         absl::string_view table);

 private:
  using TableMessage = db::pb::DescribeTableResponse;

  // Those for which the SQL condition on sqlite_schema holds, and all virtual ones.
  absl::StatusOr<std::vector<TableEntry>> TablesWhere(
      absl::string_view condition, std::initializer_list<absl::string_view> texts = {});
  absl::Status Summarise(const TableEntry& entry, db::pb::TableSummary& summary);
  absl::StatusOr<TableEntry> Find(absl::string_view schema, absl::string_view table);
  absl::StatusOr<std::optional<int64_t>> RowEstimate(const TableEntry& entry,
                                                     const WrittenTable& written);
  absl::Status ReadCounted();
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
  absl::StatusOr<std::string> SqlOf(const TableEntry& entry);
  absl::StatusOr<std::string> SqlOf(absl::string_view type, absl::string_view name);

  Connection& connection_;
  Watch& watch_;
  // The rows that ANALYZE counted in each table; unset: not asked yet.
  std::optional<absl::flat_hash_map<std::string, int64_t>> counted_;
  Question question_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_SCHEMA_H_
