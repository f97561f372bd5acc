#include "server/base/errors.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

#include "server/base/error_payload.h"

namespace sluice::errors {
namespace {

std::string Sentence(absl::string_view what, absl::string_view use) {
  return use.empty() ? absl::StrCat(what, ".") : absl::StrCat(what, "; use ", use, " instead.");
}

absl::Status WrongParameter(absl::StatusCode code,
                            absl::string_view field,
                            absl::string_view description,
                            int position,
                            absl::string_view hint) {
  absl::Status status =
      Make(code, "PARAMETER_INVALID", absl::StrCat(field, ": ", description), Executed::kNo);
  Put(status, kFieldPrefix, field, description);
  Put(status, kSqlPrefix, "hint", hint);
  if (position > 0) {
    Put(status, kMetadataPrefix, "position", absl::StrCat(position));
    Put(status, kSqlPrefix, "position", absl::StrCat(position));
  }
  return status;
}

std::string Payload(const absl::Status& status, absl::string_view key) {
  const auto payload = status.GetPayload(key);
  return payload.has_value() ? std::string(*payload) : std::string();
}

}  // namespace

absl::Status Sql(const SqlFailure& failure) {
  absl::Status status = Make(failure.code, failure.reason, failure.message, failure.executed);
  const std::pair<absl::string_view, const std::string&> facts[] = {
      {"sqlstate", failure.sqlstate},    {"engine", failure.engine},
      {"schema", failure.schema},        {"table", failure.table},
      {"column", failure.column},        {"data_type", failure.data_type},
      {"constraint", failure.constraint}};
  for (const auto& [key, value] : facts) {
    Put(status, kMetadataPrefix, key, value);
    Put(status, kSqlPrefix, key, value);
  }
  Put(status, kSqlPrefix, "severity", failure.severity);
  Put(status, kSqlPrefix, "message", failure.message);
  Put(status, kSqlPrefix, "hint", failure.hint);
  Put(status, kSqlPrefix, "engine_code", failure.engine_code);
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
  return WrongParameter(absl::StatusCode::kInvalidArgument, field, description, position, hint);
}

absl::Status ParameterOutOfRange(absl::string_view field,
                                 absl::string_view description,
                                 int position,
                                 absl::string_view hint) {
  return WrongParameter(absl::StatusCode::kOutOfRange, field, description, position, hint);
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

absl::Status WriterHeld(absl::string_view by, absl::string_view label, absl::Duration held_for) {
  const int64_t millis = absl::ToInt64Milliseconds(held_for);
  const std::string who = by == "load" ? "a bulk load" : absl::StrCat("the transaction ", by);
  absl::Status status =
      Make(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED",
           absl::StrCat("The deadline passed while ", who, " had the database's only writer, for ",
                        millis, " ms so far; nothing was run."),
           Executed::kNo);
  Put(status, kMetadataPrefix, "held_by", by);
  Put(status, kMetadataPrefix, "held_by_label", label);
  Put(status, kMetadataPrefix, "held_for_ms", absl::StrCat(millis));
  return status;
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

absl::Status TransactionNotFound() {
  return Make(absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND",
              "There is no such transaction, or it was forgotten; begin another one.",
              Executed::kNo);
}

absl::Status TransactionFinished(absl::string_view state) {
  absl::Status status = Make(
      absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED",
      absl::StrCat("The transaction is finished (", state, "); nothing was run."), Executed::kNo);
  Put(status, kMetadataPrefix, "transaction_state", state);
  return status;
}

absl::Status TransactionFailed() {
  return Make(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FAILED",
              "A statement of the transaction failed; roll back, or go back to a savepoint.",
              Executed::kNo);
}

absl::Status TransactionLimit(absl::string_view what, int64_t limit) {
  absl::Status status =
      Make(absl::StatusCode::kResourceExhausted, "TRANSACTION_LIMIT",
           absl::StrCat("There are ", limit, " ", what, ", the most that may be; end one first."),
           Executed::kNo);
  Put(status, kMetadataPrefix, "limit", absl::StrCat(limit));
  return WithRetryDelay(std::move(status), absl::Milliseconds(100));
}

absl::Status SavepointNotFound(absl::string_view name) {
  SqlFailure failure;
  failure.code = absl::StatusCode::kFailedPrecondition;
  failure.reason = "SAVEPOINT_NOT_FOUND";
  failure.executed = Executed::kNo;
  failure.message = absl::StrCat("There is no savepoint named ", name, ".");
  failure.sqlstate = "3B001";
  return Sql(failure);
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

absl::Status WithField(absl::Status status,
                       absl::string_view field,
                       absl::string_view description) {
  if (!field.empty()) Put(status, kFieldPrefix, field, description);
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

bool IsConflict(const absl::Status& status) {
  if (!absl::IsAborted(status)) return false;
  const std::string reason = ReasonOf(status);
  if (reason != "SERIALIZATION_FAILURE" && reason != "DEADLOCK") return false;
  const std::string executed = MetadataOf(status, "executed");
  return executed == "rolled_back" || executed == "no";
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
