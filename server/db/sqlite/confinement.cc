// Locating a file that a caller chose, so that it cannot lead out of its folder.
#include <cerrno>
#include <map>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/base/errors.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/db/sqlite/location.h"

namespace sluice::sqlite {
namespace {

// What SQLite and the server put beside a database.
constexpr absl::string_view kBeside[] = {"-wal", "-shm", "-journal", ".sluice-lock"};
constexpr absl::string_view kServersOwn[] = {"registry.db", "sluiced.lock"};

// Only ever of O_PATH descriptors: to close an ordinary one of a database would drop all locks that
// the process has on it.
class PathFd {
 public:
  explicit PathFd(int fd) : fd_(fd) {}

  PathFd(PathFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

  PathFd& operator=(PathFd&&) = delete;

  ~PathFd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }

  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

absl::Status Outside() {
  return errors::ConnectionForbidden(
      "The database must lie beneath the server's folder for databases; sqlite:///name.db does.");
}

absl::Status NotPlain() {
  return errors::ConnectionForbidden(
      "The database must be a plain file with one name; links, folders, pipes and devices are "
      "refused.");
}

absl::Status Unreachable(int error) {
  switch (error) {
    case ELOOP:
    case EXDEV:
    case ENOTDIR:
      return NotPlain();
    case ENOENT:
      return errors::ConnectionInvalidTarget(
          "The folder of the database does not exist; ask the operator to make it.");
    case EACCES:
    case EPERM:
    case EROFS:
      return errors::ConnectionInvalidTarget(
          "The server may not make or read the database file; ask the operator.");
    case ENAMETOOLONG:
      return errors::ConnectionInvalidTarget("The name of the database file is too long.");
    case ENOSYS:
      return errors::ConnectionInvalidTarget(
          "This kernel cannot confine paths, so no database can be registered; it lacks openat2.");
    default:
      return errors::ConnectionInvalidTarget("The database file cannot be reached.");
  }
}

// Opens `path` beneath the folder, crossing no link of any kind.
PathFd OpenBeneath(int folder, const std::string& path, uint64_t flags) {
  struct open_how how {};

  how.flags = O_PATH | O_CLOEXEC | flags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0;; ++attempt) {
    const int64_t fd = syscall(SYS_openat2, folder, path.c_str(), &how, sizeof how);
    const bool again = fd < 0 && (errno == EAGAIN || errno == EINTR) && attempt < 100;
    if (!again) return PathFd(static_cast<int>(fd));
  }
}

// Roots: the folders that operators set aside, each opened once.
class Roots {
 public:
  static Roots& Get() {
    static auto* const roots = new Roots();
    return *roots;
  }

  absl::StatusOr<std::shared_ptr<const PathFd>> Open(const std::string& path)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    std::shared_ptr<const PathFd>& known = open_[path];
    if (known != nullptr && StillThere(*known, path)) return known;
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return NoRoot();
    auto root = std::make_shared<PathFd>(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root->ok()) return NoRoot();
    known = std::move(root);
    return known;
  }

 private:
  static bool StillThere(const PathFd& root, const std::string& path) {
    struct stat folder {};

    struct stat named {};

    return fstat(root.get(), &folder) == 0 && stat(path.c_str(), &named) == 0 &&
           folder.st_dev == named.st_dev && folder.st_ino == named.st_ino;
  }

  static absl::Status NoRoot() {
    return errors::ConnectionInvalidTarget(
        "The server's folder for databases cannot be made or opened; tell the operator.");
  }

  Mutex mu_;
  std::map<std::string, std::shared_ptr<const PathFd>> open_ ABSL_GUARDED_BY(mu_);
};

bool IsTaken(absl::string_view name) {
  for (absl::string_view own : kServersOwn) {
    if (name == own) return true;
  }
  for (absl::string_view suffix : kBeside) {
    if (absl::EndsWith(name, suffix)) return true;
  }
  return false;
}

bool IsPlain(const struct stat& file) {
  return S_ISREG(file.st_mode) && file.st_nlink == 1;
}

// What SQLite will open by its name beside the database must be no way out either.
absl::Status CheckBeside(int folder, const std::string& name) {
  for (absl::string_view suffix : kBeside) {
    struct stat file {};

    const std::string beside = absl::StrCat(name, suffix);
    if (fstatat(folder, beside.c_str(), &file, AT_SYMLINK_NOFOLLOW) == 0 && !IsPlain(file)) {
      return NotPlain();
    }
  }
  return absl::OkStatus();
}

// The file itself, made if need be.
absl::StatusOr<PathFd> OpenFile(int folder, const std::string& name, bool make) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    PathFd file = OpenBeneath(folder, name, O_NOFOLLOW);
    if (file.ok()) return file;
    if (errno != ENOENT) return Unreachable(errno);
    if (!make) return errors::DatabaseMissing();
    if (mknodat(folder, name.c_str(), S_IFREG | 0600, 0) != 0 && errno != EEXIST) {
      return Unreachable(errno);
    }
  }
  return Unreachable(EAGAIN);  // someone removes it as fast as it is made
}

}  // namespace

absl::StatusOr<Location> LocateBeneath(const std::string& root,
                                       const std::string& path,
                                       const FileOptions& options,
                                       bool must_exist) {
  absl::string_view below = path;
  if (!absl::ConsumePrefix(&below, absl::StrCat(root, "/"))) return Outside();
  std::vector<std::string> parts = absl::StrSplit(below, '/');
  for (const std::string& part : parts) {
    if (part.empty() || part == "." || part == ".." || absl::StrContains(part, '\0')) {
      return Outside();
    }
  }
  Location location;
  location.name = parts.back();
  if (IsTaken(location.name)) {
    return errors::ConnectionForbidden(
        "Files of that name belong to the server or to another database's journal.");
  }
  parts.pop_back();

  TRY(const std::shared_ptr<const PathFd> top, Roots::Get().Open(root));
  const std::string folders = parts.empty() ? "." : absl::StrJoin(parts, "/");
  const PathFd folder = OpenBeneath(top->get(), folders, O_DIRECTORY);
  if (!folder.ok()) return Unreachable(errno);
  TRY(const PathFd file, OpenFile(folder.get(), location.name, !options.read_only && !must_exist));

  struct stat found {};

  if (fstat(file.get(), &found) != 0) return Unreachable(errno);
  if (!IsPlain(found)) return NotPlain();
  TRY_STATUS(CheckBeside(folder.get(), location.name));
  location.path = path;
  location.id = FileId{.device = found.st_dev, .inode = found.st_ino};
  return location;
}

}  // namespace sluice::sqlite
