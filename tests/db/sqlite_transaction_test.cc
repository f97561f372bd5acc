// Transactions of the SQLite driver and its one writer: who has it, who waits for it, and what
// those who wait are told.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/clock.h"
#include "tests/db/sqlite_transaction_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

// A clock that stands still until it is told otherwise.
class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return now_; }

  absl::Duration Steady() const override { return now_ - absl::UnixEpoch(); }

  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Time now_ = absl::Now();
};

class SqliteTransaction : public SqliteTransactionTest {
 protected:
  // The driver's threads may still be about to wake it.
  void TearDown() override {
    slow_.RunUntilIdle();
    executor_.RunUntilIdle();
    if (database_ != nullptr) database_->Close();
  }

  // A deadline that only the manual clock comes near to.
  Context InAnHour() const {
    Context ctx;
    ctx.deadline = clock_.Now() + absl::Hours(1);
    return ctx;
  }

  // What a call on an executor of the manual clock that waits for the writer is answered a little
  // before its deadline, and no sooner.
  template <class Waiting>
  absl::Status AnswerBeforeDeadline(Waiting& waiting) {
    EXPECT_TRUE(RunUntil(slow_, [&] { return database_->Load().queued == 1; }));
    clock_.Advance(absl::Hours(1) - absl::Milliseconds(21));
    slow_.RunUntilIdle();
    EXPECT_FALSE(waiting.done());
    clock_.Advance(absl::Milliseconds(1));
    slow_.RunUntilIdle();
    EXPECT_TRUE(waiting.done());
    EXPECT_EQ(database_->Load().queued, 0);
    return StatusOf(waiting.Wait());
  }

