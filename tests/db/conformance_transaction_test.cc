// What every driver promises of transactions: how they end, what a failure leaves of them, and
// savepoints.
#include "tests/db/conformance_transaction.h"

#include <thread>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

INSTANTIATE_TEST_SUITE_P(EveryDriver,
                         ConformanceTransaction,
                         ::testing::ValuesIn(Engines()),
                         [](const auto& info) { return info.param.name; });

TEST_P(ConformanceTransaction, ACommitMakesAllOfItVisible) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_THAT(In(*transaction, "DELETE FROM number WHERE n = 1"), IsOk());
  ASSERT_THAT(In(*transaction, kAdd, {Int(5)}), IsOk());
  EXPECT_EQ(Count(), 3);
  EXPECT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, ARollbackLeavesNothingAndLetsOthersWrite) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, "DELETE FROM number"), IsOk());
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  Rollback(*transaction);
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Count(), 3);
  EXPECT_THAT(Ask(kAdd, {Int(4)}), IsOk());
}

TEST_P(ConformanceTransaction, ATransactionThatIsDestroyedIsRolledBack) {
  auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  transaction.reset();
  EXPECT_THAT(Ask(kAdd, {Int(4)}), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, ItSeesItsOwnWritesAndNobodyElseDoes) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_THAT(In(*transaction, "UPDATE number SET word = 'mine' WHERE n = 1"), IsOk());
  EXPECT_EQ(Count(*transaction), 4);
  const char* const word = "SELECT word FROM number WHERE n = 1";
  EXPECT_EQ(In(*transaction, word)->rows(0).values(0).string_value(), "mine");
  for (int i = 0; i < 3; ++i) {  // wherever the driver runs them
    EXPECT_EQ(Count(), 3);
    EXPECT_EQ(Ask(word)->rows(0).values(0).string_value(), "word 1");
  }
  EXPECT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Ask(word)->rows(0).values(0).string_value(), "mine");
}

TEST_P(ConformanceTransaction, ACommitOfNothingIsFine) {
  const auto transaction = Begin();
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_THAT(Commit(*transaction), IsOk());
  const auto reading = Begin();
  EXPECT_EQ(Count(*reading), 3);
  EXPECT_THAT(Commit(*reading), IsOk());
}

TEST_P(ConformanceTransaction, ARollbackOfNothingIsFine) {
  const auto transaction = Begin();
  Rollback(*transaction);
  EXPECT_EQ(StateOf(*transaction), State::kGone);
}

TEST_P(ConformanceTransaction, WhatItDoesToTheSchemaIsRolledBackToo) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, "CREATE TABLE other (a INTEGER)"), IsOk());
  ASSERT_THAT(In(*transaction, "INSERT INTO other (a) VALUES (1)"), IsOk());
  ASSERT_THAT(In(*transaction, "DROP TABLE number"), IsOk());
  Rollback(*transaction);
  EXPECT_FALSE(Ask("SELECT a FROM other").ok());
  EXPECT_EQ(Count(), 3);
}

TEST_P(ConformanceTransaction, ItsCallsMayComeFromAnyExecutor) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  std::thread([&] {
    EXPECT_THAT(Execute(other_, *transaction, kAdd, {Int(5)}), IsOk());
    EXPECT_THAT(other_.Run(transaction->Commit(nullptr)), IsOk());
  }).join();
  EXPECT_EQ(Count(), 5);
}

TEST_P(ConformanceTransaction, ItIsIsolatedAtLeastAsWellAsWasAskedFor) {
  using db::Isolation;
  for (const Isolation asked : {Isolation::kDefault, Isolation::kReadCommitted,
                                Isolation::kRepeatableRead, Isolation::kSerializable}) {
    for (const bool read_only : {false, true}) {
      db::TransactionOptions options;
      options.isolation = asked;
      options.read_only = read_only;
      const auto transaction = database_->Begin(options);
      ASSERT_THAT(transaction, IsOk());
      EXPECT_NE((*transaction)->isolation(), Isolation::kDefault);
      EXPECT_GE((*transaction)->isolation(), asked);
    }
  }
}

// Of a constraint, of a value, and of the text.
constexpr const char* kFailing[] = {
    "INSERT INTO number (n, word) VALUES (1, 'taken')",
    "SELECT abs(-9223372036854775807 - n) FROM number WHERE n = 1",
    "SELECT nothing FROM number",
    "SELEC 1",
};

