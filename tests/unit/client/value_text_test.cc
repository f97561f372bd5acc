#include "client/cli/value_text.h"

#include <limits>
#include <string>

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "client/cli/json_text.h"
#include "client/values.h"

namespace sluice::cli {
namespace {

using client::Bytes;
using client::ToValue;

v1::Value Parse(const std::string& text) {
  v1::Value value;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &value)) << text;
  return value;
}

std::string Text(const v1::Value& value) {
  std::string text;
  AppendText(value, &text);
  return text;
}

std::string Text(const std::string& value) {
  return Text(Parse(value));
}

std::string Json(const v1::Value& value) {
  std::string text;
  AppendJson(value, &text);
  return text;
}

std::string Json(const std::string& value) {
  return Json(Parse(value));
}

TEST(ValueText, SimpleKinds) {
  EXPECT_EQ(Text(ToValue(nullptr)), "");
  EXPECT_EQ(Text(ToValue(true)), "true");
  EXPECT_EQ(Text(ToValue(-7)), "-7");
  EXPECT_EQ(Text(ToValue(2.5)), "2.5");
  EXPECT_EQ(Text(ToValue("é")), "é");
  EXPECT_EQ(Text("numeric_value: '1.10'"), "1.10");
  EXPECT_EQ(Text("json_value: '{\"a\": 1}'"), "{\"a\": 1}");
  EXPECT_EQ(
      Text("uuid_value: "
           "'\\x00\\x11\\x22\\x33\\x44\\x55\\x66\\x77\\x88\\x99\\xaa\\xbb\\xcc\\xdd\\xee\\xff'"),
      "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(ValueText, DatesAcrossTheCalendar) {
  EXPECT_EQ(Text("date_value { days: 0 }"), "1970-01-01");
  EXPECT_EQ(Text("date_value { days: -1 }"), "1969-12-31");
  EXPECT_EQ(Text("date_value { days: 11016 }"), "2000-02-29");
  EXPECT_EQ(Text("date_value { days: 20778 }"), "2026-11-21");
  EXPECT_EQ(Text("date_value { days: -719162 }"), "0001-01-01");
  EXPECT_EQ(Text("date_value { days: -719163 }"), "0001-12-31 BC");
  EXPECT_EQ(Text("date_value { days: 2932896 }"), "9999-12-31");
  EXPECT_EQ(Text("date_value { infinity: INFINITY_NEGATIVE }"), "-infinity");
}

TEST(ValueText, TimesKeepTheirMicroseconds) {
  EXPECT_EQ(Text("time_value { micros: 0 }"), "00:00:00");
  EXPECT_EQ(Text("time_value { micros: 86400000000 }"), "24:00:00");
  EXPECT_EQ(Text("time_value { micros: 3661000250 }"), "01:01:01.00025");
  EXPECT_EQ(Text("timestamp_value { micros: -1 }"), "1969-12-31 23:59:59.999999");
  EXPECT_EQ(Text("timestamptz_value { micros: 1500000 }"), "1970-01-01 00:00:01.5+00");
  EXPECT_EQ(Text("timestamptz_value { micros: -62135596800000001 }"),
            "0001-12-31 23:59:59.999999+00 BC");
  EXPECT_EQ(Text("timestamptz_value { infinity: INFINITY_POSITIVE }"), "infinity");
}

TEST(ValueText, IntervalsKeepTheirParts) {
  EXPECT_EQ(Text("interval_value {}"), "00:00:00");
  EXPECT_EQ(Text("interval_value { months: 14 days: 1 micros: 5000000 }"),
            "1 year 2 mons 1 day 00:00:05");
  EXPECT_EQ(Text("interval_value { days: -2 micros: -1 }"), "-2 days -00:00:00.000001");
  v1::Value smallest;
  smallest.mutable_interval_value()->set_micros(std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Text(smallest), "-2562047788:00:54.775808");
}

TEST(ValueText, NestedKindsQuoteWhatWouldBeMisread) {
  EXPECT_EQ(Text("array_value {}"), "{}");
  EXPECT_EQ(Text("array_value { dimensions: 4 values { string_value: 'a' } values { null_value: "
                 "NULL_VALUE } values { string_value: 'null' } values { string_value: 'x,\"y' } }"),
            "{a,NULL,\"null\",\"x,\\\"y\"}");
  EXPECT_EQ(Text("array_value { dimensions: 2 dimensions: 1 values { int64_value: 1 } "
                 "values { int64_value: 2 } }"),
            "{{1},{2}}");
  EXPECT_EQ(Text("array_value { dimensions: 2 lower_bounds: 0 values { int64_value: 1 } values { "
                 "int64_value: 2 } }"),
            "[0:1]={1,2}");
  EXPECT_EQ(Text("range_value { lower { int64_value: 1 } lower_inclusive: true }"), "[1,)");
  EXPECT_EQ(Text("range_value { empty: true }"), "empty");
  EXPECT_EQ(Text("composite_value { values { int64_value: 1 } values { null_value: NULL_VALUE } "
                 "values { string_value: '' } values { string_value: 'a b' } }"),
            "(1,,\"\",\"a b\")");
  EXPECT_EQ(Text("vector_value { values: 1 values: 0.5 }"), "[1.0,0.5]");
}

TEST(ValueText, AnArrayThatLiesAboutItsSizeIsStillSafe) {
  EXPECT_EQ(Text("array_value { dimensions: 1000000 values { int64_value: 1 } }"), "{1}");
  EXPECT_EQ(Json("array_value { dimensions: -3 values { int64_value: 1 } }"), "[]");
}

TEST(JsonText, NumbersAreExactAndInfinitiesAreStrings) {
  EXPECT_EQ(Json(ToValue(std::numeric_limits<int64_t>::max())), "9223372036854775807");
  EXPECT_EQ(Json(ToValue(0.1)), "0.1");
  EXPECT_EQ(Json(ToValue(std::numeric_limits<double>::infinity())), "\"Infinity\"");
  EXPECT_EQ(Json(ToValue(-std::numeric_limits<float>::infinity())), "\"-Infinity\"");
  EXPECT_EQ(Json(ToValue(std::numeric_limits<double>::quiet_NaN())), "\"NaN\"");
  EXPECT_EQ(Json("numeric_value: '1.10'"), "\"1.10\"");
  EXPECT_EQ(Json(ToValue(false)), "false");
  EXPECT_EQ(Json(ToValue(nullptr)), "null");
}

TEST(JsonText, TextIsEscaped) {
  EXPECT_EQ(Json(ToValue(std::string("a\"b\\c\n\t\r\x01\0z\x7F", 12))),
            "\"a\\\"b\\\\c\\n\\t\\r\\u0001\\u0000z\\u007f\"");
  EXPECT_EQ(Json(ToValue("é😀")), "\"é😀\"");
}

TEST(JsonText, BytesAndTextThatIsNotUtf8AreBase64) {
  EXPECT_EQ(Json(ToValue(Bytes{std::string("\x00\xFF", 2)})), "\"AP8=\"");
  EXPECT_EQ(Json("raw_value { format: FORMAT_TEXT data: '\\xff' }"), "\"/w==\"");
  EXPECT_EQ(Json("raw_value { format: FORMAT_TEXT data: 'plain' }"), "\"plain\"");
  EXPECT_EQ(Json("raw_value { format: FORMAT_BINARY data: 'plain' }"), "\"cGxhaW4=\"");
}

TEST(JsonText, JsonIsEmbeddedOnOneLine) {
  EXPECT_EQ(Json("json_value: '{\"a\":\\n[1.10, 12345678901234567890]}'"),
            "{\"a\": [1.10, 12345678901234567890]}");
  EXPECT_EQ(Json("json_value: '{broken'"), "\"{broken\"");
}

TEST(JsonText, NestedKindsAndTimes) {
  EXPECT_EQ(Json("array_value { dimensions: 2 values { int64_value: 1 } values { string_value: "
                 "'x' } }"),
            "[1,\"x\"]");
  EXPECT_EQ(Json("composite_value { values { bool_value: true } values { int64_value: 2 } }"),
            "[true,2]");
  EXPECT_EQ(Json("vector_value { values: 1 values: 0.5 }"), "[1.0,0.5]");
  EXPECT_EQ(Json("timestamptz_value { micros: 1500000 }"), "\"1970-01-01T00:00:01.5+00:00\"");
  EXPECT_EQ(Json("timestamp_value { micros: 0 }"), "\"1970-01-01T00:00:00\"");
  EXPECT_EQ(Json("timestamp_value { infinity: INFINITY_POSITIVE }"), "\"infinity\"");
  EXPECT_EQ(Json("date_value { days: 1 }"), "\"1970-01-02\"");
}

}  // namespace
}  // namespace sluice::cli
