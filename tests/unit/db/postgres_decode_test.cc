#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/postgres/decode.h"
#include "sluice/v1/query.pb.h"

namespace sluice::postgres {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kNoSplit = std::numeric_limits<int64_t>::max();
constexpr Oid kPair = 20000;   // (a int, b text)
constexpr Oid kTree = 20001;   // (leaves tree[])
constexpr Oid kTrees = 20002;  // tree[]
constexpr Oid kMood = 20003;
constexpr Oid kPositive = 20004;
constexpr Oid kForeign = 20005;  // of a form that is passed through

Type Make(Oid oid, Form form, Oid inner = 0, const std::vector<Oid>& fields = {}) {
  Type type;
  type.oid = oid;
  type.form = form;
  type.inner = inner;
  for (const Oid field : fields) type.fields.push_back({"field", field});
  return type;
}

const TypeBook& Book() {
  static const TypeBook& book = *[] {
    auto* const made = new TypeBook;
    made->Add(Make(kPair, Form::kComposite, 0, {23, 25}));
    made->Add(Make(kTree, Form::kComposite, 0, {kTrees}));
    made->Add(Make(kTrees, Form::kArray, kTree));
    made->Add(Make(kMood, Form::kString));
    made->Add(Make(kPositive, Form::kDomain, 23));
    made->Add(Make(kForeign, Form::kUnknown));
    return made;
  }();
  return book;
}

std::string Big(uint64_t number, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(number >> (8 * i)));
  return text;
}

// A length, and the bytes.
std::string Sized(absl::string_view bytes) {
  return absl::StrCat(Big(bytes.size(), 4), bytes);
}

std::string Numeric(const std::vector<uint16_t>& groups, int weight, int sign, int scale) {
  std::string text = Big(groups.size(), 2) + Big(static_cast<uint16_t>(weight), 2) +
                     Big(static_cast<uint16_t>(sign), 2) + Big(static_cast<uint16_t>(scale), 2);
  for (const uint16_t group : groups) text += Big(group, 2);
  return text;
}

bool Fails(Oid oid, Format format, absl::string_view data) {
  std::string out = "before";
  const absl::Status status = AppendValue(Book(), oid, format, data, out);
  EXPECT_EQ(out == "before", !status.ok());
  if (!status.ok()) EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  return !status.ok();
}

pb::Value Decode(Oid oid, Format format, absl::string_view data) {
  std::string out;
  const absl::Status status = AppendValue(Book(), oid, format, data, out);
  EXPECT_TRUE(status.ok()) << status;
  pb::Value value;
  EXPECT_TRUE(value.ParseFromString(out));
  return value;
}

pb::Value Text(Oid oid, absl::string_view data) {
  return Decode(oid, Format::kText, data);
}

pb::Value Binary(Oid oid, absl::string_view data) {
  return Decode(oid, Format::kBinary, data);
}

// One row in wire form, parsed; `split` gets the columns that were split.
pb::Row Row(const std::vector<RowDecoder::Column>& columns,
            const std::vector<std::string>& cells,
            int64_t split_above,
            std::vector<int>& split) {
  std::vector<Cell> raw;
  for (const std::string& cell : cells) raw.push_back({cell.data(), static_cast<int>(cell.size())});
  std::string out;
  const absl::Status status = RowDecoder(Book(), columns).Append(raw, split_above, out, split);
  EXPECT_TRUE(status.ok()) << status;
  pb::QueryResponse reply;
  EXPECT_TRUE(reply.ParseFromString(out));
  EXPECT_EQ(reply.rows_size(), 1);
  return reply.rows(0);
}

TEST(PostgresDecode, NumericIsWrittenAsTheServerWritesIt) {
  const std::pair<std::string, std::string> cases[] = {{Numeric({}, 0, 0, 0), "0"},
                                                       {Numeric({}, 0, 0, 2), "0.00"},
                                                       {Numeric({1}, 0, 0x4000, 0), "-1"},
                                                       {Numeric({1}, 1, 0, 0), "10000"},
                                                       {Numeric({12, 3456}, 1, 0, 1), "123456.0"},
                                                       {Numeric({1, 5}, 0, 0, 3), "1.000"},
                                                       {Numeric({1, 5}, 0, 0, 4), "1.0005"},
                                                       {Numeric({5}, -2, 0, 8), "0.00000005"},
                                                       {Numeric({}, 0, 0xC000, 0), "NaN"},
                                                       {Numeric({}, 0, 0xD000, 0), "Infinity"},
                                                       {Numeric({}, 0, 0xF000, 0), "-Infinity"}};
  for (const auto& [data, expected] : cases) {
    EXPECT_EQ(Binary(1700, data).numeric_value(), expected);
  }
}

