// Chunker: cuts a result that is here into pieces of a stream.
#ifndef SLUICE_SERVER_DB_POSTGRES_CHUNKER_H_
#define SLUICE_SERVER_DB_POSTGRES_CHUNKER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/db/postgres/connection.h"
#include "server/db/postgres/decode.h"
#include "server/db/rows.h"

namespace sluice::postgres {

// Borrows the book; keeps the trip. The reactor's thread only.
class Chunker {
 public:
  // Rows of the result at `index` of a trip. `first_row`: how many went before, in other results.
  Chunker(const TypeBook& types,
          std::shared_ptr<Trip> trip,
          int index,
          int64_t chunk_bytes,
          int64_t first_row);

  // Appends to a chunk, which may hold columns, as much as fits; at least one row if it holds no
  // row yet.
  absl::Status Fill(db::Rows& chunk);

  // Nothing of the result is left to be filled in.
  bool done() const {
    return row_ == result().rows() && part_ == split_.size() && carried_.empty();
  }

  const Result& result() const { return trip_->results[static_cast<size_t>(index_)]; }

 private:
  absl::Status NextPart(db::Rows& chunk);

  const std::shared_ptr<Trip> trip_;
  const int index_;
  const int64_t chunk_bytes_;
  const int64_t first_row_;
  std::unique_ptr<RowDecoder> decoder_;
  std::vector<Cell> cells_;
  int row_ = 0;
  std::string carried_;     // a row that did not fit
  std::vector<int> split_;  // columns of the row before row_ whose values follow in parts
  size_t part_ = 0;         // index into split_
  uint64_t offset_ = 0;     // in the value of that column
  std::string unescaped_;   // that value, where it came in another form
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_CHUNKER_H_
