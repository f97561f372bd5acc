// RequestLog: the answers of writes that had a request id, in a table of the database itself.
#ifndef SLUICE_SERVER_DB_SQLITE_REQUEST_LOG_H_
#define SLUICE_SERVER_DB_SQLITE_REQUEST_LOG_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/db/batch.h"
#include "server/db/request_key.h"
#include "server/db/sqlite/connection.h"

struct sqlite3_stmt;

namespace sluice::sqlite {

// Used by the writer, inside the transaction of the write that is recorded: both are there, or
// neither. The table, `_sluice_request`, is made when it is needed first. Its rows are in the order
// of time; each that comes takes old ones with it.
class RequestLog {
 public:
  explicit RequestLog(Connection& connection) : connection_(connection) {}

  struct Record {
    std::string content;  // hash of what was asked
    bool kept = false;    // the answer is there; a long one is not kept
    std::string answer;   // as db::PackReply made it
  };

  // What the key did within the last 24 h; nothing if it did nothing.
  absl::StatusOr<std::optional<Record>> Find(const db::RequestKey& key);

  // Records what the key did.
  absl::Status Store(const db::RequestKey& key, const db::BatchResults& results);

 private:
  absl::Status Insert(const db::RequestKey& key, absl::string_view answer);
  absl::Status Prune();
  // Runs a bound statement that gives no rows.
  absl::Status Finish(sqlite3_stmt* stmt);
  // After its only step: makes it ready for the next time.
  absl::Status End(sqlite3_stmt* stmt, int code);

  Connection& connection_;
};

// The answer that a record holds for a request with this content. Errors: REQUEST_ID_REUSED,
// REPLAY_TOO_LARGE.
absl::StatusOr<db::BatchResults> AnswerOf(const RequestLog::Record& record,
                                          absl::string_view content);

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_REQUEST_LOG_H_
