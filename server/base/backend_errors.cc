// The errors of databases that a server of their own runs: errors.h lists them.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "server/base/error_payload.h"
#include "server/base/errors.h"

namespace sluice::errors {

absl::Status BackendLost(Executed executed, bool in_transaction) {
  if (executed == Executed::kUnknown) {
    return Make(absl::StatusCode::kUnknown, "BACKEND_LOST",
                "The connection to the database was lost while the statement ran; it may have been "
                "applied.",
                executed);
  }
  const bool untouched = executed == Executed::kNo && !in_transaction;
  return WithRetryDelay(
      untouched ? Make(absl::StatusCode::kUnavailable, "BACKEND_LOST",
                       "The connection to the database was lost; nothing was run.", executed)
                : Make(absl::StatusCode::kAborted, "BACKEND_LOST",
                       "The connection to the database was lost; everything was rolled back.",
                       Executed::kRolledBack),
      absl::Milliseconds(100));
}

absl::Status BackendUnreachable(absl::Duration retry_in) {
  return WithRetryDelay(
      Make(absl::StatusCode::kUnavailable, "BACKEND_LOST",
           "The database cannot be reached; nothing was run, retry in a moment.", Executed::kNo),
      retry_in);
}

absl::Status BackendStarting(absl::Duration retry_in) {
  return WithRetryDelay(
      Make(absl::StatusCode::kUnavailable, "BACKEND_STARTING",
           "The database starts up or goes down; nothing was run.", Executed::kNo),
      retry_in);
}

absl::Status BackendFull(absl::Duration retry_in) {
  return WithRetryDelay(
      Make(absl::StatusCode::kResourceExhausted, "POOL_EXHAUSTED",
           "The database's server takes no more connections; nothing was run.", Executed::kNo),
      retry_in);
}

absl::Status BackendAuthFailed() {
  return Make(absl::StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED",
              "The database refused the connection's user, password or database name.",
              Executed::kNo);
}

absl::Status BackendInsecureAuth() {
  return Make(absl::StatusCode::kFailedPrecondition, "BACKEND_INSECURE_AUTH",
              "The password would cross the network without TLS; use sslmode=verify-full.",
              Executed::kNo);
}

absl::Status EgressDenied(absl::string_view why) {
  return Make(absl::StatusCode::kPermissionDenied, "EGRESS_DENIED", absl::StrCat(why, "."),
              Executed::kNo);
}

absl::Status SqlCancelledByAdmin(Executed executed) {
  return Make(absl::StatusCode::kAborted, "SQL_CANCELLED_BY_ADMIN",
              "The statement was ended by the database or its administrator.", executed);
}

absl::Status AcquireTimeout(int64_t waiting, int64_t limit, absl::Duration waited) {
  absl::Status status = Make(absl::StatusCode::kResourceExhausted, "POOL_EXHAUSTED",
                             absl::StrCat("No connection to the database came free within ",
                                          absl::FormatDuration(waited), "; retry in a moment."),
                             Executed::kNo);
  Put(status, kMetadataPrefix, "pool_waiting", absl::StrCat(waiting));
  Put(status, kMetadataPrefix, "pool_limit", absl::StrCat(limit));
  Put(status, kMetadataPrefix, "waited_ms", absl::StrCat(absl::ToInt64Milliseconds(waited)));
  return WithRetryDelay(std::move(status), absl::Milliseconds(100));
}

absl::Status CommitOutcomeLost() {
  return Make(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN",
              "The connection to the database was lost before the commit was answered; it may have "
              "been applied, so look before you send it again.",
              Executed::kUnknown);
}

absl::Status CommitUnconfirmed() {
  return WithMetadata(
      Make(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN",
           "The change was committed on the database's server, but no standby has confirmed it: it "
           "may be lost if that server is. Look before you send it again.",
           Executed::kUnknown),
      "durability", "unconfirmed");
}

absl::Status RequestLogMissing() {
  return Make(absl::StatusCode::kFailedPrecondition, "REQUEST_LOG_MISSING",
              "The database has no table sluice_request, in which answers of requests with a "
              "request_id are kept; nothing was run. KeepRequests, or the tool's `connections "
              "keep-requests`, makes it.",
              Executed::kNo);
}

absl::Status BackupNotOffered() {
  return Make(absl::StatusCode::kUnimplemented, "ENGINE_NOT_BUILT",
              "Backup copies SQLite databases; use pg_dump or pg_basebackup for PostgreSQL.",
              Executed::kNo);
}

}  // namespace sluice::errors
