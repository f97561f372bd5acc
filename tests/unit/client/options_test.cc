#include "client/cli/options.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/report.h"

namespace sluice::cli {
namespace {

using ::testing::HasSubstr;

// What the tool makes of a command line.
struct Parsed {
  Options options;
  std::optional<int> exit_code;
  std::string out;
  std::string err;
};

Parsed Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "sluice");
  Parsed parsed;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  parsed.exit_code =
      ParseOptions(static_cast<int>(arguments.size()), arguments.data(), &parsed.options);
  parsed.out = testing::internal::GetCapturedStdout();
  parsed.err = testing::internal::GetCapturedStderr();
  return parsed;
}

std::vector<std::string> Params(const Parsed& parsed) {
  std::vector<std::string> texts;
  for (const auto& value : parsed.options.query.params) texts.push_back(value.ShortDebugString());
  return texts;
}

TEST(CliOptions, ABareQueryHasTheDefaults) {
  const Parsed parsed = Parse({"query", "SELECT 1"});
  EXPECT_EQ(parsed.exit_code, std::nullopt);
  EXPECT_EQ(parsed.options.server, "127.0.0.1:50051");
  EXPECT_EQ(parsed.options.command, Command::kQuery);
  EXPECT_EQ(parsed.options.connection_id, "default");
  EXPECT_EQ(parsed.options.query.sql, "SELECT 1");
  EXPECT_EQ(parsed.options.format, std::nullopt);
  EXPECT_EQ(parsed.options.timeout, std::nullopt);
  EXPECT_FALSE(parsed.options.query.stream);
}

TEST(CliOptions, OptionsOfTheToolMayFollowTheCommand) {
  for (const auto& arguments : {std::vector<const char*>{"-o", "csv", "--server", "unix:/s",
                                                         "query", "SELECT 1", "--stream"},
                                std::vector<const char*>{"query", "--stream", "SELECT 1", "-o",
                                                         "csv", "--server", "unix:/s"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.exit_code, std::nullopt) << parsed.err;
    EXPECT_EQ(parsed.options.format, Format::kCsv);
    EXPECT_EQ(parsed.options.server, "unix:/s");
    EXPECT_TRUE(parsed.options.query.stream);
  }
}

TEST(CliOptions, ValuesMayBeRepeatedOrStandInARow) {
  const std::vector<std::string> expected = {"int64_value: 1", "int64_value: -2",
                                             "string_value: \"[3,4]\"", "string_value: \"{}\"",
                                             "string_value: \"\""};
  EXPECT_EQ(Params(Parse(
                {"query", "SELECT 1", "-p", "1", "-p", "-2", "-p", "[3,4]", "-p", "{}", "-p", ""})),
            expected);
  EXPECT_EQ(Params(Parse({"query", "SELECT 1", "-p", "1", "-2", "[3,4]", "{}", ""})), expected);
  EXPECT_EQ(Params(Parse({"query", "SELECT 1", "-p", "{}"})),
            std::vector<std::string>{"string_value: \"{}\""});
}

TEST(CliOptions, ValuesMayStandBeforeTheStatement) {
  const Parsed numbered = Parse({"query", "-p", "1", "-p", "2", "SELECT ?, ?"});
  EXPECT_EQ(numbered.options.query.sql, "SELECT ?, ?");
  EXPECT_EQ(numbered.options.query.params.size(), 2U);
  const Parsed named = Parse({"query", "--named", "a=1", "SELECT :a = 1"});
  EXPECT_EQ(named.options.query.sql, "SELECT :a = 1");
  ASSERT_EQ(named.options.query.named_params.size(), 1U);
  EXPECT_EQ(named.options.query.named_params[0].first, "a");
}

TEST(CliOptions, AQueryWantsExactlyOneStatement) {
  EXPECT_EQ(Parse({"query"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"query", "-p", "5"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"query", "SELECT 1", "-f", "file.sql"}).exit_code, kExitUsage);
  const Parsed file = Parse({"query", "-f", "file.sql", "-p", "1", "2"});
  EXPECT_EQ(file.exit_code, std::nullopt) << file.err;
  EXPECT_EQ(file.options.query.file, "file.sql");
  EXPECT_EQ(file.options.query.params.size(), 2U);
  EXPECT_EQ(Parse({"query", "-"}).options.query.sql, "-");
}

TEST(CliOptions, ConnectionsAndHealthTakeTheirId) {
  EXPECT_EQ(Parse({"connections", "list"}).options.command, Command::kConnectionsList);
  EXPECT_EQ(Parse({"connections", "get"}).options.connection_id, "default");
  const Parsed test = Parse({"connections", "test", "conn_1"});
  EXPECT_EQ(test.options.command, Command::kConnectionsTest);
  EXPECT_EQ(test.options.connection_id, "conn_1");
  EXPECT_EQ(Parse({"health"}).options.connection_id, "") << "all connections";
  EXPECT_EQ(Parse({"health", "-c", "default"}).options.connection_id, "default");
  EXPECT_EQ(Parse({"info"}).options.command, Command::kInfo);
}

TEST(CliOptions, TheServerComesFromTheEnvironmentUnlessItIsNamed) {
  setenv("SLUICE_SERVER", "10.0.0.1:7", 1);
  EXPECT_EQ(Parse({"info"}).options.server, "10.0.0.1:7");
  EXPECT_EQ(Parse({"info", "-s", "[::1]:8"}).options.server, "[::1]:8");
  unsetenv("SLUICE_SERVER");
}

TEST(CliOptions, WrongUsageIsExplained) {
  for (const auto& arguments :
       {std::vector<const char*>{}, std::vector<const char*>{"nonsense"},
        std::vector<const char*>{"connections"}, std::vector<const char*>{"-o", "xml", "info"},
        std::vector<const char*>{"--server", "nowhere", "info"},
        std::vector<const char*>{"--timeout", "soon", "info"},
        std::vector<const char*>{"query", "SELECT ?", "-p", "int:x"},
        std::vector<const char*>{"query", "SELECT ?", "--named", "x"},
        std::vector<const char*>{"query", "SELECT 1", "--max-rows", "0"},
        std::vector<const char*>{"query", "SELECT 1", "--nonsense"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_NE(parsed.err, "");
    EXPECT_EQ(parsed.out, "");
  }
  EXPECT_THAT(Parse({"nonsense"}).err, HasSubstr("`nonsense`"));
}

TEST(CliOptions, HelpNamesTheExitCodes) {
  for (const auto& arguments :
       {std::vector<const char*>{"--help"}, std::vector<const char*>{"query", "--help"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.exit_code, kExitOk);
    EXPECT_THAT(parsed.out, HasSubstr("Exit codes:"));
  }
  EXPECT_THAT(Parse({"--version"}).out, HasSubstr("sluice "));
}

}  // namespace
}  // namespace sluice::cli
