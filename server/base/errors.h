// Every failure that a caller can see, said by name. A status made here carries its details as
// payloads, which rpc/status turns into google.rpc details; layers below rpc never see a proto of
// errors.
#ifndef SLUICE_SERVER_BASE_ERRORS_H_
#define SLUICE_SERVER_BASE_ERRORS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace sluice::errors {

// What became of the request: the first thing a caller asks before a retry.
enum class Executed {
  kNo,          // certainly not applied
  kRolledBack,  // it ran, and nothing of it remains
  kUnknown,     // it may have been applied
};

// A reason as the catalogue lists it; docs/reference/errors.md is made from these.
struct Reason {
  absl::string_view name;     // UPPER_SNAKE_CASE
  absl::string_view code;     // gRPC status code or codes
  absl::string_view meaning;  // one sentence
  absl::string_view remedy;   // what the caller does
};

absl::Span<const Reason> Catalogue();

// What a database said about a failed statement. Empty strings are left out.
struct SqlFailure {
  absl::StatusCode code = absl::StatusCode::kInternal;
  absl::string_view reason = "SQL_ERROR";
  Executed executed = Executed::kRolledBack;
  std::string message;  // the engine's sentence, safe to show
  std::string sqlstate;
  std::string hint;
  std::string engine;       // "sqlite", "postgresql"
  std::string engine_code;  // the engine's own code
  std::string severity = "ERROR";
  std::string schema;
  std::string table;
  std::string column;
  std::string data_type;
  std::string constraint;
  int position = 0;  // characters from 1; 0 = not known
};

absl::Status Sql(const SqlFailure& failure);

// Requests.
absl::Status ParameterInvalid(absl::string_view field, absl::string_view description);
// `position`: where in the SQL, in characters from 1; 0 = not known.
absl::Status ParameterInvalidAt(absl::string_view field,
                                absl::string_view description,
                                int position,
                                absl::string_view hint = "");
// The same for a number that its type cannot hold, as OUT_OF_RANGE.
absl::Status ParameterOutOfRange(absl::string_view field,
                                 absl::string_view description,
                                 int position,
                                 absl::string_view hint = "");
absl::Status FieldNotImplemented(absl::string_view field);
// The bytes of a request are no such message.
absl::Status Unparsable();
// A value or row is larger than the engine or the caller's own limit allows.
absl::Status ValueTooLarge(absl::string_view what, int64_t limit_bytes, absl::string_view use);

// Statements that are not run. `use`: what to call instead, empty if nothing.
absl::Status StatementRefused(absl::string_view what, absl::string_view use);
// The same where a policy forbids it, as PERMISSION_DENIED.
absl::Status StatementForbidden(absl::string_view what, absl::string_view use);
absl::Status TransactionControlRefused(absl::string_view verb, absl::string_view use);
absl::Status ReadOnlyViolation(absl::string_view why);
// It was undone.
absl::Status AffectedRowsExceeded(int64_t affected, int64_t limit);

// Repeats.
absl::Status RequestIdReused();
// The first call was applied, but its answer was not kept.
absl::Status ReplayTooLarge();

// Connections.
absl::Status ConnectionNotFound(absl::string_view id);
absl::Status ConnectionInvalidTarget(absl::string_view why);
// An option of a target that does not exist, as INVALID_ARGUMENT.
absl::Status ConnectionOptionUnknown(absl::string_view why);
// Another process holds what only one gateway may hold.
absl::Status ConnectionInUse(absl::string_view why);
absl::Status DatabaseCorrupt(absl::string_view what);
// A target that the operator's rules do not allow, as PERMISSION_DENIED.
absl::Status ConnectionForbidden(absl::string_view why);
// There is no such file, and it may not be made.
absl::Status DatabaseMissing();
// No driver for this kind of database was built in.
absl::Status EngineNotBuilt(absl::string_view engine);
absl::Status ConnectionExists(absl::string_view name);
absl::Status ConnectionLimit(int64_t limit);
// `default` cannot be closed.
absl::Status ConnectionPermanent();

// Servers behind connections.
// The connection broke, or the server ended the session. In a transaction nothing of it remains,
// unless that is not known.
absl::Status BackendLost(Executed executed, bool in_transaction);
// No connection could be made, so nothing was sent.
absl::Status BackendUnreachable(absl::Duration retry_in);
// The server is there, but starts up, recovers or goes down.
absl::Status BackendStarting(absl::Duration retry_in);
// The server takes no more connections.
absl::Status BackendFull(absl::Duration retry_in);
// The server refused the target's user, password or database: not the caller's own credentials.
absl::Status BackendAuthFailed();
// A password would cross a network without TLS.
absl::Status BackendInsecureAuth();
// The operator's rules do not let the server connect there; `why` is a sentence without a full
// stop.
absl::Status EgressDenied(absl::string_view why);
// Somebody else ended the statement.
absl::Status SqlCancelledByAdmin(Executed executed);

