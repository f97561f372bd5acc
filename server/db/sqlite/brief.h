// Brief statements: those that take but a moment however much the tables hold, so that they may run
// where others wait.
#ifndef SLUICE_SERVER_DB_SQLITE_BRIEF_H_
#define SLUICE_SERVER_DB_SQLITE_BRIEF_H_

#include <vector>

#include "absl/strings/string_view.h"

#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/plan.h"

namespace sluice::sqlite {

// Whether a statement that was compiled to this runs each instruction at most once, so that it
// touches a row of each table at most, and does all that can fail because a value is too large
// before it changes anything. The opcodes are those of SQLite 3.39 and 3.40; a program with others,
// or with more than a few hundred instructions, is not.
bool IsBrief(const std::vector<Instruction>& program);

// Finds out whether a statement of the connection's is brief, unless that is known. Costs as much
// as to compile it.
void Examine(Connection& connection, absl::string_view sql);

// Whether the connection has the statement compiled and idle, and, if it writes, examined it for
// the schema as it is now and found it brief. Of one that reads nothing else is asked: it can be
// ended at any time.
bool MayBeBrief(Connection& connection, absl::string_view sql);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_BRIEF_H_
