// ResultCode: what SQLite's result codes mean to a caller. The table is in result_code.cc.
#ifndef SLUICE_SERVER_DB_SQLITE_RESULT_CODE_H_
#define SLUICE_SERVER_DB_SQLITE_RESULT_CODE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/base/errors.h"

namespace sluice::sqlite {

// When the engine failed, which decides what can have become of the statement, and whether its
// words may hold values: while it compiles it has seen none.
enum class Phase { kOpening, kCompiling, kRunning };

// A failure as the engine tells it.
struct Failure {
  int code = 0;  // extended result code
  Phase phase = Phase::kRunning;
  absl::string_view message;  // sqlite3_errmsg
  absl::string_view sql;      // the statement; empty where there is none
  int offset = -1;            // sqlite3_error_offset: bytes into `sql`; -1 = not known
  bool read_only = false;     // the connection may not write because we opened it so
  std::string hint;           // what the connection knows to say beyond the engine's words
};

// The error that the caller sees. An interrupted statement is CANCELLED; whoever interrupted it
// says why.
absl::Status ToStatus(const Failure& failure);

// "SQLITE_CONSTRAINT_UNIQUE"; the primary code's name for an extended code that is not known.
absl::string_view ResultCodeName(int code);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_RESULT_CODE_H_
