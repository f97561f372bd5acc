#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/postgres/encode.h"
#include "tests/support/matchers.h"

namespace sluice::postgres {
namespace {

using absl::StatusCode;
using test::Fails;
using testing::HasSubstr;

constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kOid = 26;
constexpr Oid kJson = 114;
constexpr Oid kXml = 142;
constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kUnknown = 705;
constexpr Oid kInet = 869;
constexpr Oid kInt4Array = 1007;
constexpr Oid kTextArray = 1009;
constexpr Oid kFloat4Array = 1021;
constexpr Oid kDate = 1082;
constexpr Oid kTime = 1083;
constexpr Oid kTimestamp = 1114;
constexpr Oid kTimestampTz = 1184;
constexpr Oid kInterval = 1186;
constexpr Oid kNumericArray = 1231;
constexpr Oid kNumeric = 1700;
constexpr Oid kRecord = 2249;
constexpr Oid kVoid = 2278;
constexpr Oid kUuid = 2950;
constexpr Oid kJsonb = 3802;
constexpr Oid kInt4Range = 3904;
constexpr Oid kNumRange = 3906;
constexpr Oid kInt4Multirange = 4451;
constexpr Oid kXid8 = 5069;
// Learned ones.
constexpr Oid kPair = 100'001;    // (n integer, s text)
constexpr Oid kDomain = 100'002;  // over integer
constexpr Oid kVector = 100'003;
constexpr Oid kUnheardOf = 100'009;

pb::Value Value(const std::string& text) {
  pb::Value value;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &value)) << text;
  return value;
}

class PostgresEncode : public testing::Test {
 protected:
  PostgresEncode() {
    Type pair;
    pair.oid = kPair;
    pair.name = "pair";
    pair.form = Form::kComposite;
    pair.fields = {{"n", kInt4}, {"s", kText}};
    book_.Add(pair);
    Type domain;
    domain.oid = kDomain;
    domain.name = "positive";
    domain.form = Form::kDomain;
    domain.inner = kInt4;
    book_.Add(domain);
    Type vector;
    vector.oid = kVector;
    vector.name = "public.vector";
    book_.Add(vector);
  }

  absl::Status Try(Oid type, const pb::Value& value) {
    out_ = "before";
    const absl::Status status = EncodeValue(book_, type, value, "params[0]", 7, out_, format_);
    if (!status.ok()) EXPECT_EQ(out_, "before");
    return status;
  }

  absl::Status Try(Oid type, const std::string& value) { return Try(type, Value(value)); }

  // The binary form in hexadecimal digits; the text form after `text `.
  std::string Encoded(Oid type, const std::string& value) {
    const absl::Status status = Try(type, value);
    if (!status.ok()) return status.ToString();
    const std::string data = out_.substr(6);
    return format_ == Format::kText ? absl::StrCat("text ", data) : absl::BytesToHexString(data);
  }

  std::string Text(Oid type, const std::string& value) {
    std::string out;
    const absl::Status status = EncodeText(book_, type, Value(value), "params[0]", 0, out);
    return status.ok() ? out : status.ToString();
  }

  std::string HintOf(Oid type, const std::string& value) {
    for (auto& [field, text] : errors::PartsOf(Try(type, value)).sql) {
      if (field == "hint") return text;
    }
    return "";
  }

  TypeBook book_;
  std::string out_;
  Format format_ = Format::kText;
};

TEST_F(PostgresEncode, NumbersGoInNetworkOrder) {
  EXPECT_EQ(Encoded(kBool, "bool_value: true"), "01");
  EXPECT_EQ(Encoded(kInt2, "int64_value: -2"), "fffe");
  EXPECT_EQ(Encoded(kInt4, "int64_value: 258"), "00000102");
  EXPECT_EQ(Encoded(kInt8, "int64_value: -9223372036854775808"), "8000000000000000");
  EXPECT_EQ(Encoded(kOid, "int64_value: 4294967295"), "ffffffff");
  EXPECT_EQ(Encoded(kFloat8, "int64_value: 1"), "3ff0000000000000");
  EXPECT_EQ(Encoded(kFloat4, "double_value: 1.5"), "3fc00000");
  EXPECT_EQ(Encoded(kFloat8, "float_value: 1.5"), "3ff8000000000000");
}

