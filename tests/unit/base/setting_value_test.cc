#include "server/base/setting_value.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

template <class T>
T Value(absl::string_view key, absl::string_view text) {
  const auto value = ParseSetting(*FindSetting(key), text);
  EXPECT_TRUE(value.ok()) << key << " " << text << ": " << value.status().message();
  return value.ok() ? std::get<T>(*value) : T();
}

std::string WhyNot(absl::string_view key, absl::string_view text) {
  const auto value = ParseSetting(*FindSetting(key), text);
  EXPECT_FALSE(value.ok()) << key << " " << text;
  return std::string(value.status().message());
}

// Stores `text` and shows what became of it.
std::string Shown(absl::string_view key, absl::string_view text) {
  const SettingSpec& spec = *FindSetting(key);
  Settings settings;
  const auto value = ParseSetting(spec, text);
  if (!value.ok()) return std::string(value.status().message());
  StoreSetting(spec, *value, settings);
  return ShowSetting(spec, settings);
}

TEST(SettingSpecs, NamesAreUniqueAndFollowFromTheKey) {
  std::set<std::string> flags;
  std::set<std::string> names;
  for (const SettingSpec& spec : SettingSpecs()) {
    EXPECT_TRUE(flags.insert(spec.flag()).second) << spec.flag();
    EXPECT_TRUE(names.insert(spec.environment()).second) << spec.environment();
    EXPECT_FALSE(spec.description.empty()) << spec.key;
    EXPECT_EQ(FindSetting(spec.key), &spec);
  }
  EXPECT_EQ(FindSetting("listen")->flag(), "--listen");
  EXPECT_EQ(FindSetting("database.url")->flag(), "--database");
  EXPECT_EQ(FindSetting("data_dir")->flag(), "--data-dir");
  EXPECT_EQ(FindSetting("log.level")->flag(), "--log-level");
  EXPECT_EQ(FindSetting("limits.max_rows")->environment(), "SLUICE_LIMITS_MAX_ROWS");
  EXPECT_EQ(FindSetting("nothing"), nullptr);
}

TEST(SettingSpecs, EveryDefaultPassesItsOwnCheck) {
  for (const SettingSpec& spec : SettingSpecs()) {
    std::string shown = ShowSetting(spec, Settings());
    if (shown.front() == '"') shown = shown.substr(1, shown.size() - 2);
    EXPECT_TRUE(ParseSetting(spec, shown).ok()) << spec.key << " = " << shown;
  }
}

TEST(SettingValue, BooleansHaveEightSpellings) {
  for (const char* yes : {"true", "on", "yes", "1", "True", "ON"}) {
    EXPECT_TRUE(Value<bool>("log.sql", yes)) << yes;
  }
  for (const char* no : {"false", "off", "no", "0", "FALSE"}) {
    EXPECT_FALSE(Value<bool>("log.sql", no)) << no;
  }
  EXPECT_THAT(WhyNot("log.sql", "debug"), HasSubstr("true or false"));
}

TEST(SettingValue, SizesCountInPowersOfTwo) {
  EXPECT_EQ(Value<int64_t>("limits.request_bytes", "16MiB"), 16 << 20);
  EXPECT_EQ(Value<int64_t>("limits.request_bytes", "1GiB"), 1 << 30);
  EXPECT_EQ(Value<int64_t>("limits.request_bytes", "4096"), 4096);
  EXPECT_EQ(Value<int64_t>("limits.request_bytes", "8KiB"), 8192);
  EXPECT_EQ(Value<int64_t>("limits.request_bytes", "2048B"), 2048);
  for (const char* wrong : {"16MB", "16 mb", "-1", "1.5MiB", "", "MiB", "99999999999GiB"}) {
    EXPECT_THAT(WhyNot("limits.request_bytes", wrong), HasSubstr("8KiB, 16MiB, 1GiB")) << wrong;
  }
}

