#include "client/cli/import.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/json_rows.h"
#include "client/cli/request_id.h"
#include "client/cli/row_source.h"

namespace sluice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::TableColumn ColumnOf(v1::ValueType type) {
  v1::TableColumn column;
  column.set_type(type);
  return column;
}

// What a field becomes in a column.
std::string FieldAs(ColumnRule rule,
                    absl::string_view text,
                    bool quoted = false,
                    const std::optional<std::string>& null_text = {}) {
  client::RowBuffer rows;
  AddField(text, quoted, rule, null_text, &rows);
  rows.EndRow();
  v1::BulkInsertRequest request;
  EXPECT_TRUE(request.ParseFromString(rows.Take()));
  const v1::Value& value = request.rows(0).values(0);
  if (value.has_null_value()) return "NULL";
  if (value.has_int64_value()) return absl::StrCat("int ", value.int64_value());
  if (value.has_double_value()) return absl::StrCat("real ", value.double_value());
  return absl::StrCat("text ", value.string_value());
}

TEST(ImportFields, NumbersAreThoseThatAreSpelledAsSuch) {
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "7"), "int 7");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "-0"), "int 0");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "-9223372036854775808"), "int -9223372036854775808");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "123456789012345678"), "int 123456789012345678");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "9223372036854775808"), "text 9223372036854775808");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "1.5"), "real 1.5");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "1e3"), "real 1000");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "1e999"), "text 1e999");
  for (const char* text :
       {"007", "+7", " 7", "7 ", "1,5", "0x1F", "1.", ".5", "-", "seven", "nan"}) {
    EXPECT_EQ(FieldAs(ColumnRule::kNumber, text), absl::StrCat("text ", text));
  }
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "7", true), "int 7");
  EXPECT_EQ(FieldAs(ColumnRule::kText, "7"), "text 7");
  EXPECT_EQ(FieldAs(ColumnRule::kOther, "7"), "text 7");
}

TEST(ImportFields, AnEmptyFieldIsNullUnlessItsColumnIsTextOrItWasQuoted) {
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, ""), "NULL");
  EXPECT_EQ(FieldAs(ColumnRule::kOther, ""), "NULL");
  EXPECT_EQ(FieldAs(ColumnRule::kText, ""), "text ");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "", true), "text ");
}

TEST(ImportFields, ANullTextReplacesThatRuleInEveryColumn) {
  EXPECT_EQ(FieldAs(ColumnRule::kText, "NA", false, "NA"), "NULL");
  EXPECT_EQ(FieldAs(ColumnRule::kText, "NA", true, "NA"), "text NA");
  EXPECT_EQ(FieldAs(ColumnRule::kNumber, "", false, "NA"), "text ");
  EXPECT_EQ(FieldAs(ColumnRule::kText, "", false, ""), "NULL");
}

TEST(ImportFields, TheColumnsTypeDecides) {
  EXPECT_EQ(RuleOf(ColumnOf(v1::VALUE_TYPE_INT64)), ColumnRule::kNumber);
  EXPECT_EQ(RuleOf(ColumnOf(v1::VALUE_TYPE_NUMERIC)), ColumnRule::kNumber);
  EXPECT_EQ(RuleOf(ColumnOf(v1::VALUE_TYPE_STRING)), ColumnRule::kText);
  EXPECT_EQ(RuleOf(ColumnOf(v1::VALUE_TYPE_BYTES)), ColumnRule::kOther);
  EXPECT_EQ(RuleOf(ColumnOf(v1::VALUE_TYPE_DATE)), ColumnRule::kOther);
  EXPECT_EQ(RuleOf(ColumnOf(v1::VALUE_TYPE_UNSPECIFIED)), ColumnRule::kOther);
}

TEST(LineIndex, KnowsTheLineOfEachRow) {
  LineIndex lines;
  EXPECT_EQ(lines.LineOf(0), 0);
  for (const auto& [row, line] : std::vector<std::pair<int64_t, int64_t>>{
           {0, 2}, {1, 3}, {2, 4}, {3, 9}, {4, 10}, {5, 10}, {6, 11}}) {
    lines.Add(row, line);
  }
  EXPECT_EQ(lines.LineOf(0), 2);
  EXPECT_EQ(lines.LineOf(2), 4);
  EXPECT_EQ(lines.LineOf(3), 9);
  EXPECT_EQ(lines.LineOf(4), 10);
  EXPECT_EQ(lines.LineOf(5), 10);
  EXPECT_EQ(lines.LineOf(6), 11);
}

