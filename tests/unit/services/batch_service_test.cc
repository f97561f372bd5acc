#include "server/services/batch_service.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/services/step_error.h"
#include "tests/unit/services/batch_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;
using test::WasExecuted;

constexpr pb::BatchMode kModes[] = {pb::BATCH_MODE_ATOMIC, pb::BATCH_MODE_STOP_ON_ERROR,
                                    pb::BATCH_MODE_CONTINUE};

using BatchServiceTest = BatchFixture;

// What a batch answers.

TEST_F(BatchServiceTest, EveryExecutionHasItsResult) {
  AddItems({7, 9});
  Add("SELECT id, name FROM item WHERE id > $1 ORDER BY id").add_params()->set_int64_value(7);
  pb::BatchStep& named = Add("SELECT :what AS what");
  (*named.mutable_named_params())["what"].set_string_value("a name");
  Add("CREATE TABLE other (x)");
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results_size(), 5);
  EXPECT_EQ(response->failed(), 0);
  EXPECT_EQ(response->rows_affected(), 2);
  EXPECT_TRUE(response->has_elapsed());
  EXPECT_FALSE(response->has_transaction());

  const pb::StepResult& written = response->results(1);
  EXPECT_EQ(written.step(), 0);
  EXPECT_EQ(written.parameter_set(), 1);
  EXPECT_EQ(written.rows_affected(), 1);
  EXPECT_EQ(written.last_insert_rowid(), 9);
  EXPECT_EQ(written.command_tag(), "INSERT 0 1");
  EXPECT_FALSE(written.has_columns());
  EXPECT_FALSE(written.has_error());

  const pb::StepResult& read = response->results(2);
  EXPECT_EQ(read.step(), 1);
  EXPECT_EQ(read.parameter_set(), 0);
  EXPECT_TRUE(read.has_columns());
  ASSERT_EQ(read.columns_size(), 2);
  EXPECT_EQ(read.columns(1).name(), "name");
  ASSERT_EQ(read.rows_size(), 1) << "a step sees what the steps before it did";
  EXPECT_EQ(read.rows(0).values(0).int64_value(), 9);
  EXPECT_EQ(read.last_insert_rowid(), 0);
  EXPECT_EQ(response->results(3).rows(0).values(0).string_value(), "a name");
  EXPECT_EQ(response->results(4).command_tag(), "CREATE");
}

TEST_F(BatchServiceTest, AResultWithoutRowsIsStillOne) {
  Add("SELECT id FROM item");
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_TRUE(response->results(0).has_columns());
  EXPECT_EQ(response->results(0).columns_size(), 1);
  EXPECT_FALSE(response->results(0).truncated());
}

TEST_F(BatchServiceTest, EachResultIsCutAtMaxRowsAndAllAtMaxBytes) {
  constexpr char kNumbers[] =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) "
      "SELECT i, zeroblob(100) FROM n";
  Add(kNumbers);
  Add(kNumbers);
  auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results(1).rows_size(), 1000) << "the default";
  EXPECT_TRUE(response->results(1).truncated());

  request_.set_max_rows(1001);
  EXPECT_EQ(Run()->results(1).rows_size(), 1001);
  EXPECT_FALSE(Run()->results(1).truncated());

  request_.set_max_bytes(150'000);
  response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results(0).rows_size(), 1001);
  EXPECT_GT(response->results(1).rows_size(), 0);
  EXPECT_LT(response->results(1).rows_size(), 500);
  EXPECT_TRUE(response->results(1).truncated());
}

// What a failure does.

TEST_F(BatchServiceTest, ColumnsAreToldOncePerStep) {
  pb::BatchStep& read = Add("SELECT ?1 AS given");
  for (int i = 0; i < 3; ++i) read.add_parameter_sets()->add_params()->set_int64_value(i);
  Add("SELECT 1 AS other, 2");
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results_size(), 4);
  EXPECT_EQ(response->results(0).columns_size(), 1);
  EXPECT_EQ(response->results(1).columns_size(), 0);
  EXPECT_TRUE(response->results(1).has_columns());
  EXPECT_EQ(response->results(2).rows(0).values(0).int64_value(), 2);
  EXPECT_EQ(response->results(3).columns_size(), 2);
}

