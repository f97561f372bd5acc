#include "server/db/postgres/sqlstate.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/time/time.h"

#include "server/base/utf8.h"

namespace sluice::postgres {
namespace {

using absl::StatusCode;
using errors::Executed;

constexpr size_t kMessageBytes = 1024;
constexpr size_t kHintBytes = 512;
constexpr size_t kNameBytes = 128;
constexpr absl::Duration kRetrySoon = absl::Milliseconds(100);
constexpr absl::Duration kRetryConnecting = absl::Seconds(1);

// What is done beyond the code and the reason.
enum class Kind {
  kPlain,
  kGeneric,         // the server's own words are for nobody
  kLost,            // the session is over: what became of the statement decides on the code
  kStarting,        // the same, and it was no fault
  kAuth,            // it did not let us in
  kReadOnly,        // who made it so decides on the code
  kCancelled,       // by someone else
  kBusy,            // a retry helps
  kOutcomeUnknown,  // the commit may have been applied
  kChosen,          // the last two digits are the code
};

// What an SQLSTATE means.
struct Meaning {
  absl::string_view prefix;  // all of it, or only its class
  StatusCode status = StatusCode::kInternal;
  absl::string_view reason = "SQL_ERROR";
  Kind kind = Kind::kPlain;
};

constexpr absl::string_view kSql = "SQL_ERROR";

// Whole codes stand before the class that they belong to.
constexpr Meaning kMeanings[] = {
    {"03", StatusCode::kFailedPrecondition},
    {"08007", StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", Kind::kOutcomeUnknown},
    {"08P01", StatusCode::kInternal, "INTERNAL", Kind::kGeneric},
    {"08", StatusCode::kUnavailable, "BACKEND_LOST", Kind::kLost},
    {"09", StatusCode::kFailedPrecondition},
    {"0A", StatusCode::kUnimplemented},
    {"0B", StatusCode::kFailedPrecondition},
    {"0L", StatusCode::kInvalidArgument},
    {"0P", StatusCode::kInvalidArgument},
    {"20", StatusCode::kFailedPrecondition},
    {"21", StatusCode::kFailedPrecondition},
    {"22003", StatusCode::kOutOfRange},
    {"22008", StatusCode::kOutOfRange},
    {"22", StatusCode::kInvalidArgument},
    {"23502", StatusCode::kInvalidArgument},
    {"23505", StatusCode::kAlreadyExists},
    {"23514", StatusCode::kInvalidArgument},
    {"23", StatusCode::kFailedPrecondition},
    {"24", StatusCode::kFailedPrecondition},
    {"25006", StatusCode::kFailedPrecondition, "READ_ONLY_VIOLATION", Kind::kReadOnly},
    {"25P01", StatusCode::kFailedPrecondition, "TRANSACTION_REQUIRED"},
    {"25P02", StatusCode::kFailedPrecondition, "TRANSACTION_FAILED"},
    {"25P03", StatusCode::kAborted, "TRANSACTION_IDLE_TIMEOUT", Kind::kBusy},
    {"25P04", StatusCode::kAborted, "TRANSACTION_TIMEOUT", Kind::kBusy},
    {"25", StatusCode::kFailedPrecondition},
    {"26", StatusCode::kInvalidArgument},
    {"28", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED", Kind::kAuth},
    {"2B", StatusCode::kFailedPrecondition},
    {"2D", StatusCode::kFailedPrecondition},
    {"2F", StatusCode::kFailedPrecondition},
    {"34", StatusCode::kInvalidArgument},
    {"38", StatusCode::kFailedPrecondition},
    {"39", StatusCode::kFailedPrecondition},
    {"3B", StatusCode::kFailedPrecondition, "SAVEPOINT_NOT_FOUND"},
    {"3D000", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED", Kind::kAuth},
    {"3F", StatusCode::kInvalidArgument},
    {"40001", StatusCode::kAborted, "SERIALIZATION_FAILURE", Kind::kBusy},
    {"40003", StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", Kind::kOutcomeUnknown},
    {"40P01", StatusCode::kAborted, "DEADLOCK", Kind::kBusy},
    {"40", StatusCode::kAborted, kSql, Kind::kBusy},
    {"42501", StatusCode::kPermissionDenied},
    {"42701", StatusCode::kAlreadyExists},
    {"42710", StatusCode::kAlreadyExists},
    {"42P04", StatusCode::kAlreadyExists},
    {"42P06", StatusCode::kAlreadyExists},
    {"42P07", StatusCode::kAlreadyExists},
    {"42", StatusCode::kInvalidArgument},
    {"44", StatusCode::kFailedPrecondition},
    {"53100", StatusCode::kResourceExhausted, "DISK_FULL"},
    {"53300", StatusCode::kResourceExhausted, "POOL_EXHAUSTED", Kind::kBusy},
    {"53", StatusCode::kResourceExhausted},
    {"54", StatusCode::kInvalidArgument},
    {"55P03", StatusCode::kAborted, "LOCK_TIMEOUT", Kind::kBusy},
    {"55", StatusCode::kFailedPrecondition},
    {"57014", StatusCode::kAborted, "SQL_CANCELLED_BY_ADMIN", Kind::kCancelled},
    {"57P01", StatusCode::kUnavailable, "BACKEND_LOST", Kind::kLost},
    {"57P02", StatusCode::kUnavailable, "BACKEND_LOST", Kind::kLost},
    {"57P03", StatusCode::kUnavailable, "BACKEND_STARTING", Kind::kStarting},
    {"57P04", StatusCode::kUnavailable, "BACKEND_LOST", Kind::kLost},
    {"57P05", StatusCode::kUnavailable, "BACKEND_LOST", Kind::kLost},
    {"72", StatusCode::kAborted, "SNAPSHOT_TOO_OLD", Kind::kBusy},
    {"GR0", StatusCode::kFailedPrecondition, kSql, Kind::kChosen},
    {"HV00N", StatusCode::kUnavailable, kSql, Kind::kBusy},
    {"P0002", StatusCode::kNotFound},
    {"P0", StatusCode::kFailedPrecondition},
    {"XX001", StatusCode::kDataLoss, "DATABASE_CORRUPT"},
    {"XX002", StatusCode::kDataLoss, "INDEX_CORRUPT"},
};

constexpr Meaning kUnforeseen = {"", StatusCode::kInternal, "INTERNAL", Kind::kGeneric};
constexpr absl::string_view kGenericWords =
    "The database failed in a way that it should not; its own log tells more.";

bool IsWellFormed(absl::string_view sqlstate) {
  return sqlstate.size() == 5 && std::all_of(sqlstate.begin(), sqlstate.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) ||
                  absl::ascii_isupper(static_cast<unsigned char>(c));
         });
}

// The code that an application asked for with `GR0nn`; 0: nn is none, or OK, which no error is.
int ChosenCode(absl::string_view sqlstate) {
  constexpr int kMostCode = static_cast<int>(StatusCode::kUnauthenticated);
  int code = 0;
  return absl::SimpleAtoi(sqlstate.substr(3), &code) && code <= kMostCode ? code : 0;
}

const Meaning& MeaningOf(absl::string_view sqlstate) {
  if (!IsWellFormed(sqlstate)) return kUnforeseen;
  for (const Meaning& meaning : kMeanings) {
    if (!absl::StartsWith(sqlstate, meaning.prefix)) continue;
    return meaning.kind == Kind::kChosen && ChosenCode(sqlstate) == 0 ? kUnforeseen : meaning;
  }
  return kUnforeseen;
}

std::string Clean(const std::string& text, size_t max_bytes) {
  return SanitizeForMessage(text, max_bytes);
}

bool IsChangedPlan(const ServerError& error) {
  return error.sqlstate == "0A000" &&
         (error.routine == "RevalidateCachedQuery" ||
          absl::StartsWith(error.message, "cached plan must not change"));
}

// What is said in place of the server's words, where those would say too little, or too much.
absl::Status WithoutItsWords(Kind kind, const ErrorContext& context) {
  switch (kind) {
    case Kind::kLost:
      return errors::BackendLost(context.executed, context.in_transaction);
    case Kind::kStarting:
      return context.executed == Executed::kNo && !context.in_transaction
                 ? errors::BackendStarting(kRetryConnecting)
                 : errors::BackendLost(context.executed, context.in_transaction);
    case Kind::kAuth:
      return errors::BackendAuthFailed();
    case Kind::kOutcomeUnknown:
      return errors::CommitOutcomeLost();
    case Kind::kCancelled:
      return errors::SqlCancelledByAdmin(context.executed);
    default:
      return absl::OkStatus();
  }
}

errors::SqlFailure FailureOf(const ServerError& error,
                             const Meaning& meaning,
                             const ErrorContext& context) {
  errors::SqlFailure failure;
  failure.code = meaning.status;
  failure.reason = meaning.reason;
  failure.executed = context.executed;
  failure.engine = "postgresql";
  if (IsWellFormed(error.sqlstate)) failure.sqlstate = error.sqlstate;
  if (error.severity == "FATAL" || error.severity == "PANIC") failure.severity = error.severity;
  if (meaning.kind == Kind::kGeneric) {
    failure.message = std::string(kGenericWords);
    return failure;
  }
  failure.message = Clean(error.message, kMessageBytes);
  if (failure.message.empty()) failure.message = "The database refused the statement.";
  failure.hint = Clean(error.hint, kHintBytes);
  failure.schema = Clean(error.schema, kNameBytes);
  failure.table = Clean(error.table, kNameBytes);
  failure.column = Clean(error.column, kNameBytes);
  failure.data_type = Clean(error.datatype, kNameBytes);
  failure.constraint = Clean(error.constraint, kNameBytes);
  failure.position = std::max(error.position, 0);
  return failure;
}

// Where the table has one code and what was going on asks for another.
void Amend(const ServerError& error,
           const Meaning& meaning,
           const ErrorContext& context,
           errors::SqlFailure& failure) {
  if (meaning.kind == Kind::kChosen) {
    failure.code = static_cast<StatusCode>(ChosenCode(error.sqlstate));
  }
  if (meaning.kind == Kind::kReadOnly && context.read_only_policy) {
    failure.code = StatusCode::kPermissionDenied;
  }
  // In a transaction the statement alone cannot be sent again: what came before it is gone, too.
  if (context.in_transaction && (failure.code == StatusCode::kUnavailable || IsChangedPlan(error) ||
                                 IsForgottenStatement(error))) {
    failure.code = StatusCode::kAborted;
  }
  // UNAVAILABLE is a promise that clients act upon by themselves.
  if (failure.code != StatusCode::kUnavailable) return;
  if (failure.executed == Executed::kUnknown) {
    failure.code = StatusCode::kUnknown;
  } else {
    failure.executed = Executed::kNo;
  }
}

}  // namespace

absl::Status ToStatus(const ServerError& error, const ErrorContext& context) {
  const Meaning& meaning = MeaningOf(error.sqlstate);
  if (absl::Status status = WithoutItsWords(meaning.kind, context); !status.ok()) {
    return errors::WithMetadata(std::move(status), "sqlstate", error.sqlstate);
  }
  errors::SqlFailure failure = FailureOf(error, meaning, context);
  Amend(error, meaning, context, failure);
  absl::Status status = errors::Sql(failure);
  if (failure.sqlstate == "23502" || failure.sqlstate == "23514") {
    status = errors::WithField(std::move(status), failure.column, failure.message);
  }
  const bool busy = meaning.kind == Kind::kBusy || failure.code == StatusCode::kAborted;
  return busy ? errors::WithRetryDelay(std::move(status), kRetrySoon) : status;
}

// How a name is quoted is a matter of the server's language.
bool IsForgottenStatement(const ServerError& error) {
  return error.sqlstate == "26000" && absl::StrContains(error.message, "sluice_");
}

bool IsStalePlan(const ServerError& error) {
  return IsForgottenStatement(error) || IsChangedPlan(error);
}

bool IsCancelled(absl::string_view sqlstate) {
  return sqlstate == "57014";
}

bool EndsSession(absl::string_view sqlstate) {
  return IsWellFormed(sqlstate) &&
         (absl::StartsWith(sqlstate, "08") || absl::StartsWith(sqlstate, "57P") ||
          sqlstate == "25P03" || sqlstate == "25P04");
}

absl::Status ConnectFailed(absl::string_view sqlstate) {
  if (!IsWellFormed(sqlstate)) return errors::BackendUnreachable(kRetryConnecting);
  const Meaning& meaning = MeaningOf(sqlstate);
  absl::Status status;
  if (meaning.kind == Kind::kLost) {
    status = errors::BackendUnreachable(kRetryConnecting);
  } else if (meaning.kind == Kind::kStarting) {
    status = errors::BackendStarting(kRetryConnecting);
  } else if (meaning.kind == Kind::kAuth || sqlstate == "42501") {
    status = errors::BackendAuthFailed();
  } else if (meaning.reason == "POOL_EXHAUSTED") {
    status = errors::BackendFull(kRetryConnecting);
  } else {
    status = errors::ConnectionInvalidTarget("The database's server refused the connection.");
  }
  return errors::WithMetadata(std::move(status), "sqlstate", sqlstate);
}

}  // namespace sluice::postgres
