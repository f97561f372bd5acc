// Reading: a statement of a transaction that is read piece by piece.
#ifndef SLUICE_SERVER_DB_SQLITE_READING_H_
#define SLUICE_SERVER_DB_SQLITE_READING_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"

#include "server/base/status.h"
#include "server/db/rows.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/result.h"

namespace sluice::sqlite {

// Until its end nothing else runs in its transaction. Used by one thread at a time.
class Reading {
 public:
  // `prepared` is bound.
  Reading(Connection& connection, Prepared& prepared, int64_t chunk_bytes)
      : connection_(connection), prepared_(prepared), maker_(connection, prepared, chunk_bytes) {}

  // The statement is over, or given up.
  ~Reading() { connection_.Reset(prepared_); }

  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  // The next chunk; after the last one the closing facts, with `end`.
  absl::StatusOr<db::Rows> Next(Watch* watch) {
    TRY(std::optional<db::Rows> chunk, maker_.Next(watch));
    if (chunk.has_value()) return *std::move(chunk);
    return EndOf(connection_, prepared_, maker_);
  }

 private:
  Connection& connection_;
  Prepared& prepared_;
  ChunkMaker maker_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_READING_H_
