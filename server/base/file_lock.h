// FileLock: a file that at most one process holds, for as long as it lives. The kernel lets go of
// it when the process ends, however it ends.
#ifndef SLUICE_SERVER_BASE_FILE_LOCK_H_
#define SLUICE_SERVER_BASE_FILE_LOCK_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace sluice {

class FileLock {
 public:
  // Creates the file (mode 0600) where it is missing, locks it and writes the process id into it.
  // Never waits. ALREADY_EXISTS with the holder's process id: another process, or this one, holds
  // it. The file stays behind when the lock is let go: removing it would let two holders lock two
  // files of one name.
  static absl::StatusOr<std::unique_ptr<FileLock>> Acquire(const std::string& path);
  ~FileLock();

  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  explicit FileLock(int fd) : fd_(fd) {}

  const int fd_;
};

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_FILE_LOCK_H_
