// StatementShape: what can be said of an SQL text without asking the engine: its first keyword,
// whether a second statement follows, and which parameters it has.
#ifndef SLUICE_SERVER_DB_SHAPE_H_
#define SLUICE_SERVER_DB_SHAPE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/db/lexer.h"
#include "server/db/parameter_list.h"

namespace sluice::db {

// Owns what it says, so it may be kept with a prepared statement after the SQL text is gone.
struct StatementShape {
  // The first words, in upper case, after EXPLAIN and opening parentheses; empty where a word is
  // none. Words without weight are passed over: `CREATE TEMP TRIGGER` has `TRIGGER` for its second.
  std::string keyword;
  std::string second;
  // What the statement does: `keyword`, but for WITH the verb that follows its list.
  std::string verb;
  bool explain = false;
  bool empty = true;  // only white space, comments and semicolons
  Place nul;          // the first NUL byte: engines take it for the end
  Place error;        // the first thing that the engine cannot read, up to the end of the statement
  Place stacked;      // where a second statement begins

  ParameterList parameters;  // up to the end of the first statement
};

// Reads one SQL text. Linear in its length, so the answer is kept with the prepared statement.
StatementShape Inspect(absl::string_view sql, Dialect dialect);

// Refuses what is never run, and names what to use instead: an empty text, a second statement,
// transaction control, and on PostgreSQL what would change the session of a shared connection. What
// else is wrong with the text is left for the engine to say.
absl::Status CheckAllowed(const StatementShape& shape, Dialect dialect);

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_SHAPE_H_