TEST(LineIndex, RowsOfOneLineTakeNoRoom) {
  LineIndex lines;
  for (int64_t row = 0; row < 3000; ++row) lines.Add(row, 7 + row / 1000);
  EXPECT_EQ(lines.LineOf(0), 7);
  EXPECT_EQ(lines.LineOf(999), 7);
  EXPECT_EQ(lines.LineOf(1000), 8);
  EXPECT_EQ(lines.LineOf(2999), 9);
  EXPECT_LE(lines.RunCount(), 5u);
}

// Reads all of a source; the last entry is an error, if there is one.
std::vector<std::string> ReadAll(RowSource& source) {
  std::vector<std::string> lines;
  const auto columns = source.Columns();
  if (!columns.ok()) return {std::string(columns.status().message())};
  for (;;) {
    const auto read = source.Next();
    if (!read.ok()) return lines.emplace_back(read.status().message()), lines;
    if (!*read) return lines;
    std::string line = absl::StrCat(source.Line(), ":");
    for (const Cell& cell : source.Cells()) {
      const bool field = cell.kind == Cell::Kind::kField;
      absl::StrAppend(&line, " ",
                      cell.kind == Cell::Kind::kAbsent ? "absent"
                      : field                          ? std::string(cell.text)
                                                       : cell.value.ShortDebugString());
    }
    lines.push_back(line);
  }
}

TEST(RowSource, CsvRowsHaveAsManyFieldsAsTheHeader) {
  Input input("a,b\n1,2\n\n3\n");
  EXPECT_THAT(ReadAll(*MakeCsvSource(&input, ',', true)),
              ElementsAre("2: 1 2", "line 4: it has 1 fields, but the header has 2"));
  Input one("a\n\n1\n");
  EXPECT_THAT(ReadAll(*MakeCsvSource(&one, ',', true)), ElementsAre("2: ", "3: 1"));
  Input bare("1,2\n3,4,5\n");
  EXPECT_THAT(ReadAll(*MakeCsvSource(&bare, ',', false)),
              ElementsAre("1: 1 2", "line 2: it has 3 fields, but the first line has 2"));
}

TEST(RowSource, AHeaderMustNameEachColumnOnce) {
  Input twice("a,A\n");
  EXPECT_THAT(ReadAll(*MakeCsvSource(&twice, ',', true)).back(),
              HasSubstr("names the column A twice"));
  Input nameless("a,\n");
  EXPECT_THAT(ReadAll(*MakeCsvSource(&nameless, ',', true)).back(), HasSubstr("without a name"));
  Input empty("");
  EXPECT_THAT(ReadAll(*MakeCsvSource(&empty, ',', true)).back(), HasSubstr("the file is empty"));
}

TEST(RowSource, NdjsonObjectsNameTheirColumns) {
  Input input("{\"b\":1,\"a\":\"x\"}\n\n{\"a\":null}\n{\"c\":1}\n");
  const auto source = MakeNdjsonSource(&input, {});
  EXPECT_THAT(source->Columns().value(), ElementsAre("b", "a"));
  Input again("{\"b\":1,\"a\":\"x\"}\n\n{\"a\":null}\n{\"c\":1}\n");
  EXPECT_THAT(
      ReadAll(*MakeNdjsonSource(&again, {})),
      ElementsAre("1: int64_value: 1 string_value: \"x\"", "3: absent null_value: NULL_VALUE",
                  HasSubstr("line 4: the key c is none of the columns")));
}

