#include "server/db/sqlite/result_code.h"

#include <utility>
#include <vector>

#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

#include "server/base/utf8.h"
#include "server/db/sqlite/limits.h"

namespace sluice::sqlite {
namespace {

using absl::StatusCode;
using errors::Executed;

constexpr size_t kMessageBytes = 1024;
constexpr size_t kNameBytes = 256;

// What a result code means. `said` stands in place of the engine's words where those say too
// little, or too much.
struct Meaning {  // NOLINT(clang-analyzer-optin.performance.Padding): in the order of the table
  int code = 0;
  absl::string_view name;
  StatusCode status = StatusCode::kInternal;
  absl::string_view sqlstate;
  absl::string_view reason;
  Executed executed = Executed::kUnknown;
  absl::string_view said;
};

constexpr absl::string_view kSql = "SQL_ERROR";
constexpr absl::string_view kTarget = "CONNECTION_INVALID_TARGET";
constexpr absl::string_view kInUse = "CONNECTION_IN_USE";
constexpr absl::string_view kCorrupt = "DATABASE_CORRUPT";

constexpr absl::string_view kLocked =
    "Another process holds the database's lock; nothing was run, retry in a moment.";
constexpr absl::string_view kDamaged = "The database file is damaged; restore it from a backup.";
constexpr absl::string_view kNotWritable =
    "The database file or its folder cannot be written; check its owner and mode.";
constexpr absl::string_view kDevice =
    "The disk under the database failed; look at the server's log and the system's.";

#define SLUICE_CODE(code) code, #code

// Extended codes stand before the primary code that they fall back to.
constexpr Meaning kMeanings[] = {
    {SLUICE_CODE(SQLITE_CONSTRAINT_UNIQUE), StatusCode::kAlreadyExists, "23505", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_PRIMARYKEY), StatusCode::kAlreadyExists, "23505", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_ROWID), StatusCode::kAlreadyExists, "23505", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_FOREIGNKEY), StatusCode::kFailedPrecondition, "23503", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_TRIGGER), StatusCode::kFailedPrecondition, "P0001", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_NOTNULL), StatusCode::kInvalidArgument, "23502", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_CHECK), StatusCode::kInvalidArgument, "23514", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_DATATYPE), StatusCode::kInvalidArgument, "42804", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_COMMITHOOK), StatusCode::kFailedPrecondition, "23000", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_FUNCTION), StatusCode::kFailedPrecondition, "23000", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_PINNED), StatusCode::kFailedPrecondition, "23000", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT_VTAB), StatusCode::kFailedPrecondition, "23000", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_CONSTRAINT), StatusCode::kFailedPrecondition, "23000", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_MISMATCH), StatusCode::kInvalidArgument, "42804", kSql,
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_RANGE), StatusCode::kInvalidArgument, "22023", kSql, Executed::kNo, ""},
    {SLUICE_CODE(SQLITE_ERROR), StatusCode::kInvalidArgument, "42000", kSql, Executed::kRolledBack,
     ""},

    {SLUICE_CODE(SQLITE_BUSY_SNAPSHOT), StatusCode::kAborted, "40001", "SERIALIZATION_FAILURE",
     Executed::kRolledBack,
     "The database has changed since this transaction first read it; run it again."},
    {SLUICE_CODE(SQLITE_BUSY), StatusCode::kUnavailable, "55P03", kInUse, Executed::kNo, kLocked},
    {SLUICE_CODE(SQLITE_PROTOCOL), StatusCode::kUnavailable, "55P03", kInUse, Executed::kNo,
     kLocked},
    {SLUICE_CODE(SQLITE_LOCKED), StatusCode::kAborted, "55P03", "LOCK_TIMEOUT",
     Executed::kRolledBack, ""},
    {SLUICE_CODE(SQLITE_ABORT), StatusCode::kAborted, "40000", kSql, Executed::kRolledBack,
     "The transaction was rolled back while the statement ran; run it again."},
    {SLUICE_CODE(SQLITE_SCHEMA), StatusCode::kAborted, "0A000", kSql, Executed::kRolledBack,
     "The schema changed again and again while the statement was compiled; run it again."},

    {SLUICE_CODE(SQLITE_READONLY_DBMOVED), StatusCode::kFailedPrecondition, "58P01", kTarget,
     Executed::kNo,
     "The database file was moved, replaced or deleted while it was open; put it back, or register "
     "the connection again."},
    {SLUICE_CODE(SQLITE_READONLY_DIRECTORY), StatusCode::kFailedPrecondition, "25006", kTarget,
     Executed::kNo, kNotWritable},
    {SLUICE_CODE(SQLITE_READONLY), StatusCode::kFailedPrecondition, "25006", kTarget, Executed::kNo,
     kNotWritable},
    {SLUICE_CODE(SQLITE_PERM), StatusCode::kFailedPrecondition, "42501", kTarget, Executed::kNo,
     kNotWritable},
    {SLUICE_CODE(SQLITE_CANTOPEN_SYMLINK), StatusCode::kFailedPrecondition, "58P01", kTarget,
     Executed::kNo, "The database file is a symbolic link; name the file itself."},
    {SLUICE_CODE(SQLITE_CANTOPEN_ISDIR), StatusCode::kFailedPrecondition, "58P01", kTarget,
     Executed::kNo, "The database file is a directory."},
    {SLUICE_CODE(SQLITE_CANTOPEN), StatusCode::kFailedPrecondition, "58P01", kTarget, Executed::kNo,
     "The database file, or one that belongs to it, cannot be opened."},

    {SLUICE_CODE(SQLITE_FULL), StatusCode::kResourceExhausted, "53100", "DISK_FULL",
     Executed::kRolledBack,
     "The database's disk is full, or the database at its largest; nothing of the statement "
     "remains."},
    {SLUICE_CODE(SQLITE_IOERR_NOMEM), StatusCode::kResourceExhausted, "53200", kSql,
     Executed::kRolledBack, "The memory for databases is used up; ask for less at a time."},
    {SLUICE_CODE(SQLITE_NOMEM), StatusCode::kResourceExhausted, "53200", kSql,
     Executed::kRolledBack, "The memory for databases is used up; ask for less at a time."},
    {SLUICE_CODE(SQLITE_TOOBIG), StatusCode::kResourceExhausted, "54000", "VALUE_TOO_LARGE",
     Executed::kRolledBack,
     "A value or a row grew larger than 65 MiB, the most that a database here takes."},

    {SLUICE_CODE(SQLITE_CORRUPT_VTAB), StatusCode::kDataLoss, "XX001", "INDEX_CORRUPT",
     Executed::kRolledBack, "The index of a virtual table is damaged; rebuild it."},
    {SLUICE_CODE(SQLITE_CORRUPT_INDEX), StatusCode::kDataLoss, "XX002", "INDEX_CORRUPT",
     Executed::kRolledBack, "An index is damaged; run REINDEX."},
    {SLUICE_CODE(SQLITE_CORRUPT), StatusCode::kDataLoss, "XX001", kCorrupt, Executed::kRolledBack,
     kDamaged},
    {SLUICE_CODE(SQLITE_FORMAT), StatusCode::kDataLoss, "XX001", kCorrupt, Executed::kRolledBack,
     kDamaged},
    {SLUICE_CODE(SQLITE_NOTADB), StatusCode::kDataLoss, "XX001", kCorrupt, Executed::kNo,
     "The file is not a SQLite database, or it is encrypted or damaged."},
    {SLUICE_CODE(SQLITE_IOERR_DATA), StatusCode::kDataLoss, "XX001", kCorrupt,
     Executed::kRolledBack, kDamaged},
    {SLUICE_CODE(SQLITE_IOERR_CORRUPTFS), StatusCode::kDataLoss, "XX001", kCorrupt,
     Executed::kRolledBack, kDamaged},
    // What reached the disk before a failed sync is not known, and asking again does not tell.
    {SLUICE_CODE(SQLITE_IOERR_FSYNC), StatusCode::kInternal, "58030", kSql, Executed::kUnknown,
     kDevice},
    {SLUICE_CODE(SQLITE_IOERR_DIR_FSYNC), StatusCode::kInternal, "58030", kSql, Executed::kUnknown,
     kDevice},
    {SLUICE_CODE(SQLITE_IOERR), StatusCode::kInternal, "58030", kSql, Executed::kRolledBack,
     kDevice},

    {SLUICE_CODE(SQLITE_AUTH), StatusCode::kPermissionDenied, "42501", "STATEMENT_REFUSED",
     Executed::kNo, "The statement does what this server does not allow."},
    {SLUICE_CODE(SQLITE_INTERRUPT), StatusCode::kCancelled, "57014", "CALL_CANCELLED",
     Executed::kRolledBack, ""},
};

