// What the engine's catalogue does not tell of a table, an index or a trigger, read from the SQL
// that made it. The engine has accepted that SQL, so what is not understood here is left out rather
// than refused.
#ifndef SLUICE_SERVER_DB_SQLITE_SCHEMA_SQL_H_
#define SLUICE_SERVER_DB_SQLITE_SCHEMA_SQL_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::sqlite {

// A primary or unique key as it is written.
struct WrittenKey {
  bool primary = false;
  std::string name;  // of its constraint; empty if it has none
  std::vector<std::string> columns;
};

struct WrittenColumn {
  std::string name;
  std::string generation;  // the expression of a generated column
};

struct WrittenTable {
  std::vector<WrittenColumn> columns;
  std::vector<WrittenKey> keys;
  std::vector<bool> deferred;  // of each foreign key, in their order
  bool without_rowid = false;
  bool strict = false;
};

struct WrittenIndex {
  std::vector<std::string> expressions;  // of each part, without its order and collation
  std::string predicate;
};

struct WrittenTrigger {
  std::string timing;
  std::string event;
};

WrittenTable ReadTable(absl::string_view sql);
// The module of a virtual table.
std::string ReadModule(absl::string_view sql);
WrittenIndex ReadIndex(absl::string_view sql);
WrittenTrigger ReadTrigger(absl::string_view sql);

// A name without its quotes.
std::string Unquoted(absl::string_view name);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_SCHEMA_SQL_H_
