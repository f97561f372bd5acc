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

TEST(Errors, EachReasonIsInTheCatalogueOnce) {
  std::set<absl::string_view> names;
  for (const Reason& reason : Catalogue()) {
    EXPECT_TRUE(names.insert(reason.name).second) << reason.name;
  }
  for (const char* reason :
       {"TRANSACTION_NOT_FOUND", "TRANSACTION_FINISHED", "TRANSACTION_FAILED", "TRANSACTION_LIMIT",
        "TRANSACTION_EXPIRED", "SAVEPOINT_NOT_FOUND", "SERIALIZATION_FAILURE", "DEADLOCK"}) {
    EXPECT_EQ(names.count(reason), 1u) << reason;
  }
}

}  // namespace
}  // namespace sluice::errors
