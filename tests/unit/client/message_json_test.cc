#include "client/cli/message_json.h"

#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sluice/v1/query.pb.h"
#include "sluice/v1/schema.pb.h"

namespace sluice::cli {
namespace {

nlohmann::json Json(const google::protobuf::Message& message) {
  std::string text;
  AppendMessageJson(message, &text);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  return nlohmann::json::parse(text);
}

TEST(MessageJson, HasAllFieldsUnderTheContractsNames) {
  v1::DescribeTableResponse table;
  table.set_name("a\n\"b\"");
  table.set_kind(v1::TABLE_KIND_VIEW);
  auto& column = *table.add_columns();
  column.set_name("id");
  column.set_type(v1::VALUE_TYPE_INT64);
  column.set_default_expression("0");
  const auto json = Json(table);
  EXPECT_EQ(json["name"], "a\n\"b\"");
  EXPECT_EQ(json["kind"], "view");
  EXPECT_EQ(json["strict"], false);
  EXPECT_TRUE(json["primary_key"].is_null());
  EXPECT_TRUE(json["row_estimate"].is_null());
  EXPECT_TRUE(json["indexes"].is_array());
  EXPECT_EQ(json["columns"][0]["type"], "int64");
  EXPECT_EQ(json["columns"][0]["default_expression"], "0");
  EXPECT_TRUE(json["columns"][0]["generation_expression"].is_null());
  table.set_row_estimate(int64_t{1} << 60);
  EXPECT_EQ(Json(table)["row_estimate"], int64_t{1} << 60);
}

TEST(MessageJson, KnowsNestedEnumsMapsAndValues) {
  v1::ExplainResponse plan;
  plan.add_findings()->set_kind(v1::PlanFinding::KIND_FULL_SCAN);
  plan.mutable_plan()->add_children()->set_estimated_rows(1.5);
  EXPECT_EQ(Json(plan)["findings"][0]["kind"], "full_scan");
  EXPECT_EQ(Json(plan)["plan"]["children"][0]["estimated_rows"], 1.5);
  EXPECT_EQ(Json(plan)["plan"]["operation"], "unspecified");

  v1::StepError error;
  (*error.mutable_metadata())["row"] = "7";
  EXPECT_EQ(Json(error)["metadata"]["row"], "7");
  v1::Row row;
  row.add_values()->set_int64_value(7);
  EXPECT_EQ(Json(row)["values"][0], 7);
}

}  // namespace
}  // namespace sluice::cli
