#include "server/base/errors.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::errors {
namespace {

using ::testing::HasSubstr;

absl::Status Lost(absl::StatusCode code, absl::string_view reason, Executed executed) {
  SqlFailure failure;
  failure.code = code;
  failure.reason = reason;
  failure.executed = executed;
  failure.message = "it lost";
  return Sql(failure);
}

void ExpectIs(const absl::Status& status, absl::StatusCode code, absl::string_view reason) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_EQ(MetadataOf(status, "executed"), "no") << status;
}

TEST(Errors, ThoseOfTransactionsSayThatNothingWasRun) {
  ExpectIs(TransactionNotFound(), absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND");
  ExpectIs(TransactionFailed(), absl::StatusCode::kFailedPrecondition, "TRANSACTION_FAILED");
  EXPECT_THAT(std::string(TransactionFailed().message()),
              HasSubstr("roll back, or go back to a savepoint"));

  const absl::Status finished = TransactionFinished("COMMITTED");
  ExpectIs(finished, absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED");
  EXPECT_EQ(MetadataOf(finished, "transaction_state"), "COMMITTED");
  EXPECT_THAT(std::string(finished.message()), HasSubstr("COMMITTED"));
}

TEST(Errors, ALimitOfTransactionsSaysWhenToComeAgain) {
  const absl::Status limit = TransactionLimit("transactions open by this caller", 250);
  ExpectIs(limit, absl::StatusCode::kResourceExhausted, "TRANSACTION_LIMIT");
  EXPECT_EQ(MetadataOf(limit, "limit"), "250");
  EXPECT_EQ(PartsOf(limit).retry_delay, absl::Milliseconds(100));
  EXPECT_THAT(std::string(limit.message()), HasSubstr("250 transactions open by this caller"));
}

TEST(Errors, ASavepointThatIsNotThereHasItsSqlstate) {
  const absl::Status status = SavepointNotFound("a");
  ExpectIs(status, absl::StatusCode::kFailedPrecondition, "SAVEPOINT_NOT_FOUND");
  EXPECT_EQ(MetadataOf(status, "sqlstate"), "3B001");
  EXPECT_THAT(std::string(status.message()), HasSubstr("named a"));
}

TEST(Errors, AConflictIsATransactionThatLostAndLeftNothing) {
  const auto aborted = absl::StatusCode::kAborted;
  for (const char* reason : {"SERIALIZATION_FAILURE", "DEADLOCK"}) {
    EXPECT_TRUE(IsConflict(Lost(aborted, reason, Executed::kRolledBack)));
    EXPECT_TRUE(IsConflict(Lost(aborted, reason, Executed::kNo)));
    EXPECT_FALSE(IsConflict(Lost(aborted, reason, Executed::kUnknown)));
    EXPECT_FALSE(IsConflict(Lost(absl::StatusCode::kInternal, reason, Executed::kNo)));
  }
  EXPECT_FALSE(IsConflict(Lost(aborted, "LOCK_TIMEOUT", Executed::kRolledBack)));
  EXPECT_FALSE(IsConflict(TransactionExpired("It was late")));
  EXPECT_FALSE(IsConflict(absl::OkStatus()));
}

TEST(Errors, ALostBackendIsJudgedByWhatBecameOfTheRequest) {
  const absl::Status untouched = BackendLost(Executed::kNo, /*in_transaction=*/false);
  ExpectIs(untouched, absl::StatusCode::kUnavailable, "BACKEND_LOST");
  EXPECT_TRUE(IsTransient(untouched));
  EXPECT_EQ(PartsOf(untouched).retry_delay, absl::Milliseconds(100));

  // What the transaction did before is gone, whatever became of its last statement.
  for (const absl::Status& status :
       {BackendLost(Executed::kNo, true), BackendLost(Executed::kRolledBack, true),
        BackendLost(Executed::kRolledBack, false)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_EQ(MetadataOf(status, "executed"), "rolled_back");
  }
  for (const bool in_transaction : {false, true}) {
    const absl::Status status = BackendLost(Executed::kUnknown, in_transaction);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
    EXPECT_EQ(MetadataOf(status, "executed"), "unknown");
    EXPECT_EQ(PartsOf(status).retry_delay, absl::ZeroDuration());
  }
}

TEST(Errors, ABackendThatCannotBeReachedSaysWhenToComeAgain) {
  const absl::Status unreachable = BackendUnreachable(absl::Seconds(2));
  ExpectIs(unreachable, absl::StatusCode::kUnavailable, "BACKEND_LOST");
  EXPECT_EQ(PartsOf(unreachable).retry_delay, absl::Seconds(2));
  const absl::Status starting = BackendStarting(absl::Seconds(3));
  ExpectIs(starting, absl::StatusCode::kUnavailable, "BACKEND_STARTING");
  EXPECT_EQ(PartsOf(starting).retry_delay, absl::Seconds(3));
  const absl::Status full = BackendFull(absl::Seconds(4));
  ExpectIs(full, absl::StatusCode::kResourceExhausted, "POOL_EXHAUSTED");
  EXPECT_EQ(PartsOf(full).retry_delay, absl::Seconds(4));
}

TEST(Errors, AWaitForAConnectionHasItsNumbers) {
  const absl::Status status = AcquireTimeout(12, 30, absl::Milliseconds(1500));
  ExpectIs(status, absl::StatusCode::kResourceExhausted, "POOL_EXHAUSTED");
  EXPECT_EQ(MetadataOf(status, "pool_waiting"), "12");
  EXPECT_EQ(MetadataOf(status, "pool_limit"), "30");
  EXPECT_EQ(MetadataOf(status, "waited_ms"), "1500");
  EXPECT_GT(PartsOf(status).retry_delay, absl::ZeroDuration());
}

TEST(Errors, ATargetThatIsNotUsedSaysWhy) {
  ExpectIs(BackendInsecureAuth(), absl::StatusCode::kFailedPrecondition, "BACKEND_INSECURE_AUTH");
  ExpectIs(BackendAuthFailed(), absl::StatusCode::kFailedPrecondition, "BACKEND_AUTH_FAILED");
  const absl::Status denied = EgressDenied("The port is not one of those allowed");
  ExpectIs(denied, absl::StatusCode::kPermissionDenied, "EGRESS_DENIED");
  EXPECT_EQ(denied.message(), "The port is not one of those allowed.");
}

TEST(Errors, ALostAnswerToCommitIsUnknown) {
  const absl::Status status = CommitOutcomeLost();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(ReasonOf(status), "COMMIT_OUTCOME_UNKNOWN");
  EXPECT_EQ(MetadataOf(status, "executed"), "unknown");
}

TEST(Errors, AStatementThatSomeoneElseEndedIsAborted) {
  const absl::Status status = SqlCancelledByAdmin(Executed::kRolledBack);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ReasonOf(status), "SQL_CANCELLED_BY_ADMIN");
  EXPECT_EQ(MetadataOf(status, "executed"), "rolled_back");
}

TEST(Errors, EachReasonIsInTheCatalogueOnce) {
  std::set<absl::string_view> names;
  for (const Reason& reason : Catalogue()) {
    EXPECT_TRUE(names.insert(reason.name).second) << reason.name;
  }
  for (const char* reason :
       {"TRANSACTION_NOT_FOUND", "TRANSACTION_FINISHED", "TRANSACTION_FAILED", "TRANSACTION_LIMIT",
        "TRANSACTION_EXPIRED", "SAVEPOINT_NOT_FOUND", "SERIALIZATION_FAILURE", "DEADLOCK",
        "BACKEND_LOST", "BACKEND_STARTING", "BACKEND_AUTH_FAILED", "BACKEND_INSECURE_AUTH",
        "EGRESS_DENIED", "SQL_CANCELLED_BY_ADMIN", "POOL_EXHAUSTED", "COMMIT_OUTCOME_UNKNOWN"}) {
    EXPECT_EQ(names.count(reason), 1u) << reason;
  }
}

}  // namespace
}  // namespace sluice::errors
