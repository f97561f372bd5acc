// Rows of a file to import, whatever its form.
#ifndef SLUICE_CLIENT_CLI_ROW_SOURCE_H_
#define SLUICE_CLIENT_CLI_ROW_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "client/cli/input.h"
#include "client/row_buffer.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {

// What a file says of one value.
struct Cell {
  enum class Kind {
    kField,   // text whose meaning the column decides
    kValue,   // a value with a type of its own
    kAbsent,  // nothing: NULL
  };
  Kind kind = Kind::kField;
  absl::string_view text;  // of a field
  bool quoted = false;     // so was the field
  v1::Value value;
};

// Reads a file row by row. Owned by the import and used on its thread.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // The columns that the file names, before the first row; empty: it names none.
  virtual absl::StatusOr<std::vector<std::string>> Columns() = 0;
  // Reads the next row; false at the end. INVALID_ARGUMENT says the line.
  virtual absl::StatusOr<bool> Next() = 0;
  // Of the last row; hold until the next call.
  virtual const std::vector<Cell>& Cells() const = 0;
  // The line on which the last row begins, counted from 1.
  virtual int64_t Line() const = 0;
};

// CSV with this delimiter; `header`: its first record names the columns. Here and below, a record
// of more than `max_record_bytes` is refused.
std::unique_ptr<RowSource> MakeCsvSource(Input* input,
                                         char delimiter,
                                         bool header,
                                         size_t max_record_bytes = kMaxRecordBytes);

// A JSON object or array a line. The keys of the first object are the columns, unless `columns` are
// given; a key that a later object lacks is NULL.
std::unique_ptr<RowSource> MakeNdjsonSource(Input* input,
                                            std::vector<std::string> columns,
                                            size_t max_record_bytes = kMaxRecordBytes);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_ROW_SOURCE_H_