TEST(JsonRows, ValuesAreWhatTheySay) {
  std::vector<std::string> names;
  std::vector<v1::Value> values;
  ASSERT_TRUE(
      ParseJsonRow("[null, true, -7, 1.5, \"a\", [1, 2], {\"b\": 1}]", &names, &values).ok());
  ASSERT_EQ(values.size(), 7u);
  EXPECT_TRUE(values[0].has_null_value());
  EXPECT_TRUE(values[1].bool_value());
  EXPECT_EQ(values[2].int64_value(), -7);
  EXPECT_EQ(values[3].double_value(), 1.5);
  EXPECT_EQ(values[4].string_value(), "a");
  EXPECT_EQ(values[5].json_value(), "[1,2]");
  EXPECT_EQ(values[6].json_value(), "{\"b\":1}");
  for (const char* line : {"", "1", "[1", "{}", "[1] 2", "[18446744073709551615]"}) {
    EXPECT_FALSE(ParseJsonRow(line, &names, &values).ok()) << line;
  }
}

TEST(JsonRows, AnIntegerThatDoesNotFitIsRefusedInsteadOfRounded) {
  std::vector<std::string> names;
  std::vector<v1::Value> values;
  for (const char* line :
       {"[18446744073709551616]", "[-9223372036854775809]",
        "{\"a\": 1, \"b\":123456789012345678901234567890}", "[[18446744073709551616]]"}) {
    EXPECT_THAT(std::string(ParseJsonRow(line, &names, &values).message()),
                HasSubstr("is beyond 64 bits; write it as a string"))
        << line;
  }
  ASSERT_TRUE(ParseJsonRow(
                  "[-9223372036854775808, 18446744073709551616.0, 1e30, "
                  "\"18446744073709551616\", \"\\\"99999999999999999999\", [18446744073709551615]]",
                  &names, &values)
                  .ok());
  EXPECT_EQ(values[0].int64_value(), INT64_MIN);
  EXPECT_EQ(values[1].double_value(), 18446744073709551616.0);
  EXPECT_EQ(values[2].double_value(), 1e30);
  EXPECT_EQ(values[5].json_value(), "[18446744073709551615]");
}

TEST(JsonRows, DepthAndLengthHaveABound) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  std::vector<std::string> names;
  std::vector<v1::Value> values;
  EXPECT_TRUE(ParseJsonRow(nested(kMaxJsonDepth), &names, &values).ok());
  Input deep("[1]\n" + nested(1'000'000) + "\n");
  EXPECT_THAT(ReadAll(*MakeNdjsonSource(&deep, {})).back(),
              HasSubstr("line 2: arrays and objects"));
  Input brackets("[\"" + std::string(1000, '[') + "\"]\n");
  EXPECT_EQ(ReadAll(*MakeNdjsonSource(&brackets, {})).size(), 1u);
  Input wide("[1]\n[\"" + std::string(100, 'x') + "\"]\n");
  EXPECT_THAT(ReadAll(*MakeNdjsonSource(&wide, {}, 100)).back(),
              HasSubstr("line 2: it takes more than 100 bytes"));
}

TEST(Progress, TellsHowMuchIsLeftWhereTheWholeIsKnown) {
  EXPECT_EQ(ProgressText("rows", absl::Seconds(10), 50'000, 100, std::nullopt),
            "50.0 k rows, 5000 rows/s");
  EXPECT_EQ(ProgressText("rows", absl::Seconds(10), 50'000, 100, 400),
            "50.0 k rows, 5000 rows/s, 25 %, 30s left");
  EXPECT_EQ(ProgressText("rows", absl::Seconds(10), 50'000, 0, 400),
            "50.0 k rows, 5000 rows/s, 0 %");
  EXPECT_EQ(ProgressText("B", absl::Seconds(1), 700, 700, 400), "700 B, 700 B/s, 100 %, 0 left");
}

TEST(RequestIds, APartHasAnIdOfItsOwnThatIsAlwaysTheSame) {
  const std::string id = "5b0e4c1e-0000-4000-8000-00000000000a";
  const std::string part = PartRequestId(id, "the table");
  EXPECT_TRUE(IsUuid(part)) << part;
  EXPECT_EQ(part[14], '8');
  EXPECT_NE(part, id);
  EXPECT_EQ(part, PartRequestId("5B0E4C1E-0000-4000-8000-00000000000A", "the table"));
  EXPECT_NE(part, PartRequestId("5b0e4c1e-0000-4000-8000-00000000000b", "the table"));
  EXPECT_NE(part, PartRequestId(id, "another"));
}

}  // namespace
}  // namespace sluice::cli
