#include "client/cli/csv.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Records = std::vector<std::vector<std::string>>;

// The records of a text; a quoted field is written with quotes around it. An error is the last
// record, and alone in it.
Records ReadFrom(Input input, char delimiter = ',') {
  CsvReader reader(&input, delimiter);
  Records records;
  for (;;) {
    const auto read = reader.Next();
    if (!read.ok()) {
      records.push_back({absl::StrCat("error: ", read.status().message())});
      return records;
    }
    if (!*read) return records;
    auto& record = records.emplace_back();
    for (const CsvField& field : reader.Fields()) {
      record.push_back(field.quoted ? absl::StrCat("\"", field.text, "\"")
                                    : std::string(field.text));
    }
  }
}

Records Read(const std::string& text, char delimiter = ',') {
  return ReadFrom(Input(text), delimiter);
}

TEST(Csv, RecordsAreLinesAndFieldsLieBetweenCommas) {
  EXPECT_THAT(Read("a,b\n1,2\n"), ElementsAre(ElementsAre("a", "b"), ElementsAre("1", "2")));
  EXPECT_THAT(Read("a,b\r\n1,2"), ElementsAre(ElementsAre("a", "b"), ElementsAre("1", "2")));
  EXPECT_THAT(Read(",\n,,"), ElementsAre(ElementsAre("", ""), ElementsAre("", "", "")));
  EXPECT_THAT(Read(" a , b "), ElementsAre(ElementsAre(" a ", " b ")));
  EXPECT_THAT(Read("a\n\nb\n"), ElementsAre(ElementsAre("a"), ElementsAre(""), ElementsAre("b")));
  EXPECT_THAT(Read(""), IsEmpty());
  EXPECT_THAT(Read("x\na\rb,c\n"), ElementsAre(ElementsAre("x"), ElementsAre("a\rb", "c")));
}

TEST(Csv, QuotedFieldsHoldAnything) {
  EXPECT_THAT(Read("\"a,b\",\"c\nd\",\"e\"\"f\",\"\"\n"),
              ElementsAre(ElementsAre("\"a,b\"", "\"c\nd\"", "\"e\"f\"", "\"\"")));
  EXPECT_THAT(Read("\"\"\"\",\"\"\"a\"\"\",b\"c\n\"x\"\r\n"),
              ElementsAre(ElementsAre("\"\"\"", "\"\"a\"\"", "b\"c"), ElementsAre("\"x\"")));
  EXPECT_THAT(Read("\"end\""), ElementsAre(ElementsAre("\"end\"")));
}

TEST(Csv, TabsMayStandBetweenFields) {
  EXPECT_THAT(Read("a\tb,c\n\"d\te\"\tf\n", '\t'),
              ElementsAre(ElementsAre("a", "b,c"), ElementsAre("\"d\te\"", "f")));
}

TEST(Csv, BrokenFilesAreToldWithTheLine) {
  EXPECT_THAT(Read("a\n\"b\nc\n").back(),
              ElementsAre("error: line 2: a quoted field begins in this record and has no end"));
  EXPECT_THAT(Read("a\nb,\"c\nd\"e\n").back(),
              ElementsAre(HasSubstr("line 3: field 2 goes on after its closing quote")));
  EXPECT_THAT(Read("a\n\xE4\n").back(), ElementsAre(HasSubstr("line 2: it is not UTF-8")));
  EXPECT_THAT(Read(std::string("a\n\"x\ny\0z\"\n", 10)).back(),
              ElementsAre(HasSubstr("line 3: it holds a NUL byte")));
  EXPECT_THAT(Read("abcdefghijkl,é😀\n"), ElementsAre(ElementsAre("abcdefghijkl", "é😀")));
}

// A lone CR is never taken for a line's end, and nothing behind it is skipped.
TEST(Csv, AFileWhoseLinesEndWithCrIsRefused) {
  EXPECT_THAT(Read("\"a\",\"b\"\r\"1\",\"2\"\r"),
              ElementsAre(ElementsAre(HasSubstr("line 1: a CR without its LF at field 2"))));
  EXPECT_THAT(Read("a,b\n\"1\",\"2\"\r\"3\",\"4\"\r").back(),
              ElementsAre(HasSubstr("line 2: a CR without its LF at field 2")));
  EXPECT_THAT(Read("a,b\r1,2\r"),
              ElementsAre(ElementsAre(HasSubstr("line 1: a CR without its LF at field 2"))));
  EXPECT_THAT(Read("\"a\"\r"), ElementsAre(ElementsAre("\"a\"")));
  EXPECT_THAT(Read("\"a\"\r\n\"b\"\r\n"), ElementsAre(ElementsAre("\"a\""), ElementsAre("\"b\"")));
}