TEST_F(BatchServiceTest, ColumnsAreToldByTheFirstExecutionThatDidNotFail) {
  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  AddItems({1});
  pb::BatchStep& step = Add("INSERT INTO item VALUES (?, ?) RETURNING id");
  AddItem(step, 1);
  AddItem(step, 2);
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_TRUE(response->results(1).has_error());
  EXPECT_EQ(response->results(2).columns_size(), 1);
}

TEST_F(BatchServiceTest, ColumnsCountTowardsMaxBytes) {
  request_.set_max_bytes(10'000);
  const std::string name(6'000, 'x');
  for (const char* const end : {"1", "2", "3"}) Add("SELECT 1 AS " + name + end);
  Add("SELECT 5 AS short");
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results(0).columns_size(), 1);
  EXPECT_FALSE(response->results(0).truncated());
  for (const int without : {1, 2}) {
    EXPECT_TRUE(response->results(without).has_columns());
    EXPECT_EQ(response->results(without).columns_size(), 0);
    EXPECT_EQ(response->results(without).rows_size(), 0);
    EXPECT_TRUE(response->results(without).truncated());
  }
  EXPECT_EQ(response->results(3).rows_size(), 1);
  EXPECT_LT(response->ByteSizeLong(), 10'000U);
}

TEST_F(BatchServiceTest, ErrorsBeyondMaxBytesHaveNoWords) {
  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  request_.set_max_bytes(10'000);
  AddItems({1});
  pb::BatchStep& step = Add(kInsert);
  for (int i = 0; i < 1000; ++i) AddItem(step, 1);
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->failed(), 1000);
  EXPECT_FALSE(response->results(1).error().message().empty());
  const pb::StepError& last = response->results(1000).error();
  EXPECT_TRUE(last.message().empty());
  EXPECT_EQ(last.reason(), "SQL_ERROR");
  EXPECT_EQ(last.code(), static_cast<int>(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(last.metadata().at("executed"), "rolled_back");
  EXPECT_LT(response->ByteSizeLong(), 70'000U);
}

TEST_F(BatchServiceTest, ABatchThatEndsTheTransactionTooOftenFailsAsAWhole) {
  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  AddItems({1});
  pb::BatchStep& step = Add("INSERT OR ROLLBACK INTO item VALUES (?, ?)");
  for (int i = 0; i < 32; ++i) AddItem(step, 1);
  auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->failed(), 32);
  ASSERT_THAT(Query("DELETE FROM item"), IsOk());
  AddItem(step, 1);
  response = Run();
  EXPECT_THAT(response, Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
  EXPECT_EQ(errors::MetadataOf(response.status(), "parameter_set"), "32");
  EXPECT_EQ(Count(), 0);
}

TEST_F(BatchServiceTest, Fault49_AnAtomicFailureIsThatOfTheCallAndLeavesNothing) {
  for (const pb::BatchMode mode : {pb::BATCH_MODE_UNSPECIFIED, pb::BATCH_MODE_ATOMIC}) {
    request_.clear_steps();
    request_.set_mode(mode);
    AddItems({1});
    AddItems({2, 1, 3});
    const auto response = Run();
    EXPECT_THAT(response, Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
    EXPECT_THAT(response, WasExecuted("rolled_back"));
    EXPECT_EQ(errors::MetadataOf(response.status(), "step"), "1");
    EXPECT_EQ(errors::MetadataOf(response.status(), "parameter_set"), "1");
    EXPECT_EQ(Count(), 0);
  }
}

TEST_F(BatchServiceTest, Fault49_NothingRunsAfterTheFirstFailureOfStopOnError) {
  request_.set_mode(pb::BATCH_MODE_STOP_ON_ERROR);
  AddItems({1, 2, 1, 3});
  AddItems({4});
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results_size(), 3);
  EXPECT_EQ(response->failed(), 1);
  EXPECT_EQ(response->rows_affected(), 2);
  EXPECT_FALSE(response->results(1).has_error());
  EXPECT_EQ(response->results(2).parameter_set(), 2);
  EXPECT_EQ(response->results(2).error().code(),
            static_cast<int>(absl::StatusCode::kAlreadyExists));
  EXPECT_EQ(Count(), 2);
}

TEST_F(BatchServiceTest, Fault49_EveryOtherExecutionOfContinueRuns) {
  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  AddItems({1, 1, 2});
  Add("SELEC 1");
  AddItems({3});
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->results_size(), 5);
  EXPECT_EQ(response->failed(), 2);
  EXPECT_EQ(response->rows_affected(), 3);
  EXPECT_EQ(response->results(1).error().reason(), "SQL_ERROR");
  EXPECT_EQ(response->results(3).step(), 1);
  EXPECT_EQ(response->results(3).error().code(),
            static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(Count(), 3);
}

TEST_F(BatchServiceTest, AStepsErrorHasWhatACallsErrorHas) {
  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  Add("INSERT INTO item VALUES (1, NULL)");
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  const pb::StepResult& result = response->results(0);
  EXPECT_EQ(result.rows_affected(), 0);
  EXPECT_EQ(result.command_tag(), "");
  const pb::StepError& error = result.error();
  EXPECT_EQ(error.code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(error.reason(), "SQL_ERROR");
  EXPECT_NE(error.message(), "");
  EXPECT_EQ(error.metadata().at("engine"), "sqlite");
  EXPECT_EQ(error.metadata().at("executed"), "rolled_back");
  EXPECT_EQ(error.sql().table(), "item");
  EXPECT_EQ(error.sql().column(), "name");
  EXPECT_EQ(error.sql().engine(), "sqlite");
}

TEST_F(BatchServiceTest, ValuesThatDoNotFitAreTheirExecutionsFailure) {
  pb::BatchStep& step = Add(kInsert);
  AddItem(step, 1);
  step.add_parameter_sets()->add_params()->set_int64_value(2);
  const auto atomic = Run();
  EXPECT_EQ(InvalidField(atomic.status()), "params[1]");
  EXPECT_EQ(errors::MetadataOf(atomic.status(), "step"), "0");
  EXPECT_EQ(errors::MetadataOf(atomic.status(), "parameter_set"), "1");
  EXPECT_THAT(atomic, WasExecuted("rolled_back"));

  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  const auto apart = Run();
  ASSERT_THAT(apart, IsOk());
  EXPECT_EQ(apart->results(1).error().reason(), "PARAMETER_INVALID");
  EXPECT_THAT(apart->results(1).error().message(), ::testing::HasSubstr("params[1]"));
  EXPECT_EQ(apart->results(1).error().metadata().at("executed"), "no");
  EXPECT_EQ(Count(), 1);
}

TEST_F(BatchServiceTest, Fault51_AStepIsOneStatementAndControlsNoTransaction) {
  Add("SELECT 1; DELETE FROM item");
  EXPECT_THAT(Run(), Fails(absl::StatusCode::kInvalidArgument, "STATEMENT_REFUSED"));
  request_.mutable_steps(0)->set_sql("COMMIT");
  EXPECT_THAT(Run(), Fails(absl::StatusCode::kInvalidArgument, "TRANSACTION_CONTROL_REFUSED"));

  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  AddItems({1});
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results(0).error().reason(), "TRANSACTION_CONTROL_REFUSED");
  EXPECT_EQ(Count(), 1);
}

TEST(StepErrorTest, ALongErrorIsCutAndAForeignOneIsAFault) {
  pb::StepError error;
  const absl::Status failure(absl::StatusCode::kAborted, std::string(5000, 'm'));
  SetStepError(errors::WithMetadata(failure, "fact", std::string(5000, 'f')), error);
  EXPECT_EQ(error.code(), static_cast<int>(absl::StatusCode::kAborted));
  EXPECT_EQ(error.reason(), "INTERNAL");
  EXPECT_THAT(error.message().size(), ::testing::AllOf(::testing::Gt(1000U), ::testing::Le(1030U)));
  EXPECT_LT(error.metadata().at("fact").size(), 270U);
  EXPECT_FALSE(error.has_sql());
}

// Bounds, trials and guards.

TEST_F(BatchServiceTest, AnAtomicBatchMayChangeSoManyRowsAndNotOneMore) {
  AddItems({1, 2, 3});
  request_.set_max_affected_rows(2);
  const auto response = Run();
  EXPECT_THAT(response, Fails(absl::StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_THAT(response, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(response.status(), "rows_affected"), "3");
  EXPECT_EQ(errors::MetadataOf(response.status(), "max_affected_rows"), "2");
  EXPECT_EQ(Count(), 0);
  request_.set_max_affected_rows(3);
  EXPECT_EQ(Run()->rows_affected(), 3);
}

TEST_F(BatchServiceTest, AStepsBoundIsThatOfEachOfItsExecutions) {
  pb::BatchStep& step = Add("INSERT INTO item SELECT value, 'item' FROM json_each(?)");
  step.set_max_affected_rows(2);
  step.add_parameter_sets()->add_params()->set_string_value("[1, 2]");
  step.add_parameter_sets()->add_params()->set_string_value("[3, 4]");
  EXPECT_EQ(Run()->rows_affected(), 4);

  ASSERT_THAT(Query("DELETE FROM item"), IsOk());
  step.mutable_parameter_sets(1)->mutable_params(0)->set_string_value("[3, 4, 5]");
  const auto atomic = Run();
  EXPECT_THAT(atomic, Fails(absl::StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_EQ(errors::MetadataOf(atomic.status(), "parameter_set"), "1");
  EXPECT_EQ(Count(), 0);

  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  AddItems({6});
  const auto apart = Run();
  ASSERT_THAT(apart, IsOk());
  EXPECT_EQ(apart->results(1).error().reason(), "AFFECTED_ROWS_EXCEEDED");
  EXPECT_EQ(apart->results(1).error().metadata().at("max_affected_rows"), "2");
  EXPECT_EQ(Number("SELECT sum(id) FROM item"), 1 + 2 + 6);
}

TEST_F(BatchServiceTest, RowsThatTriggersChangeDoNotCount) {
  ASSERT_THAT(Query("CREATE TABLE log (id)"), IsOk());
  ASSERT_THAT(Query("CREATE TRIGGER t AFTER INSERT ON item BEGIN "
                    "INSERT INTO log VALUES (new.id), (new.id); END"),
              IsOk());
  AddItems({1, 2});
  request_.set_max_affected_rows(2);
  request_.mutable_steps(0)->set_max_affected_rows(1);
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->rows_affected(), 2);
  EXPECT_EQ(Number("SELECT count(*) FROM log"), 4);
}

TEST_F(BatchServiceTest, ATrialAnswersInEveryModeAndLeavesNothing) {
  AddItems({1, 2});
  Add("SELECT count(*) FROM item");
  request_.set_validate_only(true);
  for (const pb::BatchMode mode : kModes) {
    request_.set_mode(mode);
    const auto response = Run();
    ASSERT_THAT(response, IsOk());
    ASSERT_EQ(response->results_size(), 3);
    EXPECT_EQ(response->rows_affected(), 2);
    EXPECT_EQ(response->results(2).rows(0).values(0).int64_value(), 2);
    EXPECT_EQ(Count(), 0);
  }
  AddItems({1});
  request_.set_mode(pb::BATCH_MODE_ATOMIC);
  EXPECT_THAT(Run(), Fails(absl::StatusCode::kAlreadyExists, "SQL_ERROR"));
  request_.set_mode(pb::BATCH_MODE_CONTINUE);
  EXPECT_EQ(Run()->failed(), 1);
  EXPECT_EQ(Count(), 0);
}

TEST_F(BatchServiceTest, AReadOnlyBatchOrConnectionRefusesToWriteInEveryMode) {
  Add("SELECT 1");
  AddItems({1});
  for (const pb::BatchMode mode : kModes) {
    request_.set_mode(mode);
    request_.set_connection_id("default");
    request_.set_read_only(true);
    EXPECT_THAT(Run(), Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
    request_.set_connection_id("guarded");
    request_.set_read_only(false);
    EXPECT_THAT(Run(), Fails(absl::StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  }
  EXPECT_EQ(Count(), 0);
  request_.mutable_steps()->RemoveLast();
  EXPECT_THAT(Run(), IsOk());
}

TEST_F(BatchServiceTest, WhatCertainlyDidNotRunIsTriedAgainAsOftenAsAsked) {
  connections_.CloseAll();
  AddItems({1});
  request_.mutable_retry()->set_max_attempts(2);
  request_.mutable_retry()->mutable_delay()->set_nanos(1'000'000);
  const auto response = Run();
  EXPECT_THAT(response, Fails(absl::StatusCode::kUnavailable, "POOL_CLOSED"));
  EXPECT_EQ(errors::MetadataOf(response.status(), "attempts"), "2");
}

}  // namespace
}  // namespace sluice::services
