#include "server/services/transaction_service.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/transaction_fixture.h"

namespace sluice::services {
namespace {

using ::sluice::test::Fails;
using ::sluice::test::IsOk;

constexpr char kOne[] = "5f0c2a52-6d0e-4b0e-9d0a-3f6f4a1f2b11";
constexpr char kOther[] = "5f0c2a52-6d0e-4b0e-9d0a-3f6f4a1f2b12";

class TransactionServiceTest : public TransactionFixture {};

TEST_F(TransactionServiceTest, WhatIsCommittedIsThereAndToldAsSuch) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  EXPECT_EQ(Count(), 0);
  const auto committed = Commit(id);
  ASSERT_THAT(committed, IsOk());
  EXPECT_EQ(committed->transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(committed->transaction().transaction_id(), "");
  EXPECT_FALSE(committed->transaction().has_expires_in());
  EXPECT_EQ(Count(), 1);
}

TEST_F(TransactionServiceTest, EveryAnswerTellsTheStateAndTheLease) {
  const std::string id = Begin();
  const auto answer = QueryIn(id, "SELECT 1");
  ASSERT_THAT(answer, IsOk());
  const pb::TransactionStatus& status = answer->transaction();
  EXPECT_EQ(status.transaction_id(), id);
  EXPECT_EQ(status.state(), pb::TRANSACTION_STATE_ACTIVE);
  EXPECT_EQ(status.isolation(), pb::ISOLATION_LEVEL_SERIALIZABLE);
  EXPECT_EQ(status.expires_in().seconds(), 4);  // it has the writer now
  EXPECT_TRUE(status.has_expire_time());
  EXPECT_EQ(status.handle().substr(0, 3), "tx_");
}

TEST_F(TransactionServiceTest, EveryErrorTellsTheStateAndTheLease) {
  const std::string id = Begin();
  const auto refused = QueryIn(id, "SELECT ?");
  EXPECT_THAT(refused, Fails(absl::StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_EQ(errors::MetadataOf(refused.status(), "transaction_state"), "ACTIVE");
  EXPECT_FALSE(errors::MetadataOf(refused.status(), "transaction_expires_in_ms").empty());
  EXPECT_EQ(errors::MetadataOf(refused.status(), "transaction").substr(0, 3), "tx_");
  EXPECT_THAT(QueryIn(id, "SELECT 1"), IsOk());
}

TEST_F(TransactionServiceTest, AStatementThatFailedLeavesOnlyTheRollback) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  const auto failed = QueryIn(id, "INSERT INTO item VALUES (1, 'b')");
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(errors::MetadataOf(failed.status(), "transaction_state"), "FAILED");
  EXPECT_THAT(QueryIn(id, "SELECT 1"),
              Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FAILED"));
  EXPECT_THAT(Commit(id), Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FAILED"));
  const auto rolled_back = Rollback(id);
  ASSERT_THAT(rolled_back, IsOk());
  EXPECT_EQ(rolled_back->transaction().state(), pb::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_EQ(Count(), 0);
}

TEST_F(TransactionServiceTest, BeginAndCommitRideInsideOtherCalls) {
  pb::QueryRequest first = Request("INSERT INTO item VALUES (1, 'a')");
  first.mutable_transaction()->mutable_begin();
  const auto begun = Query(first);
  ASSERT_THAT(begun, IsOk());
  EXPECT_EQ(Count(), 0);
  const auto last =
      Query(In(begun->transaction().transaction_id(), "INSERT INTO item VALUES (2, 'b')", true));
  ASSERT_THAT(last, IsOk());
  EXPECT_EQ(last->transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 2);
}

TEST_F(TransactionServiceTest, WhatBeganWithAStatementThatFailedIsRolledBackAtOnce) {
  pb::QueryRequest first = Request("INSERT INTO nowhere VALUES (1)");
  first.mutable_transaction()->mutable_begin();
  const auto failed = Query(first);
  EXPECT_EQ(errors::MetadataOf(failed.status(), "transaction_state"), "ROLLED_BACK");
  EXPECT_EQ(transactions_.open(), 0);
}

TEST_F(TransactionServiceTest, ACommitWithAFailedStatementDoesNotHappen) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  EXPECT_FALSE(Query(In(id, "INSERT INTO item VALUES (1, 'a')", true)).ok());
  EXPECT_EQ(Count(), 0);
}

TEST_F(TransactionServiceTest, ASelectorWithoutATransactionIsRefused) {
  pb::QueryRequest request = Request("SELECT 1");
  request.mutable_transaction()->set_commit(true);
  EXPECT_EQ(InvalidField(Query(request).status()), "transaction");
}

TEST_F(TransactionServiceTest, TheConnectionOfATransactionMustAgree) {
  const std::string id = Begin();
  pb::QueryRequest request = In(id, "SELECT 1");
  request.set_connection_id("default");
  EXPECT_THAT(Query(request), IsOk());
  request.set_connection_id("second");
  EXPECT_EQ(InvalidField(Query(request).status()), "connection_id");
  EXPECT_THAT(QueryIn(id, "SELECT 1"), IsOk());
}

TEST_F(TransactionServiceTest, BatchesAndLoadsRunInTransactions) {
  const std::string id = Begin();
  pb::ExecuteBatchRequest batch;
  batch.mutable_transaction()->set_transaction_id(id);
  batch.add_steps()->set_sql("INSERT INTO item VALUES (1, 'a')");
  const auto run = Batch(batch);
  ASSERT_THAT(run, IsOk());
  EXPECT_EQ(run->transaction().transaction_id(), id);
  EXPECT_EQ(run->attempts(), 1);
  pb::BulkInsertRequest header = Header();
  header.clear_connection_id();
  header.mutable_transaction()->set_transaction_id(id);
  header.mutable_transaction()->set_commit(true);
  const auto loaded = Load({Items({2, 3}, header), Items({4})});
  ASSERT_THAT(loaded, IsOk());
  EXPECT_EQ(loaded->rows_affected(), 3);
  EXPECT_EQ(loaded->transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 4);
}

TEST_F(TransactionServiceTest, AStreamCommitsBeforeItsLastMessage) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  pb::StreamQueryRequest request;
  request.set_sql("SELECT * FROM item");
  request.mutable_transaction()->set_transaction_id(id);
  request.mutable_transaction()->set_commit(true);
  CollectingSink<pb::StreamQueryResponse> sink;
  EXPECT_THAT(executor_.Run(queries_.StreamQuery(ctx_, request, sink)), IsOk());
  ASSERT_FALSE(sink.messages.empty());
  EXPECT_TRUE(sink.messages.back().last());
  EXPECT_EQ(sink.messages.back().transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(Count(), 1);
}

TEST_F(TransactionServiceTest, AStreamWhosePeerWentAwayCommitsNothing) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  pb::StreamQueryRequest request;
  request.set_sql("SELECT * FROM item");
  request.mutable_transaction()->set_transaction_id(id);
  request.mutable_transaction()->set_commit(true);
  CollectingSink<pb::StreamQueryResponse> sink(/*limit=*/0);
  EXPECT_FALSE(executor_.Run(queries_.StreamQuery(ctx_, request, sink)).ok());
  EXPECT_THAT(Rollback(id), IsOk());
  EXPECT_EQ(Count(), 0);
}

TEST_F(TransactionServiceTest, AReadOnlyTransactionSeesOneStateAndBlocksNobody) {
  const std::string id = Begin(/*read_only=*/true);
  EXPECT_EQ(NumberIn(id, "SELECT count(*) FROM item"), 0);
  EXPECT_THAT(Query("INSERT INTO item VALUES (1, 'a')"), IsOk());
  EXPECT_EQ(NumberIn(id, "SELECT count(*) FROM item"), 0);
  EXPECT_THAT(QueryIn(id, "DELETE FROM item"),
              Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  EXPECT_EQ(NumberIn(id, "SELECT count(*) FROM item"), 0);
  EXPECT_THAT(Commit(id), IsOk());
}

TEST_F(TransactionServiceTest, AReadOnlyConnectionHasReadOnlyTransactions) {
  const auto begun = BeginWith({}, "guarded");
  ASSERT_THAT(begun, IsOk());
  EXPECT_THAT(QueryIn(begun->transaction().transaction_id(), "DELETE FROM item"),
              Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
}

TEST_F(TransactionServiceTest, SavepointsGoByName) {
  const std::string id = Begin();
  pb::SavepointRequest set;
  set.set_transaction_id(id);
  set.set_name("Before");
  EXPECT_THAT(executor_.Run(service_.Savepoint(ctx_, set)), IsOk());
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  EXPECT_FALSE(QueryIn(id, "INSERT INTO item VALUES (1, 'a')").ok());
  pb::RollbackToSavepointRequest back;
  back.set_transaction_id(id);
  back.set_name("before");
  EXPECT_THAT(executor_.Run(service_.RollbackToSavepoint(ctx_, back)),
              Fails(absl::StatusCode::kFailedPrecondition, "SAVEPOINT_NOT_FOUND"));
  back.set_name("Before");
  const auto revived = executor_.Run(service_.RollbackToSavepoint(ctx_, back));
  ASSERT_THAT(revived, IsOk());
  EXPECT_EQ(revived->transaction().state(), pb::TRANSACTION_STATE_ACTIVE);
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (2, 'b')"), IsOk());
  pb::ReleaseSavepointRequest release;
  release.set_transaction_id(id);
  release.set_name("Before");
  EXPECT_THAT(executor_.Run(service_.ReleaseSavepoint(ctx_, release)), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
  EXPECT_EQ(Number("SELECT sum(id) FROM item"), 2);
}

TEST_F(TransactionServiceTest, RollbackIsIdempotentAndCommitIsNot) {
  const std::string id = Begin();
  EXPECT_THAT(Rollback(id), IsOk());
  EXPECT_THAT(Rollback(id), IsOk());
  EXPECT_THAT(Commit(id), Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED"));
  const std::string committed = Begin();
  EXPECT_THAT(Commit(committed), IsOk());
  EXPECT_THAT(Commit(committed),
              Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_THAT(Rollback(committed),
              Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED"));
}

TEST_F(TransactionServiceTest, Fault43_ACommitRepeatedWithItsRequestIdIsAnsweredAgain) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  const auto first = Commit(id, kOne);
  ASSERT_THAT(first, IsOk());
  EXPECT_FALSE(first->replayed());
  const auto again = Commit(id, kOne);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  EXPECT_EQ(again->transaction().state(), pb::TRANSACTION_STATE_COMMITTED);
  EXPECT_THAT(Commit(id, kOther),
              Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED"));
  EXPECT_EQ(Count(), 1);
}

TEST_F(TransactionServiceTest, TheSameHoldsForOneThatOnlyRead) {
  const std::string id = Begin(/*read_only=*/true);
  EXPECT_THAT(QueryIn(id, "SELECT 1"), IsOk());
  ASSERT_THAT(Commit(id, kOne), IsOk());
  const auto again = Commit(id, kOne);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
  EXPECT_THAT(Commit(id, kOther),
              Fails(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FINISHED"));
}

TEST_F(TransactionServiceTest, ACommitWhoseTransactionIsForgottenIsFoundByItsRequestId) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  ASSERT_THAT(Commit(id, kOne), IsOk());
  core::Transactions others(core::TransactionLimits(), Clock::System());
  const Venues venues(connections_, others);
  TransactionService restarted(venues, tokens_, Clock::System());
  pb::CommitTransactionRequest request;
  request.set_transaction_id(id);
  request.set_request_id(kOne);
  EXPECT_THAT(executor_.Run(restarted.CommitTransaction(ctx_, request)),
              Fails(absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND"));
  request.set_connection_id("default");
  const auto again = executor_.Run(restarted.CommitTransaction(ctx_, request));
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->replayed());
}

TEST_F(TransactionServiceTest, OneRequestIdDoesNotCommitTwoTransactions) {
  const std::string id = Begin();
  EXPECT_THAT(Commit(id, kOne), IsOk());
  const std::string other = Begin();
  EXPECT_THAT(QueryIn(other, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  EXPECT_THAT(Commit(other, kOne), Fails(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_EQ(Count(), 0);
}

TEST_F(TransactionServiceTest, AQueryThatCommittedIsAnsweredAgain) {
  const std::string id = Begin();
  pb::QueryRequest last = In(id, "INSERT INTO item VALUES (1, 'a') RETURNING id", true);
  last.set_request_id(kOne);
  ASSERT_THAT(Query(last), IsOk());
  const auto again = Query(last);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->rows_affected(), 1);
  ASSERT_EQ(again->rows_size(), 1);
  EXPECT_EQ(again->rows(0).values(0).int64_value(), 1);
  EXPECT_EQ(Count(), 1);
}

TEST_F(TransactionServiceTest, ACommitThatRidesWithAReadHasAnOutcomeToo) {
  const std::string id = Begin();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  pb::QueryRequest last = In(id, "SELECT count(*) FROM item", true);
  last.set_request_id(kOne);
  ASSERT_THAT(Query(last), IsOk());
  EXPECT_EQ(Outcome(kOne), pb::TRANSACTION_OUTCOME_COMMITTED);
  const auto again = Query(last);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->rows(0).values(0).int64_value(), 1);

  const std::string other = Begin();
  EXPECT_THAT(QueryIn(other, "INSERT INTO item VALUES (2, 'b')"), IsOk());
  pb::ExecuteBatchRequest batch;
  batch.mutable_transaction()->set_transaction_id(other);
  batch.mutable_transaction()->set_commit(true);
  batch.add_steps()->set_sql("SELECT count(*) FROM item");
  batch.set_request_id(kOther);
  ASSERT_THAT(Batch(batch), IsOk());
  EXPECT_EQ(Outcome(kOther), pb::TRANSACTION_OUTCOME_COMMITTED);
  ASSERT_THAT(Batch(batch), IsOk());
}

TEST_F(TransactionServiceTest, ALoadThatCommittedIsAnsweredAgain) {
  const std::string id = Begin();
  pb::BulkInsertRequest header = Header();
  header.mutable_transaction()->set_transaction_id(id);
  header.mutable_transaction()->set_commit(true);
  header.set_request_id(kOne);
  ASSERT_THAT(Load({Items({1}, header), Items({2, 3})}), IsOk());
  const auto again = Load({Items({1}, header), Items({2, 3})});
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->rows_affected(), 3);
  EXPECT_TRUE(again->chunks(1).replayed());
  EXPECT_THAT(Load({Items({1}, header), Items({2, 4})}),
              Fails(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_EQ(Count(), 3);
}

TEST_F(TransactionServiceTest, AWriteInATransactionThatWasRolledBackIsNotRemembered) {
  const std::string id = Begin();
  pb::QueryRequest write = In(id, "INSERT INTO item VALUES (1, 'a')");
  write.set_request_id(kOne);
  ASSERT_THAT(Query(write), IsOk());
  ASSERT_THAT(Query(write), IsOk());  // the same transaction has done it
  EXPECT_THAT(Rollback(id), IsOk());
  EXPECT_EQ(Outcome(kOne), pb::TRANSACTION_OUTCOME_ROLLED_BACK);
  EXPECT_FALSE(Query(write).ok());
  EXPECT_EQ(Count(), 0);
}

TEST_F(TransactionServiceTest, TheOutcomeIsKnownByIdAndByRequestId) {
  const std::string id = Begin();
  pb::GetTransactionOutcomeRequest request;
  request.set_transaction_id(id);
  auto outcome = executor_.Run(service_.GetTransactionOutcome(ctx_, request));
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->outcome(), pb::TRANSACTION_OUTCOME_PENDING);
  EXPECT_EQ(Outcome(kOne), pb::TRANSACTION_OUTCOME_ROLLED_BACK);
  EXPECT_THAT(Commit(id, kOne), IsOk());
  outcome = executor_.Run(service_.GetTransactionOutcome(ctx_, request));
  ASSERT_THAT(outcome, IsOk());
  EXPECT_EQ(outcome->outcome(), pb::TRANSACTION_OUTCOME_COMMITTED);
  EXPECT_EQ(Outcome(kOne), pb::TRANSACTION_OUTCOME_COMMITTED);
  request.set_connection_id("default");
  request.set_outcome_token("token");
  EXPECT_THAT(executor_.Run(service_.GetTransactionOutcome(ctx_, request)),
              Fails(absl::StatusCode::kUnimplemented, "FIELD_NOT_IMPLEMENTED"));
  EXPECT_EQ(
      InvalidField(
          executor_.Run(service_.GetTransactionOutcome(ctx_, pb::GetTransactionOutcomeRequest()))
              .status()),
      "key");
}

TEST_F(TransactionServiceTest, AnOperatorSeesAndEndsATransaction) {
  pb::TransactionOptions options;
  options.set_label("mine");
  const auto begun = BeginWith(options);
  ASSERT_THAT(begun, IsOk());
  const std::string id = begun->transaction().transaction_id();
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'secret')"), IsOk());
  const pb::ListTransactionsResponse listed = List();
  ASSERT_EQ(listed.transactions_size(), 1);
  const pb::Transaction& shown = listed.transactions(0);
  EXPECT_EQ(shown.label(), "mine");
  EXPECT_EQ(shown.connection_name(), "default");
  EXPECT_EQ(shown.state(), pb::TRANSACTION_STATE_ACTIVE);
  EXPECT_EQ(shown.statements(), 1);
  EXPECT_EQ(shown.last_statement(), "insert into item values (?, ?)");
  EXPECT_EQ(shown.fingerprint().size(), 16u);
  EXPECT_TRUE(shown.holds_writer());
  EXPECT_EQ(listed.DebugString().find(id), std::string::npos);

  pb::EndTransactionRequest end;
  EXPECT_EQ(InvalidField(executor_.Run(service_.EndTransaction(ctx_, end)).status()), "handle");
  end.set_handle(shown.handle());
  EXPECT_THAT(executor_.Run(service_.EndTransaction(ctx_, end)), IsOk());
  EXPECT_THAT(executor_.Run(service_.EndTransaction(ctx_, end)),
              Fails(absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND"));
  const auto told = QueryIn(id, "SELECT 1");
  EXPECT_THAT(told, Fails(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED"));
  EXPECT_EQ(errors::MetadataOf(told.status(), "ended_by"), "operator");
  EXPECT_EQ(errors::MetadataOf(told.status(), "transaction_state"), "ROLLED_BACK");
  EXPECT_EQ(Count(), 0);
}

TEST_F(TransactionServiceTest, ListsComeInPagesTheOldestFirst) {
  std::set<std::string> seen;
  for (int i = 0; i < 5; ++i) Begin();
  pb::ListTransactionsRequest request;
  request.set_page_size(2);
  for (const int expected : {2, 2, 1}) {
    const pb::ListTransactionsResponse page = List(request);
    EXPECT_EQ(page.total_size(), 5);
    EXPECT_EQ(page.transactions_size(), expected);
    for (const pb::Transaction& each : page.transactions()) seen.insert(each.handle());
    request.set_page_token(page.next_page_token());
  }
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_TRUE(request.page_token().empty());
  request.set_connection_id("second");
  EXPECT_EQ(List(request).total_size(), 0);
}

TEST_F(TransactionServiceTest, AnotherPrincipalsHandleIsAsUnknownAsNone) {
  const Principal alice{"alice"};
  const Principal bob{"bob"};
  ctx_.who = &alice;
  const std::string id = Begin();
  ctx_.who = &bob;
  const absl::Status foreign = QueryIn(id, "SELECT 1").status();
  const absl::Status unknown = QueryIn("txn_unknown", "SELECT 1").status();
  EXPECT_THAT(foreign, Fails(absl::StatusCode::kNotFound, "TRANSACTION_NOT_FOUND"));
  EXPECT_EQ(foreign.message(), unknown.message());
  EXPECT_FALSE(Commit(id).ok());
  EXPECT_FALSE(Rollback(id).ok());
  ctx_.who = &alice;
  EXPECT_THAT(QueryIn(id, "SELECT 1"), IsOk());
}

TEST_F(TransactionServiceTest, SessionSettingsAreNotBuiltYet) {
  pb::BeginTransactionRequest request;
  request.set_connection_id("default");
  request.mutable_session();
  EXPECT_THAT(executor_.Run(service_.BeginTransaction(ctx_, request)),
              Fails(absl::StatusCode::kUnimplemented, "FIELD_NOT_IMPLEMENTED"));
}

TEST_F(TransactionServiceTest, OptionsAreChecked) {
  pb::TransactionOptions options;
  options.set_label(std::string(65, 'x'));
  EXPECT_EQ(InvalidField(BeginWith(options).status()), "options.label");
  options.clear_label();
  options.set_isolation(static_cast<pb::IsolationLevel>(99));
  EXPECT_EQ(InvalidField(BeginWith(options).status()), "options.isolation");
  options.clear_isolation();
  options.mutable_idle_timeout();
  EXPECT_EQ(InvalidField(BeginWith(options).status()), "idle_timeout");
}

TEST_F(TransactionServiceTest, WhileTheServerDrainsOnlyOpenTransactionsGoOn) {
  const std::string id = Begin();
  ctx_.draining = true;
  EXPECT_THAT(Query("SELECT 1"), Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_THAT(BeginWith({}), Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  pb::QueryRequest begins = Request("SELECT 1");
  begins.mutable_transaction()->mutable_begin();
  EXPECT_THAT(Query(begins), Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_THAT(QueryIn(id, "INSERT INTO item VALUES (1, 'a')"), IsOk());
  EXPECT_THAT(Commit(id), IsOk());
  ctx_.draining = false;
  EXPECT_EQ(Count(), 1);
}

}  // namespace
}  // namespace sluice::services