  static void ExpectNames(const absl::Status& told,
                          absl::string_view holder,
                          absl::string_view label) {
    EXPECT_THAT(told, Fails(StatusCode::kDeadlineExceeded, "DEADLINE_PASSED"));
    EXPECT_THAT(told, WasExecuted("no"));
    EXPECT_EQ(errors::MetadataOf(told, "held_by"), holder);
    EXPECT_EQ(errors::MetadataOf(told, "held_by_label"), label);
    int64_t held_for = -1;
    EXPECT_TRUE(absl::SimpleAtoi(errors::MetadataOf(told, "held_for_ms"), &held_for)) << told;
    EXPECT_GE(held_for, 0);
    EXPECT_LT(held_for, 60'000);
  }

  ManualClock clock_;
  ManualExecutor slow_{clock_};
};

TEST_F(SqliteTransaction, TheFirstStatementTakesTheWriterAndNotBegin) {
  OpenWithTables();
  const auto transaction = Begin();
  EXPECT_EQ(Stats().hold, nullptr);
  EXPECT_THAT(Ask(kInsert, {Int(1), Text("beside")}), IsOk());
  const db::TransactionStanding begun = transaction->standing();
  EXPECT_FALSE(begun.writer_since.has_value());
  EXPECT_FALSE(begun.waiting_since.has_value());
  EXPECT_EQ(begun.idle_limit, absl::InfiniteDuration());
  EXPECT_EQ(begun.end, absl::InfiniteDuration());
  ASSERT_THAT(In(*transaction, "SELECT 1"), IsOk());
  EXPECT_EQ(Holder(), "tx_one");
  EXPECT_TRUE(transaction->standing().writer_since.has_value());
}

TEST_F(SqliteTransaction, WhoeverHasTheWriterIsToldOf) {
  db::SqliteSettings settings;
  settings.writer_idle = absl::Seconds(7);
  settings.writer_limit = absl::Seconds(70);
  OpenWithTables(settings);
  const absl::Duration before = Clock::System().Steady();
  const auto transaction = BeginHolding();
  const absl::Duration after = Clock::System().Steady();
  const std::shared_ptr<const db::WriterHold> hold = Stats().hold;
  ASSERT_NE(hold, nullptr);
  EXPECT_EQ(hold->handle, "tx_one");
  EXPECT_EQ(hold->label, "label of tx_one");
  EXPECT_GE(hold->since, before);
  EXPECT_LE(hold->since, after);
  const db::TransactionStanding standing = transaction->standing();
  EXPECT_EQ(standing.state, State::kOpen);
  EXPECT_EQ(standing.writer_since, hold->since);
  EXPECT_FALSE(standing.waiting_since.has_value());
  EXPECT_EQ(standing.waits_for, nullptr);
  EXPECT_EQ(standing.idle_limit, absl::Seconds(7));
  EXPECT_EQ(standing.end, hold->since + absl::Seconds(70));
  const db::DatabaseLoad load = database_->Load();
  EXPECT_EQ(load.active, 1);
  EXPECT_EQ(load.queued, 0);
}

TEST_F(SqliteTransaction, NobodyHasTheWriterAfterACommitARollbackOrAFailure) {
  OpenWithTables();
  const std::vector<std::function<void(db::Transaction&)>> ends = {
      [&](auto& transaction) { EXPECT_THAT(Commit(transaction), IsOk()); },
      [&](auto& transaction) { Rollback(transaction); },
      [&](auto& transaction) { EXPECT_FALSE(In(transaction, "SELECT nothing").ok()); },
      [&](auto& transaction) {
        EXPECT_FALSE(In(transaction, "INSERT OR ROLLBACK INTO item (id) VALUES (0)").ok());
      },
  };
  for (size_t i = 0; i < ends.size(); ++i) {
    const auto transaction = BeginHolding("tx_one", static_cast<int64_t>(i) + 1);
    ends[i](*transaction);
    EXPECT_EQ(Stats().hold, nullptr) << i;
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_FALSE(transaction->standing().writer_since.has_value());
    EXPECT_THAT(Ask("UPDATE plug SET n = 0"), IsOk());
  }
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteTransaction, AnEndAndADestructionLetTheWriterGoAtOnce) {
  OpenWithTables();
  for (const bool destroyed : {false, true}) {
    auto transaction = BeginHolding();
    Pending& behind = StartIn(*database_, kInsert, {Int(destroyed ? 2 : 1), Text("behind")});
    ASSERT_TRUE(UntilQueued(1));
    if (destroyed) {
      transaction.reset();
    } else {
      transaction->End(errors::TransactionExpired("It was idle"));
    }
    EXPECT_THAT(behind.Wait(), IsOk());
    ASSERT_TRUE(UntilFree());
  }
  EXPECT_EQ(Items(), 3);
}

TEST_F(SqliteTransaction, WhoeverWaitsForTheWriterHasItInTheOrderOfArrival) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE log (seq INTEGER PRIMARY KEY, what TEXT)"), IsOk());
  constexpr char kLog[] = "INSERT INTO log (what) VALUES ($1)";
  Know("INSERT INTO log (what) VALUES ('known')");
  ASSERT_THAT(Ask(kLog, {Text("first")}), IsOk());
  const auto holder = BeginHolding();
  const auto later = Begin("tx_later");
  Pending& one = StartIn(*database_, kLog, {Text("one")});
  ASSERT_TRUE(UntilQueued(1));
  Pending& two = StartIn(*later, kLog, {Text("two")});
  ASSERT_TRUE(UntilQueued(2));
  Pending& three = StartIn(*database_, kLog, {Text("three")});
  Pending& four = StartIn(*database_, kLog, {Text("four")});
  ASSERT_TRUE(UntilQueued(4));
  ASSERT_THAT(In(*holder, kLog, {Text("holder")}), IsOk());
  const db::WriterStats before = Stats();
  ASSERT_THAT(Commit(*holder), IsOk());
  EXPECT_THAT(one.Wait(), IsOk());
  EXPECT_THAT(two.Wait(), IsOk());
  EXPECT_EQ(Holder(), "tx_later");
  EXPECT_FALSE(three.done());
  EXPECT_FALSE(four.done());
  ASSERT_THAT(In(*later, kLog, {Text("two again")}), IsOk());
  ASSERT_THAT(Commit(*later), IsOk());
  EXPECT_THAT(three.Wait(), IsOk());
  EXPECT_THAT(four.Wait(), IsOk());
  const auto log = Ask("SELECT what FROM log ORDER BY seq");
  ASSERT_THAT(log, IsOk());
  std::vector<std::string> order;
  for (const pb::Row& row : log->rows()) order.push_back(row.values(0).string_value());
  EXPECT_THAT(order,
              testing::ElementsAre("first", "holder", "one", "two", "two again", "three", "four"));
  // The holder's, the one before the next transaction, its own, and the two behind it together.
  EXPECT_EQ(Stats().groups, before.groups + 4);
  EXPECT_EQ(Stats().writes, before.writes + 5);
}

