// Statements of a transaction that whoever hands them over runs himself, and those that turn out to
// take longer: nothing but their speed tells them apart.
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_transaction_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

constexpr char kUpdate[] = "UPDATE item SET word = $1 WHERE id = $2";
constexpr char kWord[] = "SELECT word FROM item WHERE id = $1";

class SqliteTransactionBrief : public SqliteTransactionTest {
 protected:
  void SetUp() override {
    OpenWithTables();
    ASSERT_THAT(Ask("ALTER TABLE item ADD COLUMN n INTEGER DEFAULT 0"), IsOk());
    transaction_ = BeginHolding("tx_one", 1);
    // From here on each is known.
    EXPECT_THAT(In(*transaction_, kUpdate, {Text("known"), Int(1)}), IsOk());
    EXPECT_THAT(In(*transaction_, kWord, {Int(1)}), IsOk());
  }

  void TearDown() override {
    transaction_.reset();
    EXPECT_TRUE(UntilFree());
  }

  // Whether it is answered without another thread, a hundred times on end. The writer answers
  // before it waits for what comes next, so the first may still find it busy.
  bool IsAnsweredAtOnce(absl::string_view sql, std::initializer_list<pb::Value> params) {
    return RunUntil(executor_, [&] {
      for (int i = 0; i < 100; ++i) {
        Pending& pending = StartIn(*transaction_, sql, params);
        const bool at_once = pending.done();
        EXPECT_THAT(pending.Wait(), IsOk()) << sql;
        if (!at_once) return false;
      }
      return true;
    });
  }

  std::string Word(int64_t id) {
    const auto response = In(*transaction_, kWord, {Int(id)});
    EXPECT_THAT(response, IsOk());
    return response.ok() && response->rows_size() == 1 ? response->rows(0).values(0).string_value()
                                                       : "";
  }

  std::unique_ptr<db::Transaction> transaction_;
};

TEST_F(SqliteTransactionBrief, WhatIsKnownToBeBriefIsAnsweredAtOnce) {
  EXPECT_TRUE(IsAnsweredAtOnce(kUpdate, {Text("now"), Int(1)}));
  EXPECT_TRUE(IsAnsweredAtOnce(kWord, {Int(1)}));
  ASSERT_THAT(Commit(*transaction_), IsOk());
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item WHERE word = 'now'"), 1);
}

TEST_F(SqliteTransactionBrief, ASavepointComesBetween) {
  ASSERT_THAT(Savepoint(*transaction_, 1), IsOk());
  ASSERT_THAT(In(*transaction_, kUpdate, {Text("undone"), Int(1)}), IsOk());
  ASSERT_THAT(RollbackTo(*transaction_, 1), IsOk());
  EXPECT_EQ(Word(1), "known");
}

TEST_F(SqliteTransactionBrief, AValueThatIsTooLargeForThatIsWrittenAllTheSame) {
  const std::string large(1 << 20, 'x');
  EXPECT_THAT(In(*transaction_, kUpdate, {Text(large), Int(1)}), IsOk());
  EXPECT_EQ(Word(1), large);  // and read
  EXPECT_THAT(In(*transaction_, kUpdate, {Text("small again"), Int(1)}), IsOk());
  EXPECT_EQ(Word(1), "small again");
}

// A row that is too large is met only when the statement runs.
TEST_F(SqliteTransactionBrief, ARowThatIsTooLargeForThatIsChangedAllTheSame) {
  constexpr char kCount[] = "UPDATE item SET n = n + 1 WHERE id = $1";
  ASSERT_THAT(In(*transaction_, kCount, {Int(1)}), IsOk());
  ASSERT_THAT(In(*transaction_, kCount, {Int(1)}), IsOk());
  ASSERT_THAT(In(*transaction_, "UPDATE item SET word = hex(zeroblob(1000000)) WHERE id = 1"),
              IsOk());
  for (int i = 0; i < 3; ++i) {
    const auto counted = In(*transaction_, kCount, {Int(1)});
    ASSERT_THAT(counted, IsOk());
    EXPECT_EQ(counted->rows_affected(), 1);
  }
  ASSERT_THAT(Commit(*transaction_), IsOk());
  EXPECT_EQ(Outsider(path_).Number("SELECT n FROM item WHERE id = 1"), 5);
}

