// How a Connection is opened and configured.
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/limits.h"

namespace sluice::sqlite {
namespace {

constexpr int kCacheKib = 8 << 10;
constexpr int64_t kJournalBytes = 64 << 20;  // a longer WAL is cut when it starts over

struct Switch {
  int op;
  int value;
};

constexpr Switch kSwitches[] = {
    {SQLITE_DBCONFIG_DEFENSIVE, 1},
    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
    {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
    {SQLITE_DBCONFIG_DQS_DML, 0},
    {SQLITE_DBCONFIG_DQS_DDL, 0},
    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
};

constexpr Switch kLimits[] = {
    {SQLITE_LIMIT_LENGTH, kMaxValueBytes},
    {SQLITE_LIMIT_SQL_LENGTH, kMaxSqlBytes},
    {SQLITE_LIMIT_ATTACHED, 0},
    {SQLITE_LIMIT_EXPR_DEPTH, kMaxExpressionDepth},
    {SQLITE_LIMIT_COMPOUND_SELECT, kMaxCompoundSelect},
    {SQLITE_LIMIT_VDBE_OP, kMaxProgramSteps},
    {SQLITE_LIMIT_FUNCTION_ARG, kMaxFunctionArguments},
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, kMaxLikePatternBytes},
    {SQLITE_LIMIT_VARIABLE_NUMBER, kMaxParameters},
    {SQLITE_LIMIT_TRIGGER_DEPTH, kMaxTriggerDepth},
    {SQLITE_LIMIT_WORKER_THREADS, 0},
};

absl::Status Unusable(absl::string_view what, int error) {
  return errors::ConnectionInvalidTarget(
      absl::StrCat("The database ", what, ": ", std::generic_category().message(error), "."));
}

// The path with the symbolic links of its folder resolved. The file itself may not be one: whoever
// can write the folder could lead us elsewhere.
absl::StatusOr<std::string> Resolve(const std::string& path) {
  if (path.find('\0') != std::string::npos) {
    return errors::ConnectionInvalidTarget("The database path holds a NUL byte.");
  }
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name.empty() || name == "." || name == "..") {
    return errors::ConnectionInvalidTarget("The database path names no file.");
  }
  char resolved[PATH_MAX];
  if (realpath(folder.c_str(), resolved) == nullptr) return Unusable("folder", errno);
  std::string whole = resolved;
  if (whole != "/") whole += '/';
  return whole + name;
}

// Makes an empty file that only we can read; one that is there is left as it is.
absl::Status Create(const std::string& path) {
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return errno == EEXIST ? absl::OkStatus() : Unusable("file", errno);
  // Closing drops this process's locks on the file; it has none on one that it just made.
  close(fd);
  return absl::OkStatus();
}

// SQLite would wait for ever on a FIFO, and says little of the rest.
absl::Status CheckFile(const std::string& path) {
  struct stat file = {};
  if (lstat(path.c_str(), &file) != 0) return Unusable("file", errno);
  if (S_ISLNK(file.st_mode)) {
    return errors::ConnectionInvalidTarget(
        "The database file is a symbolic link; name the file itself.");
  }
  if (!S_ISREG(file.st_mode)) {
    return errors::ConnectionInvalidTarget("The database path leads to something that is no file.");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  TRY_STATUS(InitializeLibrary());
  TRY(const std::string path, Resolve(options.path));
  if (options.create && !options.read_only) {
    TRY_STATUS(Create(path));
  }
  TRY_STATUS(CheckFile(path));
  const int flags = (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) |
                    SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
  sqlite3* db = nullptr;
  const OpenedFile opened;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  if (db == nullptr) return errors::Internal("There is no memory for a database connection");
  std::unique_ptr<Connection> connection(new Connection(db, options));
  if (code != SQLITE_OK) return connection->Error(code, Phase::kOpening, "");
  // Nothing was read or written yet. Someone may have put another file, or a link to one, in place.
  if (options.id.has_value() && opened.id() != *options.id) {
    return errors::ConnectionInvalidTarget("The database file was replaced while it was opened.");
  }
  TRY_STATUS(connection->Configure(options));
  return connection;
}

absl::Status Connection::ConfigureLimits() {
  for (const Switch& limit : kLimits) sqlite3_limit(db_, limit.op, limit.value);
  for (const Switch& each : kSwitches) {
    if (sqlite3_db_config(db_, each.op, each.value, nullptr) != SQLITE_OK) {
      return errors::Internal(absl::StrCat("SQLite does not know setting ", each.op));
    }
  }
  return absl::OkStatus();
}

absl::Status Connection::Configure(const ConnectionOptions& options) {
  TRY_STATUS(ConfigureLimits());
  if (options.max_value_bytes > 0) SetLongestValue(options.max_value_bytes);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_FKEY, options.foreign_keys ? 1 : 0, nullptr);
  sqlite3_busy_timeout(db_, static_cast<int>(absl::ToInt64Milliseconds(options.busy_timeout)));
  for (const char* const pragma : {"PRAGMA cell_size_check=ON", "PRAGMA mmap_size=0"}) {
    TRY_STATUS(Pragma(pragma).status());
  }
  TRY_STATUS(Pragma(absl::StrCat("PRAGMA cache_size=-", kCacheKib)).status());
  if (read_only_) {
    // Only the writer checkpoints: a checkpoint beside a commit on another connection can damage
    // the file in the versions that Debian 12 has.
    sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    sqlite3_wal_autocheckpoint(db_, 0);
    TRY_STATUS(Pragma("PRAGMA query_only=ON").status());
  } else {
    TRY(const std::string mode, Pragma("PRAGMA journal_mode=WAL"));
    if (mode != "wal") {
      return errors::ConnectionInvalidTarget(
          "The file system under the database cannot have a write-ahead log.");
    }
    TRY_STATUS(Pragma("PRAGMA synchronous=FULL").status());
    TRY_STATUS(Pragma("PRAGMA secure_delete=OFF").status());
    TRY_STATUS(Pragma(absl::StrCat("PRAGMA journal_size_limit=", kJournalBytes)).status());
    // The writer copies the journal itself, after it has answered; see CopyJournal.
    sqlite3_wal_autocheckpoint(db_, 0);
    sqlite3_wal_hook(db_, &Connection::OnCommit, this);
  }
  // Reads the header and the schema, so a file that is no database is known for one here.
  TRY(const std::string encoding, Pragma("PRAGMA encoding"));
  encoding_ = encoding == "UTF-8" ? TextEncoding::kUtf8 : TextEncoding::kUtf16;
  TRY_STATUS(functions_.Register(db_));
  authorizer_.Attach(db_);
  return absl::OkStatus();
}

// Runs a setting, to which clients' rules do not apply; answers its first value.
absl::StatusOr<std::string> Connection::Pragma(const std::string& sql) {
  const Authorizer::Suspension suspension(authorizer_);
  sqlite3_stmt* stmt = nullptr;
  int code = sqlite3_prepare_v3(db_, sql.c_str(), -1, 0, &stmt, nullptr);
  std::string value;
  while (code == SQLITE_OK || code == SQLITE_ROW) {
    if (code == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL) {
      value = reinterpret_cast<const char*>(sqlite3_column_text(stmt, 0));
    }
    code = sqlite3_step(stmt);
  }
  absl::Status status;
  if (code != SQLITE_DONE) status = Error(code, Phase::kOpening, "");
  sqlite3_finalize(stmt);
  if (!status.ok()) return status;
  return value;
}

}  // namespace sluice::sqlite