TEST_F(SqliteTransaction, WhoeverWaitsIsToldForWhom) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  const absl::Duration before = Clock::System().Steady();
  Pending& waiting = StartIn(*waiter, kInsert, {Int(1), Text("w")});
  const absl::Duration after = Clock::System().Steady();
  const db::TransactionStanding standing = waiter->standing();
  EXPECT_EQ(standing.state, State::kOpen);
  EXPECT_FALSE(standing.writer_since.has_value());
  ASSERT_TRUE(standing.waiting_since.has_value());
  EXPECT_GE(*standing.waiting_since, before);
  EXPECT_LE(*standing.waiting_since, after);
  ASSERT_NE(standing.waits_for, nullptr);
  EXPECT_EQ(standing.waits_for->handle, "tx_one");
  EXPECT_EQ(standing.waits_for->label, "label of tx_one");
  EXPECT_EQ(standing.idle_limit, absl::InfiniteDuration());
  EXPECT_EQ(standing.end, absl::InfiniteDuration());
  ASSERT_THAT(Commit(*holder), IsOk());
  ASSERT_THAT(waiting.Wait(), IsOk());
  EXPECT_FALSE(waiter->standing().waiting_since.has_value());
  EXPECT_EQ(waiter->standing().waits_for, nullptr);
  EXPECT_TRUE(waiter->standing().writer_since.has_value());
  EXPECT_EQ(Holder(), "tx_two");
}

TEST_F(SqliteTransaction, AWriteIsToldBeforeItsDeadlineWhoHasTheWriter) {
  OpenWithTables();
  Know("DELETE FROM item");
  const auto holder = BeginHolding();
  const db::Statement statement("DELETE FROM item");
  const Context ctx = InAnHour();
  Started<absl::StatusOr<db::Rows>> write(slow_, database_->Execute(ctx, statement));
  ExpectNames(AnswerBeforeDeadline(write), "tx_one", "label of tx_one");
  ASSERT_THAT(Commit(*holder), IsOk());
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 2);  // it was not applied
}

TEST_F(SqliteTransaction, ABatchAndAStreamAreToldSoToo) {
  OpenWithTables();
  constexpr char kDelete[] = "DELETE FROM item RETURNING id";
  Know(kDelete);
  const auto holder = BeginHolding();
  {
    const Context ctx = InAnHour();
    const db::Statement statement(kDelete);
    Started<absl::StatusOr<std::unique_ptr<db::Cursor>>> stream(slow_,
                                                                database_->Open(ctx, statement));
    ExpectNames(AnswerBeforeDeadline(stream), "tx_one", "label of tx_one");
  }
  const Context ctx = InAnHour();
  BatchMaker maker;
  maker.Add(kDelete);
  Started<absl::StatusOr<db::BatchResults>> batch(slow_, database_->ExecuteBatch(ctx, maker.batch));
  ExpectNames(AnswerBeforeDeadline(batch), "tx_one", "label of tx_one");
  ASSERT_THAT(Commit(*holder), IsOk());
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteTransaction, ATransactionIsToldSoTooAndStaysOpen) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  const Context ctx = InAnHour();
  const db::Statement statement("DELETE FROM item");
  Started<absl::StatusOr<db::Rows>> write(slow_, waiter->Execute(ctx, statement));
  ExpectNames(AnswerBeforeDeadline(write), "tx_one", "label of tx_one");
  EXPECT_EQ(StateOf(*waiter), State::kOpen);
  EXPECT_FALSE(waiter->standing().waiting_since.has_value());
  ASSERT_THAT(Commit(*holder), IsOk());
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 2);
  ASSERT_THAT(In(*waiter, "DELETE FROM item"), IsOk());
  ASSERT_THAT(Commit(*waiter), IsOk());
  EXPECT_EQ(Items(), 0);
}

// The one who has the writer at the deadline is not the one who had it when the wait began.
TEST_F(SqliteTransaction, WhoeverWaitsBehindAnotherWaiterIsToldSoToo) {
  OpenWithTables();
  Know("DELETE FROM item");
  Hold();
  const auto waiter = Begin("tx_two");
  Pending& first = StartIn(*waiter, kInsert, {Int(1), Text("w")});
  const db::Statement statement("DELETE FROM item");
  const Context ctx = InAnHour();
  Started<absl::StatusOr<db::Rows>> write(slow_, database_->Execute(ctx, statement));
  slow_.RunUntilIdle();
  ASSERT_TRUE(UntilQueued(2));
  Release();
  ASSERT_THAT(first.Wait(), IsOk());
  ExpectNames(AnswerBeforeDeadline(write), "tx_two", "label of tx_two");
  Rollback(*waiter);
}

