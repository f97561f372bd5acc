// SQL with several statements.
#ifndef SLUICE_CLIENT_CLI_SQL_SCRIPT_H_
#define SLUICE_CLIENT_CLI_SQL_SCRIPT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::cli {

class Input;

// One statement of a script, without its semicolon and what surrounds it.
struct ScriptStatement {
  absl::string_view text;
  size_t offset = 0;  // of its first byte in the script
  int64_t line = 1;   // of its first character, counted from 1
};

// Splits a text at the semicolons that end statements: not those in strings, names, comments or the
// body of a trigger, which ends with `END;`. Statements without anything in them are left out.
// INVALID_ARGUMENT for a string, name or comment without its end.
absl::StatusOr<std::vector<ScriptStatement>> SplitScript(absl::string_view script);

// A statement of a file may be much larger than a request: an INSERT is sent in parts.
inline constexpr size_t kMaxStatementBytes = 256 << 20;

// The same, statement by statement, for a file of any size. The input outlives it.
class ScriptReader {
 public:
  // A statement of more than `max_statement_bytes` is refused: most often, a quote stands alone.
  explicit ScriptReader(Input* input, size_t max_statement_bytes = kMaxStatementBytes)
      : input_(*input), max_statement_bytes_(max_statement_bytes) {}

  // The next statement, which holds until the next call; false at the end.
  absl::StatusOr<bool> Next(ScriptStatement* statement);

 private:
  Input& input_;
  const size_t max_statement_bytes_;
  size_t used_ = 0;  // bytes of the view that were handed out
  size_t offset_ = 0;
  int64_t line_ = 1;  // at the beginning of the view, once what was handed out is consumed
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_SQL_SCRIPT_H_
