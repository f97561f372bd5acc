#include "server/base/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

namespace sluice::errors {
namespace {

// Payload keys: a prefix says which detail a payload belongs to.
constexpr absl::string_view kReasonKey = "sluice/reason";
constexpr absl::string_view kRetryKey = "sluice/retry";
constexpr absl::string_view kMetadataPrefix = "sluice/meta/";
constexpr absl::string_view kFieldPrefix = "sluice/field/";
constexpr absl::string_view kSqlPrefix = "sluice/sql/";

constexpr Reason kCatalogue[] = {
    {"SQL_ERROR", "INVALID_ARGUMENT, ALREADY_EXISTS, FAILED_PRECONDITION, ABORTED and others",
     "The database refused the statement; `sqlstate` and SqlDiagnostic say why.",
     "Read the message, the hint and the position."},
    {"PARAMETER_INVALID", "INVALID_ARGUMENT",
     "A field or a parameter of the request is wrong; BadRequest names it.", "Correct the field."},
    {"FIELD_NOT_IMPLEMENTED", "UNIMPLEMENTED",
     "The field is part of the contract, but this server cannot honour it.",
     "Leave the field unset."},
    {"REQUEST_UNPARSABLE", "INTERNAL",
     "The bytes of the request are no such message, or it nests too deep.",
     "Send what the proto declares; Values nest 32 deep at most."},
    {"VALUE_TOO_LARGE", "RESOURCE_EXHAUSTED", "A value or a row is larger than a limit in force.",
     "Stream the result, or raise the limit that the message names."},
    {"STATEMENT_REFUSED", "INVALID_ARGUMENT or PERMISSION_DENIED",
     "The statement is of a kind that this server does not run.",
     "Metadata `use` names what to call instead."},
    {"TRANSACTION_CONTROL_REFUSED", "INVALID_ARGUMENT",
     "Transactions are not controlled through SQL text.",
     "Metadata `use` names what to call instead."},
    {"READ_ONLY_VIOLATION", "PERMISSION_DENIED",
     "The statement would write where only reading is allowed.",
     "Drop `read_only`, or use a connection that may write."},
    {"AFFECTED_ROWS_EXCEEDED", "FAILED_PRECONDITION",
     "The statement changed more rows than `max_affected_rows` allows; it was undone.",
     "Check the condition of the statement, or raise the bound."},
    {"REQUEST_ID_REUSED", "INVALID_ARGUMENT",
     "The request id was used before, for a request with other content; nothing was run.",
     "Give each request that is meant as a new one a new UUID."},
    {"REPLAY_TOO_LARGE", "FAILED_PRECONDITION",
     "The request was applied by an earlier call; its answer was too large to be kept.",
     "Do not send it again; read what you need with another request."},
    {"TABLE_NOT_FOUND", "NOT_FOUND", "The database has no such table or view.",
     "Metadata `nearest` names the one that is most like it; ListTables shows all."},
    {"CONNECTION_NOT_FOUND", "NOT_FOUND", "No such connection, or not yours.",
     "Check the id; `default` always exists."},
    {"CONNECTION_EXISTS", "ALREADY_EXISTS", "A connection with this name is registered already.",
     "Choose another name, or close that connection first."},
    {"CONNECTION_LIMIT", "RESOURCE_EXHAUSTED",
     "The server has as many connections registered as it may.",
     "Close one, or raise limits.connections."},
    {"CONNECTION_PERMANENT", "FAILED_PRECONDITION",
     "The connection that the server was started with cannot be closed.",
     "Stop the server instead."},
    {"CONNECTION_INVALID_TARGET", "INVALID_ARGUMENT, FAILED_PRECONDITION or PERMISSION_DENIED",
     "The target cannot be opened as it stands.", "Correct what the message names."},
    {"ENGINE_NOT_BUILT", "UNIMPLEMENTED", "This server has no driver for that kind of database.",
     "Metadata `engine` names it; GetServerInfo lists those that there are."},
    {"CONNECTION_IN_USE", "FAILED_PRECONDITION or UNAVAILABLE",
     "Another process holds the database or its lock.", "Stop the other process, or wait for it."},
    {"HEALTH_NAME_UNKNOWN", "NOT_FOUND",
     "grpc.health.v1 was asked about a name that it does not know.",
     "Ask for an empty name, a full service name, or `connections/<name>`."},
    {"DATABASE_CORRUPT", "DATA_LOSS", "The file is damaged or is no database.",
     "Restore it from a backup; nothing further is read from it."},
    {"INDEX_CORRUPT", "DATA_LOSS", "An index disagrees with its table; the statement was undone.",
     "REINDEX, or rebuild the virtual table; the database goes on serving."},
    {"DISK_FULL", "RESOURCE_EXHAUSTED",
     "The database's disk is full; nothing of the statement remains.",
     "Free space, then send the statement again."},
    {"DEVICE_FAULT", "DATA_LOSS",
     "The disk failed while the transaction was committed; nothing of it remains.",
     "Look after the disk, then send the request again."},
    {"POOL_EXHAUSTED", "RESOURCE_EXHAUSTED",
     "The queue for the database is full, or no connection came free in time.",
     "Wait for RetryInfo's delay, then retry; lower the load if it lasts."},
    {"POOL_CLOSED", "UNAVAILABLE", "The connection is being closed; the statement was not run.",
     "Use another connection."},
    {"SERVER_OVERLOADED", "RESOURCE_EXHAUSTED",
     "More calls are in flight than the server takes; this one was not begun.",
     "Wait for RetryInfo's delay, then retry."},
    {"SERVER_DRAINING", "UNAVAILABLE, ABORTED or UNKNOWN",
     "The server is going down; `executed` says what became of the call.",
     "Retry elsewhere if `executed` is `no`."},
    {"SNAPSHOT_TOO_OLD", "ABORTED", "The read lasted longer than a snapshot may live.",
     "Read less at a time, or raise sqlite.max_snapshot_age or sqlite.journal_limit."},
    {"TRANSACTION_EXPIRED", "ABORTED",
     "The transaction's time was over, and it was rolled back; nothing of it remains.",
     "Begin again, and go faster or in smaller parts."},
    {"LOCK_TIMEOUT", "ABORTED", "A lock did not come free in time; nothing was applied.",
     "Retry after RetryInfo's delay."},
    {"CALL_CANCELLED", "CANCELLED", "The caller cancelled or went away.",
     "`executed` says what became of the statement."},
    {"DEADLINE_PASSED", "DEADLINE_EXCEEDED", "The deadline passed first.",
     "`executed` says what became of the statement; allow more time."},
    {"STREAM_STALLED", "CANCELLED",
     "The client took no message of a stream for too long, or sent none.",
     "Read on, or ask for less; send on, or send it in smaller parts."},
    {"COMMIT_OUTCOME_UNKNOWN", "UNKNOWN",
     "The commit was sent, and its outcome was lost: it may have been applied.",
     "Look before you send it again."},
    {"INTERNAL", "INTERNAL", "A fault inside the server.", "Report it with the request id."},
};

absl::string_view ExecutedName(Executed executed) {
  switch (executed) {
    case Executed::kNo:
      return "no";
    case Executed::kRolledBack:
      return "rolled_back";
    case Executed::kUnknown:
      return "unknown";
  }
  return "unknown";
}

void Put(absl::Status& status,
         absl::string_view prefix,
         absl::string_view key,
         absl::string_view value) {
  if (!value.empty()) status.SetPayload(absl::StrCat(prefix, key), absl::Cord(value));
}

absl::Status Make(absl::StatusCode code,
                  absl::string_view reason,
                  absl::string_view message,
                  Executed executed) {
  absl::Status status(code, message);
  Put(status, kReasonKey, "", reason);
  Put(status, kMetadataPrefix, "executed", ExecutedName(executed));
  return status;
}

std::string Sentence(absl::string_view what, absl::string_view use) {
  return use.empty() ? absl::StrCat(what, ".") : absl::StrCat(what, "; use ", use, " instead.");
}

std::string Payload(const absl::Status& status, absl::string_view key) {
  const auto payload = status.GetPayload(key);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Span<const Reason> Catalogue() {
  return kCatalogue;
}

absl::Status Sql(const SqlFailure& failure) {
  absl::Status status = Make(failure.code, failure.reason, failure.message, failure.executed);
  Put(status, kMetadataPrefix, "sqlstate", failure.sqlstate);
  Put(status, kMetadataPrefix, "engine", failure.engine);
  Put(status, kMetadataPrefix, "table", failure.table);
  Put(status, kMetadataPrefix, "column", failure.column);
  Put(status, kMetadataPrefix, "constraint", failure.constraint);
  Put(status, kSqlPrefix, "sqlstate", failure.sqlstate);
  Put(status, kSqlPrefix, "severity", "ERROR");
  Put(status, kSqlPrefix, "message", failure.message);
  Put(status, kSqlPrefix, "hint", failure.hint);
  Put(status, kSqlPrefix, "engine", failure.engine);
  Put(status, kSqlPrefix, "engine_code", failure.engine_code);
  Put(status, kSqlPrefix, "table", failure.table);
  Put(status, kSqlPrefix, "column", failure.column);
  Put(status, kSqlPrefix, "constraint", failure.constraint);
  if (failure.position > 0) {
    Put(status, kMetadataPrefix, "position", absl::StrCat(failure.position));
    Put(status, kSqlPrefix, "position", absl::StrCat(failure.position));
  }
  return status;
}

absl::Status ParameterInvalid(absl::string_view field, absl::string_view description) {
  return ParameterInvalidAt(field, description, 0);
}

absl::Status ParameterInvalidAt(absl::string_view field,
                                absl::string_view description,
                                int position,
                                absl::string_view hint) {
  absl::Status status = Make(absl::StatusCode::kInvalidArgument, "PARAMETER_INVALID",
                             absl::StrCat(field, ": ", description), Executed::kNo);
  Put(status, kFieldPrefix, field, description);
  Put(status, kSqlPrefix, "hint", hint);
  if (position > 0) {
    Put(status, kMetadataPrefix, "position", absl::StrCat(position));
    Put(status, kSqlPrefix, "position", absl::StrCat(position));
  }
  return status;
}

absl::Status FieldNotImplemented(absl::string_view field) {
  absl::Status status = Make(
      absl::StatusCode::kUnimplemented, "FIELD_NOT_IMPLEMENTED",
      absl::StrCat(field, " is not supported by this server yet; leave it unset."), Executed::kNo);
  Put(status, kMetadataPrefix, "field", field);
  return status;
}

absl::Status Unparsable() {
  return Make(absl::StatusCode::kInternal, "REQUEST_UNPARSABLE",
              "Unable to parse the request: its bytes are no such message, or it nests too deep.",
              Executed::kNo);
}

absl::Status ValueTooLarge(absl::string_view what, int64_t limit_bytes, absl::string_view use) {
  absl::Status status = Make(
      absl::StatusCode::kResourceExhausted, "VALUE_TOO_LARGE",
      Sentence(absl::StrCat(what, " is larger than the limit of ", limit_bytes, " bytes"), use),
      Executed::kNo);
  Put(status, kMetadataPrefix, "limit_bytes", absl::StrCat(limit_bytes));
  Put(status, kMetadataPrefix, "use", use);
  return status;
}

absl::Status StatementRefused(absl::string_view what, absl::string_view use) {
  absl::Status status = Make(absl::StatusCode::kInvalidArgument, "STATEMENT_REFUSED",
                             Sentence(what, use), Executed::kNo);
  Put(status, kMetadataPrefix, "use", use);
  return status;
}

absl::Status StatementForbidden(absl::string_view what, absl::string_view use) {
  absl::Status status = Make(absl::StatusCode::kPermissionDenied, "STATEMENT_REFUSED",
                             Sentence(what, use), Executed::kNo);
  Put(status, kMetadataPrefix, "use", use);
  return status;
}

absl::Status TransactionControlRefused(absl::string_view verb, absl::string_view use) {
  absl::Status status = Make(
      absl::StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED",
      Sentence(absl::StrCat(
                   verb, " is not run as SQL text, since the server keeps track of transactions"),
               use),
      Executed::kNo);
  Put(status, kMetadataPrefix, "use", use);
  return status;
}

absl::Status ReadOnlyViolation(absl::string_view why) {
  return Make(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION",
              absl::StrCat("The statement would write: ", why, "."), Executed::kNo);
}

absl::Status AffectedRowsExceeded(int64_t affected, int64_t limit) {
  absl::Status status = Make(
      absl::StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED",
      absl::StrCat(affected, " rows were changed and at most ", limit, " may be; it was undone."),
      Executed::kRolledBack);
  Put(status, kMetadataPrefix, "rows_affected", absl::StrCat(affected));
  Put(status, kMetadataPrefix, "max_affected_rows", absl::StrCat(limit));
  return status;
}

absl::Status RequestIdReused() {
  absl::Status status =
      Make(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
           "This request_id belongs to an earlier request with other content; nothing was run.",
           Executed::kNo);
  Put(status, kFieldPrefix, "request_id", "was used for a request with other content");
  return status;
}

absl::Status ReplayTooLarge() {
  absl::Status status =
      Make(absl::StatusCode::kFailedPrecondition, "REPLAY_TOO_LARGE",
           "The request was applied by an earlier call, whose answer was too large to be kept.",
           Executed::kUnknown);
  Put(status, kMetadataPrefix, "outcome", "committed");
  return status;
}

absl::Status TableNotFound(absl::string_view table, absl::string_view nearest) {
  absl::Status status =
      Make(absl::StatusCode::kNotFound, "TABLE_NOT_FOUND",
           nearest.empty() ? absl::StrCat("There is no table ", table, ".")
                           : absl::StrCat("There is no table ", table, "; is it ", nearest, "?"),
           Executed::kNo);
  Put(status, kMetadataPrefix, "nearest", nearest);
  return status;
}

absl::Status ConnectionNotFound(absl::string_view id) {
  absl::Status status =
      Make(absl::StatusCode::kNotFound, "CONNECTION_NOT_FOUND",
           id == "default" ? "There is no default connection."
                           : "No such connection; `default` is the one the server started with.",
           Executed::kNo);
  return status;
}

absl::Status ConnectionInvalidTarget(absl::string_view why) {
  return Make(absl::StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET", why,
              Executed::kNo);
}

absl::Status ConnectionOptionUnknown(absl::string_view why) {
  return Make(absl::StatusCode::kInvalidArgument, "CONNECTION_INVALID_TARGET", why, Executed::kNo);
}

absl::Status ConnectionInUse(absl::string_view why) {
  return Make(absl::StatusCode::kFailedPrecondition, "CONNECTION_IN_USE", why, Executed::kNo);
}

absl::Status DatabaseCorrupt(absl::string_view what) {
  return Make(absl::StatusCode::kDataLoss, "DATABASE_CORRUPT", what, Executed::kNo);
}

absl::Status ConnectionForbidden(absl::string_view why) {
  return Make(absl::StatusCode::kPermissionDenied, "CONNECTION_INVALID_TARGET", why, Executed::kNo);
}

absl::Status DatabaseMissing() {
  return ConnectionInvalidTarget(
      "There is no such database file, and this connection does not make one.");
}

absl::Status EngineNotBuilt(absl::string_view engine) {
  absl::Status status =
      Make(absl::StatusCode::kUnimplemented, "ENGINE_NOT_BUILT",
           absl::StrCat("This server has no driver for ", engine, " databases."), Executed::kNo);
  Put(status, kMetadataPrefix, "engine", engine);
  return status;
}

absl::Status ConnectionExists(absl::string_view name) {
  absl::Status status =
      Make(absl::StatusCode::kAlreadyExists, "CONNECTION_EXISTS",
           absl::StrCat("There is a connection named ", name, " already."), Executed::kNo);
  Put(status, kMetadataPrefix, "name", name);
  return status;
}

absl::Status ConnectionLimit(int64_t limit) {
  absl::Status status = Make(
      absl::StatusCode::kResourceExhausted, "CONNECTION_LIMIT",
      absl::StrCat("The server has ", limit, " connections, its limit; close one."), Executed::kNo);
  Put(status, kMetadataPrefix, "limit", absl::StrCat(limit));
  return status;
}

absl::Status ConnectionPermanent() {
  return Make(absl::StatusCode::kFailedPrecondition, "CONNECTION_PERMANENT",
              "The default connection lives as long as the server and cannot be closed.",
              Executed::kNo);
}

absl::Status HealthUnknown() {
  return Make(absl::StatusCode::kNotFound, "HEALTH_NAME_UNKNOWN",
              "No such health name: use an empty one, a full service name, or connections/<name>.",
              Executed::kNo);
}

absl::Status PoolExhausted(absl::string_view queue, int64_t limit) {
  absl::Status status =
      Make(absl::StatusCode::kResourceExhausted, "POOL_EXHAUSTED",
           absl::StrCat("The queue of ", queue, " is full (", limit, "); retry in a moment."),
           Executed::kNo);
  Put(status, kMetadataPrefix, "queue_limit", absl::StrCat(limit));
  return WithRetryDelay(std::move(status), absl::Milliseconds(100));
}

absl::Status PoolClosed() {
  return Make(absl::StatusCode::kUnavailable, "POOL_CLOSED",
              "The connection is being closed; nothing was run.", Executed::kNo);
}

absl::Status ServerOverloaded(int64_t limit) {
  absl::Status status = Make(
      absl::StatusCode::kResourceExhausted, "SERVER_OVERLOADED",
      absl::StrCat("The server has ", limit, " calls in flight, its limit; retry in a moment."),
      Executed::kNo);
  Put(status, kMetadataPrefix, "limit", absl::StrCat(limit));
  return WithRetryDelay(std::move(status), absl::Milliseconds(100));
}

absl::Status ServerDraining(Executed executed) {
  switch (executed) {
    case Executed::kNo:
      return WithRetryDelay(
          Make(absl::StatusCode::kUnavailable, "SERVER_DRAINING",
               "The server is going down; nothing was run, retry elsewhere.", executed),
          absl::Milliseconds(100));
    case Executed::kRolledBack:
      return Make(absl::StatusCode::kAborted, "SERVER_DRAINING",
                  "The server is going down; the statement was rolled back.", executed);
    case Executed::kUnknown:
      break;
  }
  return Make(absl::StatusCode::kUnknown, "SERVER_DRAINING",
              "The server went down while the statement ran; it may have been applied.",
              Executed::kUnknown);
}

absl::Status SnapshotTooOld(absl::Duration limit) {
  return Make(absl::StatusCode::kAborted, "SNAPSHOT_TOO_OLD",
              absl::StrCat("The read lasted longer than ", absl::FormatDuration(limit),
                           ", the most that a snapshot may live; read less at a time."),
              Executed::kRolledBack);
}

absl::Status SnapshotInTheWay(int64_t limit_bytes) {
  return WithRetryDelay(
      Make(absl::StatusCode::kAborted, "SNAPSHOT_TOO_OLD",
           absl::StrCat("The read was ended because the database's journal had grown to ",
                        limit_bytes, " bytes behind it; read less at a time."),
           Executed::kRolledBack),
      absl::Milliseconds(100));
}

absl::Status TransactionExpired(absl::string_view why) {
  return WithRetryDelay(
      Make(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED",
           absl::StrCat(why, "; everything was rolled back."), Executed::kRolledBack),
      absl::Milliseconds(100));
}

absl::Status DeviceFault(const absl::Status& cause) {
  absl::Status status(
      absl::StatusCode::kDataLoss,
      absl::StrCat("The disk failed while the transaction was committed, and nothing of it "
                   "remains: ",
                   cause.message()));
  cause.ForEachPayload(
      [&](absl::string_view key, const absl::Cord& value) { status.SetPayload(key, value); });
  Put(status, kReasonKey, "", "DEVICE_FAULT");
  return WithExecuted(std::move(status), Executed::kRolledBack);
}

absl::Status CommitOutcomeUnknown(const absl::Status& cause) {
  absl::Status status(
      absl::StatusCode::kUnknown,
      absl::StrCat(
          "The commit failed on its way to the disk and may have been applied; look before "
          "you send it again: ",
          cause.message()));
  cause.ForEachPayload(
      [&](absl::string_view key, const absl::Cord& value) { status.SetPayload(key, value); });
  Put(status, kReasonKey, "", "COMMIT_OUTCOME_UNKNOWN");
  return WithExecuted(std::move(status), Executed::kUnknown);
}

absl::Status Cancelled(Executed executed) {
  return Make(absl::StatusCode::kCancelled, "CALL_CANCELLED", "The call was cancelled.", executed);
}

absl::Status DeadlineExceeded(Executed executed) {
  return Make(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED",
              "The deadline passed before the statement ended.", executed);
}

absl::Status StreamStalled(absl::Duration limit) {
  return Make(absl::StatusCode::kCancelled, "STREAM_STALLED",
              absl::StrCat("The client took no message for ", absl::FormatDuration(limit),
                           "; the stream was ended."),
              Executed::kUnknown);
}

absl::Status StreamIdle(Executed executed) {
  return Make(absl::StatusCode::kCancelled, "STREAM_STALLED",
              "The client sent no message for too long, and the stream was ended.", executed);
}

absl::Status PeerGone() {
  return Make(absl::StatusCode::kCancelled, "CALL_CANCELLED", "The client went away.",
              Executed::kUnknown);
}

absl::Status Internal(absl::string_view what) {
  return Make(absl::StatusCode::kInternal, "INTERNAL", what, Executed::kUnknown);
}

absl::Status WithMetadata(absl::Status status, absl::string_view key, absl::string_view value) {
  Put(status, kMetadataPrefix, key, value);
  return status;
}

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  Put(status, kRetryKey, "", absl::StrCat(absl::ToInt64Microseconds(delay)));
  return status;
}

absl::Status WithExecuted(absl::Status status, Executed executed) {
  return WithMetadata(std::move(status), "executed", ExecutedName(executed));
}

absl::Status WithoutDetails(const absl::Status& status) {
  absl::Status bare(status.code(), status.message());
  const std::string kept[] = {
      std::string(kReasonKey),
      std::string(kRetryKey),
      absl::StrCat(kMetadataPrefix, "executed"),
      absl::StrCat(kSqlPrefix, "sqlstate"),
      absl::StrCat(kSqlPrefix, "severity"),
      absl::StrCat(kSqlPrefix, "engine"),
      absl::StrCat(kSqlPrefix, "engine_code"),
  };
  for (const std::string& key : kept) {
    const absl::optional<absl::Cord> value = status.GetPayload(key);
    if (value.has_value()) bare.SetPayload(key, *value);
  }
  return bare;
}

std::string ReasonOf(const absl::Status& status) {
  return Payload(status, kReasonKey);
}

std::string MetadataOf(const absl::Status& status, absl::string_view key) {
  return Payload(status, absl::StrCat(kMetadataPrefix, key));
}

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) && MetadataOf(status, "executed") == "no";
}

Parts PartsOf(const absl::Status& status) {
  Parts parts;
  status.ForEachPayload([&](absl::string_view key, const absl::Cord& value) {
    std::string text(value);
    if (key == kReasonKey) {
      parts.reason = std::move(text);
    } else if (key == kRetryKey) {
      int64_t micros = 0;
      if (absl::SimpleAtoi(text, &micros)) parts.retry_delay = absl::Microseconds(micros);
    } else if (absl::ConsumePrefix(&key, kMetadataPrefix)) {
      parts.metadata.emplace_back(std::string(key), std::move(text));
    } else if (absl::ConsumePrefix(&key, kFieldPrefix)) {
      parts.fields.emplace_back(std::string(key), std::move(text));
    } else if (absl::ConsumePrefix(&key, kSqlPrefix)) {
      parts.sql.emplace_back(std::string(key), std::move(text));
    }
  });
  return parts;
}

}  // namespace sluice::errors