// A wait that ends with its turn is nobody's fault.
TEST_F(SqliteTransaction, AWaitThatIsOverBeforeItsDeadlineIsForgotten) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const db::Params values = MakeParams({Int(1), Text("w")});
  const db::NamedParams no_names;
  const db::Statement statement(kInsert, values, no_names);
  const Context ctx = InAnHour();
  Started<absl::StatusOr<db::Rows>> write(slow_, database_->Execute(ctx, statement));
  slow_.RunUntilIdle();
  ASSERT_TRUE(UntilQueued(1));
  ASSERT_THAT(Commit(*holder), IsOk());
  EXPECT_THAT(write.Wait(), IsOk());
  clock_.Advance(absl::Hours(2));
  slow_.RunUntilIdle();
  EXPECT_EQ(Items(), 3);
}

TEST_F(SqliteTransaction, ACallThatIsStoppedAtItsDeadlineIsToldWhoHasTheWriter) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  for (db::Session* const session :
       {static_cast<db::Session*>(database_.get()), static_cast<db::Session*>(waiter.get())}) {
    CallScope scope;
    Pending& write = StartIn(*session, kInsert, {Int(1), Text("w")},
                             scope.MakeContext(absl::InfiniteFuture(), ""));
    ASSERT_TRUE(UntilQueued(1));
    scope.Stop(StopCause::kDeadline);
    ExpectNames(write.Wait().status(), "tx_one", "label of tx_one");
  }
}

TEST_F(SqliteTransaction, AnAtomicLoadThatHasTheWriterIsToldOfAsALoad) {
  OpenWithTables();
  Know("DELETE FROM item");
  db::LoadTarget target;
  target.table = "item";
  const auto load = executor_.Run(database_->OpenLoad(ctx_, target));
  ASSERT_THAT(load, IsOk());
  db::LoadChunk chunk;
  chunk.rows = std::make_shared<const LoadRows>(MakeRows({{Int(1), Text("loaded")}}));
  ASSERT_THAT(executor_.Run((*load)->Add(ctx_, std::move(chunk), "")), IsOk());
  ASSERT_TRUE(RunUntil(executor_, [&] { return Holder() == "load"; }));
  EXPECT_EQ(Stats().hold->label, "");
  const db::Statement statement("DELETE FROM item");
  const Context ctx = InAnHour();
  {
    Started<absl::StatusOr<db::Rows>> write(slow_, database_->Execute(ctx, statement));
    ExpectNames(AnswerBeforeDeadline(write), "load", "");
  }
  ASSERT_THAT(executor_.Run((*load)->Finish(ctx_, "")), IsOk());
  EXPECT_EQ(Stats().hold, nullptr);
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteTransaction, ALoadInATransactionHoldsTheWriterInItsName) {
  OpenWithTables();
  const auto transaction = Begin();
  db::LoadTarget target;
  target.table = "item";
  const auto load = executor_.Run(transaction->OpenLoad(ctx_, target));
  ASSERT_THAT(load, IsOk());
  EXPECT_EQ(Stats().hold, nullptr);
  db::LoadChunk chunk;
  chunk.rows = std::make_shared<const LoadRows>(MakeRows({{Int(1), Text("loaded")}}));
  ASSERT_THAT(executor_.Run((*load)->Add(ctx_, std::move(chunk), "")), IsOk());
  EXPECT_EQ(Holder(), "tx_one");
}

