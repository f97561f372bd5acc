// PageCopy: the pages of one database, copied into a new file.
#ifndef SLUICE_SERVER_DB_SQLITE_COPY_H_
#define SLUICE_SERVER_DB_SQLITE_COPY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/db/sqlite/connection.h"

struct sqlite3_backup;

namespace sluice::sqlite {

// Used by one thread at a time.
class PageCopy {
 public:
  // `source` is inside a read transaction, whose snapshot is what is copied, and outlives this.
  // `path` is an empty file that nobody else uses.
  static absl::StatusOr<std::unique_ptr<PageCopy>> Begin(Connection& source,
                                                         const std::string& path);
  ~PageCopy();

  PageCopy(const PageCopy&) = delete;
  PageCopy& operator=(const PageCopy&) = delete;

  // So many pages more. True: it is complete, though it may still be on its way to the disk.
  // Errors: DISK_FULL, DATABASE_CORRUPT.
  absl::StatusOr<bool> Step(int pages);

 private:
  explicit PageCopy(sqlite3* target) : target_(target) {}

  absl::Status Error(int code) const;

  sqlite3* const target_;
  sqlite3_backup* backup_ = nullptr;
};

// There is no room for a copy.
absl::Status CopyDiskFull();

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_COPY_H_