TEST(PostgresDecode, ZerosThatNobodySentAreRationed) {
  const std::string number = Numeric({1}, 32767, 0, 0);
  std::string array = Big(1, 4) + Big(0, 4) + Big(1700, 4) + Big(1000, 4) + Big(1, 4);
  for (int i = 0; i < 1000; ++i) array += Sized(number);
  std::string out;
  ASSERT_TRUE(AppendValue(Book(), 1231, Format::kBinary, array, out).ok());
  EXPECT_LT(out.size(), 20'000'000u);
  pb::Value value;
  ASSERT_TRUE(value.ParseFromString(out));
  EXPECT_EQ(value.array_value().values(0).numeric_value().size(), 131'069u);
  EXPECT_EQ(value.array_value().values(999).raw_value().data(), number);
  EXPECT_EQ(value.array_value().values(999).raw_value().format(), pb::Raw::FORMAT_BINARY);
}

TEST(PostgresDecode, ATimestampBeyondTheContractsCountIsRawInBothFormats) {
  const int64_t last = std::numeric_limits<int64_t>::max() - 946'684'800'000'000;
  EXPECT_EQ(Binary(1114, Big(static_cast<uint64_t>(last), 8)).timestamp_value().micros(),
            std::numeric_limits<int64_t>::max());
  const pb::Value binary = Binary(1114, Big(static_cast<uint64_t>(last) + 1, 8));
  EXPECT_EQ(binary.raw_value().oid(), 1114u);
  EXPECT_EQ(binary.raw_value().data(), Big(static_cast<uint64_t>(last) + 1, 8));
  EXPECT_EQ(Text(1114, "294247-01-10 04:00:54.775808").SerializeAsString(),
            binary.SerializeAsString());
}

TEST(PostgresDecode, AnInfiniteIntervalIsTheSameInBothFormats) {
  const std::string most = Big(INT64_MAX, 8) + Big(INT32_MAX, 4) + Big(INT32_MAX, 4);
  EXPECT_EQ(Text(1186, "infinity").SerializeAsString(), Binary(1186, most).SerializeAsString());
}

TEST(PostgresDecode, NestingBeyondTheContractsDepthIsRaw) {
  std::string row = Big(0, 4);
  for (int i = 0; i < 100; ++i) row = absl::StrCat(Big(1, 4), Big(2249, 4), Sized(row));
  pb::Value value = Binary(2249, row);
  for (int depth = 1; depth < 32; ++depth) {
    ASSERT_EQ(value.composite_value().values_size(), 1) << depth;
    value = pb::Value(value.composite_value().values(0));
  }
  EXPECT_EQ(value.composite_value().values(0).raw_value().oid(), 2249u);
}

TEST(PostgresDecode, NestedTextIsReadThroughItsQuotes) {
  std::string tree = "({})";
  for (int i = 0; i < 5; ++i) {
    const std::string element = absl::StrCat("{\"", absl::CEscape(tree), "\"}");
    tree = absl::StrCat("(\"", absl::CEscape(element), "\")");
  }
  pb::Value value = Text(kTree, tree);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(value.composite_value().values_size(), 1) << i;
    ASSERT_EQ(value.composite_value().values(0).array_value().values_size(), 1) << i;
    value = pb::Value(value.composite_value().values(0).array_value().values(0));
  }
  EXPECT_TRUE(value.composite_value().values(0).array_value().values().empty());
}

TEST(PostgresDecode, AnUnknownTypeIsPassedThrough) {
  for (const Oid oid : {kForeign, Oid{12345678}}) {
    const pb::Value text = Text(oid, "x\xFF");
    EXPECT_EQ(text.raw_value().oid(), oid);
    EXPECT_EQ(text.raw_value().format(), pb::Raw::FORMAT_TEXT);
    EXPECT_EQ(text.raw_value().data(), "x\xFF");
    EXPECT_EQ(Binary(oid, "x").raw_value().format(), pb::Raw::FORMAT_BINARY);
  }
}

