// Spool: what a streamed write gave, kept until its caller has taken it.
#ifndef SLUICE_SERVER_DB_SQLITE_SPOOL_H_
#define SLUICE_SERVER_DB_SQLITE_SPOOL_H_

#include <cstdint>
#include <deque>
#include <utility>

#include "server/db/rows.h"
#include "server/db/sqlite/database_file.h"

namespace sluice::sqlite {

// Spool: rows of a committed write, and the room that they take.
class Spool {
 public:
  Spool(DatabaseFile& file, std::deque<db::Rows> chunks, int64_t bytes)
      : file_(&file), chunks_(std::move(chunks)), bytes_(bytes) {}

  Spool(Spool&& other) noexcept
      : file_(std::exchange(other.file_, nullptr)),
        chunks_(std::move(other.chunks_)),
        bytes_(other.bytes_) {}

  Spool& operator=(Spool&&) = delete;

  ~Spool() {
    if (file_ != nullptr) file_->GiveSpool(bytes_);
  }

  // The next chunk; the last one holds the closing facts. REQUIRES: there is one.
  db::Rows Take() {
    db::Rows chunk = std::move(chunks_.front());
    chunks_.pop_front();
    return chunk;
  }

 private:
  DatabaseFile* file_;  // null once moved from
  std::deque<db::Rows> chunks_;
  const int64_t bytes_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_SPOOL_H_
