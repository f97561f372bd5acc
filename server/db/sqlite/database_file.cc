#include "server/db/sqlite/database_file.h"

#include <utility>

#include <sys/stat.h>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

constexpr int64_t kLookEvery = 1'000'000;  // microseconds

// Rows of streamed writes that wait for their callers, all together, in bytes.
constexpr int64_t kMostSpooledInAll = 128 << 20;

}  // namespace

absl::Status DatabaseFile::Check() {
  if (moved_.load(std::memory_order_relaxed)) return CheckNow();  // it may have been put back
  const int64_t now = absl::ToInt64Microseconds(Clock::System().Steady());
  int64_t look_at = look_at_.load(std::memory_order_relaxed);
  if (now >= look_at && look_at_.compare_exchange_strong(look_at, now + kLookEvery)) {
    return CheckNow();
  }
  return Verdict();
}

absl::Status DatabaseFile::CheckNow() {
  struct stat named {};

  const bool same = stat(path_.c_str(), &named) == 0 &&
                    FileId{.device = named.st_dev, .inode = named.st_ino} == id_;
  moved_.store(!same, std::memory_order_relaxed);
  return Verdict();
}

absl::Status DatabaseFile::Verdict() const {
  if (corrupt_.load(std::memory_order_relaxed)) [[unlikely]] {
    return errors::DatabaseCorrupt(
        "The database file is damaged and is not used any more; restore it from a backup.");
  }
  if (moved_.load(std::memory_order_relaxed)) [[unlikely]] {
    return errors::ConnectionInvalidTarget(
        "The database file was removed or replaced while it was open; put it back, or close the "
        "connection and open it again.");
  }
  return absl::OkStatus();
}

void DatabaseFile::Note(const absl::Status& failure) {
  if (!absl::IsDataLoss(failure)) [[likely]]
    return;
  // A device that failed once says nothing of the file.
  if (errors::ReasonOf(failure) != "DATABASE_CORRUPT") return;
  if (!corrupt_.exchange(true)) {
    log::Error("sqlite", "a database file is damaged and is not used any more", {{"path", path_}});
  }
}

bool DatabaseFile::TakeSpool(int64_t bytes) {
  if (spooled_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= kMostSpooledInAll)
    return true;
  GiveSpool(bytes);
  return false;
}

absl::StatusOr<std::unique_ptr<Connection>> DatabaseFile::OpenReader(absl::Duration busy_timeout,
                                                                     int max_value_bytes) {
  ConnectionOptions options;
  options.max_value_bytes = max_value_bytes;
  options.path = path_;
  options.id = id_;
  options.foreign_keys = options_.foreign_keys;
  options.busy_timeout = busy_timeout;
  options.statement_cache = settings_.statement_cache;
  return OpenConnection(options);
}

absl::StatusOr<std::unique_ptr<Connection>> DatabaseFile::OpenWriter(absl::Duration busy_timeout) {
  ConnectionOptions options;
  options.path = path_;
  options.id = id_;
  options.read_only = options_.read_only;
  options.foreign_keys = options_.foreign_keys;
  options.busy_timeout = busy_timeout;
  options.statement_cache = settings_.statement_cache;
  return OpenConnection(options);
}

absl::StatusOr<std::unique_ptr<Connection>> DatabaseFile::OpenConnection(
    const ConnectionOptions& options) {
  TRY_STATUS(Verdict());
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(options);
  if (!connection.ok()) {
    // What went wrong may be that the name leads elsewhere, which says more.
    TRY_STATUS(CheckNow());
    Note(connection.status());
    return connection.status();
  }
  TRY_STATUS(CheckNow());  // it may be another file than the one that the others have open
  return connection;
}

}  // namespace sluice::sqlite