TEST(PostgresDecode, WhatIsNoValueOfItsTypeIsRefused) {
  const std::pair<Oid, const char*> texts[] = {{16, "true"},
                                               {16, ""},
                                               {21, "32768"},
                                               {23, "2147483648"},
                                               {23, " 1"},
                                               {23, "1x"},
                                               {23, ""},
                                               {26, "-1"},
                                               {700, "1e39"},
                                               {701, ""},
                                               {1700, "1e5"},
                                               {1700, "abc"},
                                               {17, "\\x0"},
                                               {17, "\\xzz"},
                                               {17, "\\9"},
                                               {17, "a\\"},
                                               {1082, "2024-1-01"},
                                               {1082, "2024-13-01"},
                                               {1082, "2024-01-01 AD"},
                                               {1083, "24:00:01"},
                                               {1083, "12:60:00"},
                                               {1083, "12:00"},
                                               {1083, "12:00:00."},
                                               {1114, "2024-01-01"},
                                               {1114, "9999999-01-01 00:00:00"},
                                               {1184, "2024-01-01 00:00:00"},
                                               {1186, ""},
                                               {1186, "1 week"},
                                               {1186, "1 day "},
                                               {1186, "9999999999 days"},
                                               {1186, "9999999999:00:00"},
                                               {2950, "a0eebc99"},
                                               {2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1x"},
                                               {1007, ""},
                                               {1007, "{"},
                                               {1007, "{1"},
                                               {1007, "{1}x"},
                                               {1007, "{1,}"},
                                               {1007, "{,1}"},
                                               {1007, "{{1},2}"},
                                               {1007, "{1,{2}}"},
                                               {1007, "{{1},{2,3}}"},
                                               {1007, "{{},{}}"},
                                               {1007, "{{{{{{{1}}}}}}}"},
                                               {1007, "[0:1]{1,2}"},
                                               {1007, "[0:1][0:1]={1,2}"},
                                               {1007, "[0:9999999999]={1}"},
                                               {1009, "{\"a}"},
                                               {1009, "{\"a\\"},
                                               {22, "1 x"},
                                               {3904, ""},
                                               {3904, "[1,2"},
                                               {3904, "1,2)"},
                                               {3904, "[1)"},
                                               {3904, "[1,2)x"},
                                               {3904, "emptyx"},
                                               {3904, "[a,2)"},
                                               {4451, "{"},
                                               {4451, "{[1,2)"},
                                               {4451, "{[1,2)[3,4)}"},
                                               {4451, "{[1,2)}x"},
                                               {kPair, "1,a"},
                                               {kPair, "(1,a"},
                                               {kPair, "(x,a)"},
                                               {kPair, "(1,\"a)"},
                                               {kPair, "(1,a)x"},
                                               {kPositive, "x"}};
  for (const auto& [oid, text] : texts) {
    EXPECT_TRUE(Fails(oid, Format::kText, text)) << oid << ": " << text;
  }
}

TEST(PostgresDecode, BytesThatAreNoValueOfTheirTypeAreRefused) {
  const std::string one = Sized(Big(1, 4));
  const std::string head = Big(1, 4) + Big(0, 4) + Big(23, 4);
  const std::pair<Oid, std::string> cases[] = {
      {16, ""},
      {16, "ab"},
      {23, Big(1, 3)},
      {23, Big(1, 5)},
      {1083, Big(86'400'000'001, 8)},
      {1083, Big(UINT64_MAX, 8)},
      {1186, std::string(15, '\0')},
      {1700, Numeric({10000}, 0, 0, 0)},
      {1700, Numeric({1}, 0, 0x1234, 0)},
      {1700, Numeric({1}, 0, 0, 0x4000)},
      {1700, Numeric({1}, 0, 0, 0) + "x"},
      {2950, std::string(15, '\0')},
      {3802, ""},
      {3802, "\2{}"},
      {1007, Big(7, 4) + Big(0, 4) + Big(23, 4)},
      {1007, head + Big(0x7FFFFFFF, 4) + Big(1, 4) + one},
      {1007, head + Big(UINT32_MAX, 4) + Big(1, 4)},
      {1007, head + Big(1, 4) + Big(1, 4) + one + "x"},
      {1007, head + Big(1, 4) + Big(1, 4) + Big(4, 4) + "abc"},
      {1007, head + Big(1, 4) + Big(1, 4) + Big(0xFFFFFFFE, 4)},
      {3904, ""},
      {3904, std::string("\2", 1)},
      {3904, std::string("\1x", 2)},
      {3904, std::string("\2", 1) + Big(UINT32_MAX, 4) + one},
      {4451, Big(UINT32_MAX, 4)},
      {4451, Big(2, 4) + Sized("\1")},
      {2249, Big(1, 4)},
      {2249, Big(1, 4) + Big(23, 4) + Sized("abc")},
      {2249, Big(0x7FFFFFFF, 4) + Big(23, 4) + one},
      {2249, Big(0, 4) + "x"}};
  for (const auto& [oid, data] : cases) {
    EXPECT_TRUE(Fails(oid, Format::kBinary, data)) << oid << ": " << absl::BytesToHexString(data);
  }
}

TEST(PostgresDecode, ARowIsAFieldOfTheReply) {
  std::vector<int> split;
  const std::vector<RowDecoder::Column> columns = {
      {23, Format::kBinary}, {25, Format::kText}, {23, Format::kText}};
  const pb::Row row = Row(columns, {Big(7, 4), std::string(1000, 'x'), "8"}, kNoSplit, split);
  ASSERT_EQ(row.values_size(), 3);
  EXPECT_EQ(row.values(0).int64_value(), 7);
  EXPECT_EQ(row.values(1).string_value(), std::string(1000, 'x'));
  EXPECT_EQ(row.values(2).int64_value(), 8);
  EXPECT_THAT(split, IsEmpty());
}

TEST(PostgresDecode, NullIsNoEmptyText) {
  const RowDecoder::Column columns[] = {{25, Format::kText}, {25, Format::kText}};
  const Cell cells[] = {{nullptr, 0}, {"", 0}};
  std::string out;
  std::vector<int> split;
  ASSERT_TRUE(RowDecoder(Book(), columns).Append(cells, kNoSplit, out, split).ok());
  pb::QueryResponse reply;
  ASSERT_TRUE(reply.ParseFromString(out));
  EXPECT_EQ(reply.rows(0).values(0).kind_case(), pb::Value::kNullValue);
  EXPECT_EQ(reply.rows(0).values(1).kind_case(), pb::Value::kStringValue);
}

TEST(PostgresDecode, ABadRowLeavesNothing) {
  const RowDecoder::Column columns[] = {{25, Format::kText}, {23, Format::kText}};
  const RowDecoder decoder(Book(), columns);
  const Cell bad[] = {{"long", 4}, {"x", 1}};
  std::string out = "before";
  std::vector<int> split = {5};
  EXPECT_EQ(decoder.Append(bad, 1, out, split).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(decoder.Append({bad, 1}, 1, out, split).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(out, "before");
  EXPECT_THAT(split, ElementsAre(5));
}

TEST(PostgresDecode, LargeValuesAreSplitAndTheirBytesAreFound) {
  struct Case {
    RowDecoder::Column column;
    std::string cell;
    pb::ValueType type;
    std::string bytes;
  };

  const std::string bad = "01234567\xFF";
  const Case cases[] = {
      {{25, Format::kText}, "123456789", pb::VALUE_TYPE_STRING, "123456789"},
      {{kMood, Format::kBinary}, "123456789", pb::VALUE_TYPE_STRING, "123456789"},
      {{869, Format::kText}, "10.0.0.10", pb::VALUE_TYPE_STRING, "10.0.0.10"},
      {{25, Format::kText}, bad, pb::VALUE_TYPE_RAW, bad},
      {{17, Format::kBinary}, bad, pb::VALUE_TYPE_BYTES, bad},
      {{17, Format::kText}, "\\x414243444546474849", pb::VALUE_TYPE_BYTES, "ABCDEFGHI"},
      {{3802, Format::kBinary}, "\1" + bad, pb::VALUE_TYPE_RAW, bad},
      {{2249, Format::kText}, "(1,2,3,4)", pb::VALUE_TYPE_RAW, "(1,2,3,4)"},
      {{kPair, Format::kText}, "(1,2,3,4)", pb::VALUE_TYPE_RAW, "(1,2,3,4)"},
      {{kForeign, Format::kBinary}, bad, pb::VALUE_TYPE_RAW, bad}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.cell);
    std::vector<int> split;
    const pb::Row row = Row({{23, Format::kText}, c.column}, {"1", c.cell}, 8, split);
    EXPECT_THAT(split, ElementsAre(1));
    EXPECT_EQ(row.values(1).split_value().type(), c.type);
    EXPECT_EQ(row.values(1).split_value().size(), c.bytes.size());
    const RowDecoder decoder(Book(), {&c.column, 1});
    std::string storage;
    const Cell cell = {c.cell.data(), static_cast<int>(c.cell.size())};
    const auto bytes = decoder.SplitBytes(0, cell, storage);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(*bytes, c.bytes);
  }
}

TEST(PostgresDecode, OtherLargeValuesStayWhole) {
  std::vector<int> split;
  const pb::Row row = Row({{114, Format::kText}, {17, Format::kText}, {1700, Format::kText}},
                          {"{\"a\": 12345}", "\\x4142434445464748", "12345678901"}, 8, split);
  EXPECT_THAT(split, IsEmpty());
  EXPECT_EQ(row.values(0).json_value(), "{\"a\": 12345}");
  EXPECT_EQ(row.values(1).bytes_value(), "ABCDEFGH");
  EXPECT_EQ(row.values(2).numeric_value(), "12345678901");
}

// Every built-in type, and those of this test.
std::vector<Oid> AllTypes() {
  std::vector<Oid> all = {kPair, kTree, kTrees, kMood, kPositive, kForeign};
  for (Oid oid = 0; oid < 10'000; ++oid) {
    if (Book().Find(oid) != nullptr) all.push_back(oid);
  }
  return all;
}

// Decodes what may be anything; a value that comes of it is one that a caller can parse.
void Try(Oid oid, Format format, const std::string& data) {
  std::string out = "before";
  if (!AppendValue(Book(), oid, format, data, out).ok()) {
    ASSERT_EQ(out, "before") << oid << ": " << absl::BytesToHexString(data);
    return;
  }
  ASSERT_LT(out.size(), 64 * data.size() + 300'000);
  pb::Value value;
  ASSERT_TRUE(value.ParseFromString(out.substr(6))) << oid << ": " << absl::BytesToHexString(data);
  ASSERT_NE(value.kind_case(), pb::Value::KIND_NOT_SET);
}

TEST(PostgresDecode, RandomBytesDoNoHarm) {
  std::mt19937 random(1);
  // What decoders look for, so that they get further than with plain noise.
  constexpr absl::string_view kSigns = "{}[]()\",;:\\ =-+.0123456789tfNULLxempty\1\2\4\x17\xFF";
  const std::string letters = absl::StrCat(kSigns, std::string(5, '\0'));
  for (const Oid oid : AllTypes()) {
    for (int i = 0; i < 400; ++i) {
      std::string data(random() % 40, '\0');
      const bool is_noise = random() % 4 == 0;
      for (char& c : data) {
        c = is_noise ? static_cast<char>(random()) : letters[random() % letters.size()];
      }
      Try(oid, Format::kText, data);
      Try(oid, Format::kBinary, data);
    }
  }
}

TEST(PostgresDecode, CutAndChangedValuesDoNoHarm) {
  const std::string one = Sized(Big(1, 4));
  const std::string array = Big(2, 4) + Big(1, 4) + Big(23, 4) + Big(1, 4) + Big(1, 4) + Big(2, 4) +
                            Big(0, 4) + one + Big(UINT32_MAX, 4);
  const std::string range = "\2" + one + one;
  const std::string row = Big(2, 4) + Big(1007, 4) + Sized(array) + Big(3904, 4) + Sized(range);
  const std::pair<Oid, std::string> binary[] = {{1700, Numeric({1, 2, 3}, 1, 0x4000, 7)},
                                                {1007, array},
                                                {3904, range},
                                                {2249, row},
                                                {4451, Big(2, 4) + Sized(range) + Sized(range)},
                                                {kPair, row},
                                                {3802, "\1{}"},
                                                {1186, Big(1, 8) + Big(1, 8)},
                                                {22, array}};
  const std::pair<Oid, std::string> text[] = {{1007, "[0:1][-1:0]={{1,2},{NULL,3}}"},
                                              {1009, "{a,\"b \\\" c\",NULL}"},
                                              {3904, "[1,20)"},
                                              {4533, "{[\"2024-01-01 00:00:00\",infinity),(,)}"},
                                              {kPair, "(1,\"a \"\" \\\\ b\")"},
                                              {kTree, "(\"{\"\"({})\"\",NULL}\")"},
                                              {1184, "0044-03-15 12:00:00.5+05:30:15 BC"},
                                              {1186, "-1 years -2 mons +3 days -04:05:06.789"},
                                              {17, "\\xdeadbeef"},
                                              {17, "a\\\\b\\377"},
                                              {2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
                                              {30, "1 2 3"},
                                              {1700, "-12.50"}};
  std::mt19937 random(2);
  const auto damage = [&](Oid oid, Format format, const std::string& whole) {
    for (size_t size = 0; size <= whole.size(); ++size) Try(oid, format, whole.substr(0, size));
    for (int i = 0; i < 2000; ++i) {
      std::string changed = whole;
      for (int n = 0; n < 1 + i % 3; ++n) {
        changed[random() % changed.size()] = static_cast<char>(random());
      }
      Try(oid, format, changed);
    }
  };
  for (const auto& [oid, whole] : binary) damage(oid, Format::kBinary, whole);
  for (const auto& [oid, whole] : text) damage(oid, Format::kText, whole);
}

}  // namespace
}  // namespace sluice::postgres
