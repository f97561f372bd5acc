#include "server/db/sqlite/file_lock.h"

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

// An open-file-description lock: it belongs to this descriptor, so closing another one of the same
// file elsewhere in the process does not drop it.
bool Lock(int fd) {
  struct flock whole_file {};

  whole_file.l_type = F_WRLCK;
  whole_file.l_whence = SEEK_SET;
  return fcntl(fd, F_OFD_SETLK, &whole_file) == 0;
}

absl::Status InUse(int fd) {
  char text[16] = {};
  const ssize_t size = pread(fd, text, sizeof text - 1, 0);
  int pid = 0;
  const bool known = size > 0 && absl::SimpleAtoi(text, &pid) && pid > 0;
  return errors::ConnectionInUse(
      known && pid == getpid()
          ? "The database is being closed by this server; try again in a moment."
          : absl::StrCat("Another gateway", known ? absl::StrCat(" (process ", pid, ")") : "",
                         " has the database open, and only one may; stop it, or connect to it."));
}

// The file may have been removed by its last holder between open and lock; then the lock says
// nothing.
bool StillThere(const std::string& path, int fd) {
  struct stat opened {};

  struct stat named {};

  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

absl::Status WritePid(int fd) {
  const std::string pid = absl::StrCat(getpid(), "\n");
  const bool written = ftruncate(fd, 0) == 0 &&
                       pwrite(fd, pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size());
  return written ? absl::OkStatus()
                 : errors::ConnectionInvalidTarget("The database's lock file cannot be written.");
}

}  // namespace

absl::StatusOr<std::unique_ptr<FileLock>> FileLock::Acquire(absl::string_view database_path) {
  std::string path = absl::StrCat(database_path, ".sluice-lock");
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
      return errors::ConnectionInvalidTarget(
          errno == EACCES || errno == EROFS
              ? "The database's folder must be writable, for its lock file and its journal."
              : "The database's lock file cannot be opened.");
    }
    if (!Lock(fd)) {
      absl::Status in_use = InUse(fd);
      close(fd);
      return in_use;
    }
    if (StillThere(path, fd)) {
      const absl::Status written = WritePid(fd);
      std::unique_ptr<FileLock> lock(new FileLock(std::move(path), fd));
      TRY_STATUS(written);
      return lock;
    }
    close(fd);
  }
  return errors::ConnectionInUse("The database is being opened and closed elsewhere; try again.");
}

FileLock::~FileLock() {
  unlink(path_.c_str());
  close(fd_);
}

}  // namespace sluice::sqlite