#undef SLUICE_CODE

constexpr Meaning kUnforeseen = {SQLITE_INTERNAL,
                                 "SQLITE_INTERNAL",
                                 StatusCode::kInternal,
                                 "XX000",
                                 "INTERNAL",
                                 Executed::kUnknown,
                                 "The database engine failed in a way that it should not."};

const Meaning& MeaningOf(int code) {
  for (const int wanted : {code, code & 0xFF}) {
    for (const Meaning& meaning : kMeanings) {
      if (meaning.code == wanted) return meaning;
    }
  }
  return kUnforeseen;
}

// SQLITE_ERROR says what is wrong by its words only.
struct Wording {
  absl::string_view prefix;
  absl::string_view suffix;
  absl::string_view sqlstate;
  StatusCode status = StatusCode::kInvalidArgument;
};

constexpr Wording kWordings[] = {
    {"near \"", "syntax error", "42601"},
    {"incomplete input", "", "42601"},
    {"unrecognized token", "", "42601"},
    {"no such table", "", "42P01"},
    {"no such column", "", "42703"},
    {"no such function", "", "42883"},
    {"wrong number of arguments to function", "", "42883"},
    {"unsafe use of", "", "42501", StatusCode::kPermissionDenied},
    {"no such", "", "42704"},
    {"ambiguous column name", "", "42702"},
    {"duplicate column name", "", "42701", StatusCode::kAlreadyExists},
    {"", "already exists", "42P07", StatusCode::kAlreadyExists},
    {"there is already", "", "42P07", StatusCode::kAlreadyExists},
    {"misuse of", "", "42803"},
    {"integer overflow", "", "22003", StatusCode::kOutOfRange},
    {"malformed JSON", "", "22032"},
    {"JSON path error", "", "2203C"},
    {"JSON cannot hold", "", "22032"},
    {"fts5: ", "", "22023"},
    {"malformed MATCH", "", "22023"},
    {"unknown special query", "", "22023"},
    {"foreign key mismatch", "", "42830"},
    {"Expression tree is too large", "", "54001"},
    {"parser stack overflow", "", "54001"},
    {"too many", "", "54000"},
    {"at most ", "", "54000"},
    {"LIKE or GLOB pattern too complex", "", "54000"},
    {"too many levels of trigger recursion", "", "54001"},
    {"statement too long", "", "54000"},
};

