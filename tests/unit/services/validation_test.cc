#include "server/services/validation.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

constexpr int kDepth = 32;

pb::QueryRequest Request() {
  pb::QueryRequest request;
  request.set_connection_id("default");
  request.set_sql("SELECT 1");
  return request;
}

// A value `depth` deep, where a plain one has depth 1.
pb::Value Nested(int depth) {
  pb::Value value;
  value.set_int64_value(1);
  for (int i = 1; i < depth; ++i) {
    pb::Value outer;
    switch (i % 3) {
      case 0:
        *outer.mutable_array_value()->add_values() = std::move(value);
        break;
      case 1:
        *outer.mutable_composite_value()->add_values() = std::move(value);
        break;
      default:
        *outer.mutable_range_value()->mutable_upper() = std::move(value);
    }
    value = std::move(outer);
  }
  return value;
}

TEST(Validation, APlainRequestPasses) {
  EXPECT_TRUE(CheckRequest(Request(), kDepth).ok());
}

TEST(Validation, SqlIsNeitherEmptyNorLongerThanAMebibyte) {
  pb::QueryRequest request = Request();
  request.set_sql(std::string(1 << 20, ' '));
  EXPECT_TRUE(CheckRequest(request, kDepth).ok());
  request.set_sql(std::string((1 << 20) + 1, ' '));
  EXPECT_EQ(InvalidField(CheckRequest(request, kDepth)), "sql");
  request.clear_sql();
  EXPECT_EQ(InvalidField(CheckRequest(request, kDepth)), "sql");

  EXPECT_EQ(InvalidField(CheckRequest(pb::StreamQueryRequest(), kDepth)), "sql");
}

TEST(Validation, ValuesMayBeNestedSoDeepAndNoDeeper) {
  pb::QueryRequest request = Request();
  request.add_params()->set_bool_value(true);
  *request.add_params() = Nested(32);
  EXPECT_TRUE(CheckRequest(request, kDepth).ok());
  *request.mutable_params(1) = Nested(33);
  EXPECT_EQ(InvalidField(CheckRequest(request, kDepth)), "params[1]");

  request = Request();
  (*request.mutable_named_params())["deep"] = Nested(4);
  EXPECT_TRUE(CheckRequest(request, 4).ok());
  EXPECT_EQ(InvalidField(CheckRequest(request, 3)), "named_params[\"deep\"]");
}

TEST(Validation, BothBoundsOfARangeAndEveryElementCount) {
  pb::QueryRequest request = Request();
  *request.add_params()->mutable_range_value()->mutable_lower() = Nested(3);
  EXPECT_EQ(InvalidField(CheckRequest(request, 3)), "params[0]");

  request = Request();
  pb::Array* array = request.add_params()->mutable_array_value();
  *array->add_values() = Nested(1);
  *array->add_values() = Nested(3);
  EXPECT_EQ(InvalidField(CheckRequest(request, 3)), "params[0]");
  EXPECT_TRUE(CheckRequest(request, 4).ok());
}

TEST(Validation, LabelsHaveBounds) {
  pb::QueryRequest request = Request();
  auto& labels = *request.mutable_labels();
  for (int i = 0; i < 16; ++i) labels[absl::StrCat("key", i)] = "value";
  labels.erase("key0");
  labels[std::string(64, 'k')] = std::string(256, 'v');
  EXPECT_TRUE(CheckRequest(request, kDepth).ok());

  labels["one more"] = "";
  EXPECT_EQ(InvalidField(CheckRequest(request, kDepth)), "labels");

  labels.clear();
  labels[std::string(65, 'k')] = "v";
  EXPECT_EQ(InvalidField(CheckRequest(request, kDepth)),
            absl::StrCat("labels[\"", std::string(64, 'k'), "\"]"));

  labels.clear();
  labels["k"] = std::string(257, 'v');
  EXPECT_EQ(InvalidField(CheckRequest(request, kDepth)), "labels[\"k\"]");
}

TEST(Validation, ANameInAnErrorsPathIsOneShortLine) {
  pb::QueryRequest request = Request();
  (*request.mutable_labels())[absl::StrCat("a\nb", std::string(300, 'c'))] = "";
  const std::string field = InvalidField(CheckRequest(request, kDepth));
  EXPECT_EQ(field.find('\n'), std::string::npos);
  EXPECT_LT(field.size(), 100U);
}

TEST(Validation, ALimitIsDefaultedTakenOrRefused) {
  EXPECT_EQ(*LimitOf("max_rows", 0, 1000, 5000), 1000);
  EXPECT_EQ(*LimitOf("max_rows", 1, 1000, 5000), 1);
  EXPECT_EQ(*LimitOf("max_rows", 5000, 1000, 5000), 5000);
  EXPECT_EQ(InvalidField(LimitOf("max_rows", 5001, 1000, 5000).status()), "max_rows");
  EXPECT_EQ(InvalidField(LimitOf("max_rows", -1, 1000, 5000).status()), "max_rows");
  EXPECT_EQ(InvalidField(LimitOf("max_bytes", INT64_MIN, 1000, 5000).status()), "max_bytes");
}

TEST(Validation, AChunkIsCoercedUnlessItIsNegative) {
  constexpr int64_t kMost = 256 << 10;
  EXPECT_EQ(*ChunkBytesOf(0, kMost), kMost);
  EXPECT_EQ(*ChunkBytesOf(1, kMost), 4 << 10);
  EXPECT_EQ(*ChunkBytesOf(64 << 10, kMost), 64 << 10);
  EXPECT_EQ(*ChunkBytesOf(1 << 30, kMost), kMost);
  EXPECT_EQ(InvalidField(ChunkBytesOf(-1, kMost).status()), "chunk_bytes");
}

TEST(Validation, RetriesAreDefaultedOrBounded) {
  pb::RetryOptions options;
  EXPECT_EQ(RetryPolicyOf(options)->max_attempts, 3);
  EXPECT_EQ(RetryPolicyOf(options)->delay, absl::Seconds(1));

  options.set_max_attempts(10);
  options.mutable_delay();
  EXPECT_EQ(RetryPolicyOf(options)->max_attempts, 10);
  EXPECT_EQ(RetryPolicyOf(options)->delay, absl::ZeroDuration());

  options.set_max_attempts(11);
  EXPECT_EQ(InvalidField(RetryPolicyOf(options).status()), "retry.max_attempts");
  options.set_max_attempts(-1);
  EXPECT_EQ(InvalidField(RetryPolicyOf(options).status()), "retry.max_attempts");
  options.set_max_attempts(1);

  options.mutable_delay()->set_seconds(60);
  EXPECT_EQ(RetryPolicyOf(options)->delay, absl::Seconds(60));
  options.mutable_delay()->set_nanos(1);
  EXPECT_EQ(InvalidField(RetryPolicyOf(options).status()), "retry.delay");
  options.mutable_delay()->set_seconds(INT64_MAX);
  EXPECT_EQ(InvalidField(RetryPolicyOf(options).status()), "retry.delay");
  options.mutable_delay()->set_seconds(0);
  options.mutable_delay()->set_nanos(-1);
  EXPECT_EQ(InvalidField(RetryPolicyOf(options).status()), "retry.delay");
}

}  // namespace
}  // namespace sluice::services
