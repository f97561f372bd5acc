// Result: what the server answered to one message.
#ifndef SLUICE_SERVER_DB_POSTGRES_RESULT_H_
#define SLUICE_SERVER_DB_POSTGRES_RESULT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "server/db/postgres/decode.h"
#include "server/db/postgres/input.h"
#include "server/db/postgres/protocol.h"
#include "server/db/postgres/sqlstate.h"
#include "server/db/postgres/types.h"

namespace sluice::postgres {

// Its rows stand in the buffers that they were received in, which it keeps. What is asked for
// beyond its rows and columns is NULL, empty, or 0: a server may answer with less than was asked.
// The reactor's thread only.
class Result {
 public:
  enum class Kind {
    kRows,
    kDone,     // no rows: a command, or the description of a statement
    kEmpty,    // an empty statement
    kError,    // error() says why
    kSkipped,  // something before it in its trip failed
  };

  Kind kind() const { return kind_; }

  bool failed() const { return kind_ == Kind::kError || kind_ == Kind::kSkipped; }

  int rows() const { return static_cast<int>(rows_.size()); }

  int columns() const { return columns_ == nullptr ? 0 : static_cast<int>(all().size()); }

  // A row's cells, one for each column.
  void Cells(int row, absl::Span<Cell> out) const;
  Cell cell(int row, int column) const;
  // Empty for NULL.
  absl::string_view text(int row, int column) const;

  bool is_null(int row, int column) const { return cell(row, column).data == nullptr; }

  absl::string_view name(int column) const { return at(column).name; }

  Oid type(int column) const { return at(column).type; }

  int modifier(int column) const { return at(column).modifier; }

  Oid table(int column) const { return at(column).table; }

  int table_column(int column) const { return at(column).table_column; }

  Format format(int column) const { return at(column).format; }

  // What its columns are, shared with others of the same statement; null where nobody said.
  const std::shared_ptr<const Columns>& shape() const { return columns_; }

  // Of a description.
  int parameters() const { return static_cast<int>(parameters_.size()); }

  Oid parameter(int index) const { return parameters_[static_cast<size_t>(index)]; }

  // `SELECT 3`.
  absl::string_view tag() const { return tag_; }

  // What the tag counts; 0 if it counts nothing.
  int64_t affected() const;

  const ServerError& error() const;

  // Bytes that its rows keep in memory, about.
  size_t memory() const { return memory_; }

 private:
  friend class Answers;

  using Buffer = std::shared_ptr<const Input::Buffer>;

  absl::Span<const Column> all() const { return columns_->columns; }

  const Column& at(int column) const;

  // False: it is no row of such columns.
  bool AppendRow(absl::string_view body);

  Kind kind_ = Kind::kDone;
  std::shared_ptr<const Columns> columns_;
  absl::InlinedVector<const char*, 1> rows_;  // behind the count of columns
  absl::InlinedVector<Buffer, 1> buffers_;    // that they are in
  size_t memory_ = 0;
  std::string tag_;
  std::vector<Oid> parameters_;
  std::unique_ptr<ServerError> error_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_RESULT_H_
