// Functions: those of SQLite's own that, given long values, would run for minutes or years within
// one step of a statement, where nothing can end them. They are replaced by ones that give the same
// answers and end.
//
//   instr, replace, trim, ltrim, rtrim   linear here, quadratic there
//   printf, format                       refuse widths that no value may have
//   json_patch                           refuses objects whose keys it would compare for seconds
#ifndef SLUICE_SERVER_DB_SQLITE_FUNCTIONS_H_
#define SLUICE_SERVER_DB_SQLITE_FUNCTIONS_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"

struct sqlite3;
struct sqlite3_context;
struct sqlite3_stmt;
struct sqlite3_value;

namespace sluice::sqlite {

// Owned by its connection, used by one thread at a time.
class Functions {
 public:
  Functions() = default;
  ~Functions();

  Functions(const Functions&) = delete;
  Functions& operator=(const Functions&) = delete;

  // Puts them in place of the library's own. This must outlive `db`.
  absl::Status Register(sqlite3* db);

 private:
  using Arguments = sqlite3_value**;

  static void Printf(sqlite3_context* context, int count, Arguments arguments);
  static void JsonPatch(sqlite3_context* context, int count, Arguments arguments);

  // Lets the library's own function answer, on a connection that has kept it.
  void Delegate(sqlite3_context* context, const char* name, int count, Arguments arguments);
  sqlite3_stmt* Call(const char* name, int count);

  sqlite3* library_ = nullptr;  // opened when first needed
  absl::flat_hash_map<std::string, sqlite3_stmt*> calls_;
};

// The functions on texts, which need no library.
void Instr(sqlite3_context* context, int count, sqlite3_value** arguments);
void Replace(sqlite3_context* context, int count, sqlite3_value** arguments);
void Trim(sqlite3_context* context, int count, sqlite3_value** arguments);
void TrimLeft(sqlite3_context* context, int count, sqlite3_value** arguments);
void TrimRight(sqlite3_context* context, int count, sqlite3_value** arguments);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_FUNCTIONS_H_
