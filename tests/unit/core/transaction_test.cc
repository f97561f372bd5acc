#include "server/core/transaction.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/core/transaction_fixture.h"

namespace sluice::core {
namespace {

using test::Fails;
using test::IsOk;
using test::WasExecuted;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST_F(TransactionTest, TheStatesHaveTheNamesOfTheContract) {
  const State all[] = {State::kActive,     State::kFailed,  State::kCommitted,
                       State::kRolledBack, State::kExpired, State::kUnknown};
  std::vector<std::string> names;
  std::vector<std::string> finished;
  for (const State state : all) {
    names.emplace_back(NameOf(state));
    if (IsFinished(state)) finished.emplace_back(NameOf(state));
  }
  EXPECT_THAT(names,
              ElementsAre("ACTIVE", "FAILED", "COMMITTED", "ROLLED_BACK", "EXPIRED", "UNKNOWN"));
  EXPECT_THAT(finished, ElementsAre("COMMITTED", "ROLLED_BACK", "EXPIRED", "UNKNOWN"));
}

TEST_F(TransactionTest, FactsOfAnOpenOneAreInTheMetadataOfAnError) {
  Advance(absl::Milliseconds(1500));
  const absl::Status status = WithTransaction(SqlError(), transaction_->facts());
  EXPECT_EQ(errors::MetadataOf(status, "transaction"), transaction_->handle());
  EXPECT_EQ(errors::MetadataOf(status, "transaction_state"), "ACTIVE");
  EXPECT_EQ(errors::MetadataOf(status, "transaction_expires_in_ms"), "28500");
  EXPECT_EQ(errors::ReasonOf(status), "SQL_ERROR");
}

TEST_F(TransactionTest, AFinishedOneHasNoIdAndNoLease) {
  ASSERT_THAT(Commit(), IsOk());
  const TransactionFacts facts = transaction_->facts();
  EXPECT_EQ(facts.id, "");
  EXPECT_EQ(facts.handle, transaction_->handle());
  EXPECT_EQ(facts.expires_in, absl::InfiniteDuration());
  EXPECT_EQ(transaction_->Expiry(), absl::InfiniteDuration());
  const absl::Status status = WithTransaction(SqlError(), facts);
  EXPECT_EQ(errors::MetadataOf(status, "transaction_state"), "COMMITTED");
  EXPECT_EQ(errors::MetadataOf(status, "transaction_expires_in_ms"), "");
}

TEST_F(TransactionTest, OneThatTheServerEndedKeepsItsIdSoThatItsOwnerLearnsWhy) {
  EXPECT_TRUE(
      transaction_->End(errors::TransactionExpired("An operator ended it"), State::kRolledBack));
  const TransactionFacts facts = transaction_->facts();
  EXPECT_EQ(facts.id, "txn_x");
  EXPECT_EQ(facts.state, State::kRolledBack);
  EXPECT_EQ(facts.expires_in, absl::InfiniteDuration());
}

TEST_F(TransactionTest, IsKnownByItsIdAndShownByItsHandle) {
  EXPECT_EQ(transaction_->key(), ids::HashOf("txn_x"));
  EXPECT_EQ(transaction_->handle(), ids::TransactionHandle(ids::HashOf("txn_x")));
  EXPECT_EQ(transaction_->facts().id, "txn_x");
  EXPECT_EQ(transaction_->facts().isolation, db::Isolation::kSerializable);

  Begin(/*interactive=*/true);
  EXPECT_EQ(transaction_->id(), "");
  EXPECT_EQ(transaction_->facts().id, "");
  EXPECT_EQ(transaction_->handle(), ids::TransactionHandle(ids::HashOf("txn_x")));
}

TEST_F(TransactionTest, StatementsRunInTheDatabasesTransaction) {
  EXPECT_THAT(Execute(), IsOk());
  EXPECT_THAT(script_->executed, ElementsAre("SELECT 1"));
  EXPECT_EQ(state(), State::kActive);
}

TEST_F(TransactionTest, AFailedStatementLeavesItFailedAndNothingFurtherIsAsked) {
  Fail();
  EXPECT_EQ(state(), State::kFailed);
  script_->executed.clear();
  db::Session& session = turn_->session();
  const db::Batch batch;
  EXPECT_THAT(Execute(), Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(timeline_.Run(session.Open(ctx_, db::Statement("SELECT 1"))),
              Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(timeline_.Run(session.ExecuteBatch(ctx_, batch)),
              Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(timeline_.Run(session.OpenLoad(ctx_, db::LoadTarget())),
              Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(script_->executed, IsEmpty());
  EXPECT_THAT(Execute(), WasExecuted("no"));
  EXPECT_FALSE(transaction_->finished()->came());
}

TEST_F(TransactionTest, ARequestThatWasRefusedLeavesItActive) {
  script_->failures_undone = true;
  Fail();
  EXPECT_EQ(state(), State::kActive);
  EXPECT_THAT(Execute(), IsOk());
}

TEST_F(TransactionTest, ACommitFinishesIt) {
  db::RequestKey key;
  key.id = "k1";
  EXPECT_THAT(timeline_.Run(turn_->Commit(ctx_, &key)), IsOk());
  EXPECT_EQ(state(), State::kCommitted);
  EXPECT_THAT(script_->committed_keys, ElementsAre("k1"));
  EXPECT_THAT(told_, ElementsAre(State::kCommitted));
  EXPECT_TRUE(transaction_->finished()->came());

  EXPECT_THAT(Execute(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_THAT(Commit(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_THAT(Savepoint("a"), Fails(kPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_EQ(script_->commits, 1);
}

TEST_F(TransactionTest, ACommitOfAFailedOneIsNotTriedAndLeavesItFailed) {
  Fail();
  EXPECT_THAT(Commit(), Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_EQ(state(), State::kFailed);
  EXPECT_EQ(script_->commits, 0);
}

TEST_F(TransactionTest, ACommitThatFailsRollsBack) {
  script_->commit = SqlError();
  EXPECT_THAT(Commit(), Fails(kInvalid, "SQL_ERROR"));
  EXPECT_EQ(state(), State::kRolledBack);
  EXPECT_THAT(told_, ElementsAre(State::kRolledBack));
  EXPECT_THAT(Execute(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
}

TEST_F(TransactionTest, ACommitWhoseOutcomeWasLostIsUnknown) {
  script_->commit = errors::CommitOutcomeUnknown(SqlError());
  EXPECT_THAT(Commit(), Fails(absl::StatusCode::kUnknown, "COMMIT_OUTCOME_UNKNOWN"));
  EXPECT_EQ(state(), State::kUnknown);
  EXPECT_THAT(Rollback(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
}

TEST_F(TransactionTest, NothingIsCommittedThatTheDatabaseHasEnded) {
  script_->Lose(errors::TransactionExpired("The journal was full"));
  EXPECT_THAT(Commit(), Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_EQ(state(), State::kExpired);
  EXPECT_EQ(script_->commits, 0);

  Begin();
  script_->Stand(Standing::State::kGone);
  EXPECT_THAT(Commit(), Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_EQ(state(), State::kFailed);
  EXPECT_EQ(script_->commits, 0);
}

TEST_F(TransactionTest, ACommitThatTheLeaseOvertookIsExpired) {
  script_->commit = errors::TransactionExpired("The writer was taken away");
  EXPECT_THAT(Commit(), Fails(kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_EQ(state(), State::kExpired);
}

TEST_F(TransactionTest, NothingEndsACommitThatHasBegun) {
  script_->commit_delay = absl::Hours(1);
  const Aside<absl::Status> commit(timeline_, turn_->Commit(ctx_, nullptr));
  EXPECT_EQ(transaction_->Expiry(), absl::InfiniteDuration());
  EXPECT_FALSE(transaction_->End(errors::TransactionExpired("Ended"), State::kRolledBack));
  Advance(absl::Minutes(30));
  transaction_->ExpireIfDue();
  EXPECT_EQ(state(), State::kActive);
  EXPECT_EQ(transaction_->facts().expires_in, absl::ZeroDuration());
  EXPECT_TRUE(transaction_->Info().busy);
  EXPECT_FALSE(commit.done());

  Advance(absl::Minutes(30));
  timeline_.executor().RunUntilIdle();
  EXPECT_TRUE(commit.done());
  EXPECT_EQ(state(), State::kCommitted);
  EXPECT_THAT(script_->ends(), IsEmpty());
}

TEST_F(TransactionTest, WhatBecameOfACommitIsItsOwnToTell) {
  script_->commit_delay = absl::Seconds(1);
  Aside<absl::Status> commit(timeline_, turn_->Commit(ctx_, nullptr));
  script_->Lose(SqlError());  // while it fails
  transaction_->ExpireIfDue();
  EXPECT_EQ(state(), State::kActive);
  timeline_.Pass(absl::Seconds(1));
  EXPECT_THAT(*commit, Fails(kInvalid, "SQL_ERROR"));
  EXPECT_EQ(state(), State::kRolledBack);
  EXPECT_THAT(Execute(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
}

TEST_F(TransactionTest, ARollbackWaitsForTheDatabase) {
  script_->rollback_delay = absl::Seconds(1);
  const Aside<absl::Status> rollback(timeline_, turn_->Rollback());
  EXPECT_FALSE(transaction_->finished()->came());
  timeline_.Pass(absl::Seconds(1));
  EXPECT_TRUE(rollback.done());
  EXPECT_EQ(state(), State::kRolledBack);
  EXPECT_THAT(told_, ElementsAre(State::kRolledBack));
  EXPECT_THAT(Execute(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
}

TEST_F(TransactionTest, WhatIsRolledBackMayBeRolledBackAgain) {
  ASSERT_THAT(Rollback(), IsOk());
  EXPECT_THAT(Rollback(), IsOk());
  EXPECT_EQ(script_->rollbacks, 1);
}

TEST_F(TransactionTest, AFailedOneIsRolledBack) {
  Fail();
  EXPECT_THAT(Rollback(), IsOk());
  EXPECT_EQ(state(), State::kRolledBack);
}

TEST_F(TransactionTest, ARollbackLeavesOneThatExpiredAlone) {
  Advance(kIdle);
  EXPECT_THAT(Rollback(), IsOk());
  EXPECT_EQ(state(), State::kExpired);
  EXPECT_EQ(script_->rollbacks, 0);
}

TEST_F(TransactionTest, ACommittedOneIsNotRolledBack) {
  ASSERT_THAT(Commit(), IsOk());
  EXPECT_THAT(Rollback(), Fails(kPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_EQ(state(), State::kCommitted);
}

TEST_F(TransactionTest, SavepointsNestAndTheNewestOfANameCounts) {
  for (const char* name : {"a", "b", "a"}) ASSERT_THAT(Savepoint(name), IsOk());
  EXPECT_EQ(transaction_->Info().savepoints, 3);
  EXPECT_THAT(RollbackTo("a"), IsOk());
  EXPECT_THAT(Release("a"), IsOk());
  EXPECT_THAT(Savepoint("c"), IsOk());
  EXPECT_THAT(Release("a"), IsOk());
  EXPECT_THAT(script_->savepoints, ElementsAre("set 1", "set 2", "set 3", "back to 3", "release 3",
                                               "set 3", "release 1"));
  EXPECT_EQ(transaction_->Info().savepoints, 0);
}

TEST_F(TransactionTest, GoingBackForgetsTheSavepointsThatCameAfter) {
  for (const char* name : {"a", "b", "c"}) ASSERT_THAT(Savepoint(name), IsOk());
  EXPECT_THAT(RollbackTo("a"), IsOk());
  EXPECT_THAT(RollbackTo("a"), IsOk());
  EXPECT_THAT(RollbackTo("b"), Fails(kPrecondition, "SAVEPOINT_NOT_FOUND"));
  EXPECT_THAT(Release("c"), Fails(kPrecondition, "SAVEPOINT_NOT_FOUND"));
  EXPECT_EQ(transaction_->Info().savepoints, 1);
}

TEST_F(TransactionTest, CaseCountsInTheNameOfASavepoint) {
  ASSERT_THAT(Savepoint("a"), IsOk());
  EXPECT_THAT(RollbackTo("A"), Fails(kPrecondition, "SAVEPOINT_NOT_FOUND"));
}

TEST_F(TransactionTest, TheNameOfASavepointHasBounds) {
  EXPECT_THAT(Savepoint(""), Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_THAT(RollbackTo(""), Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_THAT(Release(std::string(64, 'a')), Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_THAT(Savepoint(std::string(64, 'a')), Fails(kInvalid, "PARAMETER_INVALID"));
  EXPECT_THAT(Savepoint(std::string(63, 'a')), IsOk());
  EXPECT_THAT(script_->savepoints, SizeIs(1));
}

TEST_F(TransactionTest, AHundredSavepointsMayBeSet) {
  for (int i = 0; i < 100; ++i) ASSERT_THAT(Savepoint("a"), IsOk());
  const absl::Status status = Savepoint("a");
  EXPECT_THAT(status, Fails(kExhausted, "TRANSACTION_LIMIT"));
  EXPECT_EQ(errors::MetadataOf(status, "limit"), "100");
  EXPECT_EQ(state(), State::kActive);
  EXPECT_THAT(Release("a"), IsOk());
  EXPECT_THAT(Savepoint("a"), IsOk());
}

TEST_F(TransactionTest, AnErrorOfTheDatabaseSetsNoSavepoint) {
  script_->savepoint = SqlError();
  EXPECT_THAT(Savepoint("a"), Fails(kInvalid, "SQL_ERROR"));
  EXPECT_EQ(transaction_->Info().savepoints, 0);
}

TEST_F(TransactionTest, GoingBackToASavepointMakesAFailedOneActive) {
  ASSERT_THAT(Savepoint("a"), IsOk());
  Fail();
  EXPECT_EQ(state(), State::kFailed);
  EXPECT_THAT(Savepoint("b"), Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(Release("a"), Fails(kPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(RollbackTo("b"), Fails(kPrecondition, "SAVEPOINT_NOT_FOUND"));
  EXPECT_THAT(RollbackTo("a"), IsOk());
  EXPECT_EQ(state(), State::kActive);
  EXPECT_THAT(Execute(), IsOk());
  EXPECT_THAT(Commit(), IsOk());
}

TEST_F(TransactionTest, OfOneThatTheDatabaseHasRolledBackNoSavepointIsLeft) {
  ASSERT_THAT(Savepoint("a"), IsOk());
  script_->Stand(Standing::State::kGone);  // as after a full disk
  Fail();
  EXPECT_EQ(state(), State::kFailed);
  EXPECT_THAT(RollbackTo("a"), Fails(kPrecondition, "SAVEPOINT_NOT_FOUND"));
  EXPECT_THAT(script_->savepoints, SizeIs(1));
}

}  // namespace
}  // namespace sluice::core
