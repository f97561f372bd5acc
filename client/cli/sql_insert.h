// INSERT statements of dumps, taken apart.
#ifndef SLUICE_CLIENT_CLI_SQL_INSERT_H_
#define SLUICE_CLIENT_CLI_SQL_INSERT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

#include "client/row_buffer.h"

namespace sluice::cli {

// Where an INSERT puts its rows.
struct InsertTarget {
  std::string schema;  // empty: not said
  std::string table;
  std::vector<std::string> columns;  // empty: all

  bool operator==(const InsertTarget&) const = default;
};

// Reads `INSERT INTO t [(columns)] VALUES (literals), …` and adds its rows to `rows`, which it
// clears first. Literals are numbers with or without a sign, strings, NULL, TRUE, FALSE, blobs, and
// strings in which the sqlite3 shell wrote line ends as replace('a\nb','\n',char(10)). False for
// any other statement, for numbers that do not fit, for a column that may be the rowid by one of
// its names, and for a table of the engine's own: such a statement is for the database to read.
bool ParseInsert(absl::string_view statement, InsertTarget* target, client::RowBuffer* rows);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_SQL_INSERT_H_