// `nearest`: the name that is most like it; empty if none is.
absl::Status TableNotFound(absl::string_view table, absl::string_view nearest);

// grpc.health.v1 was asked about a name that it does not know.
absl::Status HealthUnknown();

// Capacity.
absl::Status PoolExhausted(absl::string_view queue, int64_t limit);
// No connection came free within the time that a call may wait: `waiting` calls do so, `limit`
// connections there may be.
absl::Status AcquireTimeout(int64_t waiting, int64_t limit, absl::Duration waited);
absl::Status PoolClosed();
absl::Status ServerOverloaded(int64_t limit);
absl::Status ServerDraining(Executed executed);
absl::Status SnapshotTooOld(absl::Duration limit);

// The deadline passed while somebody had the database's only writer: the handle of a transaction,
// with its label, or `load`.
absl::Status WriterHeld(absl::string_view by, absl::string_view label, absl::Duration held_for);

// The journal of the database had grown to its limit, and this read kept it from starting over.
absl::Status SnapshotInTheWay(int64_t limit_bytes);

// Transactions of callers. None of these has run anything, but for the first.
// A lease ended, or the server ended the transaction, and what was not committed was rolled back.
absl::Status TransactionExpired(absl::string_view why);
// Unknown, forgotten, or another principal's.
absl::Status TransactionNotFound();
// `state`: how it ended, as the contract writes it.
absl::Status TransactionFinished(absl::string_view state);
// A statement of it failed.
absl::Status TransactionFailed();
// There are as many of `what` (a plural) as there may be.
absl::Status TransactionLimit(absl::string_view what, int64_t limit);
absl::Status SavepointNotFound(absl::string_view name);

// The device failed during COMMIT: `cause` tells of it, and may have been applied.
absl::Status CommitOutcomeUnknown(const absl::Status& cause);
absl::Status CommitUnconfirmed();
// The connection was lost before the server had answered COMMIT.
absl::Status CommitOutcomeLost();
// This engine's own tools make its copies.
absl::Status BackupNotOffered();
// The database has no table for the answers of requests with a `request_id`.
absl::Status RequestLogMissing();
// The device failed during COMMIT, and nothing of the transaction is left.
absl::Status DeviceFault(const absl::Status& cause);

// Ends that the caller or time brought about.
absl::Status Cancelled(Executed executed);
absl::Status DeadlineExceeded(Executed executed);
absl::Status StreamStalled(absl::Duration limit);
absl::Status StreamIdle(Executed executed);
absl::Status PeerGone();
// A fault of our own; `what` goes to the caller, so it names no value and no secret.
absl::Status Internal(absl::string_view what);

// Reading and amending a status. Keys of metadata are lower_snake_case.
absl::Status WithMetadata(absl::Status status, absl::string_view key, absl::string_view value);
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);
// `field`: what of the request is to blame, as BadRequest names it.
absl::Status WithField(absl::Status status, absl::string_view field, absl::string_view description);
absl::Status WithExecuted(absl::Status status, Executed executed);
// For another caller, whom the same fault hit: what it is, without what the first one had asked.
absl::Status WithoutDetails(const absl::Status& status);
std::string ReasonOf(const absl::Status& status);
std::string MetadataOf(const absl::Status& status, absl::string_view key);
// True if the status promises that nothing was applied and that a retry makes sense (UNAVAILABLE,
// executed=no).
bool IsTransient(const absl::Status& status);
// True if the status says that a transaction lost against another one (SERIALIZATION_FAILURE,
// DEADLOCK), that nothing of it remains, and so that it makes sense to run all of it again.
bool IsConflict(const absl::Status& status);

// The parts of a status as rpc/status needs them; each pair is key and value, in no particular
// order.
struct Parts {
  std::string reason;
  std::vector<std::pair<std::string, std::string>> metadata;
  std::vector<std::pair<std::string, std::string>> fields;  // path, description
  std::vector<std::pair<std::string, std::string>> sql;     // SqlDiagnostic field, value
  absl::Duration retry_delay = absl::ZeroDuration();        // zero = none
};

Parts PartsOf(const absl::Status& status);

}  // namespace sluice::errors

#endif  // SLUICE_SERVER_BASE_ERRORS_H_
