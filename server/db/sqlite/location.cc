#include "server/db/sqlite/location.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

namespace fs = std::filesystem;

absl::Status NotAFile(mode_t mode) {
  absl::string_view kind = "no plain file";
  if (S_ISLNK(mode)) kind = "a symbolic link; name the file that it leads to";
  if (S_ISDIR(mode)) kind = "a folder";
  if (S_ISFIFO(mode)) kind = "a pipe";
  if (S_ISSOCK(mode)) kind = "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) kind = "a device";
  return errors::ConnectionInvalidTarget(
      absl::StrCat("The database must be a file, and what stands there is ", kind, "."));
}

absl::Status Unreachable(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return errors::ConnectionInvalidTarget(
          "The folder of the database does not exist; make it first.");
    case EACCES:
    case EPERM:
    case EROFS:
      return errors::ConnectionInvalidTarget(
          "The server may not make or read the database file; check its permissions.");
    case ENAMETOOLONG:
      return errors::ConnectionInvalidTarget("The name of the database file is too long.");
    default:
      return errors::ConnectionInvalidTarget("The database file cannot be reached.");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PrivateFolder>> PrivateFolder::Make() {
  std::error_code failure;
  const fs::path parent = fs::temp_directory_path(failure);
  std::string path = absl::StrCat(parent.string(), "/sluice-XXXXXX");
  if (failure || mkdtemp(path.data()) == nullptr) {
    return errors::ConnectionInvalidTarget(
        "There is no room for a private database; set TMPDIR to a folder that can be written.");
  }
  return std::unique_ptr<PrivateFolder>(new PrivateFolder(std::move(path)));
}

PrivateFolder::~PrivateFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

absl::StatusOr<Location> LocateFile(const std::string& path,
                                    const FileOptions& options,
                                    bool must_exist) {
  if (path.empty() || path.find('\0') != std::string::npos || path.back() == '/') {
    return errors::ConnectionInvalidTarget("The target names no database file.");
  }
  const fs::path given(path);
  std::error_code failure;
  const fs::path parent =
      fs::canonical(given.has_parent_path() ? given.parent_path() : ".", failure);
  if (failure) return Unreachable(failure.value());

  Location location;
  location.name = given.filename().string();
  location.path = (parent / given.filename()).string();

  struct stat found {};

  bool exists = lstat(location.path.c_str(), &found) == 0;
  if (!exists && errno != ENOENT) return Unreachable(errno);
  if (!exists && (options.read_only || must_exist)) return errors::DatabaseMissing();
  if (!exists) {
    // Made without being opened: to close a descriptor of a database would drop all locks that the
    // process has on it, and someone may have opened it since.
    if (mknod(location.path.c_str(), S_IFREG | 0600, 0) != 0 && errno != EEXIST) {
      return Unreachable(errno);
    }
    exists = lstat(location.path.c_str(), &found) == 0;
    if (!exists) return Unreachable(errno);
  }
  if (!S_ISREG(found.st_mode)) return NotAFile(found.st_mode);
  location.id = FileId{.device = found.st_dev, .inode = found.st_ino};
  return location;
}

absl::StatusOr<Location> LocateMemory() {
  TRY(std::unique_ptr<PrivateFolder> folder, PrivateFolder::Make());
  TRY(Location location, LocateFile(absl::StrCat(folder->path(), "/memory.db"), FileOptions()));
  location.name = ":memory:";
  location.folder = std::move(folder);
  return location;
}

}  // namespace sluice::sqlite
