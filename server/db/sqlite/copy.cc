#include "server/db/sqlite/copy.h"

#include <sqlite3.h>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/result_code.h"

namespace sluice::sqlite {

absl::StatusOr<std::unique_ptr<PageCopy>> PageCopy::Begin(Connection& source,
                                                          const std::string& path) {
  sqlite3* target = nullptr;
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
  int code = sqlite3_open_v2(path.c_str(), &target, flags, nullptr);
  if (target == nullptr) return errors::Internal("There is no memory for a database connection");
  std::unique_ptr<PageCopy> copy(new PageCopy(target));
  if (code != SQLITE_OK) return copy->Error(code);
  // A copy that is not finished is thrown away, so nothing has to survive a crash.
  for (const char* const pragma :
       {"PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-1024"}) {
    code = sqlite3_exec(target, pragma, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return copy->Error(code);
  }
  copy->backup_ = sqlite3_backup_init(target, "main", source.raw(), "main");
  if (copy->backup_ == nullptr) return copy->Error(sqlite3_extended_errcode(target));
  return copy;
}

PageCopy::~PageCopy() {
  if (backup_ != nullptr) sqlite3_backup_finish(backup_);
  sqlite3_close(target_);
}

absl::StatusOr<bool> PageCopy::Step(int pages) {
  const int code = sqlite3_backup_step(backup_, pages);
  if (code == SQLITE_OK) return false;
  if (code == SQLITE_DONE) return true;
  return Error(code);
}

absl::Status PageCopy::Error(int code) const {
  if ((code & 0xFF) == SQLITE_FULL) return CopyDiskFull();
  Failure failure;
  failure.code = code;
  failure.message = sqlite3_errstr(code);  // a step leaves no words on either connection
  return errors::WithExecuted(ToStatus(failure), errors::Executed::kNo);
}

absl::Status CopyDiskFull() {
  errors::SqlFailure failure;
  failure.code = absl::StatusCode::kResourceExhausted;
  failure.reason = "DISK_FULL";
  failure.executed = errors::Executed::kNo;
  failure.message = "The server's disk has no room for a copy of the database.";
  failure.sqlstate = "53100";
  failure.engine = "sqlite";
  failure.engine_code = "SQLITE_FULL";
  return errors::Sql(failure);
}

}  // namespace sluice::sqlite
