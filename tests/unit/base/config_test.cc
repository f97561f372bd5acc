#include "server/base/config.h"

#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/config_file.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using Strings = std::map<std::string, std::string>;

// A file that is removed with its test.
class File {
 public:
  explicit File(const std::string& text)
      : path_(testing::TempDir() + "config_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml") {
    std::ofstream(path_) << text;
  }

  ~File() { std::remove(path_.c_str()); }

  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

Config Load(const Strings& flags, const Strings& environment = {}) {
  auto config = LoadConfig({flags, environment});
  EXPECT_TRUE(config.ok()) << config.status().message();
  return config.ok() ? *std::move(config) : Config();
}

std::string WhyNot(const Strings& flags, const Strings& environment = {}) {
  const auto config = LoadConfig({flags, environment});
  EXPECT_FALSE(config.ok());
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(config.status().message().find('\n'), absl::string_view::npos);
  return std::string(config.status().message());
}

std::string WhyNotFile(const std::string& text) {
  const File file(text);
  std::string message = WhyNot({{"config", file.path()}});
  EXPECT_EQ(message.substr(0, file.path().size()), file.path());
  return message.substr(file.path().size());
}

TEST(Config, DefaultsAreThoseOfTheManual) {
  const Settings settings = Load({}).settings;
  EXPECT_EQ(settings.listen, "127.0.0.1:50051");
  EXPECT_EQ(settings.admin, "");
  EXPECT_EQ(settings.data_dir, "./sluice-data");
  EXPECT_EQ(settings.database.url, "");
  EXPECT_EQ(settings.log.level, "info");
  EXPECT_FALSE(settings.log.sql);
  EXPECT_EQ(settings.reflection, "auto");
  EXPECT_EQ(settings.limits.request_bytes, 16 << 20);
  EXPECT_EQ(settings.limits.metadata_bytes, 8 << 10);
  EXPECT_EQ(settings.limits.max_rows, 1000);
  EXPECT_EQ(settings.limits.max_bytes, 4 << 20);
  EXPECT_EQ(settings.limits.chunk_bytes, 256 << 10);
  EXPECT_EQ(settings.limits.stream_stall, absl::Seconds(30));
  EXPECT_EQ(settings.limits.max_calls, 1000);
  EXPECT_EQ(settings.limits.max_streams_per_connection, 100);
  EXPECT_EQ(settings.limits.value_depth, 32);
  EXPECT_EQ(settings.command_timeout, absl::Seconds(60));
  EXPECT_EQ(settings.shutdown.grace, absl::Seconds(10));
  EXPECT_EQ(settings.sqlite.readers, 4);
  EXPECT_EQ(settings.sqlite.queue, 1024);
  EXPECT_EQ(settings.sqlite.busy_timeout, absl::Seconds(5));
  EXPECT_EQ(settings.sqlite.max_snapshot_age, absl::Seconds(60));
  EXPECT_EQ(settings.sqlite.statement_cache, 256);
  EXPECT_EQ(settings.sqlite.loop_budget, 5000);
  EXPECT_EQ(settings.pool.min, 0);
  EXPECT_EQ(settings.pool.max, 10);
  EXPECT_EQ(settings.pool.overflow, 20);
  EXPECT_EQ(settings.pool.acquire_timeout, absl::Seconds(30));
  EXPECT_EQ(settings.pool.recycle, absl::Hours(1));
  EXPECT_EQ(settings.pool.waiters, 1024);
  EXPECT_EQ(settings.pool.idle_timeout, absl::Minutes(10));
  EXPECT_EQ(settings.pool.pre_ping, absl::Seconds(5));
  EXPECT_EQ(settings.pool.statement_cache, 200);
  EXPECT_EQ(settings.pool.lanes, 2);
  EXPECT_EQ(settings.pool.lane_allowance, absl::Milliseconds(250));
  EXPECT_EQ(settings.pool.commit_grace, absl::Seconds(30));
  EXPECT_EQ(settings.pool.session_hygiene, "auto");
  EXPECT_TRUE(settings.egress.loopback);
  EXPECT_TRUE(settings.egress.private_networks);
  EXPECT_EQ(settings.egress.ports, "5432,6432");
}

TEST(Config, TheDataFolderFollowsTheUsersOwn) {
  EXPECT_EQ(Load({}, {{"HOME", "/home/me"}}).settings.data_dir, "/home/me/.local/share/sluice");
  EXPECT_EQ(Load({}, {{"HOME", "/home/me"}, {"XDG_DATA_HOME", "/data"}}).settings.data_dir,
            "/data/sluice");
  EXPECT_EQ(Load({}, {{"HOME", "/home/me"}, {"XDG_DATA_HOME", "rel"}}).settings.data_dir,
            "/home/me/.local/share/sluice");
  EXPECT_EQ(Load({{"data_dir", "x"}}, {{"HOME", "/home/me"}}).settings.data_dir, "x");
}

TEST(Config, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const File file("[limits]\nmax_rows = 1\nmax_calls = 2\nvalue_depth = 3\n");
  const Config config = Load({{"config", file.path()}, {"limits.max_rows", "100"}},
                             {{"SLUICE_LIMITS_MAX_ROWS", "10"}, {"SLUICE_LIMITS_MAX_CALLS", "20"}});
  EXPECT_EQ(config.settings.limits.max_rows, 100);
  EXPECT_EQ(config.settings.limits.max_calls, 20);
  EXPECT_EQ(config.settings.limits.value_depth, 3);
  EXPECT_EQ(config.settings.limits.max_bytes, 4 << 20);
  EXPECT_EQ(config.origins.at("limits.max_rows"), "flag --limits-max-rows");
  EXPECT_EQ(config.origins.at("limits.max_calls"), "environment SLUICE_LIMITS_MAX_CALLS");
  EXPECT_EQ(config.origins.at("limits.value_depth"), "file " + file.path() + ":4");
  EXPECT_EQ(config.origins.at("limits.max_bytes"), "default");
}

TEST(Config, EverySettingCanBeGivenInEachWay) {
  for (const SettingSpec& spec : SettingSpecs()) {
    std::string text;
    switch (spec.kind) {
      case SettingKind::kText:
        text = spec.key == "listen" ? "[::1]:0" : "sqlite:///x";
        break;
      case SettingKind::kChoice:
        text = std::string(spec.choices.substr(spec.choices.rfind('|') + 1));
        break;
      case SettingKind::kBoolean:
        text = "true";
        break;
      case SettingKind::kInteger:
        text = "7";
        break;
      case SettingKind::kSize:
        text = spec.key == "sqlite.journal_limit" ? "1MiB" : "64KiB";
        break;
      case SettingKind::kDuration:
        text = "2s";
        break;
    }
    if (spec.key == "admin") text = "";  // nothing else is allowed yet
    if (spec.key == "egress.ports") text = "5432";
    const std::string key(spec.key);
    EXPECT_EQ(Load({{key, text}}).origins.at(key), "flag " + spec.flag());
    if (!text.empty()) {
      EXPECT_EQ(Load({}, {{spec.environment(), text}}).origins.at(key),
                "environment " + spec.environment());
    }
    const bool bare = spec.kind == SettingKind::kBoolean || spec.kind == SettingKind::kInteger;
    const File file(key + " = " + (bare ? text : "\"" + text + "\"") + "\n");
    EXPECT_EQ(Load({{"config", file.path()}}).origins.at(key), "file " + file.path() + ":1");
  }
}

TEST(Config, TheFileMayComeFromTheEnvironment) {
  const File file("log.level = \"error\"\n");
  EXPECT_EQ(Load({}, {{"SLUICE_CONFIG", file.path()}}).settings.log.level, "error");
  EXPECT_THAT(WhyNot({}, {{"SLUICE_CONFIG", "/nonexistent"}}), HasSubstr("/nonexistent: "));
  const File other("log.level = \"off\"\n");
  EXPECT_EQ(
      Load({{"config", other.path()}}, {{"SLUICE_CONFIG", "/nonexistent"}}).settings.log.level,
      "off");
}

TEST(Config, UnknownKeysOfTheFileAreFaultsWithLineAndNearestName) {
  EXPECT_EQ(WhyNotFile("\nlisten_on = \"x\"\n"),
            ":2: unknown key 'listen_on'; did you mean 'listen'?");
  EXPECT_EQ(WhyNotFile("[limits]\nmax_row = 1\n"),
            ":2: unknown key 'limits.max_row'; did you mean 'limits.max_rows'?");
  EXPECT_EQ(WhyNotFile("max_rows = 1\n"),
            ":1: unknown key 'max_rows'; did you mean 'limits.max_rows'?");
  EXPECT_EQ(WhyNotFile("colour = 'red'\n"), ":1: unknown key 'colour'");
  EXPECT_EQ(WhyNotFile("[limit]\n"), ":1: unknown key 'limit'");
  EXPECT_THAT(WhyNotFile("limits = 3\n"), HasSubstr("'limits' is a section"));
  EXPECT_THAT(WhyNotFile("listen = { port = 1 }\n"), HasSubstr("unknown key 'listen.port'"));
}

TEST(Config, AnEmptySectionIsNoFault) {
  const File file("[limits]\n[log]\nsql = true\n");
  EXPECT_TRUE(Load({{"config", file.path()}}).settings.log.sql);
}

TEST(Config, ValuesOfTheFileNeedTheirType) {
  EXPECT_THAT(WhyNotFile("log.sql = \"true\"\n"), HasSubstr(":1: log.sql: must be true or false"));
  EXPECT_THAT(WhyNotFile("sqlite.readers = \"4\"\n"), HasSubstr("must be a whole number"));
  EXPECT_THAT(WhyNotFile("sqlite.readers = 4.5\n"), HasSubstr("must be a whole number"));
  EXPECT_THAT(WhyNotFile("command_timeout = 30\n"), HasSubstr("such as \"30s\""));
  EXPECT_THAT(WhyNotFile("listen = 50051\n"), HasSubstr("must be text in quotes"));
  EXPECT_THAT(WhyNotFile("limits.max_bytes = true\n"), HasSubstr("\"16MiB\", or bytes"));
  EXPECT_THAT(WhyNotFile("limits.max_bytes = [1]\n"), HasSubstr("\"16MiB\", or bytes"));
  EXPECT_THAT(WhyNotFile("[limits]\nmax_rows = 0\n"),
              HasSubstr(":2: limits.max_rows: must be from 1 to"));
}

TEST(Config, UnknownNamesOfTheEnvironmentAreFaultsWithTheNearest) {
  EXPECT_EQ(WhyNot({}, {{"SLUICE_LISTN", "x"}}),
            "unknown environment variable 'SLUICE_LISTN'; did you mean 'SLUICE_LISTEN'?");
  EXPECT_THAT(WhyNot({}, {{"SLUICE_PASSWORD", "hunter2"}}), Not(HasSubstr("hunter")));
  EXPECT_EQ(Load({}, {{"SLUICE_SERVER", "127.0.0.1:1"}, {"OTHER_SLUICE_X", "1"}}).settings.listen,
            "127.0.0.1:50051");
}

TEST(Config, FaultsNameWhereTheValueCameFrom) {
  EXPECT_THAT(WhyNot({{"limits.max_rows", "many"}}), HasSubstr("--limits-max-rows: 'many'"));
  EXPECT_THAT(WhyNot({}, {{"SLUICE_COMMAND_TIMEOUT", "30"}}),
              HasSubstr("SLUICE_COMMAND_TIMEOUT: '30' is no duration"));
  EXPECT_THAT(WhyNot({}, {{"DB_COMMAND_TIMEOUT", "soon"}}),
              HasSubstr("DB_COMMAND_TIMEOUT: 'soon'"));
  EXPECT_THAT(WhyNot({{"nothing", "x"}}), HasSubstr("no such setting"));
}

TEST(Config, AliasesReachTheirSettings) {
  const Settings settings = Load({}, {{"DATABASE_URL", "sqlite+aiosqlite:///app.db"},
                                      {"DB_MIN_CONNECTIONS", "1"},
                                      {"DB_MAX_CONNECTIONS", "3"},
                                      {"DB_CONNECTION_TIMEOUT", "5"},
                                      {"DATABASE_POOL_RECYCLE", "-1"},
                                      {"DB_COMMAND_TIMEOUT", "15"},
                                      {"DATABASE_ECHO", "true"},
                                      {"ASYNC_DATABASE_MONITORING_ENABLED", "false"}})
                                .settings;
  EXPECT_EQ(settings.database.url, "sqlite+aiosqlite:///app.db");
  EXPECT_EQ(settings.pool.min, 1);
  EXPECT_EQ(settings.pool.max, 3);
  EXPECT_EQ(settings.pool.overflow, 0);
  EXPECT_EQ(settings.pool.acquire_timeout, absl::Seconds(5));
  EXPECT_EQ(settings.pool.recycle, absl::ZeroDuration());
  EXPECT_EQ(settings.command_timeout, absl::Seconds(15));
  EXPECT_TRUE(settings.log.sql);
  EXPECT_FALSE(settings.monitoring);
}

TEST(Config, AFlagBeatsAnAlias) {
  const Config config = Load({{"database.url", "sqlite:///b"}}, {{"DATABASE_URL", "sqlite:///a"}});
  EXPECT_EQ(config.settings.database.url, "sqlite:///b");
  EXPECT_EQ(config.origins.at("database.url"), "flag --database");
}

struct Conflict {
  const char* first;
  const char* first_value;
  const char* second;
  const char* second_value;
  const char* key;
};

class TwoNames : public testing::TestWithParam<Conflict> {};

TEST_P(TwoNames, ThatDisagreeStopTheStart) {
  const Conflict& c = GetParam();
  const Strings both = {{c.first, c.first_value}, {c.second, c.second_value}};
  EXPECT_THAT(WhyNot({}, both), AllOf(HasSubstr(c.first), HasSubstr(c.second),
                                      HasSubstr("disagree"), HasSubstr(c.key)));
}

INSTANTIATE_TEST_SUITE_P(
    Table,
    TwoNames,
    testing::Values(
        Conflict{"SLUICE_DATABASE_URL", "sqlite:///a", "DATABASE_URL", "sqlite:///b",
                 "database.url"},
        Conflict{"SLUICE_POOL_MIN", "1", "DB_MIN_CONNECTIONS", "2", "pool.min"},
        Conflict{"DATABASE_POOL_SIZE", "1", "ASYNC_DATABASE_POOL_SIZE", "2", "pool.max"},
        Conflict{"DATABASE_POOL_SIZE", "1", "DB_MAX_CONNECTIONS", "2", "pool.max"},
        Conflict{"ASYNC_DATABASE_POOL_SIZE", "1", "DB_MAX_CONNECTIONS", "2", "pool.max"},
        Conflict{"DB_MAX_CONNECTIONS", "9", "DATABASE_MAX_OVERFLOW", "2", "pool.overflow"},
        Conflict{"DATABASE_MAX_OVERFLOW", "1", "ASYNC_DATABASE_MAX_OVERFLOW", "2", "pool.overflow"},
        Conflict{"DB_CONNECTION_TIMEOUT", "1", "ASYNC_DATABASE_POOL_TIMEOUT", "2",
                 "pool.acquire_timeout"},
        Conflict{"DATABASE_POOL_RECYCLE", "1", "ASYNC_DATABASE_POOL_RECYCLE", "2", "pool.recycle"},
        Conflict{"SLUICE_COMMAND_TIMEOUT", "1s", "DB_COMMAND_TIMEOUT", "2", "command_timeout"},
        Conflict{"SLUICE_LOG_SQL", "on", "DATABASE_ECHO", "false", "log.sql"},
        Conflict{"SLUICE_MONITORING", "on", "ASYNC_DATABASE_MONITORING_ENABLED", "0",
                 "monitoring"}));

TEST(Config, PostgresPartsThatDisagreeWithAUrlStopTheStart) {
  const Strings parts = {{"POSTGRES_HOST", "db"},
                         {"POSTGRES_DATABASE", "shop"},
                         {"POSTGRES_USER", "me"},
                         {"POSTGRES_PASSWORD", "hunter2"}};
  Strings same = parts;
  same["DATABASE_URL"] = "postgresql+asyncpg://me:hunter2@db:5432/shop";
  EXPECT_EQ(Load({}, same).origins.at("database.url"), "environment DATABASE_URL");
  Strings other = parts;
  other["DATABASE_URL"] = "postgresql://me:hunter3@db/shop";
  EXPECT_THAT(WhyNot({}, other), AllOf(HasSubstr("DATABASE_URL"), HasSubstr("POSTGRES_HOST"),
                                       HasSubstr("disagree"), Not(HasSubstr("hunter"))));
}

TEST(Config, TwoSpellingsOfOneValueDoNotDisagree) {
  const Settings settings = Load({}, {{"DB_COMMAND_TIMEOUT", "60"},
                                      {"SLUICE_COMMAND_TIMEOUT", "1m"},
                                      {"DATABASE_ECHO", "1"},
                                      {"SLUICE_LOG_SQL", "true"},
                                      {"SLUICE_DATABASE_URL", "sqlite:///a.db"},
                                      {"DATABASE_URL", "sqlite+aiosqlite:///a.db"}})
                                .settings;
  EXPECT_EQ(settings.command_timeout, absl::Minutes(1));
  EXPECT_TRUE(settings.log.sql);
}

TEST(Config, WhatHasNoEffectIsNoted) {
  EXPECT_THAT(Load({}, {{"ASYNC_DATABASE_ENABLED", "true"}}).notes,
              ElementsAre(HasSubstr("always asynchronous")));
  EXPECT_TRUE(Load({}).notes.empty());
}

TEST(Config, ListensOnlyWhereThisMachineReachesIt) {
  EXPECT_EQ(Load({{"listen", "localhost:0"}}).settings.listen, "127.0.0.1:0");
  EXPECT_EQ(Load({{"listen", "unix:/tmp/s"}}).settings.listen, "unix:/tmp/s");
  EXPECT_THAT(WhyNot({{"listen", "0.0.0.0:50051"}}),
              AllOf(HasSubstr("listen (flag --listen)"), HasSubstr("no authentication yet")));
}

TEST(Config, ThereIsNoAdminPortYet) {
  EXPECT_EQ(Load({{"admin", ""}}).settings.admin, "");
  EXPECT_THAT(WhyNot({{"admin", "127.0.0.1:8081"}}), HasSubstr("leave it empty"));
}

TEST(Config, ChecksWhatNoSingleValueShows) {
  EXPECT_THAT(WhyNot({{"pool.min", "5"}, {"pool.max", "4"}}), HasSubstr("more than pool.max"));
  EXPECT_THAT(WhyNot({{"egress.ports", "5432,x"}}), HasSubstr("numbers from 1 to 65535"));
  EXPECT_THAT(WhyNot({{"data_dir", ""}}), HasSubstr("data_dir"));
  EXPECT_THAT(WhyNot({}, {{"DATABASE_URL", "mysql://u:hunter2@h/d"}}),
              AllOf(HasSubstr("environment DATABASE_URL"), Not(HasSubstr("hunter"))));
}

TEST(Config, PrintsOneLinePerSettingThatIsToml) {
  const File file("listen = \"unix:/tmp/a \\\"b\\\"\"\n");
  const Config config = Load({{"config", file.path()}, {"limits.max_bytes", "1MiB"}},
                             {{"DATABASE_URL", "postgres://me:hunter2@db/shop"}});
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, HasSubstr("limits.max_bytes = \"1MiB\"  # flag --limits-max-bytes\n"));
  EXPECT_THAT(printed, HasSubstr("database.url = \"postgresql://me:***@db:5432/shop\"  "
                                 "# environment DATABASE_URL\n"));
  EXPECT_THAT(printed, HasSubstr("sqlite.readers = 4  # default\n"));
  EXPECT_THAT(printed, Not(HasSubstr("hunter")));
  const auto entries = ParseConfigText(printed);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), SettingSpecs().size());
  for (size_t i = 0; i < entries->size(); ++i) {
    EXPECT_EQ((*entries)[i].key, std::string(SettingSpecs()[i].key));
    EXPECT_EQ((*entries)[i].line, static_cast<int>(i) + 1);
  }
  EXPECT_EQ((*entries)[0].text, "unix:/tmp/a \"b\"");
}

