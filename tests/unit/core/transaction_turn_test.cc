#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/core/transaction_session.h"
#include "server/db/fingerprint.h"
#include "tests/unit/core/transaction_fixture.h"

namespace sluice::core {
namespace {

using test::Fails;
using test::IsOk;
using test::WasExecuted;
using ::testing::ElementsAre;
using ::testing::SizeIs;

using TransactionTurnTest = TransactionTest;

TEST_F(TransactionTurnTest, TurnsAreTakenInOrderOfArrival) {
  EXPECT_FALSE(transaction_->TryEnter().has_value());
  Aside<absl::StatusOr<Transaction::Turn>> second(timeline_, transaction_->Enter(ctx_));
  Aside<absl::StatusOr<Transaction::Turn>> third(timeline_, transaction_->Enter(ctx_));
  EXPECT_FALSE(second.done());
  EXPECT_EQ(transaction_->Info().waiting_calls, 2);

  turn_.reset();
  timeline_.executor().RunUntilIdle();
  ASSERT_TRUE(second.done());
  EXPECT_FALSE(third.done());
  *second = absl::CancelledError();  // gives the turn back
  timeline_.executor().RunUntilIdle();
  EXPECT_TRUE(third.done());
  EXPECT_EQ(transaction_->Info().waiting_calls, 0);
}

TEST_F(TransactionTurnTest, ATurnThatIsMovedIsHeldOnce) {
  Transaction::Turn moved = *std::move(turn_);
  turn_.reset();
  EXPECT_FALSE(transaction_->TryEnter().has_value());
  EXPECT_THAT(TransactionFixture::Execute(moved), IsOk());
  EXPECT_EQ(&moved.transaction(), transaction_.get());
  turn_.emplace(std::move(moved));
  EXPECT_THAT(Execute(), IsOk());
}

TEST_F(TransactionTurnTest, ACallThatIsStoppedLeavesTheLineAndTheTransactionAsItIs) {
  CallScope scope;
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "req");
  Aside<absl::StatusOr<Transaction::Turn>> waits(timeline_, transaction_->Enter(ctx));
  scope.Stop(StopCause::kDeadline);
  timeline_.executor().RunUntilIdle();
  EXPECT_THAT(*waits, Fails(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED"));
  EXPECT_THAT(*waits, WasExecuted("no"));
  EXPECT_EQ(transaction_->Info().waiting_calls, 0);
  EXPECT_EQ(state(), State::kActive);
}

TEST_F(TransactionTurnTest, ATurnOutlivesTheRegistrysReference) {
  const std::weak_ptr<Transaction> kept = transaction_;
  transaction_.reset();
  EXPECT_THAT(Execute(), IsOk());
  EXPECT_TRUE(script_->alive);
  turn_.reset();
  EXPECT_TRUE(kept.expired());
  EXPECT_FALSE(script_->alive);
}

TEST_F(TransactionTurnTest, CallsOfSeveralThreadsAreOneAtATime) {
  turn_.reset();
  constexpr int kCalls = 200;
  int64_t done = 0;  // guarded by the turn
  const auto call = [](Transaction& transaction, int64_t& count) -> Task<bool> {
    const Context ctx;
    auto turn = co_await transaction.Enter(ctx);
    const int64_t before = count;
    const auto rows = co_await turn->session().Execute(ctx, db::Statement("x"));
    count = before + 1;
    co_return rows.ok();
  };
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      ManualExecutor executor;
      for (int n = 0; n < kCalls; ++n) EXPECT_TRUE(executor.Run(call(*transaction_, done)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, 4 * kCalls);
  EXPECT_EQ(transaction_->Info().statements, 4 * kCalls);
}

TEST_F(TransactionTurnTest, OperatorsSeeItWithoutItsIdAndItsValues) {
  Advance(absl::Seconds(2));
  ASSERT_THAT(TransactionFixture::Execute(*turn_, "SELECT  'secret' FROM T"), IsOk());
  ASSERT_THAT(Savepoint("a"), IsOk());
  Advance(absl::Seconds(3));
  const TransactionInfo info = transaction_->Info();
  EXPECT_EQ(info.facts.id, "");
  EXPECT_EQ(info.facts.handle, transaction_->handle());
  EXPECT_EQ(info.facts.expires_in, absl::Seconds(27));
  EXPECT_EQ(info.facts.isolation, db::Isolation::kSerializable);
  EXPECT_EQ(info.label, "nightly");
  EXPECT_EQ(info.connection, connection_);
  EXPECT_EQ(info.holder, "alice");
  EXPECT_FALSE(info.read_only);
  EXPECT_FALSE(info.interactive);
  EXPECT_EQ(info.begun, timeline_.clock().Now() - absl::Seconds(5));
  EXPECT_EQ(info.age, absl::Seconds(5));
  EXPECT_EQ(info.idle, absl::Seconds(3));
  EXPECT_EQ(info.statements, 1);
  EXPECT_EQ(info.last_statement, "select ? from t");
  EXPECT_THAT(info.fingerprint, SizeIs(16));
  EXPECT_FALSE(info.busy);
  EXPECT_EQ(info.savepoints, 1);
}

TEST_F(TransactionTurnTest, ABatchCountsOnceAndShowsItsFirstStatement) {
  db::Batch batch;
  batch.executions.emplace_back(db::Statement("INSERT INTO a VALUES (1)"), 0, 0);
  batch.executions.emplace_back(db::Statement("INSERT INTO b VALUES (1)"), 1, 0);
  ASSERT_THAT(timeline_.Run(turn_->session().ExecuteBatch(ctx_, batch)), IsOk());
  EXPECT_EQ(transaction_->Info().statements, 1);
  EXPECT_EQ(transaction_->Info().last_statement, "insert into a values (?)");
  EXPECT_THAT(script_->executed, SizeIs(2));
}

TEST_F(TransactionTurnTest, OfALongStatementTheBeginningIsKept) {
  std::string sql = "SELECT 'secret'";
  while (sql.size() < 1 << 20) sql += ", column";
  ASSERT_THAT(TransactionFixture::Execute(*turn_, sql), IsOk());
  EXPECT_THAT(script_->executed, ElementsAre(sql));
  const db::Fingerprint kept =
      db::MakeFingerprint(sql.substr(0, kMostStatementKept), db::Dialect::kSqlite);
  EXPECT_EQ(transaction_->Info().last_statement, kept.text);
  EXPECT_EQ(transaction_->Info().fingerprint, kept.hash);
}

TEST_F(TransactionTurnTest, OfAStatementThatIsCutInsideAValueNothingIsShown) {
  const std::string sql = absl::StrCat("SELECT '", std::string(2 * kMostStatementKept, 's'), "'");
  ASSERT_THAT(TransactionFixture::Execute(*turn_, sql), IsOk());
  EXPECT_EQ(transaction_->Info().last_statement, "select ?");
}

class TransactionLoadTest : public TransactionTest {
 protected:
  TransactionLoadTest() {
    auto load = timeline_.Run(turn_->session().OpenLoad(ctx_, db::LoadTarget()));
    EXPECT_THAT(load, IsOk());
    load_ = *std::move(load);
    EXPECT_TRUE(timeline_.Run(Listen(*load_, ends_told_)));
  }

  void TearDown() override {
    load_.reset();
    timeline_.executor().RunUntilIdle();
  }

  // On the executor, as all that is done with a load.
  static Task<bool> Listen(db::Load& load, int& told) {
    load.OnEnd([&told] { ++told; });
    co_return true;
  }

  absl::Status Add() { return timeline_.Run(load_->Add(ctx_, db::LoadChunk(), "")); }

  absl::Status Finish() { return timeline_.Run(load_->Finish(ctx_, "")); }

  std::unique_ptr<db::Load> load_;
  int ends_told_ = 0;
};

TEST_F(TransactionLoadTest, ItsChunksCountAsStatements) {
  EXPECT_THAT(Add(), IsOk());
  EXPECT_THAT(Add(), IsOk());
  EXPECT_THAT(Finish(), IsOk());
  EXPECT_THAT(script_->executed, ElementsAre("chunk", "chunk", "finish"));
  EXPECT_EQ(transaction_->Info().statements, 2);
}

TEST_F(TransactionLoadTest, IsIdleBetweenItsChunks) {
  script_->answers.push_back(Slow(absl::Minutes(1)));
  EXPECT_THAT(Add(), IsOk());
  EXPECT_EQ(Left(), kIdle);
  Advance(kIdle);
  EXPECT_THAT(Add(), Fails(kAborted, "TRANSACTION_EXPIRED"));
}

TEST_F(TransactionLoadTest, IsToldOnceWhenTheTransactionIsEndedFromOutside) {
  const absl::Status why = errors::TransactionExpired("An operator ended it");
  transaction_->End(why, State::kRolledBack);
  timeline_.executor().RunUntilIdle();
  EXPECT_EQ(ends_told_, 1);
  script_->load_told();  // the database's load, which tells as well
  EXPECT_EQ(ends_told_, 1);
  EXPECT_EQ(Finish(), why);
}

TEST_F(TransactionLoadTest, IsToldOnceByItself) {
  script_->load_told();
  EXPECT_EQ(ends_told_, 1);
  transaction_->End(errors::TransactionExpired("Ended"), State::kRolledBack);
  timeline_.executor().RunUntilIdle();
  EXPECT_EQ(ends_told_, 1);
}

TEST_F(TransactionLoadTest, OneThatHasFailedSaysWhyItself) {
  script_->answers.push_back(Failing(SqlError()));
  EXPECT_THAT(Add(), Fails(kInvalid, "SQL_ERROR"));
  EXPECT_EQ(state(), State::kFailed);
  script_->answers.push_back(Failing(SqlError()));
  EXPECT_THAT(Finish(), Fails(kInvalid, "SQL_ERROR"));
}

TEST_F(TransactionLoadTest, NobodyIsToldOnceItIsDestroyed) {
  load_.reset();
  script_->load_told();
  transaction_->End(errors::TransactionExpired("Ended"), State::kRolledBack);
  timeline_.executor().RunUntilIdle();
  EXPECT_EQ(ends_told_, 0);
}

TEST_F(TransactionLoadTest, ACommitIsNoEndToTellOf) {
  ASSERT_THAT(Finish(), IsOk());
  ASSERT_THAT(Commit(), IsOk());
  timeline_.executor().RunUntilIdle();
  EXPECT_EQ(ends_told_, 0);
}

}  // namespace
}  // namespace sluice::core
