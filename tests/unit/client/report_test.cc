#include "client/cli/report.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

using client::Error;
using client::Executed;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Style kPlain = {};

Error Make(absl::StatusCode code, Executed executed, const std::string& reason = "REASON") {
  Error error;
  error.code = code;
  error.message = "it failed";
  error.executed = executed;
  error.reason = reason;
  return error;
}

TEST(Caret, StandsUnderItsCharacter) {
  EXPECT_EQ(Caret("SELECT nam FROM t", 8, kPlain),
            " 1 | SELECT nam FROM t\n"
            "   |        ^\n");
  EXPECT_EQ(Caret("SELEC 1", 1, kPlain),
            " 1 | SELEC 1\n"
            "   | ^\n");
}

TEST(Caret, ShowsTheLineOfAStatementThatHasSeveral) {
  const std::string sql = "SELECT *\r\n  FROM t\n WHERE x";
  EXPECT_EQ(Caret(sql, 18, kPlain),
            " 2 |   FROM t\n"
            "   |        ^\n");
  EXPECT_EQ(Caret(sql, 20, kPlain),
            " 3 |  WHERE x\n"
            "   | ^\n");
}

TEST(Caret, CountsCharactersAndPadsColumns) {
  ChooseLocale();
  EXPECT_EQ(Caret("SELECT '漢字é', x", 15, kPlain),
            " 1 | SELECT '漢字é', x\n"
            "   |                 ^\n");
  EXPECT_EQ(Caret("\tSELECT x", 9, kPlain),
            " 1 |  SELECT x\n"
            "   |         ^\n");
}

TEST(Caret, TheEndOfTheTextIsAPlaceToo) {
  EXPECT_EQ(Caret("SELECT (", 9, kPlain),
            " 1 | SELECT (\n"
            "   |         ^\n");
  EXPECT_EQ(Caret("SELECT (\n", 9, kPlain),
            " 1 | SELECT (\n"
            "   |         ^\n");
}

TEST(Caret, APlaceThatIsNotInTheTextShowsNothing) {
  EXPECT_EQ(Caret("SELECT", 0, kPlain), "");
  EXPECT_EQ(Caret("SELECT", -1, kPlain), "");
  EXPECT_EQ(Caret("SELECT", 9, kPlain), "");
}

TEST(Caret, LongLinesAreCutAroundIt) {
  ChooseLocale();
  const std::string sql = std::string(500, 'a') + "!" + std::string(500, 'b');
  const std::string shown = Caret(sql, 501, kPlain);
  const size_t newline = shown.find('\n');
  ASSERT_NE(newline, std::string::npos);
  EXPECT_LT(newline, 120U);
  // "…" has three bytes and one column, so the mark is two bytes further than its caret.
  EXPECT_EQ(shown.find('!') - 2, shown.find('^') - newline - 1);
}

TEST(Describe, TellsWhatWhereWhyAndWhatBecameOfIt) {
  Error error = Make(absl::StatusCode::kInvalidArgument, Executed::kNo, "SQL_ERROR");
  error.message = "no such column: nam";
  error.sql.emplace();
  error.sql->set_message("no such column: nam");
  error.sql->set_position(8);
  error.sql->set_hint("there is a column `name`");
  error.sql->set_sqlstate("42703");
  error.sql->set_engine_code("SQLITE_ERROR");
  error.request_id = "req_7";
  EXPECT_EQ(Describe(error, {"127.0.0.1:1", "SELECT nam"}, kPlain),
            "error: no such column: nam\n"
            " 1 | SELECT nam\n"
            "   |        ^\n"
            "hint: there is a column `name`\n"
            "code: INVALID_ARGUMENT SQL_ERROR, sqlstate 42703, SQLITE_ERROR\n"
            "executed: no\n"
            "request: req_7\n");
}

TEST(Describe, NamesFieldsAndWhatToUseInstead) {
  Error error = Make(absl::StatusCode::kInvalidArgument, Executed::kNo);
  error.fields.push_back({"params[1]", "is missing"});
  error.metadata["use"] = "BeginTransaction";
  const std::string text = Describe(error, {}, kPlain);
  EXPECT_THAT(text, HasSubstr("field: params[1]: is missing\n"));
  EXPECT_THAT(text, HasSubstr("use: BeginTransaction\n"));
}

TEST(Describe, TellsWhereTheTransactionStands) {
  Error error = Make(absl::StatusCode::kAlreadyExists, Executed::kRolledBack);
  error.metadata = {{"transaction", "tx_1"},
                    {"transaction_state", "FAILED"},
                    {"transaction_expires_in_ms", "4200"}};
  EXPECT_THAT(Describe(error, {}, kPlain),
              HasSubstr("transaction: tx_1, failed; its lease ends in 4.2s\n"));
  error.metadata.erase("transaction_expires_in_ms");
  EXPECT_THAT(Describe(error, {}, kPlain), HasSubstr("transaction: tx_1, failed\n"));
  EXPECT_THAT(Describe(Make(absl::StatusCode::kInternal, Executed::kNo), {}, kPlain),
              Not(HasSubstr("transaction")));
}

