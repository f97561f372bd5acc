// The process-wide side of the library: which build it is, and what all connections share.
#include <sqlite3.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/file_id.h"
#include "server/db/sqlite/limits.h"

namespace sluice::sqlite {
namespace {

// What the code here relies on: sqlite3_error_offset, and symbolic links told from files.
constexpr int kOldestVersion = 3'039'000;

constexpr const char* kNeeded[] = {"ENABLE_FTS5", "ENABLE_COLUMN_METADATA"};
constexpr const char* kOmitted[] = {"OMIT_WAL", "OMIT_AUTHORIZATION", "OMIT_PROGRESS_CALLBACK",
                                    "OMIT_FOREIGN_KEY"};

bool IsWorthALine(int code) {
  switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_FULL:
    case SQLITE_WARNING:
      return true;
    default:
      return code == SQLITE_NOTICE_RECOVER_WAL;
  }
}

// The engine's own log. Lines about a statement quote its text, which may hold values; they are
// left out, for the caller is told.
void OnLog(void* /*context*/, int code, const char* message) {
  const absl::string_view text(message);
  if (!IsWorthALine(code) || absl::StrContains(text, " in [") ||
      absl::StrContains(text, " in \"") || absl::StrContains(text, " aborts at ")) {
    return;
  }
  log::Warning("sqlite", text, {{"result_code", code}});
}

thread_local OpenedFile* opening = nullptr;  // whoever wants to know, on this thread

int ObservedFstat(int fd, struct stat* out) {
  const int result = fstat(fd, out);
  if (result == 0 && opening != nullptr) {
    opening->Saw(FileId{.device = out->st_dev, .inode = out->st_ino});
  }
  return result;
}

// SQLite looks at each database file that it opened, to know it from others; we look along.
absl::Status ObserveFiles() {
  sqlite3_vfs* const files = sqlite3_vfs_find(nullptr);
  const bool set =
      files != nullptr && files->iVersion >= 3 &&
      files->xSetSystemCall(files, "fstat",
                            reinterpret_cast<sqlite3_syscall_ptr>(&ObservedFstat)) == SQLITE_OK;
  return set ? absl::OkStatus() : errors::Internal("SQLite does not tell which file it opens");
}

absl::Status CheckBuild() {
  if (sqlite3_threadsafe() == 0) return errors::Internal("SQLite was built without threads");
  if (sqlite3_libversion_number() < kOldestVersion) {
    return errors::Internal(absl::StrCat("SQLite ", sqlite3_libversion(), " is too old"));
  }
  for (const char* const option : kOmitted) {
    if (sqlite3_compileoption_used(option) != 0) {
      return errors::Internal(absl::StrCat("SQLite was built with ", option));
    }
  }
  for (const char* const option : kNeeded) {
    if (sqlite3_compileoption_used(option) == 0) {
      return errors::Internal(absl::StrCat("SQLite was built without ", option));
    }
  }
  return absl::OkStatus();
}

absl::Status Initialize() {
  absl::Status status = CheckBuild();
  if (!status.ok()) return status;
  // Refused where SQLite is in use already; then its log stays where it is.
  sqlite3_config(SQLITE_CONFIG_LOG, &OnLog, nullptr);
  if (sqlite3_initialize() != SQLITE_OK) return errors::Internal("SQLite cannot be initialised");
  sqlite3_hard_heap_limit64(kMaxHeapBytes);
  return ObserveFiles();
}

}  // namespace

OpenedFile::OpenedFile() {
  opening = this;
}

OpenedFile::~OpenedFile() {
  opening = nullptr;
}

std::string LibraryVersion() {
  return sqlite3_libversion();
}

absl::Status InitializeLibrary() {
  static const absl::Status* const status = new absl::Status(Initialize());
  return *status;
}

}  // namespace sluice::sqlite
