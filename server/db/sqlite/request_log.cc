#include "server/db/sqlite/request_log.h"

#include <utility>

#include <sqlite3.h>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/replay.h"

namespace sluice::sqlite {
namespace {

constexpr absl::Duration kRemembered = absl::Hours(24);

constexpr char kCreate[] =
    "CREATE TABLE IF NOT EXISTS _sluice_request (seq INTEGER PRIMARY KEY, scope BLOB NOT NULL, "
    "id BLOB NOT NULL, part INTEGER NOT NULL, content BLOB NOT NULL, answer BLOB, "
    "created INTEGER NOT NULL, UNIQUE (id, part, scope))";
constexpr char kExists[] =
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sluice_request'";
constexpr char kFind[] =
    "SELECT content, answer FROM _sluice_request "
    "WHERE id = ?1 AND part = ?2 AND scope = ?3 AND created > ?4";
constexpr char kInsert[] =
    "INSERT OR REPLACE INTO _sluice_request (id, part, scope, content, answer, created) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
// Two go for one that comes, so the table shrinks to a day's requests; never many at once.
constexpr char kPrune[] =
    "DELETE FROM _sluice_request WHERE seq IN "
    "(SELECT seq FROM _sluice_request ORDER BY seq LIMIT 2) AND created <= ?1";

int64_t NowSeconds() {
  return absl::ToUnixSeconds(Clock::System().Now());
}

void BindBlob(sqlite3_stmt* stmt, int index, absl::string_view bytes) {
  sqlite3_bind_blob64(stmt, index, bytes.data(), bytes.size(), SQLITE_STATIC);
}

void BindKey(sqlite3_stmt* stmt, const db::RequestKey& key) {
  BindBlob(stmt, 1, key.id);
  sqlite3_bind_int64(stmt, 2, key.part);
  BindBlob(stmt, 3, key.scope);
}

std::string Blob(sqlite3_stmt* stmt, int column) {
  const void* const bytes = sqlite3_column_blob(stmt, column);
  const int size = sqlite3_column_bytes(stmt, column);
  return bytes == nullptr ? std::string()
                          : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

}  // namespace

absl::StatusOr<std::optional<RequestLog::Record>> RequestLog::Find(const db::RequestKey& key) {
  const Authorizer::Suspension suspension(connection_.authorizer_);
  TRY(sqlite3_stmt* const exists, connection_.Own(kExists));
  int code = sqlite3_step(exists);
  TRY_STATUS(End(exists, code));
  if (code != SQLITE_ROW) return std::nullopt;

  TRY(sqlite3_stmt* const stmt, connection_.Own(kFind));
  BindKey(stmt, key);
  sqlite3_bind_int64(stmt, 4, NowSeconds() - absl::ToInt64Seconds(kRemembered));
  std::optional<Record> found;
  code = sqlite3_step(stmt);
  if (code == SQLITE_ROW) {
    Record& record = found.emplace();
    record.content = Blob(stmt, 0);
    record.kept = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
    record.answer = Blob(stmt, 1);
  }
  TRY_STATUS(End(stmt, code));
  return found;
}

absl::Status RequestLog::Store(const db::RequestKey& key, const db::BatchResults& results) {
  const Authorizer::Suspension suspension(connection_.authorizer_);
  TRY(sqlite3_stmt* const create, connection_.Own(kCreate));
  TRY_STATUS(Finish(create));
  TRY_STATUS(Insert(key, db::PackReply(results)));
  return Prune();
}

absl::Status RequestLog::Insert(const db::RequestKey& key, absl::string_view answer) {
  TRY(sqlite3_stmt* const stmt, connection_.Own(kInsert));
  BindKey(stmt, key);
  BindBlob(stmt, 4, key.content);
  if (answer.size() <= static_cast<size_t>(db::kMostReplayBytes)) BindBlob(stmt, 5, answer);
  sqlite3_bind_int64(stmt, 6, NowSeconds());
  return Finish(stmt);
}

absl::Status RequestLog::Prune() {
  TRY(sqlite3_stmt* const stmt, connection_.Own(kPrune));
  sqlite3_bind_int64(stmt, 1, NowSeconds() - absl::ToInt64Seconds(kRemembered));
  return Finish(stmt);
}

absl::Status RequestLog::Finish(sqlite3_stmt* stmt) {
  return End(stmt, sqlite3_step(stmt));
}

absl::Status RequestLog::End(sqlite3_stmt* stmt, int code) {
  absl::Status status;
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    status = connection_.Error(code, Phase::kRunning, "");
  }
  sqlite3_reset(stmt);
  sqlite3_clear_bindings(stmt);
  return status;
}

absl::StatusOr<db::BatchResults> AnswerOf(const RequestLog::Record& record,
                                          absl::string_view content) {
  if (record.content != content) return errors::RequestIdReused();
  if (!record.kept) return errors::ReplayTooLarge();
  return db::UnpackReply(record.answer);
}

}  // namespace sluice::sqlite