TEST(Describe, NamesWhoeverHasTheWriterByItsLabel) {
  Error error = Make(absl::StatusCode::kDeadlineExceeded, Executed::kNo);
  error.metadata = {{"held_by", "tx_1"}, {"held_by_label", "nightly"}};
  EXPECT_THAT(Describe(error, {}, kPlain), HasSubstr("waited for: tx_1, which is `nightly`\n"));
  error.metadata["held_by_label"] = "";
  EXPECT_THAT(Describe(error, {}, kPlain), Not(HasSubstr("waited for")));
}

TEST(Describe, TurnsTheServersAdviceIntoTheToolsOwnWords) {
  Error error = Make(absl::StatusCode::kResourceExhausted, Executed::kNo, "VALUE_TOO_LARGE");
  error.metadata["use"] = "StreamQuery";
  EXPECT_THAT(Describe(error, {}, kPlain), HasSubstr("hint: add --stream\n"));
}

TEST(Describe, AServerThatIsNotThereIsSaidPlainly) {
  Error error = Make(absl::StatusCode::kUnavailable, Executed::kNo, "");
  error.message =
      "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to "
      "connect "
      "to remote host: Connection refused";
  const std::string text = Describe(error, {"127.0.0.1:1", ""}, kPlain);
  EXPECT_THAT(text,
              HasSubstr("error: cannot reach the server at 127.0.0.1:1: Connection refused\n"));
  EXPECT_THAT(text, HasSubstr("SLUICE_SERVER"));
  EXPECT_THAT(text, HasSubstr("executed: no\n"));
}

TEST(Describe, ControlsInAMessageDoNotReachTheTerminal) {
  Error error = Make(absl::StatusCode::kInternal, Executed::kNo);
  error.message = "\x1b]0;gone\x07";
  EXPECT_THAT(Describe(error, {}, kPlain), Not(HasSubstr("\x1b")));
}

TEST(Describe, AReadOnlyCallSaysNothingOfAnUnknownFate) {
  const Error error = Make(absl::StatusCode::kInternal, Executed::kUnknown);
  CallContext context;
  EXPECT_THAT(Describe(error, context, kPlain), HasSubstr("executed: unknown"));
  context.read_only = true;
  EXPECT_THAT(Describe(error, context, kPlain), Not(HasSubstr("executed")));
}

TEST(ExitCodes, TellWhatAScriptMayDoNext) {
  using absl::StatusCode;
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kInvalidArgument, Executed::kNo), false), kExitFailed);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kUnavailable, Executed::kNo), false), kExitUnavailable);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kUnavailable, Executed::kUnknown), false), kExitUnknown);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kUnavailable, Executed::kUnknown), true), kExitUnavailable);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kAborted, Executed::kRolledBack), false), kExitUnavailable);
  for (const StatusCode code :
       {StatusCode::kUnknown, StatusCode::kInternal, StatusCode::kResourceExhausted,
        StatusCode::kAborted, StatusCode::kDataLoss, StatusCode::kUnavailable}) {
    EXPECT_EQ(ExitCodeOf(Make(code, Executed::kUnknown), false), kExitUnknown) << code;
    EXPECT_NE(ExitCodeOf(Make(code, Executed::kUnknown), true), kExitUnknown) << code;
  }
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kInternal, Executed::kNo), false), kExitFailed);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kDeadlineExceeded, Executed::kUnknown), false), kExitEnded);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kCancelled, Executed::kNo), false), kExitEnded);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kPermissionDenied, Executed::kNo), false), kExitPermission);
  EXPECT_EQ(ExitCodeOf(Make(StatusCode::kUnauthenticated, Executed::kNo), false), kExitPermission);

  Error busy = Make(StatusCode::kResourceExhausted, Executed::kNo);
  EXPECT_EQ(ExitCodeOf(busy, false), kExitFailed) << "too large stays too large";
  busy.retry_delay = absl::Seconds(1);
  EXPECT_EQ(ExitCodeOf(busy, false), kExitUnavailable) << "load passes";

  Error expired = Make(StatusCode::kAborted, Executed::kRolledBack, "TRANSACTION_EXPIRED");
  EXPECT_EQ(ExitCodeOf(expired, false), kExitUnavailable) << "a load may be sent again";
  expired.metadata["transaction_state"] = "EXPIRED";
  EXPECT_EQ(ExitCodeOf(expired, false), kExitFailed) << "into that transaction nothing more may";
}

}  // namespace
}  // namespace sluice::cli
