#include "client/transaction.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/transaction_facts.h"
#include "client/values.h"
#include "tests/unit/client/fake_transaction_calls.h"

namespace sluice::client {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::shared_ptr<FakeCalls> Server(std::vector<Reply> replies) {
  return std::make_shared<FakeCalls>(std::move(replies));
}

std::string ReasonOf(const absl::Status& status) {
  return DecodeError(status).reason;
}

const v1::QueryRequest kStatement = MakeQuery("UPDATE t SET a = 1");

TEST(ClientTransaction, BeginTravelsWithTheFirstStatement) {
  const auto server = Server({Active(), Active(), Committed()});
  Transaction transaction(server, {"conn_1", {}, absl::InfiniteFuture(), {}});
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_UNSPECIFIED);
  EXPECT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_TRUE(transaction.ExecuteBatch({}).ok());
  EXPECT_TRUE(transaction.Commit().ok());
  EXPECT_THAT(server->asked, ElementsAre("query begin conn_1", "batch txn_1", "commit txn_1 #1"));
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_TRUE(transaction.Done());
}

TEST(ClientTransaction, ItKnowsItsIdItsHandleAndItsLease) {
  const auto server = Server({Active(), RolledBack()});
  Transaction transaction(server, {});
  EXPECT_EQ(transaction.ExpireTime(), std::nullopt);
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_EQ(transaction.Id(), "txn_1");
  EXPECT_EQ(transaction.Handle(), "tx_1");
  ASSERT_TRUE(transaction.ExpireTime().has_value());
  EXPECT_GT(*transaction.ExpireTime(), absl::Now() + absl::Minutes(59));
  EXPECT_LE(*transaction.ExpireTime(), absl::Now() + absl::Minutes(60));
}

TEST(ClientTransaction, LeavingItRollsBackWithinABound) {
  const auto server = Server({Active(), RolledBack()});
  {
    Transaction transaction(server, {});
    ASSERT_TRUE(transaction.Query(kStatement).ok());
  }
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "rollback txn_1"));
  EXPECT_EQ(server->options.back().timeout, absl::Seconds(2));
}

TEST(ClientTransaction, LeavingOneThatNeverBeganOrIsDoneAsksNothing) {
  const auto server = Server({Active(), Committed()});
  { const Transaction never(server, {}); }
  {
    Transaction done(server, {});
    ASSERT_TRUE(done.Query(kStatement).ok());
    ASSERT_TRUE(done.Commit().ok());
  }
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "commit txn_1 #1"));
}

TEST(ClientTransaction, MovingItMovesTheDutyToRollBack) {
  const auto server = Server({Active(), Active(), RolledBack(), RolledBack()});
  {
    Transaction first(server, {});
    ASSERT_TRUE(first.Query(kStatement).ok());
    Transaction second(server, {"other", {}, absl::InfiniteFuture(), {}});
    ASSERT_TRUE(second.Query(kStatement).ok());
    second = std::move(first);  // what it was is rolled back
    EXPECT_EQ(server->asked.size(), 3U);
    const Transaction third(std::move(second));
    EXPECT_EQ(third.Id(), "txn_1");
  }
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "query begin other",
                                         "rollback txn_1", "rollback txn_1"));
}

TEST(ClientTransaction, AFirstStatementThatFailsEndsIt) {
  const auto server = Server({Fails(absl::StatusCode::kInvalidArgument, "SQL_ERROR",
                                    Executed::kRolledBack, "ROLLED_BACK")});
  Transaction transaction(server, {});
  EXPECT_EQ(ReasonOf(transaction.Query(kStatement).status()), "SQL_ERROR");
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_EQ(ReasonOf(transaction.Query(kStatement).status()), "TRANSACTION_FINISHED")
      << "never outside of it";
  EXPECT_EQ(ReasonOf(transaction.Commit()), "TRANSACTION_FINISHED");
  EXPECT_FALSE(transaction.Done());
  EXPECT_EQ(server->asked.size(), 1U);
}

TEST(ClientTransaction, AFirstStatementWhoseAnswerIsLostEndsItToo) {
  const auto server = Server({Lost()});
  Transaction transaction(server, {});
  EXPECT_FALSE(transaction.Query(kStatement).ok());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
}

TEST(ClientTransaction, AServerThatIgnoresTransactionsIsNotTrusted) {
  const auto server = Server({Reply()});
  Transaction transaction(server, {});
  EXPECT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_UNKNOWN);
  EXPECT_FALSE(transaction.Query(kStatement).ok());
  EXPECT_FALSE(transaction.Commit().ok());
  EXPECT_EQ(server->asked.size(), 1U);
}