TEST_F(PostgresEncode, ADomainIsWhatItIsMadeOf) {
  EXPECT_EQ(Encoded(kDomain, "int64_value: 1"), "00000001");
  EXPECT_THAT(std::string(Try(kDomain, "int64_value: 3000000000").message()),
              HasSubstr("params[0]: does not fit positive: -2147483648 to 2147483647"));
}

TEST_F(PostgresEncode, AnIntegerOutOfItsTypesRangeIsOutOfRange) {
  const std::pair<Oid, const char*> cases[] = {
      {kInt2, "int64_value: 32768"},
      {kInt2, "int64_value: -32769"},
      {kInt4, "int64_value: 2147483648"},
      {kOid, "int64_value: -1"},
      {kOid, "int64_value: 4294967296"},
      {kXid8, "int64_value: -1"},
      {kFloat4, "int64_value: 16777217"},
      {kFloat8, "int64_value: -9007199254740993"},
      {kFloat4, "double_value: 1e39"},
      {kFloat4, "double_value: 1e-60"},
      {kInt8, "numeric_value: '9223372036854775808'"},
      {kXid8, "numeric_value: '18446744073709551616'"},
      {kDate, "date_value { days: 3000000000 }"},
      {kDate, "date_value { days: -2440589 }"},
      {kTime, "time_value { micros: 86400000001 }"},
      {kTime, "time_value { micros: -1 }"},
      {kTimestamp, "timestamp_value { micros: -210866803200000001 }"},
      {kTimestampTz, "timestamptz_value { micros: -9223372036854775808 }"},
  };
  for (const auto& [type, value] : cases) {
    const absl::Status status = Try(type, value);
    EXPECT_THAT(status, Fails(StatusCode::kOutOfRange, "PARAMETER_INVALID")) << value;
    EXPECT_EQ(errors::MetadataOf(status, "executed"), "no") << value;
    EXPECT_EQ(errors::MetadataOf(status, "position"), "7") << value;
  }
}

TEST_F(PostgresEncode, ANumberThatOnlyRoundsIsStillTaken) {
  EXPECT_EQ(Encoded(kFloat4, "double_value: 0.1"), "3dcccccd");
  EXPECT_EQ(Encoded(kFloat4, "double_value: inf"), "7f800000");
  EXPECT_EQ(Encoded(kFloat4, "int64_value: 16777216"), "4b800000");
}

TEST_F(PostgresEncode, NumericTakesDigits) {
  EXPECT_EQ(Encoded(kNumeric, "int64_value: -5"), "text -5");
  EXPECT_EQ(Encoded(kNumeric, "double_value: 0.1"), "text 0.1");
  EXPECT_EQ(Encoded(kNumeric, "float_value: 0.1"), "text 0.1");
  EXPECT_EQ(Encoded(kNumeric, "double_value: -inf"), "text -Infinity");
  EXPECT_EQ(Encoded(kNumeric, "numeric_value: '+1.50e-3'"), "text +1.50e-3");
  EXPECT_EQ(Encoded(kInt4, "numeric_value: '-0012'"), "fffffff4");
  EXPECT_EQ(Encoded(kXid8, "numeric_value: '18446744073709551615'"), "ffffffffffffffff");
  EXPECT_EQ(Text(kXid8, "numeric_value: '18446744073709551615'"), "18446744073709551615");
}