TEST_F(SqliteTransaction, AStatementThatIsCancelledWhileItWaitsIsNotRunAndAnotherMayFollow) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  for (int i = 0; i < 3; ++i) {
    Call call;
    Pending& write = StartIn(*waiter, kInsert, {Int(1), Text("cancelled")}, call.ctx());
    ASSERT_TRUE(UntilQueued(1));
    call.Cancel();
    executor_.RunUntilIdle();
    ASSERT_TRUE(write.done());
    EXPECT_THAT(write.Wait(), Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
    EXPECT_THAT(write.Wait(), WasExecuted("no"));
    EXPECT_EQ(StateOf(*waiter), State::kOpen);
    EXPECT_FALSE(waiter->standing().waiting_since.has_value());
    EXPECT_EQ(database_->Load().queued, 0);
  }
  ASSERT_THAT(Commit(*holder), IsOk());
  ASSERT_TRUE(UntilFree());
  ASSERT_THAT(In(*waiter, kInsert, {Int(1), Text("meant")}), IsOk());
  ASSERT_THAT(Commit(*waiter), IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE word = 'cancelled'"), 0);
  EXPECT_EQ(Items(), 3);
}

TEST_F(SqliteTransaction, ARollbackAfterAWaitThatWasCancelledHoldsNothing) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  Call call;
  Pending& write = StartIn(*waiter, kInsert, {Int(1), Text("w")}, call.ctx());
  ASSERT_TRUE(UntilQueued(1));
  call.Cancel();
  EXPECT_THAT(write.Wait(), WasExecuted("no"));
  Rollback(*waiter);
  EXPECT_EQ(StateOf(*waiter), State::kGone);
  ASSERT_THAT(Commit(*holder), IsOk());
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteTransaction, AnEndWhileItWaitsIsAnsweredAtOnce) {
  OpenWithTables();
  const auto holder = BeginHolding();
  const auto waiter = Begin("tx_two");
  Pending& write = StartIn(*waiter, kInsert, {Int(1), Text("w")});
  ASSERT_TRUE(UntilQueued(1));
  const absl::Status why = errors::TransactionExpired("It lasted too long");
  waiter->End(why);
  executor_.RunUntilIdle();
  ASSERT_TRUE(write.done());
  EXPECT_EQ(write.Wait().status(), why);
  EXPECT_EQ(StateOf(*waiter), State::kGone);
  EXPECT_EQ(waiter->standing().why, why);
  EXPECT_EQ(database_->Load().queued, 0);
  EXPECT_EQ(Holder(), "tx_one");
  EXPECT_EQ(In(*waiter, kInsert, {Int(1), Text("w")}).status(), why);
  ASSERT_THAT(Commit(*holder), IsOk());
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteTransaction, GroupCommitGoesOnBehindATransaction) {
  OpenWithTables();
  const auto holder = BeginHolding();
  for (int i = 1; i <= 20; ++i) Start(kInsert, {Int(i), Text("w")});
  ASSERT_TRUE(UntilQueued(20));
  const db::WriterStats before = Stats();
  ASSERT_THAT(Commit(*holder), IsOk());
  for (const auto& write : started_) EXPECT_THAT(write->Wait(), IsOk());
  EXPECT_EQ(Stats().groups, before.groups + 2);
  EXPECT_EQ(Stats().writes, before.writes + 21);
  EXPECT_EQ(Stats().largest_group, 20);
  EXPECT_EQ(Items(), 22);
}

TEST_F(SqliteTransaction, ReadsGoOnBesideATransaction) {
  OpenWithTables();
  const auto holder = BeginHolding();
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE word <> 'never seen before'"), 1);
  EXPECT_EQ(Items(), 1);
  const auto chunks = ReadAll(executor_, *database_, db::Statement("SELECT id FROM item"));
  ASSERT_THAT(chunks, IsOk());
  EXPECT_EQ(chunks->back().command_tag(), "SELECT 1");
}

// SQLite's own way to end a transaction from within.
TEST_F(SqliteTransaction, Fault61_AStatementThatRollsBackTheTransactionLosesIt) {
  OpenWithTables();
  for (const bool guarded : {false, true}) {
    const auto transaction = BeginHolding();
    if (guarded) {
      ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    }
    const auto failed = In(*transaction, "INSERT OR ROLLBACK INTO item (id) VALUES (5), (0)");
    EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_THAT(transaction->standing().why, IsOk());
    EXPECT_EQ(Stats().hold, nullptr);
    EXPECT_EQ(Items(), 1);
    EXPECT_THAT(Ask("UPDATE item SET word = 'free'"), IsOk());
  }
}

TEST_F(SqliteTransaction, Fault61_SoDoesOneInABatchOrALoad) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE harsh (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK)"), IsOk());
  ASSERT_THAT(Ask("INSERT INTO harsh (id) VALUES (1)"), IsOk());
  for (const bool loads : {false, true}) {
    const auto transaction = BeginHolding();
    ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    absl::Status failed;
    if (loads) {
      db::LoadTarget target;
      target.table = "harsh";
      target.mode = db::BatchMode::kContinue;
      failed = LoadAll(executor_, *transaction, target,
                       {MakeRows({{Int(2)}}), MakeRows({{Int(3)}, {Int(1)}}), MakeRows({{Int(4)}})})
                   .status();
    } else {
      BatchMaker maker(db::BatchMode::kContinue);
      maker.Add("INSERT INTO harsh (id) VALUES ($1)", {Int(2)}).AddSet({Int(1)}).AddSet({Int(3)});
      failed = Execute(executor_, *transaction, maker.batch).status();
    }
    EXPECT_EQ(failed.code(), StatusCode::kAlreadyExists) << failed;
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
    EXPECT_EQ(Number("SELECT count(*) FROM harsh"), 1);
    EXPECT_EQ(Items(), 1);
  }
}