TEST(Csv, ARecordHasABound) {
  const auto last = [](std::string text) {
    Input input(std::move(text));
    CsvReader reader(&input, ',', 100);
    auto read = reader.Next();
    while (read.ok() && *read) read = reader.Next();
    return std::string(read.status().message());
  };
  EXPECT_EQ(last("a\n" + std::string(99, 'x') + "\n"), "");
  EXPECT_THAT(last("a\n" + std::string(100, 'x') + "\n"),
              HasSubstr("line 2: the record that begins here takes more than 100 bytes"));
  std::string stray = "a\nb\n\"c\n";
  for (int i = 0; i < 100; ++i) stray += "d\n";
  stray += '"';
  EXPECT_THAT(last(stray), HasSubstr("line 3: the record that begins here"));
}

TEST(Csv, LinesAreCountedThroughQuotedLineEnds) {
  Input input("a\n\"b\n\nc\"\nd\n");
  CsvReader reader(&input, ',');
  std::vector<int64_t> lines;
  while (reader.Next().value()) lines.push_back(reader.Line());
  EXPECT_THAT(lines, ElementsAre(1, 2, 5));
}

// What a reader sees must not depend on where a piece of the file ends.
TEST(Csv, AFileIsReadPieceByPiece) {
  const std::string path = testing::TempDir() + "/pieces.csv";
  std::string text;
  Records expected;
  for (int i = 0; text.size() < (3 << 20); ++i) {
    const std::string filler(static_cast<size_t>(i % 97), 'x');
    absl::StrAppend(&text, i, ",\"", filler, "\"\"\r\n", filler, "\"\r\n");
    expected.push_back({absl::StrCat(i), absl::StrCat("\"", filler, "\"\r\n", filler, "\"")});
  }
  std::ofstream(path, std::ios::binary) << text;
  auto input = Input::Open(path, {});
  ASSERT_TRUE(input.ok());
  EXPECT_EQ(input->Size(), static_cast<int64_t>(text.size()));
  EXPECT_EQ(ReadFrom(*std::move(input)), expected);
  std::remove(path.c_str());
}

// Reading from a pipe in small pieces must not look at a long record once for each of them.
TEST(Csv, APipeIsReadInGrowingPieces) {
  constexpr size_t kBytes = 8 << 20;
  const std::string path = testing::TempDir() + "/pieces.fifo";
  std::remove(path.c_str());
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&path] {
    std::ofstream out(path, std::ios::binary);
    const std::string piece(1 << 10, 'x');
    for (size_t i = 0; i < kBytes; i += piece.size()) out.write(piece.data(), 1 << 10).flush();
  });
  auto input = Input::Open(path, {});
  int pieces = 0;
  while (input.ok() && input->More()) ++pieces;
  writer.join();
  std::remove(path.c_str());
  ASSERT_TRUE(input.ok());
  EXPECT_EQ(input->View().size(), kBytes);
  EXPECT_LT(pieces, 50);
}

TEST(Csv, ByteOrderMarksAreSkippedOrNamed) {
  Input utf8(
      "\xEF\xBB\xBF"
      "a,b\n");
  EXPECT_TRUE(SkipByteOrderMark(&utf8).ok());
  EXPECT_EQ(utf8.View(), "a,b\n");
  Input utf16(
      std::string("\xFF\xFE"
                  "a\0",
                  4));
  EXPECT_THAT(std::string(SkipByteOrderMark(&utf16).message()), HasSubstr("it is UTF-16"));
  Input utf32(std::string("\xFF\xFE\0\0a\0\0\0", 8));
  EXPECT_THAT(std::string(SkipByteOrderMark(&utf32).message()), HasSubstr("it is UTF-32"));
  Input plain("a");
  EXPECT_TRUE(SkipByteOrderMark(&plain).ok());
}

TEST(Csv, CleanTextIsUtf8WithoutNul) {
  EXPECT_TRUE(IsCleanText(""));
  EXPECT_TRUE(IsCleanText("0123456789 abcdefgh é 漢字 😀"));
  EXPECT_FALSE(IsCleanText(absl::string_view("01234567\0", 9)));
  EXPECT_FALSE(IsCleanText("0123456789abcdef\xFF"));
  EXPECT_FALSE(IsCleanText("\xED\xA0\x80"));
}

}  // namespace
}  // namespace sluice::cli
