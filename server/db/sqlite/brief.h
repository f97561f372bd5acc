// Brief statements: those that take but a moment however much the tables hold, so that they may run
// where others wait.
#ifndef SLUICE_SERVER_DB_SQLITE_BRIEF_H_
#define SLUICE_SERVER_DB_SQLITE_BRIEF_H_

#include <vector>

#include "absl/strings/string_view.h"

#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/plan.h"

namespace sluice::sqlite {

// Whether a statement that was compiled to this touches a row of each table at most, and if one is
// too large for the connection's longest value, finds that out before it changes anything. So:
//
//   no instruction is run twice;
//   what may fail because a value is too large comes before the first change;
//   a row is not removed, and not overwritten before something of it was read, since to free one
//   that is large takes long;
//   no foreign key is looked up, and nothing but single values is computed.
//
// The opcodes are those of SQLite 3.39 and 3.40. What is not known is not brief.
bool IsBrief(const std::vector<Instruction>& program);

// Finds out whether a statement of the connection's is brief, unless that is known. Costs as much
// as to compile it.
void Examine(Connection& connection, absl::string_view sql);

// Whether the connection has the statement compiled and idle, has examined it for the schema as it
// is now, and found it brief.
bool IsKnownBrief(Connection& connection, absl::string_view sql);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_BRIEF_H_