TEST_F(SqliteTransaction, Fault59_WhereAnotherProcessHasTheLockItIsNotBegunYet) {
  db::SqliteSettings settings;
  settings.busy_timeout = absl::Milliseconds(50);
  OpenWithTables(settings);
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("BEGIN IMMEDIATE"), SQLITE_OK);
  const auto transaction = Begin();
  const auto refused = In(*transaction, kInsert, {Int(1), Text("w")});
  EXPECT_THAT(refused, Fails(StatusCode::kUnavailable, "CONNECTION_IN_USE"));
  EXPECT_THAT(refused, WasExecuted("no"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  ASSERT_EQ(outsider.Run("COMMIT"), SQLITE_OK);
  EXPECT_THAT(In(*transaction, kInsert, {Int(1), Text("w")}), IsOk());
  EXPECT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteTransaction, AFullQueueIsSaidAtOnceAndLeavesItOpen) {
  db::SqliteSettings settings;
  settings.queue_limit = 2;
  OpenWithTables(settings);
  const auto holder = BeginHolding();
  StartIn(*database_, kInsert, {Int(1), Text("w")});
  StartIn(*database_, kInsert, {Int(2), Text("w")});
  const auto transaction = Begin("tx_two");
  EXPECT_THAT(In(*transaction, "SELECT 1"),
              Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_THAT(In(*holder, "SELECT 1"), IsOk());  // who has the writer needs no place
  ASSERT_THAT(Commit(*holder), IsOk());
  for (const auto& write : started_) EXPECT_THAT(write->Wait(), IsOk());
  EXPECT_THAT(In(*transaction, "SELECT 1"), IsOk());
}

// The answer comes when everything that was asked before is decided.
TEST_F(SqliteTransaction, ARecallAnswersForWhatIsUnderWay) {
  OpenWithTables();
  for (const bool commits : {true, false}) {
    const db::RequestKey key = MakeKey(commits ? "one" : "two", "c");
    const auto transaction = BeginHolding("tx_one", commits ? 1 : 2);
    Started<absl::StatusOr<std::optional<db::BatchResults>>> recall(executor_,
                                                                    database_->Recall(ctx_, key));
    ASSERT_TRUE(UntilQueued(1));
    EXPECT_FALSE(recall.done());
    if (commits) {
      ASSERT_THAT(Commit(*transaction, &key), IsOk());
    } else {
      Rollback(*transaction);
    }
    ASSERT_THAT(recall.Wait(), IsOk());
    EXPECT_EQ(recall.Wait()->has_value(), commits);
  }
}

// What is there already needs no turn.
TEST_F(SqliteTransaction, ARecallOfWhatIsCommittedWaitsForNobody) {
  OpenWithTables();
  const db::RequestKey key = MakeKey("one", "c");
  ASSERT_THAT(Commit(*BeginHolding(), &key), IsOk());
  const auto holder = BeginHolding("tx_two", 1);
  const auto found = executor_.Run(database_->Recall(ctx_, key));
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE(found->has_value());
}

TEST_F(SqliteTransaction, ItSpillsToTheJournalAndIsStillOneWhole) {
  OpenWithTables();
  constexpr char kLarge[] =
      "INSERT INTO item (id, word) WITH RECURSIVE c(x) AS (SELECT 2000 UNION ALL SELECT x + 1 FROM "
      "c WHERE x < 5000) SELECT x, hex(zeroblob(2000)) FROM c";
  const auto lost = BeginHolding();
  ASSERT_THAT(In(*lost, kLarge), IsOk());
  EXPECT_EQ(Items(), 1);
  Rollback(*lost);
  EXPECT_EQ(Items(), 1);
  const auto kept = BeginHolding();
  ASSERT_THAT(In(*kept, kLarge), IsOk());
  ASSERT_THAT(Commit(*kept), IsOk());
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item"), 3003);
}

}  // namespace
}  // namespace sluice::test
