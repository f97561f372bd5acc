// What the forms of `sluice import` share.
#ifndef SLUICE_CLIENT_CLI_IMPORT_H_
#define SLUICE_CLIENT_CLI_IMPORT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/progress.h"
#include "client/row_buffer.h"
#include "sluice/v1/query.pb.h"
#include "sluice/v1/schema.pb.h"

namespace sluice::cli {

// Which line of the file each row stands on, in little memory: where rows follow line by line, only
// the first is kept.
class LineIndex {
 public:
  void Add(int64_t row, int64_t line) {
    if (runs_.empty() || line - row != runs_.back().second - runs_.back().first) {
      runs_.emplace_back(row, line);
    }
  }

  // 0 for a row that was not added.
  int64_t LineOf(int64_t row) const;

 private:
  std::vector<std::pair<int64_t, int64_t>> runs_;  // the first row of each, and its line
};

// What became of a table's rows.
struct LoadResult {
  std::string table;
  int64_t rows = 0;
  int64_t affected = 0;
  int64_t skipped = 0;
  int64_t chunks = 0;
  int64_t chunks_failed = 0;
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

// One load into one table: rows in, chunk by chunk. Owned by the command and used on its thread.
class Loader {
 public:
  Loader(Session& session, const v1::BulkInsertRequest& header, std::string file);

  client::RowBuffer& Rows() { return rows_; }

  // Says that a row was added, and where it stands. Sends a chunk when it is full. False: the call
  // has ended; Finish says why.
  bool AddedRow(int64_t line);

  // Sends the rest, ends the load and shows what failed. `result` tells what became of it.
  ExitCode Finish(LoadResult* result);

  int64_t RowCount() const { return row_count_; }

 private:
  ExitCode ShowFailure(const client::Error& error);

  Session& session_;
  const std::string table_;
  const std::string file_;
  const std::unique_ptr<client::BulkInserter> inserter_;
  client::RowBuffer rows_;
  LineIndex lines_;
  int64_t row_count_ = 0;
};

// Loads rows of CSV, TSV or NDJSON; runs a dump.
ExitCode ImportRows(Session& session, Input& input);
ExitCode ImportSql(Session& session, Input& input);

// Prints a line for each table, and a note with the speed.
ExitCode PrintLoads(Session& session,
                    const std::vector<LoadResult>& loads,
                    const Progress& progress);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_IMPORT_H_
