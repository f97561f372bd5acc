#include "client/cli/parameters.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

std::string Parsed(const std::string& text) {
  const auto value = ParseParameter(text);
  return value.ok() ? value->ShortDebugString() : "error";
}

TEST(CliParameters, JsonLikeWordsAndNumbersAreTyped) {
  EXPECT_EQ(Parsed("null"), "null_value: NULL_VALUE");
  EXPECT_EQ(Parsed("true"), "bool_value: true");
  EXPECT_EQ(Parsed("false"), "bool_value: false");
  EXPECT_EQ(Parsed("0"), "int64_value: 0");
  EXPECT_EQ(Parsed("-5"), "int64_value: -5");
  EXPECT_EQ(Parsed("9223372036854775807"), "int64_value: 9223372036854775807");
  EXPECT_EQ(Parsed("-9223372036854775808"), "int64_value: -9223372036854775808");
  EXPECT_EQ(Parsed("1.5"), "double_value: 1.5");
  EXPECT_EQ(Parsed("1e3"), "double_value: 1000");
  EXPECT_EQ(Parsed("-2.5E-1"), "double_value: -0.25");
}

TEST(CliParameters, AllElseIsText) {
  for (const char* text :
       {"",   "hello", "NULL", "True", "007",   "+5",  ".5",  "5.",       "1e",    "0x10",
        "1 ", " 1",    "-",    "--1",  "1.2.3", "nan", "inf", "Infinity", "[1,2]", "{}"}) {
    const auto value = ParseParameter(text);
    ASSERT_TRUE(value.ok()) << text;
    ASSERT_TRUE(value->has_string_value()) << text;
    EXPECT_EQ(value->string_value(), text);
  }
}

TEST(CliParameters, APrefixForcesTheType) {
  EXPECT_EQ(Parsed("text:5"), "string_value: \"5\"");
  EXPECT_EQ(Parsed("text:text:x"), "string_value: \"text:x\"");
  EXPECT_EQ(Parsed("text:"), "string_value: \"\"");
  EXPECT_EQ(Parsed("int:5"), "int64_value: 5");
  EXPECT_EQ(Parsed("real:5"), "double_value: 5");
  EXPECT_EQ(Parsed("real:-inf"), "double_value: -inf");
  EXPECT_EQ(Parsed("blob:00fF"), "bytes_value: \"\\000\\377\"");
  EXPECT_EQ(Parsed("blob:"), "bytes_value: \"\"");
  EXPECT_EQ(Parsed("json:{\"a\":[1]}"), "json_value: \"{\\\"a\\\":[1]}\"");
}

TEST(CliParameters, WhatDoesNotFitIsRefusedInsteadOfChanged) {
  for (const char* text :
       {"9223372036854775808", "-9223372036854775809", "1e999", "int:x", "int:1.5",
        "int:", "real:x", "real:", "blob:0", "blob:xy", "json:{", "json:", "\xFF", "text:\xC3"}) {
    const auto value = ParseParameter(text);
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(CliParameters, NamesComeWithOrWithoutTheirSign) {
  for (const char* text : {"id=7", ":id=7", "@id=7", "$id=7"}) {
    const auto named = ParseNamedParameter(text);
    ASSERT_TRUE(named.ok()) << text;
    EXPECT_EQ(named->first, "id");
    EXPECT_EQ(named->second.int64_value(), 7);
  }
  const auto value = ParseNamedParameter("q=a=b");
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value->second.string_value(), "a=b");
  EXPECT_TRUE(IsNamedParameter("n=")) << "an empty text is a value";
  EXPECT_FALSE(IsNamedParameter("SELECT :a = 1"));
  EXPECT_FALSE(ParseNamedParameter("id").ok());
  EXPECT_FALSE(ParseNamedParameter("=7").ok());
  EXPECT_FALSE(ParseNamedParameter(":=7").ok());
}

TEST(CliParameters, TimeoutsHaveUnits) {
  EXPECT_EQ(ParseTimeout("5").value(), absl::Seconds(5));
  EXPECT_EQ(ParseTimeout("0.5").value(), absl::Milliseconds(500));
  EXPECT_EQ(ParseTimeout("250ms").value(), absl::Milliseconds(250));
  EXPECT_EQ(ParseTimeout("1h30m").value(), absl::Minutes(90));
  for (const char* text : {"", "0", "-1", "0s", "fast", "inf", "nan", "5 parsecs"}) {
    EXPECT_FALSE(ParseTimeout(text).ok()) << text;
  }
}

}  // namespace
}  // namespace sluice::cli
