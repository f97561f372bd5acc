// Decode: values from the server to the contract. Rows go straight into the wire form of the reply
// that will carry them; no message is made for a cell.
#ifndef SLUICE_SERVER_DB_POSTGRES_DECODE_H_
#define SLUICE_SERVER_DB_POSTGRES_DECODE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "server/db/postgres/types.h"

namespace sluice::postgres {

class ValueReader;

// One value as the server sent it; `data` is null for NULL.
struct Cell {
  const char* data = nullptr;
  int length = 0;
};

// RowDecoder: encodes the rows of one result. Borrows the book, whose types must all be known: one
// that is not is passed through as Raw.
class RowDecoder {
 public:
  struct Column {
    Oid type = 0;
    Format format = Format::kText;
  };

  RowDecoder(const TypeBook& book, absl::Span<const Column> columns);
  RowDecoder(RowDecoder&&) noexcept;
  ~RowDecoder();

  // Appends one row, a cell per column, as a `rows` field (db::kRowsField). Values of more than
  // `split_above` bytes whose kind is a string, bytes or Raw stand as SplitValue, and their columns
  // are appended to `split`. Error: INTERNAL, for bytes that are no value of their type; then
  // nothing was appended.
  absl::Status Append(absl::Span<const Cell> cells,
                      int64_t split_above,
                      std::string& out,
                      std::vector<int>& split) const;

  // The bytes that the SplitValue of a cell stands for; they are in the cell, or in `storage`.
  absl::StatusOr<absl::string_view> SplitBytes(int column,
                                               const Cell& cell,
                                               std::string& storage) const;

 private:
  const TypeBook& book_;
  std::vector<ValueReader> readers_;  // a column each
};

// Appends the fields of a Value for one cell that is not NULL.
absl::Status AppendValue(
    const TypeBook& book, Oid type, Format format, absl::string_view data, std::string& out);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_DECODE_H_
