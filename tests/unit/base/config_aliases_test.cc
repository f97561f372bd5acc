#include "server/base/config_aliases.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

using Environment = std::map<std::string, std::string>;
using Pairs = std::multimap<std::string, std::string>;

// Key and text of what the names set.
Pairs Read(const Environment& environment) {
  const auto aliases = ReadAliases(environment);
  EXPECT_TRUE(aliases.ok()) << aliases.status();
  Pairs out;
  if (aliases.ok()) {
    for (const EnvironmentValue& value : aliases->values) out.emplace(value.key, value.text);
  }
  return out;
}

struct Case {
  const char* name;
  const char* value;
  const char* key;
  const char* text;
};

class OneAlias : public testing::TestWithParam<Case> {};

TEST_P(OneAlias, SetsItsSetting) {
  const Case& c = GetParam();
  EXPECT_EQ(Read({{c.name, c.value}}), (Pairs{{c.key, c.text}}));
  EXPECT_EQ(ReadAliases({{c.name, c.value}})->values.front().name, c.name);
  EXPECT_EQ(Read({{c.name, ""}}), Pairs());  // empty is not set
}

INSTANTIATE_TEST_SUITE_P(
    Table,
    OneAlias,
    testing::Values(Case{"DATABASE_URL", "sqlite:///a.db", "database.url", "sqlite:///a.db"},
                    Case{"DB_MIN_CONNECTIONS", "2", "pool.min", "2"},
                    Case{"DATABASE_POOL_SIZE", "5", "pool.max", "5"},
                    Case{"ASYNC_DATABASE_POOL_SIZE", "6", "pool.max", "6"},
                    Case{"DATABASE_MAX_OVERFLOW", "7", "pool.overflow", "7"},
                    Case{"ASYNC_DATABASE_MAX_OVERFLOW", "8", "pool.overflow", "8"},
                    Case{"DB_CONNECTION_TIMEOUT", "30", "pool.acquire_timeout", "30s"},
                    Case{"ASYNC_DATABASE_POOL_TIMEOUT", "1.5", "pool.acquire_timeout", "1.5s"},
                    Case{"DATABASE_POOL_RECYCLE", "3600", "pool.recycle", "3600s"},
                    Case{"ASYNC_DATABASE_POOL_RECYCLE", "-1", "pool.recycle", "0s"},
                    Case{"DB_COMMAND_TIMEOUT", "250ms", "command_timeout", "250ms"},
                    Case{"DATABASE_ECHO", "True", "log.sql", "True"},
                    Case{"ASYNC_DATABASE_MONITORING_ENABLED", "false", "monitoring", "false"}),
    [](const auto& alias) { return std::string(alias.param.name); });

TEST(Aliases, AHardCapAlsoForbidsOverflow) {
  EXPECT_EQ(Read({{"DB_MAX_CONNECTIONS", "12"}}),
            (Pairs{{"pool.max", "12"}, {"pool.overflow", "0"}}));
}

TEST(Aliases, PostgresPartsMakeOneUrl) {
  EXPECT_EQ(Read({{"POSTGRES_HOST", "db"},
                  {"POSTGRES_PORT", "6432"},
                  {"POSTGRES_DATABASE", "shop"},
                  {"POSTGRES_USER", "me"},
                  {"POSTGRES_PASSWORD", "a/b:c@d%"}}),
            (Pairs{{"database.url", "postgresql://me:a%2Fb%3Ac%40d%25@db:6432/shop"}}));
  EXPECT_EQ(Read({{"POSTGRES_HOST", "::1"}, {"POSTGRES_DATABASE", "d"}, {"POSTGRES_USER", "u"}}),
            (Pairs{{"database.url", "postgresql://u:@[::1]:5432/d"}}));
}

TEST(Aliases, PostgresPartsGoTogether) {
  const Environment whole = {
      {"POSTGRES_HOST", "db"}, {"POSTGRES_DATABASE", "shop"}, {"POSTGRES_USER", "me"}};
  for (const auto& [name, value] : whole) {
    Environment part = whole;
    part.erase(name);
    part["POSTGRES_PASSWORD"] = "hunter2";
    const auto aliases = ReadAliases(part);
    ASSERT_FALSE(aliases.ok()) << name;
    EXPECT_THAT(std::string(aliases.status().message()), HasSubstr(name + " is not set"));
    EXPECT_THAT(std::string(aliases.status().message()), Not(HasSubstr("hunter")));
  }
  Environment odd = whole;
  odd["POSTGRES_PORT"] = "5432/x";
  EXPECT_FALSE(ReadAliases(odd).ok());
}

TEST(Aliases, TheAsyncSwitchIsOnlyNoted) {
  const auto aliases = ReadAliases({{"ASYNC_DATABASE_ENABLED", "false"}});
  ASSERT_TRUE(aliases.ok());
  EXPECT_TRUE(aliases->values.empty());
  ASSERT_EQ(aliases->notes.size(), 1u);
  EXPECT_THAT(aliases->notes[0], HasSubstr("always asynchronous"));
}

TEST(Aliases, OtherNamesAreLeftAlone) {
  EXPECT_EQ(Read({{"DATABASE", "x"}, {"PATH", "/bin"}, {"POSTGRES_DB", "x"}}), Pairs());
}

}  // namespace
}  // namespace sluice
