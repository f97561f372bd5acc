#include "client/cli/sql_script.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

#include "client/cli/input.h"
#include "client/cli/sql_lexer.h"

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Split(absl::string_view script) {
  const auto statements = SplitScript(script);
  if (!statements.ok()) return {absl::StrCat("error: ", statements.status().message())};
  std::vector<std::string> texts;
  for (const auto& statement : *statements) texts.emplace_back(statement.text);
  return texts;
}

TEST(SqlScript, SplitsAtSemicolons) {
  EXPECT_THAT(Split("SELECT 1; SELECT 2;\nSELECT 3"),
              ElementsAre("SELECT 1", "SELECT 2", "SELECT 3"));
  EXPECT_THAT(Split(" SELECT 1 ;; ;\n"), ElementsAre("SELECT 1"));
  EXPECT_THAT(Split(""), IsEmpty());
  EXPECT_THAT(Split(" ; \n -- nothing\n /* at all; */ ;"), IsEmpty());
}

TEST(SqlScript, KnowsStringsNamesAndComments) {
  EXPECT_THAT(Split("SELECT 'a;b', 'it''s;', '' ; SELECT 2"),
              ElementsAre("SELECT 'a;b', 'it''s;', ''", "SELECT 2"));
  EXPECT_THAT(Split("SELECT \"a;\"\"b\", `c;d`, [e;f] FROM t; SELECT 2"),
              ElementsAre("SELECT \"a;\"\"b\", `c;d`, [e;f] FROM t", "SELECT 2"));
  EXPECT_THAT(Split("SELECT 1 -- a; b\n, 2; SELECT /* c; ' */ 3;"),
              ElementsAre("SELECT 1 -- a; b\n, 2", "SELECT /* c; ' */ 3"));
  EXPECT_THAT(Split("-- it's\nSELECT 1; -- the \"end"), ElementsAre("SELECT 1"));
  EXPECT_THAT(Split("SELECT x'3b', X'3B'; SELECT 'x'';'"),
              ElementsAre("SELECT x'3b', X'3B'", "SELECT 'x'';'"));
  EXPECT_THAT(Split("SELECT 'é;😀'; SELECT ü"), ElementsAre("SELECT 'é;😀'", "SELECT ü"));
}

TEST(SqlScript, ATriggerEndsWithItsEnd) {
  const std::string trigger =
      "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n"
      "  INSERT INTO b VALUES (CASE WHEN new.x THEN 1 ELSE 2 END);\n"
      "  -- END;\n"
      "  DELETE FROM c;\n"
      "END";
  EXPECT_THAT(Split(trigger + "; SELECT 1;"), ElementsAre(trigger, "SELECT 1"));
  EXPECT_THAT(Split(trigger), ElementsAre(trigger));
  for (const char* begin :
       {"create temp trigger", "CREATE TEMPORARY TRIGGER IF NOT EXISTS", "EXPLAIN CREATE TRIGGER",
        "EXPLAIN QUERY PLAN CREATE /* a; b */ TRIGGER"}) {
    const std::string other = absl::StrCat(begin, " t DELETE ON a BEGIN SELECT 1; end");
    EXPECT_THAT(Split(other + ";SELECT 2"), ElementsAre(other, "SELECT 2")) << begin;
  }
}

TEST(SqlScript, OnlyATriggerHasABody) {
  EXPECT_THAT(Split("CREATE TABLE trigger_t(a); BEGIN; SELECT 1; END; SELECT 2"),
              ElementsAre("CREATE TABLE trigger_t(a)", "BEGIN", "SELECT 1", "END", "SELECT 2"));
  EXPECT_THAT(Split("DROP TRIGGER t; SELECT 2"), ElementsAre("DROP TRIGGER t", "SELECT 2"));
}

TEST(SqlScript, SaysWhereEachStatementBegins) {
  const auto statements =
      SplitScript("SELECT 1;\n\n  -- two\n  SELECT\n 2; SELECT 'a\nb';\nSELECT 4");
  ASSERT_TRUE(statements.ok());
  std::vector<int64_t> lines;
  for (const auto& statement : *statements) lines.push_back(statement.line);
  EXPECT_THAT(lines, ElementsAre(1, 4, 5, 7));
  EXPECT_EQ((*statements)[1].offset, 22u);
}

TEST(SqlScript, WhatHasNoEndIsToldWithItsLine) {
  EXPECT_THAT(Split("SELECT 1;\nSELECT 'abc; SELECT 2"),
              ElementsAre("error: line 2: the string that begins here has no end"));
  EXPECT_THAT(Split("SELECT\n\n\"abc"),
              ElementsAre("error: line 3: the quoted name that begins here has no end"));
  EXPECT_THAT(Split("SELECT 1; /* abc"),
              ElementsAre("error: line 1: the comment that begins here has no end"));
}

TEST(SqlScript, AFileIsReadStatementByStatement) {
  std::string script;
  for (int i = 0; i < 1000; ++i) absl::StrAppend(&script, "SELECT ", i, ", ';';\n");
  Input input(script);
  ScriptReader reader(&input);
  ScriptStatement statement;
  for (int i = 0; i < 1000; ++i) {
    const auto read = reader.Next(&statement);
    ASSERT_TRUE(read.ok() && *read) << i;
    EXPECT_EQ(statement.text, absl::StrCat("SELECT ", i, ", ';'"));
    EXPECT_EQ(statement.line, i + 1);
  }
  EXPECT_FALSE(reader.Next(&statement).value());
}

TEST(ScriptReader, AStatementHasABound) {
  const auto last = [](const std::string& script) {
    Input input(script);
    ScriptReader reader(&input, 100);
    ScriptStatement statement;
    auto read = reader.Next(&statement);
    while (read.ok() && *read) read = reader.Next(&statement);
    return std::string(read.status().message());
  };
  std::string many;
  for (int i = 0; i < 50; ++i) many += "SELECT 'short';\n";
  EXPECT_EQ(last(many), "");
  EXPECT_THAT(last("SELECT 1;\nSELECT '" + std::string(100, 'x') + "';"),
              HasSubstr("line 2: the statement that begins here takes more than 100 bytes"));
  EXPECT_THAT(last("SELECT 1;\n\nSELECT '\n" + many),
              HasSubstr("line 3: the statement that begins here"));
}

TEST(SqlLexer, TakesTextApart) {
  SqlLexer lexer("a.b=-1.5e-3,x'00' .5 1e+2 0x1F $c");
  std::vector<std::string> texts;
  for (Token token = lexer.Next(); token.kind != Token::Kind::kEnd; token = lexer.Next()) {
    texts.emplace_back(token.text);
  }
  EXPECT_THAT(texts, ElementsAre("a", ".", "b", "=", "-", "1.5e-3", ",", "x'00'", ".5", "1e+2",
                                 "0x1F", "$", "c"));
}

TEST(SqlLexer, NamesAreQuotedAndUnquoted) {
  EXPECT_EQ(QuotedName("a\"b"), "\"a\"\"b\"");
  for (const auto& [quoted, name] :
       std::vector<std::pair<std::string, std::string>>{{"\"a\"\"b\"", "a\"b"},
                                                        {"`a``b`", "a`b"},
                                                        {"[a]", "a"},
                                                        {"'it''s'", "it's"},
                                                        {"a", "a"}}) {
    EXPECT_EQ(Unquoted(SqlLexer(quoted).Next()), name);
  }
}

}  // namespace
}  // namespace sluice::cli