TEST(Config, WhatIsPrintedCanBeAFile) {
  const Config before = Load({{"sqlite.readers", "2"}, {"command_timeout", "1500ms"}});
  const File file(PrintConfig(before));
  const Config after = Load({{"config", file.path()}});
  EXPECT_EQ(after.settings.sqlite.readers, 2);
  EXPECT_EQ(after.settings.command_timeout, absl::Milliseconds(1500));
}

TEST(Config, TheDefaultDatabaseIsAFileInTheDataFolder) {
  Settings settings;
  settings.data_dir = "/data";
  EXPECT_EQ(DefaultDatabase(settings)->path, "/data/sluice.db");
  settings.database.url = "sqlite:///other.db";
  EXPECT_EQ(DefaultDatabase(settings)->path, "other.db");
}

TEST(Config, ReflectionFollowsItsSwitch) {
  EXPECT_TRUE(Load({}).settings.reflection_on());
  EXPECT_TRUE(Load({{"reflection", "on"}}).settings.reflection_on());
  EXPECT_FALSE(Load({{"reflection", "off"}}).settings.reflection_on());
}

TEST(Config, TheProcessEnvironmentIsRead) {
  ASSERT_NE(std::getenv("PATH"), nullptr);
  EXPECT_EQ(ProcessEnvironment().at("PATH"), std::getenv("PATH"));
}

}  // namespace
}  // namespace sluice
