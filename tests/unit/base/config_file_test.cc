#include "server/base/config_file.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string WhyNot(absl::string_view text) {
  const auto entries = ParseConfigText(text);
  EXPECT_FALSE(entries.ok()) << text;
  return std::string(entries.status().message());
}

TEST(ConfigFile, FlattensSectionsInTheOrderOfTheLines) {
  const auto entries = ParseConfigText(
      "# comment\n"
      "listen = \"127.0.0.1:0\"\n"
      "log.sql = true\n"
      "[limits]\n"
      "max_rows = 10\n"
      "\n"
      "chunk_bytes = '64KiB'\n");
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 4u);
  EXPECT_EQ((*entries)[0].key, "listen");
  EXPECT_EQ((*entries)[0].text, "127.0.0.1:0");
  EXPECT_EQ((*entries)[0].type, FileValueType::kString);
  EXPECT_EQ((*entries)[0].line, 2);
  EXPECT_EQ((*entries)[1].key, "log.sql");
  EXPECT_EQ((*entries)[1].text, "true");
  EXPECT_EQ((*entries)[1].type, FileValueType::kBoolean);
  EXPECT_EQ((*entries)[2].key, "limits.max_rows");
  EXPECT_EQ((*entries)[2].text, "10");
  EXPECT_EQ((*entries)[2].type, FileValueType::kInteger);
  EXPECT_EQ((*entries)[2].line, 5);
  EXPECT_EQ((*entries)[3].key, "limits.chunk_bytes");
  EXPECT_EQ((*entries)[3].line, 7);
}

TEST(ConfigFile, OtherValuesKeepTheirPlace) {
  const auto entries = ParseConfigText("a = [1]\nb = 1.5\nc = 1979-05-27\n[d]\n");
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ((*entries)[i].type, FileValueType::kOther);
  EXPECT_EQ((*entries)[3].type, FileValueType::kEmptySection);
}

TEST(ConfigFile, AnEmptyFileSaysNothing) {
  const auto entries = ParseConfigText("");
  ASSERT_TRUE(entries.ok());
  EXPECT_TRUE(entries->empty());
}

TEST(ConfigFile, FaultsNameTheLine) {
  EXPECT_THAT(WhyNot("a = 1\nb = \n"), HasSubstr("line 2"));
  EXPECT_THAT(WhyNot("a = 1\na = 2\n"), HasSubstr("line 2"));
  EXPECT_THAT(WhyNot("[a\n"), HasSubstr("line 1"));
  EXPECT_THAT(WhyNot("a = \"\xFF\"\n"), HasSubstr("line 1"));
}

TEST(ConfigFile, FaultsRepeatNothingOfTheLine) {
  for (const char* text : {"url = postgres://u:hunter2@h/d\n", "url = \"hunter2\n", "hunter2\n",
                           "hunter2 = 1\nhunter2 = 2\n", "url = hunter2\n", "[hunter2\n",
                           "url = 'x' hunter2\n", "a.hunter2 = 1\na = 'hunter2'\n"}) {
    EXPECT_THAT(WhyNot(text), Not(HasSubstr("hunter"))) << text;
  }
}

TEST(ConfigFile, DeepNestingIsAFaultAndNoCrash) {
  EXPECT_THAT(WhyNot("a = " + std::string(100'000, '[')), HasSubstr("TOML"));
}

TEST(ConfigFile, AMissingFileIsAFaultThatNamesIt) {
  const auto entries = ReadConfigFile("/nonexistent/sluice.toml");
  ASSERT_FALSE(entries.ok());
  EXPECT_THAT(std::string(entries.status().message()), StartsWith("/nonexistent/sluice.toml: "));
  EXPECT_THAT(std::string(entries.status().message()), HasSubstr("No such file"));
}

TEST(ConfigFile, AFolderIsNoFile) {
  EXPECT_FALSE(ReadConfigFile("/").ok());
}

}  // namespace
}  // namespace sluice
