#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/postgres/protocol.h"
#include "tests/unit/db/postgres_message.h"

namespace sluice::postgres {
namespace {

using ::testing::ElementsAre;
using namespace std::string_literals;  // NOLINT(google-build-using-namespace): bytes with NULs

TEST(Append, WritesWhatTheProtocolSays) {
  std::string out;
  AppendParse("s", "SELECT $1", {23, 25}, out);
  EXPECT_EQ(out, MessageOf('P', "s\0SELECT $1\0\0\2\0\0\0\x17\0\0\0\x19"s));

  ParameterValues values;
  values.Add("\0\0\0\7"s, Format::kBinary);
  values.AddNull();
  values.Add("", Format::kText);
  out.clear();
  AppendBind("s", values, Format::kBinary, out);
  EXPECT_EQ(out, MessageOf('B',
                           "\0s\0\0\3\0\1\0\0\0\0\0\3\0\0\0\4\0\0\0\7\xff\xff\xff\xff\0\0\0\0"
                           "\0\1\0\1"s));

  out.clear();
  AppendDescribeStatement("s", out);
  AppendDescribePortal(out);
  AppendExecute(out);
  AppendSync(out);
  EXPECT_EQ(out, MessageOf('D', "Ss\0"s) + MessageOf('D', "P\0"s) + MessageOf('E', "\0\0\0\0\0"s) +
                     MessageOf('S', ""));

  out.clear();
  AppendQuery("COPY t FROM STDIN", out);
  AppendCopyData("1\t2\n", out);
  AppendCopyDone(out);
  AppendCopyFail("no", out);
  EXPECT_EQ(out, MessageOf('Q', "COPY t FROM STDIN\0"s) + MessageOf('d', "1\t2\n") +
                     MessageOf('c', "") + MessageOf('f', "no\0"s));
}

const std::string& DescriptionOfTwo() {
  static const auto* const body = new std::string(
      "\0\2a\0\0\0\1\0\0\2\0\0\0\x17\0\4\xff\xff\xff\xff\0\1"
      "b\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\0\0\0\x0c\0\0"s);
  return *body;
}

TEST(ReadRowDescription, GivesColumns) {
  const std::optional<Columns> read = ReadRowDescription(DescriptionOfTwo());
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(read->rows);
  ASSERT_EQ(read->columns.size(), 2u);
  EXPECT_EQ(read->columns[0].name, "a");
  EXPECT_EQ(read->columns[0].table, 256u);
  EXPECT_EQ(read->columns[0].table_column, 2);
  EXPECT_EQ(read->columns[0].type, 23u);
  EXPECT_EQ(read->columns[0].modifier, -1);
  EXPECT_EQ(read->columns[0].format, Format::kBinary);
  EXPECT_EQ(read->columns[1].name, "b");
  EXPECT_EQ(read->columns[1].modifier, 12);
  EXPECT_EQ(read->columns[1].format, Format::kText);
  EXPECT_EQ(ReadRowDescription("\0\0"s)->columns.size(), 0u);
}

TEST(ReadError, GivesFields) {
  const std::optional<ServerError> read = ReadError(
      "SFEHLER\0VERROR\0C23505\0Mtwice\0Dkey\0Hhint\0P7\0ss\0tt\0cc\0dd\0nn\0Rr\0Wx\0\0"s);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->severity, "ERROR");
  EXPECT_EQ(read->sqlstate, "23505");
  EXPECT_EQ(read->message, "twice");
  EXPECT_EQ(read->detail, "key");
  EXPECT_EQ(read->hint, "hint");
  EXPECT_EQ(read->position, 7);
  EXPECT_EQ(read->schema + read->table + read->column + read->datatype + read->constraint, "stcdn");
  EXPECT_EQ(read->routine, "r");
  EXPECT_TRUE(ReadError("\0"s).has_value());
}

TEST(IsDataRow, CountsEveryByte) {
  const std::string row = "\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0"s;
  EXPECT_TRUE(IsDataRow(row, 3));
  EXPECT_FALSE(IsDataRow(row, 2));
  EXPECT_FALSE(IsDataRow(row, 4));
  EXPECT_FALSE(IsDataRow("\0\1\xff\xff\xff\xfe"s, 1));  // -2 bytes
  EXPECT_TRUE(IsDataRow("\0\0"s, 0));
}

// Nothing that is shorter or longer than it should be is taken for what it is not.
TEST(Read, RefusesEveryCut) {
  const std::string error = "C23505\0Mtwice\0\0"s;
  const std::string parameters = "\0\2\0\0\0\x17\0\0\0\x19"s;
  const std::string row = "\0\2\0\0\0\2ab\xff\xff\xff\xff"s;
  EXPECT_THAT(ReadParameterDescription(parameters).value(), ElementsAre(23u, 25u));
  const std::vector<std::pair<std::string, bool (*)(absl::string_view)>> cases = {
      {DescriptionOfTwo(),
       [](absl::string_view body) { return ReadRowDescription(body).has_value(); }},
      {error, [](absl::string_view body) { return ReadError(body).has_value(); }},
      {parameters,
       [](absl::string_view body) { return ReadParameterDescription(body).has_value(); }},
      {row, [](absl::string_view body) { return IsDataRow(body, 2); }},
  };
  for (const auto& [body, reads] : cases) {
    EXPECT_TRUE(reads(body));
    for (size_t size = 0; size < body.size(); ++size) {
      EXPECT_FALSE(reads(absl::string_view(body).substr(0, size))) << size << " of " << body;
    }
    EXPECT_FALSE(reads(body + "x"));
  }
}

}  // namespace
}  // namespace sluice::postgres
