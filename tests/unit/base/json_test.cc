#include "server/base/json.h"

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using std::string_view_literals::operator""sv;

TEST(JsonString, EscapesWhatJsonAsksFor) {
  EXPECT_EQ(JsonString(""), R"("")");
  EXPECT_EQ(JsonString(R"(say "hi" \o/)"), R"("say \"hi\" \\o/")");
  EXPECT_EQ(JsonString("a\nb\rc\td"), R"("a\nb\rc\td")");
  EXPECT_EQ(JsonString("\0\x01\x1F"sv), R"("\u0000\u0001\u001f")");
}

TEST(JsonString, EscapesWhatTerminalsAndLineReadersObey) {
  EXPECT_EQ(JsonString("\x1B[2J\x7F"), R"("\u001b[2J\u007f")");
  EXPECT_EQ(JsonString("\xC2\x85\xC2\x9B"), R"("\u0085\u009b")");
  EXPECT_EQ(JsonString("\xE2\x80\xA8\xE2\x80\xA9"), R"("\u2028\u2029")");
}

TEST(JsonString, KeepsOtherCharactersAndReplacesBadBytes) {
  EXPECT_EQ(JsonString("Grüße 😀"), "\"Grüße 😀\"");
  EXPECT_EQ(JsonString("a\xFF"
                       "b\xF0\x9F"),
            "\"a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD\xEF\xBF\xBD\"");
}

TEST(JsonString, ReadsBackAsItWas) {
  std::string all;
  for (char c = 0; c < 127; ++c) all += c;
  all += "\x7F Grüße\xC2\xA0😀\xE2\x80\xA8";
  EXPECT_EQ(nlohmann::json::parse(JsonString(all)).get<std::string>(), all);
}

}  // namespace
}  // namespace sluice
