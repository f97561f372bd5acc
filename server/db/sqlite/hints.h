// Hints: what to say beside the engine's words on the mistakes that are made most.
#ifndef SLUICE_SERVER_DB_SQLITE_HINTS_H_
#define SLUICE_SERVER_DB_SQLITE_HINTS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace sluice::sqlite {

// The table that the engine does not know, if that is what its message says; else empty.
absl::string_view MissingTable(absl::string_view message);

// Where in the SQL the engine's message points, in bytes, for errors that come without a place; -1
// if nowhere.
int FindOffset(absl::string_view message, absl::string_view sql);

// A hint for an error of the compiler, or nothing. `tables` are those that a client may name, asked
// for when MissingTable names one.
std::string HintFor(absl::string_view message,
                    absl::string_view sql,
                    int offset,
                    const std::vector<std::string>& tables);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_HINTS_H_