TEST_F(PostgresEncode, WhatIsNoDecimalNumberIsRefused) {
  for (const char* text : {"", "+", "1.", ".5", "1e", "0x10", " 1", "1 ", "1_000", "nan", "1e+"}) {
    EXPECT_THAT(Try(kNumeric, absl::StrCat("numeric_value: '", text, "'")),
                Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"))
        << text;
  }
  EXPECT_THAT(Try(kInt4, "numeric_value: '1.0'"),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_THAT(Try(kInt4, "numeric_value: 'NaN'"),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_F(PostgresEncode, TextIsItsBytesAndAnythingElseIsLeftToTheServer) {
  EXPECT_EQ(Encoded(kText, "string_value: 'a b'"), "612062");
  EXPECT_EQ(Encoded(kUnknown, "string_value: 'a'"), "61");
  EXPECT_EQ(Encoded(kJson, "json_value: '1'"), "31");
  EXPECT_EQ(Encoded(kJsonb, "json_value: '1'"), "0131");
  EXPECT_EQ(Encoded(kText, "json_value: '1'"), "31");
  EXPECT_EQ(Encoded(kXml, "string_value: '<a/>'"), "text <a/>");
  EXPECT_EQ(Encoded(kInt4, "string_value: '5'"), "text 5");
  EXPECT_EQ(Encoded(kInet, "string_value: '::1'"), "text ::1");
  EXPECT_EQ(Encoded(kInt4Array, "string_value: '{1}'"), "text {1}");
  EXPECT_EQ(Encoded(kUnheardOf, "string_value: 'x'"), "text x");
}

TEST_F(PostgresEncode, TextWithNulOrBadUtf8IsRefused) {
  for (const Oid type : {kText, kJsonb, kInt4, kUnheardOf}) {
    EXPECT_THAT(Try(type, "string_value: 'a\\000b'"),
                Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  }
  pb::Value raw;
  raw.mutable_raw_value()->set_format(pb::Raw::FORMAT_TEXT);
  raw.mutable_raw_value()->set_data("a\xFF");
  EXPECT_THAT(Try(kText, raw), Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_F(PostgresEncode, AKindThatDoesNotFitIsRefusedWithAHint) {
  EXPECT_THAT(std::string(Try(kText, "int64_value: 5").message()),
              HasSubstr("params[0]: int64_value is no kind for text"));
  EXPECT_EQ(HintOf(kText, "int64_value: 5"),
            "send string_value, or cast the parameter: $1::bigint");
  EXPECT_EQ(HintOf(kInt4, "bool_value: true"), "send int64_value, or its text in string_value");
  EXPECT_EQ(HintOf(kInt4, "double_value: 1"), "send int64_value, or its text in string_value");
  EXPECT_EQ(HintOf(kUuid, "bytes_value: 'x'"), "send uuid_value, or its text in string_value");
  EXPECT_EQ(HintOf(kTimestamp, "date_value {}"),
            "send timestamp_value, or its text in string_value");
  EXPECT_EQ(HintOf(kInet, "bytes_value: 'x'"),
            "send PostgreSQL's text form in string_value, or raw_value");
  EXPECT_EQ(HintOf(kUnheardOf, "int64_value: 5"),
            "send PostgreSQL's text form in string_value, or raw_value");
}

TEST_F(PostgresEncode, AHintNamesACastWhereOneCanBeWritten) {
  EXPECT_EQ(HintOf(kTextArray, "array_value { dimensions: 1 values { int64_value: 5 } }"),
            "send string_value");
  const absl::Status named =
      EncodeValue(book_, kText, Value("bool_value: true"), "named_params[\"a\"]", 0, out_, format_);
  const auto parts = errors::PartsOf(named);
  EXPECT_THAT(parts.sql, testing::Contains(std::pair<std::string, std::string>(
                             "hint", "send string_value, or cast the parameter to boolean")));
}

TEST_F(PostgresEncode, SomeKindsAndTypesNeverMeet) {
  for (const Oid type : {kBool, kText, kInet, kVoid, kRecord, kInt4Array, kPair, kUnheardOf}) {
    for (const char* value : {"", "null_value: NULL_VALUE", "split_value {}", "interval_value {}",
                              "range_value {}", "raw_value {}"}) {
      EXPECT_THAT(Try(type, value), Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"))
          << type << " " << value;
    }
  }
  for (const Oid type : {kVoid, kRecord}) {
    EXPECT_FALSE(Try(type, "string_value: 'x'").ok());
    EXPECT_FALSE(Try(type, "raw_value { format: FORMAT_TEXT }").ok());
    EXPECT_FALSE(Try(type, "composite_value {}").ok());
  }
}

TEST_F(PostgresEncode, TimesCountFrom2000) {
  EXPECT_EQ(Encoded(kDate, "date_value { days: 10957 }"), "00000000");
  EXPECT_EQ(Encoded(kDate, "date_value { days: 0 }"), "ffffd533");
  EXPECT_EQ(Encoded(kDate, "date_value { infinity: INFINITY_NEGATIVE }"), "80000000");
  EXPECT_EQ(Encoded(kTime, "time_value { micros: 1 }"), "0000000000000001");
  EXPECT_EQ(Encoded(kTimestamp, "timestamp_value { micros: 946684800000001 }"), "0000000000000001");
  EXPECT_EQ(Encoded(kTimestampTz, "timestamptz_value { infinity: INFINITY_POSITIVE }"),
            "7fffffffffffffff");
  EXPECT_EQ(Encoded(kInterval, "interval_value { months: -1 days: 2 micros: 3 }"),
            "000000000000000300000002ffffffff");
  EXPECT_THAT(Try(kDate, "date_value { infinity: 9 }"),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_F(PostgresEncode, TimesInTextAreIso8601) {
  EXPECT_EQ(Text(kDate, "date_value { days: -735160 }"), "0044-03-15 BC");
  EXPECT_EQ(Text(kDate, "date_value { days: 2145042905 }"), "5874897-12-31");
  EXPECT_EQ(Text(kDate, "date_value { infinity: INFINITY_POSITIVE }"), "infinity");
  EXPECT_EQ(Text(kTime, "time_value { micros: 86400000000 }"), "24:00:00");
  EXPECT_EQ(Text(kTimestamp, "timestamp_value { micros: -1 }"), "1969-12-31 23:59:59.999999");
  EXPECT_EQ(Text(kTimestampTz, "timestamptz_value { micros: -210866803200000000 }"),
            "4714-11-24 00:00:00+00 BC");
  EXPECT_EQ(Text(kTimestampTz, "timestamptz_value { micros: 9223372036854775807 }"),
            "294247-01-10 04:00:54.775807+00");
  EXPECT_EQ(Text(kInterval, "interval_value { months: 1 days: -2 micros: 3500000 }"),
            "+1 mons -2 days +00:00:03.500000");
  EXPECT_EQ(Text(kInterval, "interval_value { micros: -9223372036854775808 }"),
            "+0 mons +0 days -2562047788:00:54.775808");
}

TEST_F(PostgresEncode, TextFormsOfPlainKinds) {
  EXPECT_EQ(Text(kBool, "bool_value: true"), "t");
  EXPECT_EQ(Text(kFloat8, "double_value: 0.1"), "0.1");
  EXPECT_EQ(Text(kFloat4, "float_value: 16777216"), "16777216");
  EXPECT_EQ(Text(kFloat8, "double_value: nan"), "NaN");
  EXPECT_EQ(Text(kBytea, "bytes_value: '\\001\\377'"), "\\x01ff");
  EXPECT_EQ(Text(kUuid, "uuid_value: 'abcdefghijklmnop'"), "61626364-6566-6768-696a-6b6c6d6e6f70");
  EXPECT_THAT(Text(kUuid, "uuid_value: 'abc'"), HasSubstr("has 3 bytes; a UUID has 16"));
}

TEST_F(PostgresEncode, AnArrayIsBinaryIfAllItsElementsAre) {
  EXPECT_EQ(Encoded(kInt4Array,
                    "array_value { dimensions: 2 values { int64_value: 7 } "
                    "values { null_value: NULL_VALUE } }"),
            "00000001"
            "00000001"
            "00000017"
            "00000002"
            "00000001"
            "00000004"
            "00000007"
            "ffffffff");
  EXPECT_EQ(Encoded(kInt4Array,
                    "array_value { dimensions: 2 values { int64_value: 7 } "
                    "values { string_value: '8' } }"),
            "text {7,8}");
  EXPECT_EQ(Encoded(kInt4Array, "array_value {}"), "000000000000000000000017");
  EXPECT_EQ(Text(kInt4Array, "array_value { dimensions: [3, 0] }"), "{}");
}

TEST_F(PostgresEncode, ElementsAreQuotedWhereTheyWouldBeReadAsSomethingElse) {
  EXPECT_EQ(Text(kTextArray,
                 "array_value { dimensions: 7 values { string_value: 'a' } "
                 "values { string_value: '' } values { string_value: 'null' } "
                 "values { null_value: NULL_VALUE } values { string_value: 'a,b' } "
                 "values { string_value: '\"\\\\' } values { string_value: '{ }' } }"),
            R"({a,"","null",NULL,"a,b","\"\\","{ }"})");
}

TEST_F(PostgresEncode, ArraysOfSeveralDimensionsNestTheirBraces) {
  const std::string values =
      "values { int64_value: 1 } values { int64_value: 2 } "
      "values { int64_value: 3 } values { int64_value: 4 } ";
  EXPECT_EQ(Text(kNumericArray, absl::StrCat("array_value { dimensions: [2, 2] ", values, "}")),
            "{{1,2},{3,4}}");
  EXPECT_EQ(Text(kNumericArray, absl::StrCat("array_value { dimensions: [1, 4] ",
                                             "lower_bounds: [0, -2] ", values, "}")),
            "[0:0][-2:1]={{1,2,3,4}}");
}

TEST_F(PostgresEncode, AnArraysShapeMustFitItsValues) {
  for (const char* shape :
       {"values { int64_value: 1 }", "dimensions: 1", "dimensions: -1",
        "dimensions: 2 values { int64_value: 1 }",
        "dimensions: 1 lower_bounds: [1, 1] values { int64_value: 1 }",
        "dimensions: 1 lower_bounds: 2147483647 values { int64_value: 1 }",
        "dimensions: [1, 1, 1, 1, 1, 1, 1] values { int64_value: 1 }",
        "dimensions: [65536, 65536] values { int64_value: 1 }",
        "dimensions: [2147483646, 2147483646, 2147483646, 2147483646, 2147483646]"}) {
    EXPECT_THAT(Try(kInt4Array, absl::StrCat("array_value { ", shape, " }")),
                Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"))
        << shape;
  }
}

TEST_F(PostgresEncode, AnErrorNamesThePlaceOfTheElement) {
  EXPECT_THAT(std::string(Try(kInt4Array,
                              "array_value { dimensions: 2 values { int64_value: 1 } "
                              "values { int64_value: 3000000000 } }")
                              .message()),
              HasSubstr("params[0].array_value.values[1]: does not fit integer"));
  EXPECT_THAT(std::string(Try(kInt4Multirange,
                              "array_value { dimensions: 1 values { range_value { "
                              "lower { bool_value: true } } } }")
                              .message()),
              HasSubstr("params[0].array_value.values[0].range_value.lower: bool_value"));
  EXPECT_THAT(
      std::string(
          Try(kInt4Array, "array_value { dimensions: 1 values { array_value {} } }").message()),
      HasSubstr("params[0].array_value.values[0]: an array is no value for integer"));
}

TEST_F(PostgresEncode, AVectorGoesIntoArraysAndVectors) {
  EXPECT_EQ(Encoded(kFloat4Array, "vector_value { values: 1 }"),
            "0000000100000000000002bc0000000100000001000000043f800000");
  EXPECT_EQ(Encoded(kVector, "vector_value { values: [1, 2.5, 0.1] }"), "text [1,2.5,0.1]");
  EXPECT_EQ(HintOf(kInt4Array, "vector_value {}"), "send array_value, or its text in string_value");
}

TEST_F(PostgresEncode, RangesSayWhichBoundsTheyHave) {
  const std::string one_to_five =
      "lower { int64_value: 1 } upper { int64_value: 5 } lower_inclusive: true";
  EXPECT_EQ(Encoded(kInt4Range, absl::StrCat("range_value { ", one_to_five, " }")),
            "0200000004000000010000000400000005");
  EXPECT_EQ(Encoded(kInt4Range, "range_value { empty: true }"), "01");
  EXPECT_EQ(Encoded(kInt4Range, "range_value { lower_inclusive: true }"), "18");
  EXPECT_EQ(Encoded(kNumRange, absl::StrCat("range_value { ", one_to_five, " }")), "text [1,5)");
  EXPECT_EQ(Text(kInt4Range, "range_value { upper { int64_value: 5 } upper_inclusive: true }"),
            "(,5]");
  EXPECT_EQ(Text(kInt4Multirange, absl::StrCat("array_value { dimensions: 1 values { range_value {",
                                               one_to_five, " } } }")),
            "{[1,5)}");
  for (const char* bad :
       {"empty: true lower { int64_value: 1 }", "lower { null_value: NULL_VALUE }", "upper {}"}) {
    EXPECT_THAT(Try(kInt4Range, absl::StrCat("range_value { ", bad, " }")),
                Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"))
        << bad;
  }
  EXPECT_THAT(
      Try(kInt4Multirange, "array_value { dimensions: 1 values { string_value: '[1,2),[3,4)' } }"),
      Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

TEST_F(PostgresEncode, ACompositeHasAValueForEachField) {
  EXPECT_EQ(
      Encoded(kPair, "composite_value { values { int64_value: 1 } values { string_value: 'a' } }"),
      "0000000200000017000000040000000100000019"
      "0000000161");
  EXPECT_EQ(Text(kPair,
                 "composite_value { values { null_value: NULL_VALUE } "
                 "values { string_value: '' } }"),
            "(,\"\")");
  EXPECT_THAT(std::string(Try(kPair, "composite_value { values { int64_value: 1 } }").message()),
              HasSubstr("has 1 values; pair has 2 fields"));
}

TEST_F(PostgresEncode, TextThatDoublesAtEveryLevelIsRefusedInTime) {
  constexpr Oid kFirst = 200'000;
  constexpr int kDepth = 31;
  std::string value = "string_value: '\"'";
  for (int i = 0; i < kDepth; ++i) {
    Type type;
    type.oid = kFirst + static_cast<Oid>(i);
    type.form = Form::kComposite;
    type.fields = {{"f", i == 0 ? kText : type.oid - 1}};
    book_.Add(type);
    value = absl::StrCat("composite_value { values { ", value, " } }");
  }
  EXPECT_EQ(Try(kFirst + kDepth - 1, value).code(), StatusCode::kOk);  // in binary
  EXPECT_THAT(Text(kFirst + kDepth - 1, value), HasSubstr("too many quotes"));
}

TEST_F(PostgresEncode, RawGoesThroughAsItIs) {
  EXPECT_EQ(Encoded(kInet, "raw_value { format: FORMAT_BINARY data: 'a\\000' }"), "6100");
  EXPECT_EQ(Encoded(kInet, "raw_value { oid: 869 format: FORMAT_TEXT data: '::1' }"), "text ::1");
  EXPECT_EQ(Encoded(kDomain, "raw_value { oid: 23 format: FORMAT_TEXT data: '1' }"), "text 1");
  EXPECT_THAT(Try(kInet, "raw_value { oid: 25 format: FORMAT_TEXT data: '::1' }"),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_THAT(Try(kInet, "raw_value { format: FORMAT_TEXT data: 'a\\000' }"),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
  EXPECT_THAT(Text(kInet, "raw_value { format: FORMAT_BINARY data: 'a' }"),
              HasSubstr("send FORMAT_TEXT"));
}

TEST_F(PostgresEncode, RawInBinaryDoesNotStandBesideText) {
  EXPECT_THAT(Try(kNumericArray,
                  "array_value { dimensions: 2 values { numeric_value: '1' } "
                  "values { raw_value { format: FORMAT_BINARY data: 'a' } } }"),
              Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
}

}  // namespace
}  // namespace sluice::postgres
