#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"
#include "server/db/postgres/sqlstate.h"

namespace sluice::postgres {
namespace {

using absl::StatusCode;
using errors::Executed;
using testing::HasSubstr;
using testing::Not;

constexpr absl::string_view kWords = "the words of the server";

ServerError Error(absl::string_view sqlstate) {
  ServerError error;
  error.severity = "ERROR";
  error.sqlstate = std::string(sqlstate);
  error.message = std::string(kWords);
  error.detail = "Key (card)=(4111111111111111) is there.";
  return error;
}

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

std::string SqlField(const absl::Status& status, absl::string_view key) {
  for (const auto& [name, value] : errors::PartsOf(status).sql) {
    if (name == key) return value;
  }
  return "";
}

struct Row {
  const char* sqlstate;
  StatusCode code;
  const char* reason = "SQL_ERROR";
  bool retry = false;     // RetryInfo
  bool own_words = true;  // the server's, not ours
  const char* executed = "rolled_back";
};

constexpr Row kRows[] = {
    // A code that means success is none of an error's.
    {"00000", StatusCode::kInternal, "INTERNAL", false, false},
    {"01000", StatusCode::kInternal, "INTERNAL", false, false},
    {"02000", StatusCode::kInternal, "INTERNAL", false, false},
    {"03000", StatusCode::kFailedPrecondition},
    {"24000", StatusCode::kFailedPrecondition},
    {"2BP01", StatusCode::kFailedPrecondition},
    {"55000", StatusCode::kFailedPrecondition},
    {"55006", StatusCode::kFailedPrecondition},
    {"23503", StatusCode::kFailedPrecondition},
    {"23001", StatusCode::kFailedPrecondition},
    {"23000", StatusCode::kFailedPrecondition},
    {"23P01", StatusCode::kFailedPrecondition},
    {"21000", StatusCode::kFailedPrecondition},
    {"44000", StatusCode::kFailedPrecondition},
    {"P0003", StatusCode::kFailedPrecondition},
    {"P0004", StatusCode::kFailedPrecondition},
    {"08000", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"08001", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"08003", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"08004", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"08006", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"57P01", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"57P02", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"57P03", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"57P05", StatusCode::kAborted, "BACKEND_LOST", true, false},
    {"53300", StatusCode::kResourceExhausted, "POOL_EXHAUSTED", true},
    {"08007", StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", false, false, "unknown"},
    {"40003", StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN", false, false, "unknown"},
    {"0A000", StatusCode::kUnimplemented},
    {"22001", StatusCode::kInvalidArgument},
    {"22P02", StatusCode::kInvalidArgument},
    {"22012", StatusCode::kInvalidArgument},
    {"22003", StatusCode::kOutOfRange},
    {"22008", StatusCode::kOutOfRange},
    {"23505", StatusCode::kAlreadyExists},
    {"23502", StatusCode::kInvalidArgument},
    {"23514", StatusCode::kInvalidArgument},
    {"25P01", StatusCode::kFailedPrecondition, "TRANSACTION_REQUIRED"},
    {"25P02", StatusCode::kFailedPrecondition, "TRANSACTION_FAILED"},
    {"3B001", StatusCode::kFailedPrecondition, "SAVEPOINT_NOT_FOUND"},
    {"25006", StatusCode::kFailedPrecondition, "READ_ONLY_VIOLATION"},
    {"25P03", StatusCode::kAborted, "TRANSACTION_IDLE_TIMEOUT", true},
    {"25P04", StatusCode::kAborted, "TRANSACTION_TIMEOUT", true},
    {"28000", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED", false, false, "no"},
    {"28P01", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED", false, false, "no"},
    {"3D000", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED", false, false, "no"},
    {"40001", StatusCode::kAborted, "SERIALIZATION_FAILURE", true},
    {"40P01", StatusCode::kAborted, "DEADLOCK", true},
    {"40000", StatusCode::kAborted, "SQL_ERROR", true},
    {"72000", StatusCode::kAborted, "SNAPSHOT_TOO_OLD", true},
    {"42501", StatusCode::kPermissionDenied},
    {"42P07", StatusCode::kAlreadyExists},
    {"42701", StatusCode::kAlreadyExists},
    {"42710", StatusCode::kAlreadyExists},
    {"42P04", StatusCode::kAlreadyExists},
    {"42P06", StatusCode::kAlreadyExists},
    {"42601", StatusCode::kInvalidArgument},
    {"42P01", StatusCode::kInvalidArgument},
    {"42703", StatusCode::kInvalidArgument},
    {"42883", StatusCode::kInvalidArgument},
    {"54000", StatusCode::kInvalidArgument},
    {"54001", StatusCode::kInvalidArgument},
    {"26000", StatusCode::kInvalidArgument},
    {"P0002", StatusCode::kNotFound},
    {"53100", StatusCode::kResourceExhausted, "DISK_FULL"},
    {"53200", StatusCode::kResourceExhausted},
    {"53400", StatusCode::kResourceExhausted},
    {"55P03", StatusCode::kAborted, "LOCK_TIMEOUT", true},
    {"57014", StatusCode::kAborted, "SQL_CANCELLED_BY_ADMIN", false, false},
    {"P0001", StatusCode::kFailedPrecondition},
    {"HV000", StatusCode::kInternal, "INTERNAL", false, false},
    {"HV00N", StatusCode::kUnavailable, "SQL_ERROR", true, true, "no"},
    {"58000", StatusCode::kInternal, "INTERNAL", false, false},
    {"58P01", StatusCode::kInternal, "INTERNAL", false, false},
    {"F0000", StatusCode::kInternal, "INTERNAL", false, false},
    {"XX000", StatusCode::kInternal, "INTERNAL", false, false},
    {"08P01", StatusCode::kInternal, "INTERNAL", false, false},
    {"ZZ999", StatusCode::kInternal, "INTERNAL", false, false},
    {"XX001", StatusCode::kDataLoss, "DATABASE_CORRUPT"},
    {"XX002", StatusCode::kDataLoss, "INDEX_CORRUPT"},
};

TEST(Sqlstate, EachHasItsCodeAndReason) {
  std::set<absl::string_view> catalogue;
  for (const errors::Reason& reason : errors::Catalogue()) catalogue.insert(reason.name);
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.sqlstate);
    const absl::Status status = ToStatus(Error(row.sqlstate), {});
    EXPECT_EQ(status.code(), row.code) << status;
    EXPECT_EQ(errors::ReasonOf(status), row.reason);
    EXPECT_EQ(catalogue.count(row.reason), 1u);
    EXPECT_EQ(errors::MetadataOf(status, "executed"), row.executed);
    EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), row.sqlstate);
    EXPECT_EQ(errors::PartsOf(status).retry_delay > absl::ZeroDuration(), row.retry);
    EXPECT_EQ(MessageOf(status) == kWords, row.own_words) << status;
    EXPECT_THAT(status.ToString(), Not(HasSubstr("4111")));
  }
}

TEST(Sqlstate, ALostSessionIsJudgedByWhatBecameOfTheStatement) {
  for (const char* sqlstate :
       {"08000", "08003", "08006", "08001", "08004", "57P01", "57P02", "57P03", "57P05"}) {
    SCOPED_TRACE(sqlstate);
    ErrorContext context;
    context.executed = Executed::kNo;
    absl::Status status = ToStatus(Error(sqlstate), context);
    EXPECT_EQ(status.code(), StatusCode::kUnavailable);
    EXPECT_TRUE(errors::IsTransient(status));

    context.in_transaction = true;
    context.executed = Executed::kRolledBack;
    status = ToStatus(Error(sqlstate), context);
    EXPECT_EQ(status.code(), StatusCode::kAborted);
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "rolled_back");

    context.executed = Executed::kUnknown;
    status = ToStatus(Error(sqlstate), context);
    EXPECT_EQ(status.code(), StatusCode::kUnknown);
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "unknown");
    EXPECT_EQ(errors::PartsOf(status).retry_delay, absl::ZeroDuration());
  }
}

TEST(Sqlstate, AServerThatStartsUpHasRunNothing) {
  ErrorContext context;
  context.executed = Executed::kNo;
  const absl::Status status = ToStatus(Error("57P03"), context);
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(errors::ReasonOf(status), "BACKEND_STARTING");
}

TEST(Sqlstate, AWriteIsRefusedByPolicyOnlyWhereWeMadeItReadOnly) {
  ErrorContext context;
  context.read_only_policy = true;
  const absl::Status status = ToStatus(Error("25006"), context);
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(errors::ReasonOf(status), "READ_ONLY_VIOLATION");
}

TEST(Sqlstate, ABrokenTransactionIsNeverUnavailable) {
  ErrorContext context;
  context.in_transaction = true;
  EXPECT_EQ(ToStatus(Error("HV00N"), context).code(), StatusCode::kAborted);
  EXPECT_EQ(ToStatus(Error("GR014"), context).code(), StatusCode::kAborted);
}

TEST(Sqlstate, UnavailablePromisesThatNothingWasApplied) {
  ErrorContext context;
  context.executed = Executed::kUnknown;
  for (const char* sqlstate : {"HV00N", "GR014"}) {
    EXPECT_TRUE(errors::IsTransient(ToStatus(Error(sqlstate), {}))) << sqlstate;
    EXPECT_EQ(ToStatus(Error(sqlstate), context).code(), StatusCode::kUnknown) << sqlstate;
  }
}

TEST(Sqlstate, AStalePlanAbortsATransaction) {
  ServerError error = Error("0A000");
  error.message = "cached plan must not change result type";
  EXPECT_TRUE(IsStalePlan(error));
  EXPECT_EQ(ToStatus(error, {}).code(), StatusCode::kUnimplemented);
  ErrorContext context;
  context.in_transaction = true;
  const absl::Status status = ToStatus(error, context);
  EXPECT_EQ(status.code(), StatusCode::kAborted);
  EXPECT_GT(errors::PartsOf(status).retry_delay, absl::ZeroDuration());
}

TEST(Sqlstate, AStatementThatTheSessionForgotAbortsATransactionIfItIsOurs) {
  ServerError error = Error("26000");
  ErrorContext context;
  context.in_transaction = true;
  error.message = "prepared statement \"theirs\" does not exist";
  EXPECT_FALSE(IsStalePlan(error));
  EXPECT_EQ(ToStatus(error, context).code(), StatusCode::kInvalidArgument);
  for (const char* message : {"prepared statement \"sluice_7\" does not exist",
                              "vorbereitete Anweisung »sluice_7« existiert nicht"}) {
    error.message = message;
    EXPECT_TRUE(IsStalePlan(error));
    EXPECT_EQ(ToStatus(error, context).code(), StatusCode::kAborted);
  }
}

TEST(Sqlstate, AStalePlanIsKnownInAnyLanguage) {
  ServerError error = Error("0A000");
  EXPECT_FALSE(IsStalePlan(error));
  error.message = "gepufferter Plan darf den Ergebnistyp nicht ändern";
  error.routine = "RevalidateCachedQuery";
  EXPECT_TRUE(IsStalePlan(error));
  EXPECT_FALSE(IsStalePlan(Error("42601")));
}

TEST(Sqlstate, AnApplicationChoosesItsCode) {
  for (int code = 1; code <= 16; ++code) {
    const std::string sqlstate = absl::StrCat("GR0", code < 10 ? "0" : "", code);
    const absl::Status status = ToStatus(Error(sqlstate), {});
    EXPECT_EQ(static_cast<int>(status.code()), code) << sqlstate;
    EXPECT_EQ(MessageOf(status), kWords);
    EXPECT_EQ(errors::ReasonOf(status), "SQL_ERROR");
    EXPECT_EQ(errors::MetadataOf(status, "executed"), code == 14 ? "no" : "rolled_back");
  }
  for (const char* none : {"GR000", "GR017", "GR099", "GR0A1", "GR100"}) {
    EXPECT_EQ(ToStatus(Error(none), {}).code(), StatusCode::kInternal) << none;
  }
}

TEST(Sqlstate, OneThatIsNoneIsInternalAndNotRepeated) {
  for (const std::string& sqlstate :
       {std::string(), std::string("4"), std::string("4200"), std::string("420011"),
        std::string("42p01"), std::string("42 01"), std::string("42\0001", 5),
        std::string("\xff\xff\xff\xff\xff"), std::string(70'000, '4')}) {
    const absl::Status status = ToStatus(Error(sqlstate), {});
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), "");
    EXPECT_THAT(MessageOf(status), Not(HasSubstr("words")));
    EXPECT_FALSE(EndsSession(sqlstate));
    EXPECT_FALSE(IsCancelled(sqlstate));
    EXPECT_EQ(ConnectFailed(sqlstate).code(), StatusCode::kUnavailable);
  }
}

TEST(Sqlstate, TheServersWordsAreMadeSafe) {
  ServerError error = Error("42601");
  error.message = std::string("\x1b[31mfirst\nsecond\0third\xff", 25) + std::string(70'000, 'x');
  error.hint = "look\r\nhere";
  error.table = "t\x7f" + std::string(1'000, 'y');
  error.severity = "ERROR\nforged";
  error.position = -7;
  const absl::Status status = ToStatus(error, {});
  const std::string message = MessageOf(status);
  EXPECT_TRUE(IsValidUtf8(message));
  EXPECT_LE(message.size(), 1024u);
  EXPECT_THAT(message, HasSubstr("[31mfirst second third"));
  EXPECT_THAT(status.ToString(), Not(HasSubstr("\n")));
  EXPECT_EQ(SqlField(status, "hint"), "look  here");
  EXPECT_EQ(SqlField(status, "severity"), "ERROR");
  EXPECT_EQ(SqlField(status, "position"), "");
  EXPECT_LE(SqlField(status, "table").size(), 128u);
}

TEST(Sqlstate, AnEmptyMessageIsReplaced) {
  ServerError error = Error("42601");
  error.message.clear();
  EXPECT_EQ(MessageOf(ToStatus(error, {})), "The database refused the statement.");
}

TEST(Sqlstate, FactsTravelInTheDetails) {
  ServerError error = Error("23514");
  error.severity = "FATAL";
  error.hint = "Try less.";
  error.schema = "shop";
  error.table = "orders";
  error.column = "price";
  error.datatype = "money";
  error.constraint = "price_check";
  error.position = 8;
  const absl::Status status = ToStatus(error, {});
  for (const auto& [key, value] :
       {std::pair("schema", "shop"), std::pair("table", "orders"), std::pair("column", "price"),
        std::pair("data_type", "money"), std::pair("constraint", "price_check"),
        std::pair("position", "8"), std::pair("engine", "postgresql"),
        std::pair("sqlstate", "23514")}) {
    EXPECT_EQ(errors::MetadataOf(status, key), value);
    EXPECT_EQ(SqlField(status, key), value);
  }
  EXPECT_EQ(SqlField(status, "severity"), "FATAL");
  EXPECT_EQ(SqlField(status, "hint"), "Try less.");
  EXPECT_EQ(SqlField(status, "detail"), "");
}

TEST(Sqlstate, AValueThatMayNotBeNamesItsColumn) {
  ServerError error = Error("23502");
  EXPECT_TRUE(errors::PartsOf(ToStatus(error, {})).fields.empty());
  error.column = "price";
  const auto fields = errors::PartsOf(ToStatus(error, {})).fields;
  ASSERT_EQ(fields.size(), 1u);
  EXPECT_EQ(fields[0].first, "price");
}

TEST(Sqlstate, SomeEndTheSession) {
  for (const char* ends :
       {"08006", "08P01", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04"}) {
    EXPECT_TRUE(EndsSession(ends)) << ends;
  }
  for (const char* stays : {"57014", "25P02", "40001", "XX000", "53200"}) {
    EXPECT_FALSE(EndsSession(stays)) << stays;
  }
  EXPECT_TRUE(IsCancelled("57014"));
  EXPECT_FALSE(IsCancelled("57P01"));
}

TEST(ConnectFailed, SaysWhyInOurWords) {
  struct {
    const char* sqlstate;
    StatusCode code;
    const char* reason;
  } const rows[] = {
      {"", StatusCode::kUnavailable, "BACKEND_LOST"},
      {"57P01", StatusCode::kUnavailable, "BACKEND_LOST"},
      {"08006", StatusCode::kUnavailable, "BACKEND_LOST"},
      {"57P03", StatusCode::kUnavailable, "BACKEND_STARTING"},
      {"28P01", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED"},
      {"28000", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED"},
      {"3D000", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED"},
      {"42501", StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED"},
      {"53300", StatusCode::kResourceExhausted, "POOL_EXHAUSTED"},
      {"0A000", StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"},
      {"08P01", StatusCode::kFailedPrecondition, "CONNECTION_INVALID_TARGET"},
  };

  for (const auto& row : rows) {
    SCOPED_TRACE(row.sqlstate);
    const absl::Status status = ConnectFailed(row.sqlstate);
    EXPECT_EQ(status.code(), row.code) << status;
    EXPECT_EQ(errors::ReasonOf(status), row.reason);
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "no");
    EXPECT_EQ(errors::MetadataOf(status, "sqlstate"), row.sqlstate);
    const bool later = row.code != StatusCode::kFailedPrecondition;
    EXPECT_EQ(errors::PartsOf(status).retry_delay > absl::ZeroDuration(), later);
  }
}

}  // namespace
}  // namespace sluice::postgres
