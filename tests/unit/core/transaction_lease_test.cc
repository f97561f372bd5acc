#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/core/transaction_fixture.h"

namespace sluice::core {
namespace {

using test::Fails;
using test::IsOk;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using TransactionLeaseTest = TransactionTest;

TEST_F(TransactionLeaseTest, ExpiresWhenNothingIsDoneInIt) {
  EXPECT_EQ(Left(), kIdle);
  Advance(kIdle - absl::Milliseconds(1));
  transaction_->ExpireIfDue();
  EXPECT_EQ(state(), State::kActive);
  EXPECT_EQ(transaction_->facts().expires_in, absl::Milliseconds(1));

  Advance(absl::Milliseconds(1));
  transaction_->ExpireIfDue();
  EXPECT_EQ(state(), State::kExpired);
  EXPECT_THAT(told_, ElementsAre(State::kExpired));
  ASSERT_THAT(script_->ends(), SizeIs(1));
  EXPECT_THAT(script_->ends()[0], Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(std::string(script_->ends()[0].message()), HasSubstr("did nothing for 30s"));
  EXPECT_EQ(transaction_->why(), script_->ends()[0]);
}

TEST_F(TransactionLeaseTest, ACallThatComesTooLateFindsItExpiredAtOnce) {
  Advance(kIdle);
  EXPECT_THAT(Execute(), Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(script_->executed, IsEmpty());

  Begin();
  turn_.reset();
  Advance(kIdle);
  EXPECT_THAT(timeline_.Run(transaction_->Enter(ctx_)), IsOk());
  EXPECT_EQ(state(), State::kExpired);
}

TEST_F(TransactionLeaseTest, EachCallStartsTheIdleTimeAnew) {
  Advance(absl::Seconds(20));
  ASSERT_THAT(Execute(), IsOk());
  EXPECT_EQ(Left(), kIdle);
  Advance(absl::Seconds(20));
  ASSERT_THAT(Savepoint("a"), IsOk());
  EXPECT_EQ(Left(), kIdle);
}

TEST_F(TransactionLeaseTest, IdleTimeDoesNotRunWhileAStatementDoes) {
  script_->answers.push_back(Slow(absl::Minutes(5)));
  const Aside<absl::StatusOr<db::Rows>> rows(timeline_,
                                             turn_->session().Execute(ctx_, db::Statement("x")));
  EXPECT_EQ(Left(), kLife);
  EXPECT_EQ(transaction_->facts().expires_in, kLife);
  EXPECT_EQ(transaction_->Info().idle, absl::InfiniteDuration());
  timeline_.Pass(absl::Minutes(4));
  transaction_->ExpireIfDue();
  EXPECT_EQ(state(), State::kActive);
  timeline_.Pass(absl::Minutes(1));
  EXPECT_TRUE(rows.done());
  EXPECT_EQ(Left(), kIdle);
  EXPECT_EQ(transaction_->Info().idle, absl::ZeroDuration());
}

TEST_F(TransactionLeaseTest, TheEndOfItsLifeEndsAStatementThatRuns) {
  script_->answers.push_back(Slow(absl::InfiniteDuration()));
  Aside<absl::StatusOr<db::Rows>> rows(timeline_,
                                       turn_->session().Execute(ctx_, db::Statement("x")));
  timeline_.Pass(kLife);
  EXPECT_FALSE(rows.done());
  transaction_->ExpireIfDue();
  timeline_.executor().RunUntilIdle();
  ASSERT_TRUE(rows.done());
  EXPECT_THAT(*rows, Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(std::string((*rows).status().message()), HasSubstr("10m old"));
  EXPECT_EQ(state(), State::kExpired);
}

TEST_F(TransactionLeaseTest, NoUseProlongsItsLife) {
  for (int i = 0; i < 59; ++i) {
    Advance(absl::Seconds(10));
    ASSERT_THAT(Execute(), IsOk());
  }
  EXPECT_EQ(Left(), absl::Seconds(10));
  EXPECT_TRUE(transaction_->KeepAlive());
  EXPECT_EQ(Left(), absl::Seconds(10));
  Advance(absl::Seconds(10));
  EXPECT_FALSE(transaction_->KeepAlive());
  EXPECT_EQ(state(), State::kExpired);
}

TEST_F(TransactionLeaseTest, KeepAliveStartsTheIdleTimeAnew) {
  Advance(absl::Seconds(29));
  EXPECT_TRUE(transaction_->KeepAlive());
  EXPECT_EQ(Left(), kIdle);
  EXPECT_THAT(script_->executed, IsEmpty());
  ASSERT_THAT(Commit(), IsOk());
  EXPECT_FALSE(transaction_->KeepAlive());
}

TEST_F(TransactionLeaseTest, TheDatabaseMayShortenTheIdleTime) {
  Standing standing;
  standing.writer_since = timeline_.clock().Steady();
  standing.idle_limit = absl::Seconds(5);
  script_->Stand(standing);
  EXPECT_EQ(Left(), absl::Seconds(5));
  EXPECT_EQ(transaction_->facts().expires_in, absl::Seconds(5));
  Advance(absl::Seconds(5));
  EXPECT_THAT(Execute(), Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(std::string(transaction_->why().message()),
              HasSubstr("which had the database's writer, did nothing for 5s"));
}

TEST_F(TransactionLeaseTest, TheDatabaseMayShortenItsLife) {
  Standing standing;
  standing.end = timeline_.clock().Steady() + absl::Seconds(60);
  standing.idle_limit = absl::Hours(1);  // the caller's own is shorter
  script_->Stand(standing);
  EXPECT_EQ(Left(), kIdle);
  script_->answers.push_back(Slow(absl::InfiniteDuration()));
  Aside<absl::StatusOr<db::Rows>> rows(timeline_,
                                       turn_->session().Execute(ctx_, db::Statement("x")));
  EXPECT_EQ(Left(), absl::Seconds(60));
  Advance(absl::Seconds(60));
  transaction_->ExpireIfDue();
  timeline_.executor().RunUntilIdle();
  EXPECT_THAT(*rows, Fails(kAborted, "TRANSACTION_EXPIRED"));
}

TEST_F(TransactionLeaseTest, AWallClockThatIsSetChangesNoLease) {
  const absl::Duration jumps[] = {absl::Hours(1), -absl::Hours(1), absl::Hours(24 * 365),
                                  -absl::Hours(24 * 365)};
  for (const absl::Duration jump : jumps) {
    timeline_.clock().SetWall(jump);
    transaction_->ExpireIfDue();
    EXPECT_EQ(state(), State::kActive);
    EXPECT_EQ(transaction_->facts().expires_in, kIdle);
    EXPECT_EQ(transaction_->Info().age, absl::ZeroDuration());
    EXPECT_THAT(Execute(), IsOk());
  }
  timeline_.clock().SetWall(-absl::Hours(24 * 365));
  Advance(kIdle);
  transaction_->ExpireIfDue();
  EXPECT_EQ(state(), State::kExpired);
}

TEST_F(TransactionLeaseTest, ACursorIsIdleBetweenItsPieces) {
  auto cursor = timeline_.Run(turn_->session().Open(ctx_, db::Statement("SELECT 1")));
  ASSERT_THAT(cursor, IsOk());
  Advance(absl::Seconds(20));
  EXPECT_EQ(Left(), absl::Seconds(10));
  script_->answers.push_back(Slow(absl::Minutes(1)));
  {
    const Aside<absl::StatusOr<db::Rows>> piece(timeline_, (*cursor)->Next(ctx_));
    timeline_.Pass(absl::Seconds(59));
    EXPECT_FALSE(piece.done());
    EXPECT_TRUE(transaction_->Info().busy);
    timeline_.Pass(absl::Seconds(1));
    EXPECT_TRUE(piece.done());
  }
  EXPECT_FALSE(transaction_->Info().busy);
  EXPECT_EQ(Left(), kIdle);
  Advance(kIdle);
  EXPECT_THAT(timeline_.Run((*cursor)->Next(ctx_)), Fails(kAborted, "TRANSACTION_EXPIRED"));
  cursor->reset();
  EXPECT_EQ(script_->cursors_open, 0);
}

TEST_F(TransactionLeaseTest, APieceThatFailsLeavesItFailed) {
  const auto cursor = timeline_.Run(turn_->session().Open(ctx_, db::Statement("SELECT 1")));
  ASSERT_THAT(cursor, IsOk());
  script_->answers.push_back(Failing(SqlError()));
  EXPECT_THAT(timeline_.Run((*cursor)->Next(ctx_)), Fails(kInvalid, "SQL_ERROR"));
  EXPECT_EQ(state(), State::kFailed);
}

TEST_F(TransactionLeaseTest, ACallThatIsStoppedWhileItsStatementRunsLeavesItFailed) {
  script_->answers.push_back(Slow(absl::InfiniteDuration()));
  CallScope scope;
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "req");
  Aside<absl::StatusOr<db::Rows>> rows(timeline_,
                                       turn_->session().Execute(ctx, db::Statement("x")));
  scope.Stop(StopCause::kCancelled);
  timeline_.executor().RunUntilIdle();
  EXPECT_THAT(*rows, Fails(absl::StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_EQ(state(), State::kFailed);
}

TEST_F(TransactionLeaseTest, WhatTheDatabaseEndsByItselfIsExpired) {
  script_->answers.push_back(Slow(absl::InfiniteDuration()));
  Aside<absl::StatusOr<db::Rows>> rows(timeline_,
                                       turn_->session().Execute(ctx_, db::Statement("x")));
  script_->Lose(errors::TransactionExpired("The journal was full"));
  timeline_.executor().RunUntilIdle();
  EXPECT_THAT(*rows, Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_EQ(state(), State::kExpired);
  EXPECT_THAT(std::string(Execute().message()), HasSubstr("The journal was full"));

  Begin();
  script_->Lose(errors::TransactionExpired("The journal was full"));
  transaction_->ExpireIfDue();  // while nothing is done in it
  EXPECT_EQ(state(), State::kExpired);
  EXPECT_THAT(script_->ends(), IsEmpty());
}

TEST_F(TransactionLeaseTest, AnEndFromOutsideEndsWhatRunsAndIsToldToEveryLaterCall) {
  script_->answers.push_back(Slow(absl::InfiniteDuration()));
  Aside<absl::StatusOr<db::Rows>> rows(timeline_,
                                       turn_->session().Execute(ctx_, db::Statement("x")));
  const absl::Status why = errors::TransactionExpired("An operator ended it");
  EXPECT_TRUE(transaction_->End(why, State::kRolledBack));
  EXPECT_TRUE(transaction_->finished()->came());
  timeline_.executor().RunUntilIdle();
  EXPECT_EQ((*rows).status(), why);
  EXPECT_EQ(state(), State::kRolledBack);
  EXPECT_EQ(Execute(), why);
  EXPECT_EQ(Commit(), why);
  EXPECT_THAT(Rollback(), IsOk());
  EXPECT_FALSE(transaction_->End(why, State::kRolledBack));
  EXPECT_THAT(told_, ElementsAre(State::kRolledBack));
  EXPECT_THAT(script_->ends(), SizeIs(1));
  EXPECT_EQ(script_->commits + script_->rollbacks, 0);
}

TEST_F(TransactionLeaseTest, OneOfManyEndsIt) {
  std::atomic<int> ended = 0;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      transaction_->KeepAlive();
      transaction_->Info();
      if (transaction_->End(errors::TransactionExpired("Ended"), State::kRolledBack)) ++ended;
      transaction_->ExpireIfDue();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 1);
  EXPECT_THAT(told_, SizeIs(1));
  EXPECT_THAT(script_->ends(), SizeIs(1));
}

}  // namespace
}  // namespace sluice::core