TEST(SettingValue, DurationsNeedTheirUnit) {
  EXPECT_EQ(Value<absl::Duration>("command_timeout", "30s"), absl::Seconds(30));
  EXPECT_EQ(Value<absl::Duration>("command_timeout", "250ms"), absl::Milliseconds(250));
  EXPECT_EQ(Value<absl::Duration>("command_timeout", "1h30m"), absl::Minutes(90));
  EXPECT_EQ(Value<absl::Duration>("shutdown.grace", "0"), absl::ZeroDuration());
  EXPECT_THAT(WhyNot("command_timeout", "30"), HasSubstr("250ms, 30s, 5m or 1h"));
  EXPECT_THAT(WhyNot("command_timeout", "soon"), HasSubstr("'soon'"));
}

TEST(SettingValue, RangesAreSaidInTheSettingsUnits) {
  EXPECT_EQ(WhyNot("limits.max_rows", "0"), "must be from 1 to 1000000");
  EXPECT_EQ(WhyNot("limits.request_bytes", "2GiB"), "must be from 1KiB to 1GiB");
  EXPECT_EQ(WhyNot("limits.request_bytes", "1"), "must be from 1KiB to 1GiB");
  EXPECT_EQ(WhyNot("limits.stream_stall", "2h"), "must be from 100ms to 1h");
  EXPECT_EQ(WhyNot("command_timeout", "inf"), "must be from 1ms to 24h");
  EXPECT_EQ(WhyNot("command_timeout", "-1s"), "must be from 1ms to 24h");
  EXPECT_THAT(WhyNot("sqlite.readers", "9223372036854775808"), HasSubstr("whole number"));
  EXPECT_THAT(WhyNot("sqlite.readers", "4.0"), HasSubstr("whole number"));
}

TEST(SettingValue, ChoicesAreListed) {
  EXPECT_EQ(Value<std::string>("reflection", "auto"), "auto");
  EXPECT_EQ(WhyNot("reflection", "maybe"), "'maybe' is no known value; there are auto, on, off");
  EXPECT_THAT(WhyNot("log.level", "verbose"), HasSubstr("debug, info, warning, error, off"));
}

TEST(SettingValue, TextMustBeText) {
  EXPECT_THAT(WhyNot("data_dir", "a\xFF"), HasSubstr("UTF-8"));
  EXPECT_THAT(WhyNot("data_dir", absl::string_view("a\0b", 3)), HasSubstr("zero bytes"));
  EXPECT_THAT(WhyNot("reflection", "x\ny"), StartsWith("'x y'"));
}

TEST(SettingValue, ShowsTheLargestUnitThatFits) {
  EXPECT_EQ(Shown("limits.request_bytes", "16777216"), "\"16MiB\"");
  EXPECT_EQ(Shown("limits.request_bytes", "1025"), "\"1025B\"");
  EXPECT_EQ(Shown("limits.request_bytes", "1536KiB"), "\"1536KiB\"");
  EXPECT_EQ(Shown("command_timeout", "90s"), "\"1m30s\"");
  EXPECT_EQ(Shown("shutdown.grace", "0s"), "\"0s\"");
  EXPECT_EQ(Shown("log.sql", "yes"), "true");
  EXPECT_EQ(Shown("sqlite.queue", "77"), "77");
  EXPECT_EQ(Shown("data_dir", "a \"b\"\n"), R"("a \"b\"\n")");
}

TEST(SettingValue, SecretsAreMaskedEvenWhenTheyCannotBeUnderstood) {
  EXPECT_EQ(Shown("database.url", "postgres://u:hunter2@h/d"), "\"postgresql://u:***@h:5432/d\"");
  EXPECT_EQ(Shown("database.url", "u:hunter2@h/d"), "\"***\"");
  EXPECT_EQ(Shown("database.url", "sqlite:///a.db"), "\"sqlite:///a.db\"");
  EXPECT_EQ(Shown("database.url", ""), "\"\"");
}

}  // namespace
}  // namespace sluice
