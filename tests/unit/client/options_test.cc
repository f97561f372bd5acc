#include "client/cli/options.h"

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
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
  EXPECT_EQ(Parse({"stats"}).options.connection_id, "") << "all connections";
  const Parsed keep = Parse({"connections", "keep-requests", "conn_1"});
  EXPECT_EQ(keep.options.command, Command::kConnectionsKeepRequests);
  EXPECT_EQ(keep.options.connection_id, "conn_1");
  EXPECT_TRUE(Parse({"connections", "register", "sqlite:///a.db", "--keep-requests"})
                  .options.registration.keep_requests);
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

TEST(CliOptions, ABatchIsAFileOrOneStatementWithItsValues) {
  const Parsed file = Parse({"batch", "a.sql", "--mode", "continue", "--max-affected", "5",
                             "--validate", "-c", "conn_x"});
  EXPECT_EQ(file.exit_code, std::nullopt);
  EXPECT_EQ(file.options.command, Command::kBatch);
  EXPECT_EQ(file.options.batch.file, "a.sql");
  EXPECT_EQ(file.options.batch.write.mode, v1::BATCH_MODE_CONTINUE);
  EXPECT_EQ(file.options.batch.write.max_affected_rows, 5);
  EXPECT_TRUE(file.options.batch.write.validate_only);
  EXPECT_EQ(file.options.connection_id, "conn_x");

  const Parsed one = Parse({"batch", "--sql", "INSERT INTO t VALUES (?)", "--params", "-"});
  EXPECT_EQ(one.exit_code, std::nullopt);
  EXPECT_EQ(one.options.batch.params_file, "-");

  for (const auto& wrong :
       {std::vector<const char*>{"batch"}, std::vector<const char*>{"batch", "--sql", "SELECT 1"},
        std::vector<const char*>{"batch", "a.sql", "--params", "b"},
        std::vector<const char*>{"batch", "a.sql", "--mode", "some"},
        std::vector<const char*>{"batch", "a.sql", "--request-id", "seven"}}) {
    EXPECT_EQ(Parse(wrong).exit_code, kExitUsage);
  }
}

TEST(CliOptions, ARequestIdIsAUuidOrANewOne) {
  const char* uuid = "00000000-0000-4000-8000-00000000000F";
  EXPECT_EQ(Parse({"batch", "a.sql", "--request-id", uuid}).options.batch.write.request_id, uuid);
  const std::string made =
      Parse({"batch", "a.sql", "--request-id", "auto"}).options.batch.write.request_id;
  EXPECT_EQ(made.size(), 36u);
  EXPECT_NE(made, Parse({"batch", "a.sql", "--request-id", "auto"}).options.batch.write.request_id);
}

TEST(CliOptions, AnImportKnowsTheFormByTheFilesName) {
  const Parsed csv = Parse({"import", "A.CSV", "-t", "t", "--columns", "a,b c", "--no-header",
                            "--null", "", "--on-conflict", "update", "--key", "a"});
  EXPECT_EQ(csv.exit_code, std::nullopt);
  EXPECT_EQ(csv.options.import.form, FileForm::kCsv);
  EXPECT_EQ(csv.options.import.columns, (std::vector<std::string>{"a", "b c"}));
  EXPECT_FALSE(csv.options.import.header);
  EXPECT_EQ(csv.options.import.null_text, "");
  EXPECT_EQ(csv.options.import.on_conflict, v1::CONFLICT_ACTION_UPDATE);
  EXPECT_EQ(Parse({"import", "a.tsv", "-t", "t"}).options.import.form, FileForm::kTsv);
  EXPECT_EQ(Parse({"import", "a.jsonl", "-t", "t"}).options.import.form, FileForm::kNdjson);
  EXPECT_EQ(Parse({"import", "a.sql"}).options.import.form, FileForm::kSql);
  EXPECT_EQ(Parse({"import", "-", "-t", "t", "--format", "tsv"}).options.import.form,
            FileForm::kTsv);
  EXPECT_EQ(Parse({"import", "a.csv", "-t", "t"}).options.import.null_text, std::nullopt);
  EXPECT_TRUE(Parse({"import", "a.csv", "-t", "t"}).options.import.header);
}

TEST(CliOptions, AnImportThatMakesNoSenseIsExplained) {
  const auto explained = [](std::vector<const char*> arguments, const char* words) {
    const Parsed parsed = Parse(std::move(arguments));
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_THAT(parsed.err, HasSubstr(words));
  };
  explained({"import"}, "FILE");
  explained({"import", "a.csv"}, "--table");
  explained({"import", "-", "-t", "t"}, "--format");
  explained({"import", "a.sql", "-t", "t"}, "says by itself");
  explained({"import", "a.csv", "-t", "t", "--columns", "a,,b"}, "--columns");
  explained({"import", "a.csv", "-t", "t", "--create", "--no-header"}, "--create");
  explained({"import", "a.csv", "-t", "t", "--key", "a"}, "--on-conflict update");
  explained({"import", "a.csv", "-t", "t", "--create", "--validate"}, "--create");
  explained({"import", "a.sql", "--max-affected", "1"}, "--max-affected");
  explained({"import", "a.sql", "--validate"}, "sluice batch FILE");
}

