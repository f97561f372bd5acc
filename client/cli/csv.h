// CSV and TSV, read.
#ifndef SLUICE_CLIENT_CLI_CSV_H_
#define SLUICE_CLIENT_CLI_CSV_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "client/cli/input.h"

namespace sluice::cli {

struct CsvField {
  absl::string_view text;
  bool quoted = false;
};

// Records of a file by RFC 4180, with any one-byte delimiter: lines end with LF or CRLF, the last
// one perhaps with neither; a field in double quotes may hold delimiters, line ends and doubled
// quotes. A quote inside an unquoted field is a character like any other. Text must be UTF-8
// without NUL. A CR without its LF is text inside a field; after a quoted one, or in the first
// record, it is refused: there it tells of a file whose lines end with CR. The input outlives it;
// memory holds one record, or a piece of the file.
class CsvReader {
 public:
  // A record of more than `max_record_bytes` is refused: most often, a quote stands in it alone.
  CsvReader(Input* input, char delimiter, size_t max_record_bytes = kMaxRecordBytes);

  // Reads the next record; false at the end. INVALID_ARGUMENT says the line.
  absl::StatusOr<bool> Next();

  // Of the last record; hold until the next call.
  const std::vector<CsvField>& Fields() const { return fields_; }

  // A line with nothing on it is a record of one empty field.
  bool IsBlank() const {
    return fields_.size() == 1 && fields_[0].text.empty() && !fields_[0].quoted;
  }

  // The line on which the last record begins, counted from 1.
  int64_t Line() const { return line_; }

 private:
  enum class Outcome { kRecord, kMore, kFailed };

  Outcome Parse(absl::string_view text);
  // Each parses from *pos on, and leaves *pos behind what it took.
  Outcome ParseQuoted(absl::string_view text, size_t* pos);
  void ParseUnquoted(absl::string_view text, size_t* pos);
  absl::Status CheckText(absl::string_view record) const;
  void PutScratchInPlace();
  absl::Status TooLong() const;
  absl::Status LoneReturn(int64_t line, size_t field) const;

  Input& input_;
  const char delimiter_;
  const size_t max_record_bytes_;
  bool ends_field_[256] = {};

  std::vector<CsvField> fields_;
  size_t used_ = 0;        // bytes of the view that the last record took
  int64_t line_ = 0;       // where it began
  int64_t next_line_ = 1;  // where the next one begins
  int64_t lines_in_record_ = 0;
  size_t returned_field_ = 0;  // the first one, from 1, with a CR alone in it; 0: none

  std::string scratch_;             // fields whose quotes were doubled, joined
  std::vector<size_t> in_scratch_;  // which fields they are, and
  std::vector<size_t> starts_;      // where in scratch_ they begin
  absl::Status error_;
};

// True if all of it is UTF-8, and none of it NUL.
bool IsCleanText(absl::string_view text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_CSV_H_
