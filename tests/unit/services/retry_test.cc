#include "server/services/retry.h"

#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/core/scripted_database.h"

namespace sluice::services {
namespace {

class RetryTest : public ::testing::Test {
 protected:
  // What Next says, and how long it took.
  absl::Status Next(Retry& retry, const absl::Status& failure) {
    const absl::Duration begun = timeline_.clock().Steady();
    absl::Status status = timeline_.Run(retry.Next(ctx_, failure));
    paused_ = timeline_.clock().Steady() - begun;
    return status;
  }

  core::Timeline timeline_;
  Context ctx_;
  absl::Duration paused_;
};

TEST_F(RetryTest, ATransientFailureIsTriedAgainAfterThePause) {
  Retry retry(RetryPolicy(), timeline_.clock());
  EXPECT_TRUE(Next(retry, errors::PoolClosed()).ok());
  EXPECT_EQ(paused_, absl::Seconds(1));
}

TEST_F(RetryTest, TheLastAttemptsErrorIsTheAnswer) {
  RetryPolicy policy;
  policy.max_attempts = 3;
  policy.delay = absl::Milliseconds(20);
  Retry retry(policy, timeline_.clock());
  EXPECT_TRUE(Next(retry, errors::PoolClosed()).ok());
  EXPECT_EQ(paused_, absl::Milliseconds(20));
  EXPECT_TRUE(Next(retry, errors::PoolClosed()).ok());
  const absl::Status last = Next(retry, errors::PoolClosed());
  EXPECT_EQ(paused_, absl::ZeroDuration());
  EXPECT_EQ(errors::ReasonOf(last), "POOL_CLOSED");
  EXPECT_EQ(errors::MetadataOf(last, "attempts"), "3");
  EXPECT_EQ(errors::MetadataOf(last, "executed"), "no");
}

TEST_F(RetryTest, WhatIsNotTransientIsTheAnswerAtOnce) {
  Retry retry(RetryPolicy(), timeline_.clock());
  const absl::Status status = Next(retry, errors::DatabaseCorrupt("torn"));
  EXPECT_EQ(errors::ReasonOf(status), "DATABASE_CORRUPT");
  EXPECT_EQ(errors::MetadataOf(status, "attempts"), "");
  EXPECT_EQ(paused_, absl::ZeroDuration());
}

TEST_F(RetryTest, UnavailableThatMayHaveBeenAppliedIsNeverTriedAgain) {
  for (const auto executed : {errors::Executed::kUnknown, errors::Executed::kRolledBack}) {
    Retry retry(RetryPolicy(), timeline_.clock());
    EXPECT_FALSE(Next(retry, errors::WithExecuted(errors::PoolClosed(), executed)).ok());
    EXPECT_EQ(paused_, absl::ZeroDuration());
  }
}

TEST_F(RetryTest, OneAttemptMeansNoRetry) {
  RetryPolicy policy;
  policy.max_attempts = 1;
  Retry retry(policy, timeline_.clock());
  const absl::Status status = Next(retry, errors::PoolClosed());
  EXPECT_EQ(errors::MetadataOf(status, "attempts"), "1");
  EXPECT_EQ(paused_, absl::ZeroDuration());
}

TEST_F(RetryTest, AnAttemptThatWouldComeAfterTheDeadlineIsNotWaitedFor) {
  ctx_.deadline = timeline_.clock().Now() + absl::Seconds(1);
  Retry retry(RetryPolicy(), timeline_.clock());
  const absl::Status status = Next(retry, errors::PoolClosed());
  EXPECT_EQ(errors::ReasonOf(status), "POOL_CLOSED");
  EXPECT_EQ(paused_, absl::ZeroDuration());

  ctx_.deadline += absl::Milliseconds(10);
  EXPECT_TRUE(Next(retry, errors::PoolClosed()).ok());
}

TEST_F(RetryTest, ACallThatIsStoppedDuringThePauseSaysWhyAndThatNothingRan) {
  CallScope scope;
  ctx_ = scope.MakeContext(absl::InfiniteFuture(), "");
  scope.Arm(timeline_.executor(), absl::Milliseconds(300));
  Retry retry(RetryPolicy(), timeline_.clock());
  const absl::Status status = Next(retry, errors::PoolClosed());
  EXPECT_EQ(paused_, absl::Milliseconds(300));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(errors::MetadataOf(status, "executed"), "no");
  EXPECT_EQ(errors::MetadataOf(status, "attempts"), "1");
}

TEST_F(RetryTest, ACallThatIsStoppedAlreadyIsNotTriedAgain) {
  CallScope scope;
  ctx_ = scope.MakeContext(absl::InfiniteFuture(), "");
  scope.Stop(StopCause::kDraining);
  Retry retry(RetryPolicy(), timeline_.clock());
  const absl::Status status = Next(retry, ctx_.Stopped(errors::Executed::kNo));
  EXPECT_EQ(errors::ReasonOf(status), "SERVER_DRAINING");
  EXPECT_EQ(paused_, absl::ZeroDuration());
}

}  // namespace
}  // namespace sluice::services