TEST(CliOptions, CommandsAboutConnectionsSchemasAndPlansAreThere) {
  const Parsed open = Parse(
      {"connections", "register", "sqlite:///a.db", "--name", "a", "--read-only", "--must-exist"});
  EXPECT_EQ(open.options.command, Command::kConnectionsRegister);
  EXPECT_EQ(open.options.registration.url, "sqlite:///a.db");
  EXPECT_TRUE(open.options.registration.read_only && open.options.registration.must_exist);
  EXPECT_EQ(open.options.registration.name, "a");
  const Parsed close = Parse({"connections", "close", "conn_x", "--drain-timeout", "0"});
  EXPECT_EQ(close.options.connection_id, "conn_x");
  EXPECT_EQ(close.options.drain_timeout, absl::ZeroDuration());
  EXPECT_EQ(Parse({"connections", "close"}).exit_code, kExitUsage);
  const Parsed tables = Parse({"schema", "tables", "--prefix", "p", "--schema", "main"});
  EXPECT_EQ(tables.options.command, Command::kSchemaTables);
  EXPECT_EQ(tables.options.schema.prefix, "p");
  EXPECT_EQ(Parse({"schema", "describe"}).exit_code, kExitUsage);
  EXPECT_EQ(Parse({"describe", "SELECT 1"}).options.command, Command::kDescribe);
  EXPECT_TRUE(Parse({"explain", "SELECT 1", "--analyze"}).options.query.analyze);
  const Parsed explain = Parse({"explain", "SELECT ?", "-p", "7"});
  EXPECT_FALSE(explain.options.query.analyze);
  EXPECT_EQ(explain.options.command, Command::kExplain);
  EXPECT_EQ(explain.options.query.sql, "SELECT ?");
  EXPECT_EQ(Params(explain).size(), 1u);
  EXPECT_EQ(Parse({"backup", "a.db", "--force"}).options.backup.file, "a.db");
}

TEST(CliOptions, ATransactionIsBegunWithItsOptions) {
  const Parsed bare = Parse({"tx", "begin"});
  EXPECT_EQ(bare.exit_code, std::nullopt) << bare.err;
  EXPECT_EQ(bare.options.command, Command::kTxBegin);
  EXPECT_EQ(bare.options.connection_id, "default");
  EXPECT_EQ(bare.options.tx.begin.ShortDebugString(), "");
  const Parsed full =
      Parse({"tx", "begin", "-c", "conn_1", "--read-only", "--isolation", "repeatable-read",
             "--idle-timeout", "1500ms", "--max-life", "2m", "--label", "nightly"});
  EXPECT_EQ(full.exit_code, std::nullopt) << full.err;
  EXPECT_EQ(full.options.connection_id, "conn_1");
  EXPECT_EQ(full.options.tx.begin.ShortDebugString(),
            "isolation: ISOLATION_LEVEL_REPEATABLE_READ read_only: true idle_timeout { seconds: 1 "
            "nanos: 500000000 } max_life { seconds: 120 } label: \"nightly\"");
}