TEST_F(SqliteTransactionBrief, AnErrorThereIsAnErrorOfTheTransaction) {
  const absl::Status refused = StatusOf(In(*transaction_, kUpdate, {Text("refused"), Int(1)}));
  EXPECT_THAT(refused, Fails(StatusCode::kInvalidArgument, "SQL_ERROR"));
  EXPECT_THAT(refused, WasExecuted("rolled_back"));
  EXPECT_EQ(StateOf(*transaction_), State::kGone);
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 1);
}

TEST_F(SqliteTransactionBrief, AfterASavepointAnErrorThereLeavesItOpen) {
  ASSERT_THAT(Savepoint(*transaction_, 1), IsOk());
  EXPECT_FALSE(In(*transaction_, kUpdate, {Text("refused"), Int(1)}).ok());
  EXPECT_EQ(StateOf(*transaction_), State::kFailed);
  ASSERT_THAT(RollbackTo(*transaction_, 1), IsOk());
  EXPECT_THAT(In(*transaction_, kUpdate, {Text("good"), Int(1)}), IsOk());
  ASSERT_THAT(Commit(*transaction_), IsOk());
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM item WHERE word = 'good'"), 1);
}

// The statement's own ROLLBACK takes the transaction with it.
TEST_F(SqliteTransactionBrief, OneThatRollsBackThereEndsIt) {
  constexpr char kOrRollback[] = "INSERT OR ROLLBACK INTO item (id, word) VALUES ($1, 'w')";
  ASSERT_THAT(In(*transaction_, kOrRollback, {Int(5)}), IsOk());
  ASSERT_THAT(In(*transaction_, kOrRollback, {Int(6)}), IsOk());
  const absl::Status refused = StatusOf(In(*transaction_, kOrRollback, {Int(6)}));
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused, WasExecuted("rolled_back"));
  EXPECT_EQ(StateOf(*transaction_), State::kGone);
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 1);
  EXPECT_THAT(Ask(kInsert, {Int(7), Text("beside")}), IsOk());
}

TEST_F(SqliteTransactionBrief, OneThatWasEndedMeanwhileTakesNoMore) {
  transaction_->End(errors::TransactionExpired("An operator ended it"));
  EXPECT_THAT(In(*transaction_, kUpdate, {Text("late"), Int(1)}),
              Fails(StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  ASSERT_TRUE(UntilFree());
  EXPECT_EQ(Items(), 1);
}

// While it is read piece by piece, a statement waits for its turn at the writer.
TEST_F(SqliteTransactionBrief, ACursorThatIsOpenComesToItsEndFirst) {
  auto cursor = executor_.Run(transaction_->Open(ctx_, db::Statement("SELECT id FROM item")));
  ASSERT_THAT(cursor, IsOk());
  ASSERT_THAT(In(*transaction_, kUpdate, {Text("after"), Int(1)}), IsOk());
  EXPECT_EQ(Word(1), "after");
}

TEST_F(SqliteTransactionBrief, ATriggerOfTheTransactionItselfIsSetOff) {
  ASSERT_THAT(In(*transaction_, kUpdate, {Text("quiet"), Int(1)}), IsOk());
  ASSERT_THAT(In(*transaction_,
                 "CREATE TRIGGER more AFTER UPDATE ON item BEGIN INSERT INTO plug SELECT x.id FROM "
                 "item x; END"),
              IsOk());
  ASSERT_THAT(In(*transaction_, kUpdate, {Text("loud"), Int(1)}), IsOk());
  ASSERT_THAT(Commit(*transaction_), IsOk());
  EXPECT_EQ(Outsider(path_).Number("SELECT count(*) FROM plug"), 3);
}

}  // namespace
}  // namespace sluice::test
