// RequestLog: the answers of requests that are done once, in a table beside what they wrote.
#ifndef SLUICE_SERVER_DB_POSTGRES_REQUEST_LOG_H_
#define SLUICE_SERVER_DB_POSTGRES_REQUEST_LOG_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/batch.h"
#include "server/db/postgres/connection.h"
#include "server/db/request_key.h"

namespace sluice::postgres {

// The content of a request of which only the parts have one, and an answer.
inline constexpr absl::string_view kInParts = "in chunks";

// Makes the table where it is not there: one statement each.
const std::vector<std::string>& RequestLogSchema();

// Reserves a key: one row comes back if it is new, or older than a day.
std::string ReserveSql();
ParameterValues ReserveValues(const db::RequestKey& key);

// What is stored with a key within the last day; no row if there is nothing.
std::string FindSql();
ParameterValues FindValues(const db::RequestKey& key);
// Of its result. Errors: REQUEST_ID_REUSED, REPLAY_TOO_LARGE, INTERNAL (reserved, and never run).
absl::StatusOr<std::optional<db::BatchResults>> Found(const Result& result,
                                                      const db::RequestKey& key);

// Gives a reserved key back; its values are those of FindSql.
std::string UnreserveSql();

// Deletes some of those that are older than a day; whoever uses one of them again is left alone.
inline constexpr int64_t kMostForgotten = 1000;
std::string ForgetSql();

// Stores the answer with a reserved key.
std::string StoreSql();
ParameterValues StoreValues(const db::RequestKey& key, const db::BatchResults& results);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_REQUEST_LOG_H_