TEST_P(ConformanceTransaction, AStatementThatFailsEndsItIfNoSavepointIsSet) {
  for (const char* const failing : kFailing) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    const auto failed = In(*transaction, failing);
    EXPECT_FALSE(failed.ok());
    EXPECT_FALSE(errors::MetadataOf(failed.status(), "sqlstate").empty()) << failed.status();
    EXPECT_EQ(StateOf(*transaction), State::kGone) << failing;
    EXPECT_THAT(transaction->standing().why, IsOk());
    EXPECT_EQ(Count(), 3);
    // It holds nothing any more.
    ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
    ASSERT_THAT(Ask("DELETE FROM number WHERE n = 4"), IsOk());
  }
}

TEST_P(ConformanceTransaction, AStatementThatFailsLeavesItFailedWhereASavepointIsSet) {
  for (const char* const failing : kFailing) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    ASSERT_THAT(In(*transaction, kAdd, {Int(5)}), IsOk());
    EXPECT_FALSE(In(*transaction, failing).ok());
    EXPECT_EQ(StateOf(*transaction), State::kFailed) << failing;
    ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
    EXPECT_EQ(Count(*transaction), 4);
    ASSERT_THAT(In(*transaction, kAdd, {Int(6)}), IsOk());
    ASSERT_THAT(Commit(*transaction), IsOk());
    EXPECT_EQ(Count(), 5);
    ASSERT_THAT(Ask("DELETE FROM number WHERE n > 3"), IsOk());
  }
}

TEST_P(ConformanceTransaction, AFailedOneCanBeRolledBack) {
  const auto transaction = Begin();
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_FALSE(In(*transaction, kTaken).ok());
  Rollback(*transaction);
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Count(), 3);
  EXPECT_THAT(Ask(kAdd, {Int(4)}), IsOk());
}

