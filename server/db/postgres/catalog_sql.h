// The questions that the catalogue is asked, and the columns of their answers.
#ifndef SLUICE_SERVER_DB_POSTGRES_CATALOG_SQL_H_
#define SLUICE_SERVER_DB_POSTGRES_CATALOG_SQL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace sluice::postgres {

// All schemas: name, number of tables, comment.
const std::string& SchemasSql();

// A page of tables; $1 schema or '', $2 pattern of names, $3 kinds, $4 and $5 the table before, $6
// how many. At least one row, for the total.
const std::string& TablesSql();

namespace tables_row {
enum { kTotal, kSchema, kName, kKind, kRows, kComment, kColumns };
}  // namespace tables_row

// The table $2 in schema $1, or '' for the one that a statement would mean.
const std::string& FindTableSql();

namespace table_row {
enum { kOid, kSchema, kName, kKind, kRows, kComment, kSql };
}  // namespace table_row

// Every table that there is: schema, name, whether its name alone means it.
extern const absl::string_view kTableNamesSql;

// The parts of the table $1, an OID.
extern const absl::string_view kColumnsSql;

namespace column_row {
enum {
  kName,
  kType,
  kNativeType,
  kNullable,
  kExpression,
  kGenerated,
  kAutomatic,
  kCollation,
  kComment
};
}  // namespace column_row

// Primary and unique keys, a row per column.
extern const absl::string_view kKeysSql;

namespace key_row {
enum { kName, kPrimary, kColumn };
}  // namespace key_row

// A row per pair of columns.
extern const absl::string_view kForeignKeysSql;

namespace foreign_key_row {
enum { kOid, kName, kSchema, kTable, kOnUpdate, kOnDelete, kDeferred, kColumn, kReferenced };
}  // namespace foreign_key_row

// A row per part.
extern const absl::string_view kIndexesSql;

namespace index_row {
enum {
  kName,
  kUnique,
  kPrimary,
  kFromConstraint,
  kPredicate,
  kSql,
  kMethod,
  kColumn,
  kExpression,
  kDescending,
  kCollation
};
}  // namespace index_row

extern const absl::string_view kTriggersSql;

namespace trigger_row {
enum { kName, kType, kSql };
}  // namespace trigger_row

// Of columns of tables, $1 their tables and $2 their numbers: which of these, from 1, and whether
// it is NOT NULL.
extern const absl::string_view kNotNullSql;

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CATALOG_SQL_H_