const Wording* WordingOf(absl::string_view message) {
  for (const Wording& wording : kWordings) {
    if (absl::StartsWith(message, wording.prefix) && absl::EndsWith(message, wording.suffix)) {
      return &wording;
    }
  }
  return nullptr;
}

std::string Clean(absl::string_view text, size_t max_bytes) {
  return SanitizeForMessage({text.data(), text.size()}, max_bytes);
}

// A running statement's words may quote what stands in a row or a parameter: they are cut off where
// they begin to.
absl::string_view WithoutValues(absl::string_view message) {
  constexpr absl::string_view kQuoting[] = {" near ",
                                            ": [",
                                            "no such column",
                                            "no such cursor",
                                            "unknown special query",
                                            "unrecognized parameter"};
  for (const absl::string_view start : kQuoting) {
    const size_t at = message.find(start);
    if (at == absl::string_view::npos) continue;
    const bool whole = start.front() != ' ' && start.front() != ':';
    return message.substr(0, whole ? at + start.size() : at);
  }
  return message;
}

// "t.a, t.b" as the table and the columns; "index 'i'" as the constraint.
void ParseKey(absl::string_view key, errors::SqlFailure& failure) {
  if (absl::ConsumePrefix(&key, "index '")) {
    absl::ConsumeSuffix(&key, "'");
    failure.constraint = Clean(key, kNameBytes);
    return;
  }
  std::vector<std::string> columns;
  for (const absl::string_view part : absl::StrSplit(key, ", ")) {
    const size_t dot = part.rfind('.');
    if (dot == absl::string_view::npos) continue;
    failure.table = Clean(part.substr(0, dot), kNameBytes);
    columns.push_back(Clean(part.substr(dot + 1), kNameBytes));
  }
  failure.column = absl::StrJoin(columns, ", ");
}