TEST_P(ConformanceTransaction, WhatIsRefusedBeforeItRunsLeavesItOpen) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  const auto expect_refused = [&](absl::string_view reason, const absl::Status& refused) {
    EXPECT_EQ(errors::ReasonOf(refused), reason) << refused;
    EXPECT_THAT(refused, WasExecuted("no"));
    EXPECT_EQ(StateOf(*transaction), State::kOpen) << reason;
    EXPECT_EQ(Count(*transaction), 4);
  };
  expect_refused("PARAMETER_INVALID", In(*transaction, kAdd).status());
  expect_refused("PARAMETER_INVALID", In(*transaction, kAdd, {Int(5), Int(6)}).status());
  expect_refused("STATEMENT_REFUSED", In(*transaction, "").status());
  expect_refused("STATEMENT_REFUSED", In(*transaction, "SELECT 1; DELETE FROM number").status());
  db::Statement writing("DELETE FROM number");
  writing.read_only = true;
  for (int i = 0; i < 2; ++i) {  // unknown at first, known to write then
    expect_refused("READ_ONLY_VIOLATION", Execute(executor_, *transaction, writing).status());
    expect_refused("READ_ONLY_VIOLATION", ReadAll(executor_, *transaction, writing).status());
  }
  const db::Statement missing(kAdd);
  expect_refused("PARAMETER_INVALID", ReadAll(executor_, *transaction, missing).status());
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, Fault44_ItIsNotControlledBySqlTextHoweverThatIsSpelt) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  for (const char* const sql : {"BEGIN",
                                "begin",
                                "BEGIN TRANSACTION",
                                "BEGIN;",
                                "COMMIT",
                                "Commit ;",
                                "COMMIT TRANSACTION",
                                "END",
                                "end transaction",
                                "ROLLBACK",
                                "ROLLBACK TRANSACTION",
                                "  \t\n rollback",
                                "/* a */ COMMIT",
                                "-- a\nROLLBACK",
                                "/* a */ -- b\n /* c */ END -- d",
                                "SAVEPOINT s",
                                "savepoint s;",
                                "RELEASE s",
                                "RELEASE SAVEPOINT s",
                                "ROLLBACK TO s",
                                "ROLLBACK TO SAVEPOINT s",
                                "ROLLBACK /* a */ TO -- b\n s",
                                "ROLLBACK TRANSACTION TO s"}) {
    const auto refused = In(*transaction, sql);
    EXPECT_THAT(refused, Fails(StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED")) << sql;
    EXPECT_THAT(refused, WasExecuted("no")) << sql;
    EXPECT_EQ(StateOf(*transaction), State::kOpen) << sql;
    const db::Statement streamed(sql);
    EXPECT_THAT(ReadAll(executor_, *transaction, streamed),
                Fails(StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED"))
        << sql;
    EXPECT_EQ(StateOf(*transaction), State::kOpen) << sql;
  }
  EXPECT_EQ(Count(*transaction), 4);
  EXPECT_EQ(Count(), 3);
  Rollback(*transaction);
  EXPECT_EQ(Count(), 3);
}

TEST_P(ConformanceTransaction, ATrialUndoesOnlyItself) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  db::Statement trial("DELETE FROM number");
  trial.validate_only = true;
  const auto tried = Execute(executor_, *transaction, trial);
  ASSERT_THAT(tried, IsOk());
  EXPECT_EQ(tried->rows_affected(), 4);
  EXPECT_EQ(Count(*transaction), 4);
  EXPECT_THAT(ReadAll(executor_, *transaction, trial), IsOk());
  EXPECT_EQ(Count(*transaction), 4);
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, ATrialThatFailsLeavesItOpen) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  db::Statement trial("INSERT INTO number (n, word) VALUES (5, 'new'), (1, 'taken')");
  trial.validate_only = true;
  EXPECT_EQ(Execute(executor_, *transaction, trial).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_EQ(Count(*transaction), 4);
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, ABoundOnAffectedRowsUndoesOnlyItsStatement) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  db::Statement bounded("DELETE FROM number");
  bounded.max_affected_rows = 3;
  for (int i = 0; i < 2; ++i) {
    const absl::Status exceeded = i == 0 ? Execute(executor_, *transaction, bounded).status()
                                         : ReadAll(executor_, *transaction, bounded).status();
    EXPECT_THAT(exceeded, Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
    EXPECT_EQ(Count(*transaction), 4);
  }
  bounded.max_affected_rows = 4;
  EXPECT_THAT(Execute(executor_, *transaction, bounded), IsOk());
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 0);
}

TEST_P(ConformanceTransaction, ACallThatEndsBeforeItBeginsLeavesItOpen) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  CallScope scope;
  scope.Stop(StopCause::kCancelled);
  const Context stopped = scope.MakeContext(absl::InfiniteFuture(), "");
  Context late;
  late.deadline = absl::Now() - absl::Seconds(1);
  const db::Statement statement("DELETE FROM number");
  for (const Context& ctx : {stopped, late}) {
    EXPECT_THAT(Execute(executor_, *transaction, statement, ctx), WasExecuted("no"));
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
    EXPECT_THAT(executor_.Run(transaction->Savepoint(ctx, 1)), WasExecuted("no"));
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
  }
  EXPECT_EQ(Count(*transaction), 4);
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, SavepointsNest) {
  const auto transaction = Begin();
  for (int number = 1; number <= 3; ++number) {
    ASSERT_THAT(Savepoint(*transaction, number), IsOk());
    ASSERT_THAT(In(*transaction, kAdd, {Int(number * 10)}), IsOk());
  }
  ASSERT_THAT(RollbackTo(*transaction, 3), IsOk());
  EXPECT_EQ(Count(*transaction), 5);
  ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
  EXPECT_EQ(Count(*transaction), 3);
  ASSERT_THAT(In(*transaction, kAdd, {Int(10)}), IsOk());
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, ASavepointStaysSetWhenItIsGoneBackTo) {
  const auto transaction = Begin();
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  for (int i = 0; i < 3; ++i) {
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    ASSERT_FALSE(In(*transaction, kTaken).ok());
    EXPECT_EQ(StateOf(*transaction), State::kFailed);
    ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
    EXPECT_EQ(Count(*transaction), 3);
  }
  ASSERT_THAT(Commit(*transaction), IsOk());
}

TEST_P(ConformanceTransaction, WhatAReleasedSavepointGuardedStays) {
  const auto transaction = Begin();
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_THAT(Release(*transaction, 1), IsOk());
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());  // its number is free again
  ASSERT_THAT(In(*transaction, kAdd, {Int(5)}), IsOk());
  ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
  EXPECT_EQ(Count(*transaction), 4);
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

// With the last one goes what a failure could be undone with.
TEST_P(ConformanceTransaction, AReleaseForgetsTheSavepointsSetAfterIt) {
  const auto transaction = Begin();
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  ASSERT_THAT(Savepoint(*transaction, 2), IsOk());
  ASSERT_THAT(Savepoint(*transaction, 3), IsOk());
  ASSERT_THAT(Release(*transaction, 2), IsOk());
  ASSERT_FALSE(In(*transaction, kTaken).ok());
  EXPECT_EQ(StateOf(*transaction), State::kFailed);
  ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
  ASSERT_THAT(Release(*transaction, 1), IsOk());
  ASSERT_FALSE(In(*transaction, kTaken).ok());
  EXPECT_EQ(StateOf(*transaction), State::kGone);
}