TEST(CliOptions, StatementsRunInATransactionByEitherSpelling) {
  for (const auto& arguments :
       {std::vector<const char*>{"tx", "query", "txn_1", "SELECT ?", "-p", "7", "--commit",
                                 "--stream"},
        std::vector<const char*>{"tx", "query", "txn_1", "-p", "7", "SELECT ?", "--commit",
                                 "--stream"},
        std::vector<const char*>{"query", "--transaction", "txn_1", "--commit", "SELECT ?", "-p",
                                 "7", "--stream"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.exit_code, std::nullopt) << parsed.err;
    EXPECT_EQ(parsed.options.command, Command::kQuery);
    EXPECT_EQ(parsed.options.tx.id, "txn_1");
    EXPECT_TRUE(parsed.options.tx.commit);
    EXPECT_EQ(parsed.options.query.sql, "SELECT ?");
    EXPECT_EQ(Params(parsed), std::vector<std::string>{"int64_value: 7"});
    EXPECT_TRUE(parsed.options.query.stream);
    EXPECT_EQ(parsed.options.connection_id, "") << "the transaction knows it";
  }
  const Parsed batch = Parse({"tx", "batch", "txn_1", "a.sql", "--mode", "stop", "-c", "conn_1"});
  EXPECT_EQ(batch.exit_code, std::nullopt) << batch.err;
  EXPECT_EQ(batch.options.command, Command::kBatch);
  EXPECT_EQ(batch.options.batch.file, "a.sql");
  EXPECT_EQ(batch.options.batch.write.mode, v1::BATCH_MODE_STOP_ON_ERROR);
  EXPECT_EQ(batch.options.connection_id, "conn_1");
  EXPECT_FALSE(batch.options.tx.commit);
  const Parsed import = Parse({"import", "a.csv", "-t", "t", "--transaction", "txn_1"});
  EXPECT_EQ(import.options.tx.id, "txn_1");
  EXPECT_EQ(import.options.connection_id, "default") << "its table is looked up outside";
}

TEST(CliOptions, ATransactionIsSteppedThroughById) {
  for (const auto& [name, command] : {std::pair{"commit", Command::kTxCommit},
                                      {"rollback", Command::kTxRollback},
                                      {"keep", Command::kTxKeep}}) {
    const Parsed parsed = Parse({"tx", name, "txn_1"});
    EXPECT_EQ(parsed.exit_code, std::nullopt) << parsed.err;
    EXPECT_EQ(parsed.options.command, command);
    EXPECT_EQ(parsed.options.tx.id, "txn_1");
    EXPECT_EQ(parsed.options.connection_id, "");
    EXPECT_EQ(Parse({"tx", name}).exit_code, kExitUsage);
  }
  for (const auto& [name, command] : {std::pair{"savepoint", Command::kTxSavepoint},
                                      {"rollback-to", Command::kTxRollbackTo},
                                      {"release", Command::kTxRelease}}) {
    const Parsed parsed = Parse({"tx", name, "txn_1", "before"});
    EXPECT_EQ(parsed.exit_code, std::nullopt) << parsed.err;
    EXPECT_EQ(parsed.options.command, command);
    EXPECT_EQ(parsed.options.tx.savepoint, "before");
    EXPECT_EQ(Parse({"tx", name, "txn_1"}).exit_code, kExitUsage);
  }
  const char* uuid = "00000000-0000-4000-8000-00000000000F";
  EXPECT_EQ(Parse({"tx", "commit", "txn_1", "--request-id", uuid}).options.tx.request_id, uuid);
}

TEST(CliOptions, TransactionsAreLookedAtByIdOrHandle) {
  EXPECT_EQ(Parse({"tx", "get", "txn_1"}).options.tx.id, "txn_1");
  const Parsed handle = Parse({"tx", "get", "tx_1"});
  EXPECT_EQ(handle.options.tx.id, "");
  EXPECT_EQ(handle.options.tx.handle, "tx_1");
  EXPECT_EQ(Parse({"tx", "end", "tx_1"}).options.tx.handle, "tx_1");
  EXPECT_EQ(Parse({"tx", "list"}).options.connection_id, "") << "all";
  EXPECT_EQ(Parse({"tx", "list", "-c", "default"}).options.connection_id, "default");
  EXPECT_EQ(Parse({"tx", "outcome", "txn_1"}).options.connection_id, "");
  const Parsed outcome =
      Parse({"tx", "outcome", "--request-id", "00000000-0000-4000-8000-00000000000F"});
  EXPECT_EQ(outcome.exit_code, std::nullopt) << outcome.err;
  EXPECT_EQ(outcome.options.connection_id, "default") << "where a request_id is looked for";
}

TEST(CliOptions, AWrongUseOfTransactionsIsExplained) {
  const auto explained = [](std::vector<const char*> arguments, const char* words) {
    const Parsed parsed = Parse(std::move(arguments));
    EXPECT_EQ(parsed.exit_code, kExitUsage);
    EXPECT_THAT(parsed.err, HasSubstr(words));
  };
  explained({"tx"}, "subcommand");
  explained({"tx", "commit", "tx_1"}, "a handle only shows and ends one");
  explained({"tx", "query", "-p", "7", "txn_1", "SELECT ?"}, "no transaction's id");
  explained({"tx", "query", "txn_1"}, "one statement is wanted");
  explained({"tx", "end", "txn_1"}, "sluice tx rollback");
  explained({"tx", "outcome"}, "--request-id");
  explained({"tx", "outcome", "txn_1", "--request-id", "00000000-0000-4000-8000-00000000000F"},
            "--request-id");
  explained({"tx", "commit", "txn_1", "--request-id", "seven"}, "UUID");
  explained({"tx", "begin", "--isolation", "none"}, "isolation");
  explained({"tx", "begin", "--max-life", "0"}, "--max-life: ");
  explained({"query", "SELECT 1", "--commit"}, "--transaction");
  explained({"import", "a.sql", "--transaction", "txn_1"}, "sluice tx batch");
  explained({"import", "a.csv", "-t", "t", "--create", "--transaction", "txn_1"}, "--create");
}

}  // namespace
}  // namespace sluice::cli
