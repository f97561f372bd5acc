// DatabaseFile: one database file, how it is to be opened, and what all threads that use it have to
// know of it.
#ifndef SLUICE_SERVER_DB_SQLITE_DATABASE_FILE_H_
#define SLUICE_SERVER_DB_SQLITE_DATABASE_FILE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/db/driver.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/file_id.h"
#include "server/db/sqlite/statement_book.h"

namespace sluice::sqlite {

struct FileOptions {
  bool foreign_keys = true;
  bool read_only = false;
  bool own = false;  // the server's own state

  bool operator==(const FileOptions&) const = default;
};

// Owned by the Database; any thread.
class DatabaseFile {
 public:
  DatabaseFile(std::string path, FileId id, FileOptions options, db::SqliteSettings settings)
      : path_(std::move(path)), id_(id), options_(options), settings_(settings) {}

  const std::string& path() const { return path_; }

  FileId id() const { return id_; }

  const FileOptions& options() const { return options_; }

  const db::SqliteSettings& settings() const { return settings_; }

  StatementBook& book() { return book_; }

  // OK while the file can be used, else DATABASE_CORRUPT or CONNECTION_INVALID_TARGET. Looks
  // whether the name still leads to the file, once a second.
  absl::Status Check();
  // The same, and looks in any case.
  absl::Status CheckNow();
  // Learns from a failure: a file that proved corrupt is not used again.
  void Note(const absl::Status& failure);

  absl::StatusOr<std::unique_ptr<Connection>> OpenReader(absl::Duration busy_timeout,
                                                         int max_value_bytes = 0);
  absl::StatusOr<std::unique_ptr<Connection>> OpenWriter(absl::Duration busy_timeout);

  // How many transactions have been committed. Counted after COMMIT and before anyone is told, so
  // a snapshot that began after this was read holds everything that anyone was told by then.
  uint64_t commits() const { return commits_.load(std::memory_order_acquire); }

  // Room for rows of streamed writes that their callers have not taken yet. False: there is none.
  bool TakeSpool(int64_t bytes);

  void GiveSpool(int64_t bytes) { spooled_.fetch_sub(bytes, std::memory_order_relaxed); }

  void Committed() { commits_.fetch_add(1, std::memory_order_release); }

 private:
  absl::StatusOr<std::unique_ptr<Connection>> OpenConnection(const ConnectionOptions& options);
  absl::Status Verdict() const;

  const std::string path_;
  const FileId id_;
  const FileOptions options_;
  const db::SqliteSettings settings_;

  StatementBook book_;
  std::atomic<uint64_t> commits_{0};
  std::atomic<int64_t> spooled_{0};  // bytes
  std::atomic<bool> corrupt_{false};
  std::atomic<bool> moved_{false};
  std::atomic<int64_t> look_at_{0};  // when to look next, in steady microseconds
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_DATABASE_FILE_H_
