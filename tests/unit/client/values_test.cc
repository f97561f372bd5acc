#include "client/values.h"

#include <limits>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace sluice::client {
namespace {

TEST(ClientValues, EveryKindOfArgumentKeepsItsType) {
  EXPECT_TRUE(ToValue(nullptr).has_null_value());
  EXPECT_TRUE(ToValue(true).bool_value());
  EXPECT_EQ(ToValue(std::numeric_limits<int64_t>::min()).int64_value(),
            std::numeric_limits<int64_t>::min());
  EXPECT_EQ(ToValue(7u).int64_value(), 7);
  EXPECT_EQ(ToValue(0.5).double_value(), 0.5);
  EXPECT_EQ(ToValue(0.5F).float_value(), 0.5F);
  EXPECT_EQ(ToValue("text").string_value(), "text");
  EXPECT_EQ(ToValue(std::string("a\0b", 3)).string_value(), std::string("a\0b", 3));
  EXPECT_EQ(ToValue(Bytes{"\xFF"}).bytes_value(), "\xFF");
  EXPECT_TRUE(ToValue(std::optional<int>()).has_null_value());
  EXPECT_EQ(ToValue(std::optional<int>(3)).int64_value(), 3);
}

TEST(ClientValues, GetReadsTheKindThatIsThere) {
  EXPECT_EQ(Get<int64_t>(ToValue(5)).value(), 5);
  EXPECT_EQ(Get<double>(ToValue(1.5)).value(), 1.5);
  EXPECT_EQ(Get<double>(ToValue(1.5F)).value(), 1.5);
  EXPECT_EQ(Get<std::string>(ToValue("x")).value(), "x");
  EXPECT_EQ(Get<Bytes>(ToValue(Bytes{"x"})).value().data, "x");
  EXPECT_TRUE(Get<bool>(ToValue(1)).value());
}

TEST(ClientValues, GetConvertsNothingSilently) {
  EXPECT_EQ(Get<int64_t>(ToValue(1.0)).status().message(),
            "the value is of kind double, not int64");
  EXPECT_FALSE(Get<std::string>(ToValue(Bytes{"x"})).ok());
  EXPECT_FALSE(Get<std::string>(ToValue(nullptr)).ok());
  EXPECT_FALSE(Get<bool>(ToValue(2)).ok());
  EXPECT_FALSE(Get<double>(ToValue(1)).ok());
  EXPECT_EQ(Get<int64_t>(v1::Value()).status().message(), "the value is of kind unset, not int64");
}

TEST(ClientValues, NullReadsAsAnEmptyOptional) {
  EXPECT_EQ(Get<std::optional<int64_t>>(ToValue(nullptr)).value(), std::nullopt);
  EXPECT_EQ(Get<std::optional<int64_t>>(ToValue(4)).value(), 4);
  EXPECT_FALSE(Get<std::optional<int64_t>>(ToValue("4")).ok());
}

TEST(ClientValues, MakeQueryFillsInConnectionAndParameters) {
  const v1::QueryRequest request = MakeQuery("SELECT ?, ?, ?", 7, "seven", nullptr);
  EXPECT_EQ(request.connection_id(), "default");
  EXPECT_EQ(request.sql(), "SELECT ?, ?, ?");
  ASSERT_EQ(request.params_size(), 3);
  EXPECT_EQ(request.params(0).int64_value(), 7);
  EXPECT_EQ(request.params(1).string_value(), "seven");
  EXPECT_TRUE(request.params(2).has_null_value());
  EXPECT_EQ(MakeStreamQuery("SELECT 1").connection_id(), "default");
}

}  // namespace
}  // namespace sluice::client