void ParseConstraint(int code, absl::string_view message, errors::SqlFailure& failure) {
  if (code == SQLITE_CONSTRAINT_DATATYPE) {
    const size_t at = message.rfind(" column ");
    if (at != absl::string_view::npos) ParseKey(message.substr(at + 8), failure);
    return;
  }
  const size_t at = message.find(" constraint failed: ");
  if (at == absl::string_view::npos) return;
  const absl::string_view what = message.substr(at + 20);
  if (code == SQLITE_CONSTRAINT_CHECK) {
    failure.constraint = Clean(what, kNameBytes);
  } else {
    ParseKey(what, failure);
  }
}

absl::string_view ConstraintHint(int code) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID:
      return "a row with this key is there; ON CONFLICT … DO UPDATE or DO NOTHING says what then";
    case SQLITE_CONSTRAINT_FOREIGNKEY:
      return "the row that is referred to is missing, or a row still refers to this one";
    default:
      return "";
  }
}

int PositionOf(const Failure& failure) {
  const auto offset = static_cast<size_t>(failure.offset);
  if (failure.offset < 0 || offset > failure.sql.size()) return 0;
  return static_cast<int>(CountCharacters({failure.sql.data(), offset})) + 1;
}

absl::string_view Said(const Failure& failure, const Meaning& meaning) {
  if (!meaning.said.empty()) return meaning.said;
  if (failure.phase == Phase::kRunning && (failure.code & 0xFF) == SQLITE_ERROR) {
    return WithoutValues(failure.message);
  }
  return failure.message;
}

}  // namespace

absl::Status ToStatus(const Failure& failure) {
  const Meaning& meaning = MeaningOf(failure.code);
  if (meaning.code == SQLITE_INTERRUPT) return errors::Cancelled(meaning.executed);
  if (failure.code == SQLITE_READONLY && failure.read_only) {
    return errors::WithMetadata(errors::ReadOnlyViolation("this connection only reads"), "sqlstate",
                                "25006");
  }
  errors::SqlFailure sql;
  sql.code = meaning.status;
  sql.sqlstate = std::string(meaning.sqlstate);
  sql.reason = meaning.reason;
  sql.executed = failure.phase == Phase::kRunning ? meaning.executed : Executed::kNo;
  sql.message = Clean(Said(failure, meaning), kMessageBytes);
  sql.engine = "sqlite";
  sql.engine_code = std::string(ResultCodeName(failure.code));
  sql.hint = failure.hint;
  sql.position = PositionOf(failure);
  if (meaning.code == SQLITE_ERROR) {
    if (const Wording* const wording = WordingOf(failure.message)) {
      sql.code = wording->status;
      sql.sqlstate = std::string(wording->sqlstate);
      if (sql.code == StatusCode::kPermissionDenied) sql.reason = "STATEMENT_REFUSED";
    }
  }
  if ((failure.code & 0xFF) == SQLITE_CONSTRAINT) {
    ParseConstraint(failure.code, failure.message, sql);
    if (sql.hint.empty()) sql.hint = std::string(ConstraintHint(failure.code));
  }
  absl::Status status = errors::Sql(sql);
  if (meaning.code == SQLITE_TOOBIG) {
    status = errors::WithMetadata(std::move(status), "limit_bytes", absl::StrCat(kMaxValueBytes));
  }
  if (sql.code == StatusCode::kUnavailable || sql.code == StatusCode::kAborted) {
    status = errors::WithRetryDelay(std::move(status), absl::Milliseconds(100));
  }
  return status;
}

absl::string_view ResultCodeName(int code) {
  const Meaning& meaning = MeaningOf(code);
  return meaning.name;
}

}  // namespace sluice::sqlite
