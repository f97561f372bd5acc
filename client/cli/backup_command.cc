// `sluice backup`.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/progress.h"
#include "client/cli/records.h"

namespace sluice::cli {
namespace {

using client::ToValue;

// Failures of this side's files carry a code that no server sends.
absl::Status FileError(absl::string_view what, const std::string& file) {
  return absl::Status(absl::StatusCode::kDataLoss,
                      absl::StrCat("cannot ", what, " ", file, ": ",
                                   std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
}

// A file that is written under another name, and takes its own when it is complete and on disk. One
// that is not is removed.
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)), partial_(path_ + ".partial") {}

  ~NewFile() {
    if (fd_ < 0) return;
    close(fd_);
    unlink(partial_.c_str());
  }

  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // `force`: what an earlier attempt left behind does not count.
  absl::Status Open(bool force) {
    fd_ = open(partial_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0600);
    return fd_ < 0 ? FileError("create", partial_) : absl::OkStatus();
  }

  absl::Status Write(absl::string_view data) {
    while (!data.empty()) {
      const ssize_t n = write(fd_, data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return FileError("write", partial_);
      data.remove_prefix(static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  // `force`: in the place of whatever has the name.
  absl::Status Finish(bool force) {
    if (fsync(fd_) != 0) return FileError("write", partial_);
    const unsigned flags = force ? 0 : RENAME_NOREPLACE;
    if (renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, path_.c_str(), flags) != 0) {
      return FileError("create", path_);
    }
    close(fd_);
    fd_ = -1;
    return SyncFolder();
  }

 private:
  // The name is on disk once its folder is.
  absl::Status SyncFolder() const {
    const size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    absl::Status status = ok ? absl::OkStatus() : FileError("write", folder);
    if (fd >= 0) close(fd);
    return status;
  }

  const std::string path_;
  const std::string partial_;
  int fd_ = -1;
};

ExitCode FailFile(const Session& session, const absl::Status& status) {
  Complain(session, status.message());
  return kExitOutput;
}

// Where the copy goes: the file that was named, or the one that the name links to.
absl::StatusOr<std::string> PlaceOf(const BackupOptions& options) {
  const std::string& file = options.file;
  const auto refused = [&file](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(file, " ", why));
  };
  if (file.empty() || file == "-") {
    return absl::InvalidArgumentError("backup wants the name of a file, not standard output");
  }
  struct stat named = {};
  struct stat meant = {};
  if (lstat(file.c_str(), &named) != 0) return file;
  const bool there = stat(file.c_str(), &meant) == 0;
  if (there && S_ISDIR(meant.st_mode)) return refused("is a folder: name a file in it");
  if (!options.force) return refused("is there already; --force overwrites it");
  if (!there) return refused("is a link to nothing");
  if (!S_ISREG(meant.st_mode)) return refused("is no ordinary file");
  if (!S_ISLNK(named.st_mode)) return file;
  const std::unique_ptr<char, decltype(&std::free)> target(realpath(file.c_str(), nullptr),
                                                           &std::free);
  if (target == nullptr) return refused("is a link that cannot be followed");
  return std::string(target.get());
}

}  // namespace

ExitCode RunBackup(Session& session) {
  const BackupOptions& options = session.options.backup;
  const auto path = PlaceOf(options);
  if (!path.ok()) {
    Complain(session, path.status().message());
    return kExitUsage;
  }
  NewFile file(*path);
  absl::Status file_status = file.Open(options.force);
  if (!file_status.ok()) return FailFile(session, file_status);

  Progress progress(session, "B");
  int64_t bytes = 0;
  const auto copy = session.client.Backup(
      session.options.connection_id,
      [&](absl::string_view data, int64_t total) {
        bytes += static_cast<int64_t>(data.size());
        progress.Show(bytes, bytes, total);
        file_status = file.Write(data);
        return file_status;
      },
      session.Call());
  progress.Clear();
  if (!file_status.ok()) return FailFile(session, file_status);
  if (!copy.ok()) return Fail(session, copy.status(), "", true);
  file_status = file.Finish(options.force);
  if (!file_status.ok()) return FailFile(session, file_status);

  PrintRecord(session, {{"file", ToValue(options.file)},
                        {"size_bytes", ToValue(copy->bytes)},
                        {"sha256", ToValue(absl::BytesToHexString(copy->sha256))}});
  const ExitCode code = FinishOutput(session);
  Note(session,
       absl::StrCat("copied ", ShortAmount(static_cast<double>(copy->bytes), "B"), " in ",
                    absl::FormatDuration(absl::Trunc(progress.Elapsed(), absl::Milliseconds(1)))));
  return code;
}

}  // namespace sluice::cli
