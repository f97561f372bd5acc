// FileLock: keeps a second gateway away from a database. SQLite alone would let both write, and
// two processes that checkpoint can destroy a database of this version.
#ifndef SLUICE_SERVER_DB_SQLITE_FILE_LOCK_H_
#define SLUICE_SERVER_DB_SQLITE_FILE_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice::sqlite {

// Owned by the Database; taken before its first connection opens, given up after the last closed.
class FileLock {
 public:
  // Takes `<database>.sluice-lock`. Errors: CONNECTION_IN_USE, CONNECTION_INVALID_TARGET.
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(absl::string_view database_path);

  // Removes the file, then lets go.
  ~FileLock();

  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  FileLock(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_FILE_LOCK_H_
