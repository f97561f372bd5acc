// What the forms of `sluice import` share.
#ifndef SLUICE_CLIENT_CLI_IMPORT_H_
#define SLUICE_CLIENT_CLI_IMPORT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/progress.h"
#include "client/row_buffer.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/schema.pb.h"

namespace sluice::cli {

// Which line of the file each row stands on, in little memory: where rows follow line by line, or
// stand on one line, only the first is kept.
class LineIndex {
 public:
  // Rows are added in order, from 0.
  void Add(int64_t row, int64_t line);

  // 0 for a row that was not added.
  int64_t LineOf(int64_t row) const;

  size_t RunCount() const { return runs_.size(); }

 private:
  struct Run {
    int64_t row = 0;  // the first
    int64_t line = 0;
    int64_t step = 1;  // lines from a row to the next
  };

  std::vector<Run> runs_;
};

// What became of a table's rows.
struct LoadResult {
  std::string table;
  int64_t rows = 0;
  int64_t affected = 0;
  int64_t skipped = 0;
  int64_t chunks = 0;
  int64_t chunks_failed = 0;
  std::string transaction;  // where the caller's stands afterwards, in words; empty: there is none
};

// How a value of a file becomes one of a column.
enum class ColumnRule {
  kText,    // as it is
  kNumber,  // a number if it is spelled as one, else as it is; an empty field is NULL
  kOther,   // as it is; an empty field is NULL
};

ColumnRule RuleOf(const v1::TableColumn& column);

// Adds a field to a row: NULL, a number or text, by its column's rule. `null_text`: the fields that
// are NULL, instead of what the rule says.
void AddField(absl::string_view text,
              bool quoted,
              ColumnRule rule,
              const std::optional<std::string>& null_text,
              client::RowBuffer* rows);

// One load into one table: rows in, chunk by chunk. Destroying it before Finish cancels the call.
// Owned by the command and used on its thread.
class Loader {
 public:
  // No message has more than `max_request_bytes`.
  Loader(Session& session,
         const v1::BulkInsertRequest& header,
         std::string file,
         size_t max_request_bytes);

  // Where the next row is put, and that row only.
  client::RowBuffer& Row() { return row_; }

  // Takes over that row, and where it stands. Sends a chunk when it is full. False: the call has
  // ended; Finish says why. RESOURCE_EXHAUSTED: the row fits into no message; it was not sent.
  absl::StatusOr<bool> AddedRow(int64_t line);

  // Sends the rest, ends the load and shows what failed. `result` tells what became of it.
  ExitCode Finish(LoadResult* result);

  int64_t RowCount() const { return row_count_; }

 private:
  ExitCode ShowFailure(const client::Error& error);

  Session& session_;
  const std::string table_;
  const std::string file_;
  const size_t max_request_bytes_;
  const size_t max_row_bytes_;    // in a message behind the header
  const size_t max_chunk_bytes_;  // a chunk of more is sent
  const std::unique_ptr<client::BulkInserter> inserter_;
  client::RowBuffer row_;
  client::RowBuffer rows_;
  LineIndex lines_;
  int64_t row_count_ = 0;
};

// Loads rows of CSV, TSV or NDJSON; runs a dump.
ExitCode ImportRows(Session& session, Input& input, size_t max_request_bytes);
ExitCode ImportSql(Session& session, Input& input, size_t max_request_bytes);

// Prints a line for each table, and a note with the speed.
ExitCode PrintLoads(Session& session,
                    const std::vector<LoadResult>& loads,
                    const Progress& progress);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_IMPORT_H_