TEST_P(ConformanceTransaction, AnEndFromOutsideRollsItBackWhileItIsIdle) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  const absl::Status why = errors::TransactionExpired("It was idle");
  std::thread([&] { transaction->End(why); }).join();
  EXPECT_THAT(In(*transaction, kAdd, {Int(5)}), Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(Savepoint(*transaction, 1), Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(Commit(*transaction), Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_THAT(Ask(kAdd, {Int(4)}), IsOk());  // others go on
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(transaction->standing().why, why);
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, AnEndFromOutsideEndsWhatRuns) {
  const absl::Status why = errors::TransactionExpired("It lasted too long");
  for (const char* const endless : {kEndlessRead, kEndlessWrite}) {
    for (const bool guarded : {false, true}) {
      const auto transaction = Begin();
      ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
      if (guarded) {
        ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
      }
      Pending pending(executor_, *transaction, endless);
      executor_.RunUntilIdle();
      const absl::Time ended = absl::Now();
      std::thread([&] { transaction->End(why); }).join();
      EXPECT_EQ(pending.Wait().status(), why);
      EXPECT_LT(absl::Now() - ended, absl::Seconds(2));
      ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
      EXPECT_EQ(StateOf(*transaction), State::kGone);
      EXPECT_EQ(transaction->standing().why, why);
      ASSERT_THAT(Ask("DELETE FROM number WHERE n = 4"), IsOk());
    }
  }
}

TEST_P(ConformanceTransaction, AnEndFromOutsideCountsBeforeAnythingRan) {
  const auto transaction = Begin();
  const absl::Status why = errors::TransactionExpired("It was idle");
  transaction->End(why);
  transaction->End(errors::Cancelled(errors::Executed::kNo));  // the first reason stands
  EXPECT_EQ(In(*transaction, kAdd, {Int(4)}).status(), why);
  EXPECT_EQ(Commit(*transaction), why);
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(transaction->standing().why, why);
  EXPECT_EQ(Count(), 3);
}

TEST_P(ConformanceTransaction, AnEndFromOutsideChangesNothingAboutWhatIsCommitted) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_THAT(Commit(*transaction), IsOk());
  transaction->End(errors::TransactionExpired("It was idle"));
  EXPECT_THAT(transaction->standing().why, IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransaction, Fault32_AStatementThatIsCancelledWhileItRunsEndsIt) {
  for (const char* const endless : {kEndlessRead, kEndlessWrite}) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    EXPECT_THAT(StopWhileItRuns(*transaction, endless),
                Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_EQ(Count(), 3);
    ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
    ASSERT_THAT(Ask("DELETE FROM number WHERE n = 4"), IsOk());
  }
}

TEST_P(ConformanceTransaction, Fault66_AStatementThatOutlivesItsDeadlineEndsIt) {
  for (const char* const endless : {kEndlessRead, kEndlessWrite}) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    const absl::Status failed = OutliveItsDeadline(*transaction, endless);
    EXPECT_THAT(failed, Fails(StatusCode::kDeadlineExceeded, "DEADLINE_PASSED"));
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_EQ(Count(), 3);
    ASSERT_THAT(Ask(kAdd, {Int(4)}), IsOk());
    ASSERT_THAT(Ask("DELETE FROM number WHERE n = 4"), IsOk());
  }
}

// Whatever becomes of what the savepoint guards: nobody commits the rest by mistake.
TEST_P(ConformanceTransaction, Fault32_NoSavepointKeepsACancelledStatementFromFailingIt) {
  for (const char* const endless : {kEndlessRead, kEndlessWrite}) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    EXPECT_THAT(StopWhileItRuns(*transaction, endless), WasExecuted("rolled_back"));
    EXPECT_NE(StateOf(*transaction), State::kOpen);
    Rollback(*transaction);
    EXPECT_EQ(Count(), 3);
    EXPECT_THAT(Ask("UPDATE number SET word = 'free'"), IsOk());
  }
}

TEST_P(ConformanceTransaction, AfterCloseNoneIsBegun) {
  const auto before = Begin();
  database_->Close();
  EXPECT_THAT(database_->Begin(db::TransactionOptions()).status(),
              Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  const absl::Status refused = In(*before, kAdd, {Int(4)}).status();
  EXPECT_THAT(refused, Fails(StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_THAT(refused, WasExecuted("no"));
}

}  // namespace
}  // namespace sluice::test
