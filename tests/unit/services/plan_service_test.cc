#include "server/services/plan_service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/catalog_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;

class PlanServiceTest : public CatalogTest {
 protected:
  PlanServiceTest() { Make({"CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)"}); }

  template <class Request>
  static Request Asking(absl::string_view sql) {
    Request request;
    request.set_connection_id("default");
    request.set_sql(std::string(sql));
    return request;
  }

  absl::StatusOr<pb::DescribeResponse> Describe(const pb::DescribeRequest& request) {
    return executor_.Run(service_.Describe(ctx_, request));
  }

  absl::StatusOr<pb::ExplainResponse> Explain(const pb::ExplainRequest& request) {
    return executor_.Run(service_.Explain(ctx_, request));
  }

  PlanService service_{connections_, /*value_depth=*/4};
};

TEST_F(PlanServiceTest, RefusesNoConnectionAndAnUnknownOne) {
  auto describe = Asking<pb::DescribeRequest>("SELECT 1");
  auto explain = Asking<pb::ExplainRequest>("SELECT 1");
  describe.clear_connection_id();
  explain.clear_connection_id();
  EXPECT_EQ(InvalidField(Describe(describe).status()), "connection_id");
  EXPECT_EQ(InvalidField(Explain(explain).status()), "connection_id");
  describe.set_connection_id("nobody");
  explain.set_connection_id("nobody");
  EXPECT_THAT(Describe(describe), Fails(absl::StatusCode::kNotFound, "CONNECTION_NOT_FOUND"));
  EXPECT_THAT(Explain(explain), Fails(absl::StatusCode::kNotFound, "CONNECTION_NOT_FOUND"));
}

TEST_F(PlanServiceTest, RefusesNoSqlAndTooMuch) {
  for (const std::string& sql : {std::string(), std::string((1 << 20) + 1, ' ')}) {
    EXPECT_EQ(InvalidField(Describe(Asking<pb::DescribeRequest>(sql)).status()), "sql");
    EXPECT_EQ(InvalidField(Explain(Asking<pb::ExplainRequest>(sql)).status()), "sql");
  }
}

TEST_F(PlanServiceTest, RefusesFieldsThatAreNotBuilt) {
  const auto request = Asking<pb::ExplainRequest>("SELECT 1");
  auto transaction = request;
  transaction.mutable_transaction();
  auto session = request;
  session.mutable_session();
  auto analyze = request;
  analyze.set_analyze(true);
  for (const auto& each : {transaction, session, analyze}) {
    EXPECT_THAT(Explain(each), Fails(absl::StatusCode::kUnimplemented, "FIELD_NOT_IMPLEMENTED"));
  }
}

TEST_F(PlanServiceTest, RefusesTypesThatItsValuesDoNotHave) {
  auto request = Asking<pb::ExplainRequest>("SELECT ?");
  request.add_params()->set_int64_value(1);
  request.add_param_types(pb::VALUE_TYPE_INT64);
  EXPECT_THAT(Explain(request), IsOk());
  request.set_param_types(0, pb::VALUE_TYPE_STRING);
  EXPECT_EQ(InvalidField(Explain(request).status()), "params[0]");
  request.add_param_types(pb::VALUE_TYPE_INT64);
  EXPECT_EQ(InvalidField(Explain(request).status()), "param_types");
}

TEST_F(PlanServiceTest, RefusesValuesThatNestTooDeeplyAndTooManyLabels) {
  auto request = Asking<pb::ExplainRequest>("SELECT ?");
  pb::Value* value = request.add_params();
  for (int i = 0; i < 4; ++i) value = value->mutable_array_value()->add_values();
  value->set_int64_value(1);
  EXPECT_EQ(InvalidField(Explain(request).status()), "params[0]");
  auto labelled = Asking<pb::DescribeRequest>("SELECT 1");
  for (int i = 0; i < 17; ++i) (*labelled.mutable_labels())[absl::StrCat("k", i)] = "v";
  EXPECT_EQ(InvalidField(Describe(labelled).status()), "labels");
}

TEST_F(PlanServiceTest, DescribesAStatement) {
  const auto response = Describe(Asking<pb::DescribeRequest>("SELECT name FROM item WHERE id = ?"));
  ASSERT_THAT(response, IsOk());
  ASSERT_EQ(response->columns_size(), 1);
  EXPECT_EQ(response->columns(0).name(), "name");
  EXPECT_EQ(response->parameters_size(), 1);
  EXPECT_TRUE(response->read_only());
  EXPECT_EQ(response->command(), "SELECT");
}

TEST_F(PlanServiceTest, ExplainsAStatementWithItsValues) {
  auto request = Asking<pb::ExplainRequest>("SELECT * FROM item WHERE name = :name");
  const auto unbound = Explain(request);
  ASSERT_THAT(unbound, IsOk());
  (*request.mutable_named_params())["name"].set_string_value("x");
  const auto bound = Explain(request);
  ASSERT_THAT(bound, IsOk());
  EXPECT_EQ(bound->text(), unbound->text());
  ASSERT_EQ(bound->findings_size(), 2);
  EXPECT_EQ(bound->findings(0).kind(), pb::PlanFinding::KIND_FULL_SCAN);
  EXPECT_EQ(bound->findings(1).suggestion(), "CREATE INDEX idx_item_name ON item (name)");
  EXPECT_EQ(bound->findings(0).suggestion(), bound->findings(1).suggestion());
  (*request.mutable_named_params())["other"].set_string_value("x");
  EXPECT_TRUE(absl::IsInvalidArgument(Explain(request).status()));
}

}  // namespace
}  // namespace sluice::services
