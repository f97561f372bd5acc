// Rows of values from lines of JSON.
#ifndef SLUICE_CLIENT_CLI_JSON_ROWS_H_
#define SLUICE_CLIENT_CLI_JSON_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "client/cli/input.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {

// The values of one line: a JSON array, or an object, which has `names` too. null, true, false,
// numbers and strings are what they say; arrays and objects inside are JSON values.
// INVALID_ARGUMENT for anything else, for an integer beyond 64 bits, and for arrays and objects in
// each other beyond kMaxJsonDepth.
inline constexpr int kMaxJsonDepth = 100;
absl::Status ParseJsonRow(absl::string_view line,
                          std::vector<std::string>* names,
                          std::vector<v1::Value>* values);

// Reads a file of such lines; blank ones are skipped. The input outlives it.
class JsonRowReader {
 public:
  // A line of more than `max_line_bytes` is refused.
  explicit JsonRowReader(Input* input, size_t max_line_bytes = kMaxRecordBytes)
      : input_(*input), max_line_bytes_(max_line_bytes) {}

  // Reads the next row; false at the end. INVALID_ARGUMENT says the line.
  absl::StatusOr<bool> Next();

  // Of the last row; no names if it was an array.
  const std::vector<std::string>& Names() const { return names_; }

  std::vector<v1::Value>& Values() { return values_; }

  int64_t Line() const { return line_; }

 private:
  // Takes the next line, without its end; false if there is none.
  absl::StatusOr<bool> TakeLine(std::string* line);

  Input& input_;
  const size_t max_line_bytes_;
  int64_t line_ = 0;
  std::string text_;
  std::vector<std::string> names_;
  std::vector<v1::Value> values_;
};

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_JSON_ROWS_H_
