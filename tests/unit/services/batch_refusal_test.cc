// What a batch is refused for before any of it runs.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/batch_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;

class BatchRefusal : public BatchFixture {
 protected:
  // The field that the request is refused for.
  std::string Refused() { return InvalidField(Run().status()); }

  // The field that is not built yet, or what else is said.
  std::string NotBuilt() {
    const absl::Status status = Run().status();
    if (status.code() != absl::StatusCode::kUnimplemented) return status.ToString();
    EXPECT_EQ(errors::ReasonOf(status), "FIELD_NOT_IMPLEMENTED");
    return errors::MetadataOf(status, "field");
  }
};

TEST_F(BatchRefusal, TheConnectionIsNamedAndExists) {
  AddItems({1});
  request_.set_connection_id("");
  EXPECT_EQ(Refused(), "connection_id");
  request_.set_connection_id("other");
  EXPECT_THAT(Run(), Fails(absl::StatusCode::kNotFound, "CONNECTION_NOT_FOUND"));
}

TEST_F(BatchRefusal, ThereIsAtLeastOneStep) {
  EXPECT_EQ(Refused(), "steps");
}

TEST_F(BatchRefusal, TenThousandExecutionsRunAndNotOneMore) {
  pb::BatchStep& many = Add(kInsert);
  for (int i = 0; i < 9999; ++i) AddItem(many, i);
  Add("SELECT 1");
  const auto response = Run();
  ASSERT_THAT(response, IsOk());
  EXPECT_EQ(response->results_size(), 10'000);
  EXPECT_EQ(response->rows_affected(), 9999);

  Add("DELETE FROM item");
  EXPECT_EQ(Refused(), "steps");
  request_.mutable_steps()->RemoveLast();
  AddItem(*request_.mutable_steps(0), 9999);
  EXPECT_EQ(Refused(), "steps");
  EXPECT_EQ(Count(), 9999);
}

TEST_F(BatchRefusal, AStepsSqlIsNeitherEmptyNorLongerThanAMebibyte) {
  const std::string fitting = "SELECT 1 --" + std::string((1 << 20) - 11, 'x');
  Add("SELECT 1");
  pb::BatchStep& step = Add(fitting);
  EXPECT_THAT(Run(), IsOk());
  step.set_sql(fitting + "x");
  EXPECT_EQ(Refused(), "steps[1].sql");
  step.set_sql("");
  EXPECT_EQ(Refused(), "steps[1].sql");
}

TEST_F(BatchRefusal, LimitsOfResultsHaveBounds) {
  Add("SELECT 1");
  request_.set_max_rows(1'000'000);
  request_.set_max_bytes(64 << 20);
  EXPECT_THAT(Run(), IsOk());
  for (const int64_t rows : {int64_t{-1}, int64_t{1'000'001}}) {
    request_.set_max_rows(rows);
    EXPECT_EQ(Refused(), "max_rows") << rows;
  }
  request_.set_max_rows(0);
  for (const int64_t bytes : {int64_t{-1}, int64_t{(64 << 20) + 1}}) {
    request_.set_max_bytes(bytes);
    EXPECT_EQ(Refused(), "max_bytes") << bytes;
  }
}

TEST_F(BatchRefusal, BoundsOfAffectedRowsAreNotNegative) {
  AddItems({1});
  request_.set_max_affected_rows(-1);
  EXPECT_EQ(Refused(), "max_affected_rows");
  request_.set_max_affected_rows(0);
  Add("SELECT 1").set_max_affected_rows(-1);
  EXPECT_EQ(Refused(), "steps[1].max_affected_rows");
  EXPECT_EQ(Count(), 0);
}

TEST_F(BatchRefusal, ABoundOfAllExecutionsIsForAtomicBatchesAlone) {
  AddItems({1});
  request_.set_max_affected_rows(1);
  for (const pb::BatchMode mode : {pb::BATCH_MODE_STOP_ON_ERROR, pb::BATCH_MODE_CONTINUE}) {
    request_.set_mode(mode);
    EXPECT_EQ(Refused(), "max_affected_rows");
  }
  EXPECT_EQ(Count(), 0);
  request_.set_mode(pb::BATCH_MODE_ATOMIC);
  EXPECT_THAT(Run(), IsOk());
}

TEST_F(BatchRefusal, AModeIsOneThatIsKnown) {
  AddItems({1});
  request_.set_mode(static_cast<pb::BatchMode>(4));
  EXPECT_EQ(Refused(), "mode");
}

TEST_F(BatchRefusal, SetsOfValuesDoNotStandBesideValues) {
  Add("SELECT 1");
  pb::BatchStep& step = Add(kInsert);
  AddItem(step, 1);
  step.add_params();
  EXPECT_EQ(Refused(), "steps[1].parameter_sets");
  step.clear_params();
  (*step.mutable_named_params())["id"].set_int64_value(1);
  EXPECT_EQ(Refused(), "steps[1].parameter_sets");
  step.clear_named_params();
  EXPECT_THAT(Run(), IsOk());
}

TEST_F(BatchRefusal, WhatIsNotBuiltYetIsNamed) {
  Add("SELECT 1");
  request_.mutable_session();
  EXPECT_EQ(NotBuilt(), "session");
}

TEST_F(BatchRefusal, TypesOfParametersFitEachSetOfValues) {
  Add("SELECT 1");
  pb::BatchStep& step = Add(kInsert);
  step.add_param_types(pb::VALUE_TYPE_INT64);
  EXPECT_EQ(Refused(), "steps[1].param_types");
  AddItem(step, 1);
  EXPECT_THAT(Run(), IsOk());
  AddItem(step, 2);
  step.mutable_parameter_sets(1)->mutable_params(0)->set_string_value("2");
  EXPECT_EQ(Refused(), "steps[1].parameter_sets[1].params[0]");
}

TEST_F(BatchRefusal, ValuesThatAreNestedTooDeepAreNamedWithTheirPlace) {
  pb::Value deep;
  pb::Value* inner = &deep;
  for (int i = 0; i < 32; ++i) inner = inner->mutable_array_value()->add_values();
  inner->set_int64_value(1);
  *Add("SELECT ?").add_params() = deep;
  EXPECT_EQ(Refused(), "steps[0].params[0]");

  *request_.mutable_steps(0)->mutable_params(0) = deep.array_value().values(0);
  EXPECT_THAT(Run().status().message(), ::testing::Not(::testing::HasSubstr("nested")));

  request_.clear_steps();
  pb::BatchStep& step = Add("SELECT :x");
  (*step.add_parameter_sets()->mutable_named_params())["x"].set_int64_value(1);
  (*step.add_parameter_sets()->mutable_named_params())["x"] = deep;
  EXPECT_EQ(Refused(), "steps[0].parameter_sets[1].named_params[\"x\"]");
}

TEST_F(BatchRefusal, LabelsRetriesAndIdsHaveBounds) {
  AddItems({1});
  request_.mutable_retry()->set_max_attempts(11);
  EXPECT_EQ(Refused(), "retry.max_attempts");
  request_.clear_retry();
  (*request_.mutable_labels())["key"] = std::string(257, 'v');
  EXPECT_EQ(Refused(), "labels[\"key\"]");
  request_.clear_labels();
  request_.set_request_id("once");
  EXPECT_EQ(Refused(), "request_id");
  EXPECT_EQ(Count(), 0);
}

}  // namespace
}  // namespace sluice::services
