#include "client/cli/printer.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/utf8.h"
#include "client/values.h"

namespace sluice::cli {
namespace {

using client::Bytes;
using client::ToValue;

constexpr Style kPlainStyle = {};
constexpr Style kTerminal = {.terminal = true, .color = false};
constexpr Style kColored = {.terminal = true, .color = true};

// A result to print.
struct Table {
  Columns columns;
  std::vector<v1::Row> rows;

  explicit Table(const std::vector<std::pair<std::string, v1::ValueType>>& names) {
    for (const auto& [name, type] : names) {
      columns.Add()->set_name(name);
      columns.rbegin()->set_type(type);
    }
  }

  template <class... Values>
  Table& Row(const Values&... values) {
    v1::Row row;
    (static_cast<void>(*row.add_values() = ToValue(values)), ...);
    rows.push_back(row);
    return *this;
  }
};

std::string Print(const Table& table,
                  Format format,
                  const Style& style = kPlainStyle,
                  const TablePaging& paging = {}) {
  Output out(-1);
  const auto printer = MakePrinter(format, style, paging, &out);
  printer->Begin(table.columns);
  for (const v1::Row& row : table.rows) printer->Row(row);
  printer->End();
  return out.Buffer();
}

const std::pair<std::string, v1::ValueType> kId = {"id", v1::VALUE_TYPE_INT64};
const std::pair<std::string, v1::ValueType> kName = {"name", v1::VALUE_TYPE_STRING};

TEST(TablePrinter, ColumnsAreAlignedAndNumbersFlushRight) {
  EXPECT_EQ(Print(Table({kId, kName}).Row(1, "AC/DC").Row(100, nullptr), Format::kTable),
            "  id | name\n"
            "-----+-------\n"
            "   1 | AC/DC\n"
            " 100 | NULL\n");
}

TEST(TablePrinter, WideAndCombiningCharactersCountTheirColumns) {
  ChooseLocale();
  EXPECT_EQ(Print(Table({kName, kId}).Row("漢字", 1).Row("e\u0301x", 2).Row("😀", 3), Format::kTable,
                  kTerminal),
            "┌──────┬────┐\n"
            "│ name │ id │\n"
            "├──────┼────┤\n"
            "│ 漢字 │  1 │\n"
            "│ e\u0301x   │  2 │\n"
            "│ 😀   │  3 │\n"
            "└──────┴────┘\n");
}

TEST(TablePrinter, NothingInAValueReachesTheTerminalAsAControl) {
  EXPECT_EQ(Print(Table({kName}).Row("a\nb\x1b[31mc\t\u202E"), Format::kTable),
            " name\n"
            "-----------------------------\n"
            " a\\nb\\x1b[31mc\\t\\xe2\\x80\\xae\n");
  EXPECT_EQ(Print(Table({kName}).Row("\xFF\xC3"), Format::kTable),
            " name\n"
            "----------\n"
            " \\xff\\xc3\n");
}

TEST(TablePrinter, NullIsDimOnAColoredTerminalOnly) {
  const Table table = Table({kName}).Row(nullptr).Row("NULL");
  const std::string colored = Print(table, Format::kTable, kColored);
  EXPECT_NE(colored.find("\x1b[2mNULL\x1b[0m"), std::string::npos);
  EXPECT_NE(colored.find("│ NULL │"), std::string::npos);
  EXPECT_EQ(Print(table, Format::kTable, kTerminal).find('\x1b'), std::string::npos);
}

TEST(TablePrinter, LongBlobsAreShownInPart) {
  const std::string text =
      Print(Table({kName}).Row(Bytes{std::string(65, '\x01')}), Format::kTable);
  EXPECT_NE(text.find("01'… 65 bytes"), std::string::npos);
  EXPECT_EQ(text.find(std::string(130, '0')), std::string::npos);
}

TEST(TablePrinter, ResultsWithoutRowsShowTheirColumnsAndThoseWithoutColumnsNothing) {
  EXPECT_EQ(Print(Table({kId}), Format::kTable), " id\n----\n");
  EXPECT_EQ(Print(Table({}), Format::kTable), "");
}

TEST(TablePrinter, PagesRepeatTheHeader) {
  EXPECT_EQ(Print(Table({kId}).Row(1).Row(2).Row(333), Format::kTable, kPlainStyle, {2}),
            " id\n----\n  1\n  2\n\n"
            "  id\n-----\n 333\n");
  EXPECT_EQ(Print(Table({kId}).Row(1).Row(2), Format::kTable, kPlainStyle, {2}),
            " id\n----\n  1\n  2\n");
}

TEST(JsonPrinter, ResultsAreArraysOfObjects) {
  EXPECT_EQ(Print(Table({kId, kName}).Row(1, "a").Row(2, nullptr), Format::kJson),
            "[\n{\"id\":1,\"name\":\"a\"},\n{\"id\":2,\"name\":null}\n]\n");
  EXPECT_EQ(Print(Table({kId}), Format::kJson), "[]\n");
  EXPECT_EQ(Print(Table({}), Format::kJson), "[]\n");
}

TEST(JsonPrinter, NamesThatRepeatAreToldApart) {
  const Table table = Table({kId, kId, {"id_2", v1::VALUE_TYPE_INT64}, kId}).Row(1, 2, 3, 4);
  EXPECT_EQ(Print(table, Format::kNdjson), "{\"id\":1,\"id_3\":2,\"id_2\":3,\"id_4\":4}\n");
}

TEST(JsonPrinter, WhatIsPrintedParses) {
  Table table({kName, {"a\"b\n", v1::VALUE_TYPE_UNSPECIFIED}});
  table.Row("x\x01\"", Bytes{"\xFF"}).Row(std::numeric_limits<double>::infinity(), 1e-7);
  const auto parsed = nlohmann::json::parse(Print(table, Format::kJson));
  ASSERT_EQ(parsed.size(), 2U);
  EXPECT_EQ(parsed[0]["name"], "x\x01\"");
  EXPECT_EQ(parsed[0]["a\"b\n"], "/w==");
  EXPECT_EQ(parsed[1]["name"], "Infinity");
  EXPECT_EQ(parsed[1]["a\"b\n"], 1e-7);
}

TEST(JsonPrinter, LinesHoldNoLineBreaks) {
  v1::Row row;
  row.add_values()->set_json_value("{\n}");
  Table table({kName});
  table.rows.push_back(row);
  table.Row("a\nb");
  EXPECT_EQ(Print(table, Format::kNdjson), "{\"name\":{ }}\n{\"name\":\"a\\nb\"}\n");
}

// Expected lines are what `sqlite3 -csv -header` 3.40.1 prints for the same values.
TEST(CsvPrinter, QuotesAsTheSqliteShellDoes) {
  Table table({{"n", v1::VALUE_TYPE_INT64},
               {"a b", v1::VALUE_TYPE_STRING},
               {"é", v1::VALUE_TYPE_STRING},
               {"", v1::VALUE_TYPE_STRING}});
  table.Row(1, nullptr, "", "a b");
  table.Row(2, "é", "x'y", "q\"q");
  table.Row(3, "a,b", "semi;colon~!", "line\ntwo");
  table.Row(4, Bytes{"A"}, Bytes{"\xFF"}, Bytes{""});
  table.Row(5, 1.0, 0.1 + 0.2, std::numeric_limits<double>::infinity());
  table.Row(6, "tab\t", "\x7F", "#$%&()*+-./:<=>?@[\\]^_`{|}");
  EXPECT_EQ(Print(table, Format::kCsv),
            "n,\"a b\",\"é\",\"\"\n"
            "1,,\"\",\"a b\"\n"
            "2,\"é\",\"x'y\",\"q\"\"q\"\n"
            "3,\"a,b\",semi;colon~!,\"line\ntwo\"\n"
            "4,A,\"\xFF\",\"\"\n"
            "5,1.0,0.3,Inf\n"
            "6,\"tab\t\",\"\x7F\",#$%&()*+-./:<=>?@[\\]^_`{|}\n");
}

TEST(CsvPrinter, QuotesAtBothEndsAreDoubled) {
  EXPECT_EQ(Print(Table({kName}).Row("\"").Row("\"\"").Row("\"x\""), Format::kCsv),
            "name\n\"\"\"\"\n\"\"\"\"\"\"\n\"\"\"x\"\"\"\n");
}

TEST(CsvPrinter, AResultWithoutRowsPrintsNothing) {
  EXPECT_EQ(Print(Table({kId}), Format::kCsv), "");
}

TEST(CsvPrinter, TextBehindANulIsNotLost) {
  EXPECT_EQ(Print(Table({kName}).Row(std::string("a\0b", 3)), Format::kCsv),
            std::string("name\n\"a\0b\"\n", 11));
}

TEST(MarkdownPrinter, CellsStayCells) {
  EXPECT_EQ(Print(Table({kId, {"a|b", v1::VALUE_TYPE_STRING}})
                      .Row(1, "x|y\\z\nnext<b>&")
                      .Row(nullptr, Bytes{"\x01"}),
                  Format::kMarkdown),
            "| id | a\\|b |\n"
            "| ---: | --- |\n"
            "| 1 | x\\|y\\\\z<br>next&lt;b>&amp; |\n"
            "| NULL | x'01' |\n");
}

TEST(CliOutput, AReaderThatWentAwayEndsWriting) {
  signal(SIGPIPE, SIG_IGN);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  Output out(ends[1]);
  out.Buffer() = "x";
  EXPECT_FALSE(out.Flush());
  EXPECT_EQ(out.Errno(), EPIPE);
  out.Buffer() = "y";
  EXPECT_FALSE(out.Flush()) << "it stays ended";
  EXPECT_TRUE(out.Buffer().empty()) << "and holds nothing back";
  close(ends[1]);
}

TEST(CliOutput, SmallPiecesAreGathered) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  Output out(ends[1]);
  out.Buffer() = "held back";
  EXPECT_TRUE(out.Spill());
  char bytes[16];
  EXPECT_EQ(read(ends[0], bytes, sizeof(bytes)), -1);
  EXPECT_TRUE(out.Flush());
  EXPECT_EQ(read(ends[0], bytes, sizeof(bytes)), 9);
  close(ends[0]);
  close(ends[1]);
}

TEST(CliUtf8, WhatIsNoUtf8IsNoticed) {
  EXPECT_TRUE(IsUtf8("aé漢😀"));
  for (const char* text : {"\x80", "\xC0\xAF", "\xC3", "\xE0\x80\x80", "\xED\xA0\x80",
                           "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF0\x9F\x98"}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
  }
}

}  // namespace
}  // namespace sluice::cli