TEST(ClientTransaction, ErrorsTellWhereItStands) {
  Reply failed = Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR", Executed::kRolledBack);
  failed.status =
      LocalError(absl::StatusCode::kAlreadyExists, "SQL_ERROR", Executed::kRolledBack, "taken",
                 {{"transaction", "tx_9"},
                  {"transaction_state", "FAILED"},
                  {"transaction_expires_in_ms", "60000"}});
  const auto server = Server({Active(), failed, Active(), RolledBack()});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_FALSE(transaction.Query(kStatement).ok());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_FAILED);
  EXPECT_EQ(transaction.Handle(), "tx_9");
  EXPECT_LE(*transaction.ExpireTime(), absl::Now() + absl::Minutes(1));
  EXPECT_TRUE(transaction.RollbackTo("a").ok()) << "a failed one may go back to a savepoint";
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ACTIVE);
}

TEST(ClientTransaction, OneThatExpiredTakesNothingMore) {
  const auto server = Server(
      {Active(), Fails(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED", Executed::kRolledBack)});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_FALSE(transaction.KeepAlive().ok());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_EXPIRED);
  EXPECT_EQ(ReasonOf(transaction.Query(kStatement).status()), "TRANSACTION_EXPIRED");
  EXPECT_EQ(transaction.Commit().code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(transaction.Rollback().ok()) << "there is nothing left of it";
  EXPECT_EQ(server->asked.size(), 2U);
}

TEST(ClientTransaction, RollingBackIsDoneOnce) {
  const auto server = Server({Active(), RolledBack()});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_TRUE(transaction.Rollback().ok());
  EXPECT_TRUE(transaction.Rollback().ok());
  EXPECT_TRUE(transaction.Done());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_EQ(ReasonOf(transaction.Query(kStatement).status()), "TRANSACTION_FINISHED");
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "rollback txn_1"));
}

TEST(ClientTransaction, OneThatIsCommittedCannotBeRolledBack) {
  const auto server = Server({Active(), Committed()});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  ASSERT_TRUE(transaction.Commit().ok());
  EXPECT_EQ(ReasonOf(transaction.Rollback()), "TRANSACTION_FINISHED");
  EXPECT_TRUE(transaction.Commit().ok()) << "it is";
}

TEST(ClientTransaction, OneWithoutAStatementEndsWithoutACall) {
  const auto server = Server({});
  Transaction committed(server, {});
  EXPECT_TRUE(committed.Commit().ok());
  Transaction rolled_back(server, {});
  EXPECT_TRUE(rolled_back.Rollback().ok());
  Transaction kept(server, {});
  EXPECT_TRUE(kept.KeepAlive().ok());
  EXPECT_EQ(ReasonOf(kept.RollbackTo("a")), "SAVEPOINT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(kept.Release("a")), "SAVEPOINT_NOT_FOUND");
  EXPECT_THAT(server->asked, IsEmpty());
}

TEST(ClientTransaction, ASavepointThatComesFirstBeginsIt) {
  const auto server = Server({Active(), Active(), Active(), Active(), Active(), RolledBack()});
  Transaction transaction(server, {});
  EXPECT_TRUE(transaction.Savepoint("a").ok());
  EXPECT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_TRUE(transaction.RollbackTo("a").ok());
  EXPECT_TRUE(transaction.Release("a").ok());
  EXPECT_THAT(server->asked, ElementsAre("begin default", "savepoint txn_1 a", "query txn_1",
                                         "rollback to txn_1 a", "release txn_1 a"));
}

TEST(ClientTransaction, TheLastStatementMayCommit) {
  const auto server = Server({Active(), Committed()});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_TRUE(transaction.Query(ThenCommit(kStatement)).ok());
  EXPECT_THAT(server->asked, ElementsAre("query begin default", "query txn_1 commit #1"));
  EXPECT_TRUE(transaction.Done());
  EXPECT_TRUE(transaction.Commit().ok());
}

TEST(ClientTransaction, OneStatementMayBeginAndCommit) {
  const auto server = Server({Committed()});
  Transaction transaction(server, {});
  EXPECT_TRUE(transaction.ExecuteBatch(ThenCommit(v1::ExecuteBatchRequest())).ok());
  EXPECT_THAT(server->asked, ElementsAre("batch begin default commit #1"));
  EXPECT_TRUE(transaction.Done());
}

TEST(ClientTransaction, ACommittingStatementThatFailsLeavesItOpen) {
  const auto server = Server({Active(),
                              Fails(absl::StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED",
                                    Executed::kRolledBack, "ACTIVE"),
                              Committed()});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_FALSE(transaction.Query(ThenCommit(kStatement)).ok());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ACTIVE);
  EXPECT_TRUE(transaction.Commit().ok());
}

TEST(ClientTransaction, AStreamHasToEndBeforeTheNextCall) {
  const auto server = Server({Active(), Active(), RolledBack()});
  Transaction transaction(server, {});
  auto stream = transaction.StreamQuery(MakeStreamQuery("SELECT 1"));
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(ReasonOf(transaction.Query(kStatement).status()), "TRANSACTION_BUSY");
  EXPECT_EQ(ReasonOf(transaction.Commit()), "TRANSACTION_BUSY");
  EXPECT_EQ(*(*stream)->Next(), nullptr);
  EXPECT_EQ(transaction.Id(), "txn_1") << "it came with the last message";
  EXPECT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_THAT(server->asked, ElementsAre("stream begin default", "query txn_1"));
}

TEST(ClientTransaction, ItIsKeptAliveBesideAStreamOnceItsIdIsKnown) {
  const auto server = Server({Active(), Active(), RolledBack()});
  Transaction transaction(server, {});
  {
    const auto first = transaction.StreamQuery(MakeStreamQuery("SELECT 1"));
    EXPECT_EQ(ReasonOf(transaction.KeepAlive()), "TRANSACTION_BUSY");
    EXPECT_EQ(*(*first)->Next(), nullptr);
  }
  const auto second = transaction.StreamQuery(MakeStreamQuery("SELECT 1"));
  EXPECT_TRUE(transaction.KeepAlive().ok());
  EXPECT_EQ(server->asked.back(), "keep txn_1");
}

TEST(ClientTransaction, RollingBackCancelsAStream) {
  const auto server = Server({Active(), RolledBack()});
  Transaction transaction(server, {});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  auto stream = transaction.StreamQuery(MakeStreamQuery("SELECT 1"));
  ASSERT_TRUE(stream.ok());
  EXPECT_TRUE(transaction.Rollback().ok());
  EXPECT_TRUE(server->stream_cancelled);
  EXPECT_FALSE((*stream)->Next().ok());
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
}

TEST(ClientTransaction, AStreamThatBeganItAndIsLeftTakesItAlong) {
  const auto server = Server({});
  Transaction transaction(server, {});
  { ASSERT_TRUE(transaction.StreamQuery(MakeStreamQuery("SELECT 1")).ok()); }
  EXPECT_TRUE(server->stream_cancelled);
  EXPECT_EQ(transaction.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
}

TEST(ClientTransaction, AnAnswerThatComesAfterItWasGivenUpChangesNothing) {
  TransactionFacts facts;
  facts.SetState(v1::TRANSACTION_STATE_ROLLED_BACK);
  facts.Succeeded(Active().transaction);
  facts.Failed(Conflict().status, {});
  EXPECT_EQ(facts.State(), v1::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_EQ(facts.Id(), "");
}

TEST(ClientTransaction, AStreamMayOutliveIt) {
  const auto server = Server({});
  std::unique_ptr<RowStream> stream;
  {
    Transaction transaction(server, {});
    stream = *transaction.StreamQuery(MakeStreamQuery("SELECT 1"));
  }
  EXPECT_TRUE(server->stream_cancelled);
  EXPECT_FALSE(stream->Next().ok());
}

TEST(ClientTransaction, ALoadIsPartOfIt) {
  const auto server = Server({Active(), Committed()});
  Transaction transaction(server, {});
  auto load = transaction.BulkInsert({});
  ASSERT_TRUE(load.ok());
  EXPECT_EQ(ReasonOf(transaction.Query(kStatement).status()), "TRANSACTION_BUSY");
  EXPECT_TRUE((*load)->Finish().ok());
  load = transaction.BulkInsert(ThenCommit(v1::BulkInsertRequest()));
  ASSERT_TRUE(load.ok());
  EXPECT_TRUE((*load)->Finish().ok());
  EXPECT_THAT(server->asked, ElementsAre("load begin default", "load txn_1 commit"));
  EXPECT_TRUE(transaction.Done());
}

TEST(ClientTransaction, ItsDeadlineBoundsItsCalls) {
  const auto server = Server({Active(), Active(), Active(), RolledBack()});
  Transaction transaction(server, {"default", {}, server->Now() + absl::Seconds(10), {}});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_EQ(server->options.back().timeout, absl::Seconds(10));
  ASSERT_TRUE(transaction.Query(kStatement, {absl::Seconds(3), {}}).ok());
  EXPECT_EQ(server->options.back().timeout, absl::Seconds(3));
  { const auto stream = transaction.StreamQuery(MakeStreamQuery("SELECT 1")); }
  EXPECT_EQ(server->options.back().timeout, absl::Seconds(10));
}

TEST(ClientTransaction, AStreamWithoutADeadlineHasNone) {
  const auto server = Server({});
  Transaction transaction(server, {});
  { const auto stream = transaction.StreamQuery(MakeStreamQuery("SELECT 1")); }
  EXPECT_EQ(server->options.back().timeout, std::nullopt);
}

TEST(ClientTransaction, CallsAreCancelledByItsStopTokenUnlessTheyBringTheirOwn) {
  const auto server = Server({Active(), Active(), RolledBack()});
  std::stop_source whole;
  std::stop_source one;
  Transaction transaction(server, {"default", {}, absl::InfiniteFuture(), whole.get_token()});
  ASSERT_TRUE(transaction.Query(kStatement).ok());
  EXPECT_EQ(server->options.back().stop, whole.get_token());
  ASSERT_TRUE(transaction.Query(kStatement, {std::nullopt, one.get_token()}).ok());
  EXPECT_EQ(server->options.back().stop, one.get_token());
}

}  // namespace
}  // namespace sluice::client
