// Parameters of the driver, read by a real server: what it makes of each encoded value.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <libpq-fe.h>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "server/db/postgres/encode.h"
#include "tests/support/matchers.h"
#include "tests/support/postgres.h"

namespace sluice::postgres {
namespace {

using test::Fails;
using testing::HasSubstr;

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

constexpr const char* kNoQuotes = R"(plain "quotes" back\slash, (a) [b] {c} ; 'd' é)";

pb::Value Value(const std::string& text) {
  pb::Value value;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &value)) << text;
  return value;
}

// `string_value: "…"`, whatever is in the text.
std::string String(absl::string_view text) {
  return absl::StrCat("string_value: \"", absl::CEscape(text), "\"");
}

std::string Int(int64_t number) {
  return absl::StrCat("int64_value: ", number);
}

std::string Numeric(absl::string_view digits) {
  return absl::StrCat("numeric_value: '", digits, "'");
}

constexpr const char* kNull = "null_value: NULL_VALUE";

std::string Values(const std::vector<std::string>& values) {
  std::string all;
  for (const std::string& value : values) absl::StrAppend(&all, "values { ", value, " } ");
  return all;
}

std::string Array(const std::vector<std::string>& values, const std::string& shape = "") {
  const std::string own = absl::StrCat("dimensions: ", values.size());
  return absl::StrCat("array_value { ", shape.empty() ? own : shape, " ", Values(values), "}");
}

std::string Composite(const std::vector<std::string>& values) {
  return absl::StrCat("composite_value { ", Values(values), "}");
}

// From the lower bound on, up to the upper one.
std::string Range(const std::string& lower, const std::string& upper) {
  return absl::StrCat("range_value { lower { ", lower, " } upper { ", upper,
                      " } lower_inclusive: true }");
}

struct Case {
  std::string type;
  std::string value;
  std::string expected;
};

class PostgresParameters : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEED_POSTGRES();
    database_ = std::make_unique<test::TestDatabase>();
    connection_.reset(PQconnectdb(database_->Conninfo().c_str()));
    ASSERT_EQ(PQstatus(connection_.get()), CONNECTION_OK) << PQerrorMessage(connection_.get());
    Run("SET client_encoding = 'UTF8'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'");
  }

  void Run(const std::string& sql) {
    const Result result(PQexec(connection_.get(), sql.c_str()), &PQclear);
    EXPECT_NE(PQresultStatus(result.get()), PGRES_FATAL_ERROR) << PQerrorMessage(connection_.get());
  }

  // The only value of the only row, in text; the message of an error.
  std::string Ask(const std::string& sql,
                  const std::vector<std::pair<std::string, Format>>& params) {
    std::vector<const char*> values;
    std::vector<int> lengths;
    std::vector<int> formats;
    for (const auto& [data, format] : params) {
      values.push_back(data.c_str());
      lengths.push_back(static_cast<int>(data.size()));
      formats.push_back(static_cast<int>(format));
    }
    const Result result(
        PQexecParams(connection_.get(), sql.c_str(), static_cast<int>(params.size()), nullptr,
                     values.data(), lengths.data(), formats.data(), 0),
        &PQclear);
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
      return PQresultErrorMessage(result.get());
    }
    return PQgetvalue(result.get(), 0, 0);
  }

  Oid OidOf(const std::string& type) {
    Oid oid = 0;
    EXPECT_TRUE(absl::SimpleAtoi(Ask("SELECT $1::regtype::oid", {{type, Format::kText}}), &oid))
        << type;
    return oid;
  }

  // The type, and its array's.
  void Learn(const std::string& name, Form form, Oid inner, std::vector<Type::Field> fields = {}) {
    Type type;
    type.oid = OidOf(name);
    type.name = name;
    type.form = form;
    type.inner = inner;
    type.fields = std::move(fields);
    Type array;
    array.oid = OidOf(name + "[]");
    array.name = name + "[]";
    array.form = Form::kArray;
    array.inner = type.oid;
    book_.Add(std::move(type));
    book_.Add(std::move(array));
  }

  // What the server reads, given the value in the form of EncodeValue.
  std::string Sent(const std::string& type, const std::string& value) {
    std::string data;
    Format format = Format::kText;
    const absl::Status status =
        EncodeValue(book_, OidOf(type), Value(value), "params[0]", 0, data, format);
    if (!status.ok()) return status.ToString();
    return Ask(absl::StrCat("SELECT $1::", type), {{data, format}});
  }

  // The same in text.
  std::string SentAsText(const std::string& type, const std::string& value) {
    std::string data;
    const absl::Status status = EncodeText(book_, OidOf(type), Value(value), "params[0]", 0, data);
    if (!status.ok()) return status.ToString();
    return Ask(absl::StrCat("SELECT $1::", type), {{data, Format::kText}});
  }

  void ExpectAll(const std::vector<Case>& cases) {
    for (const Case& one : cases) {
      EXPECT_EQ(Sent(one.type, one.value), one.expected) << one.type << " " << one.value;
      EXPECT_EQ(SentAsText(one.type, one.value), one.expected) << one.type << " " << one.value;
    }
  }

  std::unique_ptr<test::TestDatabase> database_;
  Connection connection_{nullptr, &PQfinish};
  TypeBook book_;
};

TEST_F(PostgresParameters, NumbersArriveAsTheyAre) {
  ExpectAll({
      {"bool", "bool_value: true", "t"},
      {"bool", "bool_value: false", "f"},
      {"int2", Int(-32768), "-32768"},
      {"int2", Int(32767), "32767"},
      {"int4", Int(-2147483648), "-2147483648"},
      {"int8", Int(INT64_MAX), "9223372036854775807"},
      {"int8", Int(INT64_MIN), "-9223372036854775808"},
      {"int8", Numeric("-007"), "-7"},
      {"oid", Int(4294967295), "4294967295"},
      {"xid", Int(4294967295), "4294967295"},
      {"cid", Int(5), "5"},
      {"xid8", Int(INT64_MAX), "9223372036854775807"},
      {"xid8", Numeric("18446744073709551615"), "18446744073709551615"},
      {"xid8", Numeric("010"), "10"},
      {"float4", "float_value: 0.1", "0.1"},
      {"float4", "double_value: 3.4028235e38", "3.4028235e+38"},
      {"float4", "double_value: -inf", "-Infinity"},
      {"float4", Int(-16777216), "-1.6777216e+07"},
      {"float8", "double_value: 0.1", "0.1"},
      {"float8", "double_value: 5e-324", "5e-324"},
      {"float8", "double_value: -1.7976931348623157e308", "-1.7976931348623157e+308"},
      {"float8", "double_value: nan", "NaN"},
      {"float8", "double_value: -0.0", "-0"},
      {"float8", Int(9007199254740992), "9.007199254740992e+15"},
      {"float8", Numeric("1e-3"), "0.001"},
      {"numeric", Int(INT64_MIN), "-9223372036854775808"},
      {"numeric", Numeric("1.500"), "1.500"},
      {"numeric", Numeric("-12345678901234567890.000000000001"),
       "-12345678901234567890.000000000001"},
      {"numeric", Numeric("+2e3"), "2000"},
      {"numeric", Numeric("NaN"), "NaN"},
      {"numeric", "double_value: -inf", "-Infinity"},
      {"numeric", "double_value: 0.1", "0.1"},
      {"numeric", "float_value: 0.1", "0.1"},
      {"numeric", "double_value: 1e22", "10000000000000000000000"},
  });
}

TEST_F(PostgresParameters, TextAndBytesArriveByteForByte) {
  ExpectAll({
      {"text", String(""), ""},
      {"text", String(kNoQuotes), kNoQuotes},
      {"varchar", String("a\nb\tc"), "a\nb\tc"},
      {"bpchar", String("a  "), "a  "},
      {"name", String("n"), "n"},
      {"\"char\"", String("x"), "x"},
      {"xml", String("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>é</a>"), "<a>é</a>"},
      {"bytea", "bytes_value: ''", "\\x"},
      {"bytea", "bytes_value: 'a\\000\\377\\\\'", "\\x6100ff5c"},
      {"uuid", "uuid_value: 'abcdefghijklmnop'", "61626364-6566-6768-696a-6b6c6d6e6f70"},
      {"json", "json_value: '{\"a\":  1}'", "{\"a\":  1}"},
      {"jsonb", "json_value: '{\"a\":  1}'", "{\"a\": 1}"},
      {"jsonb", String("[null]"), "[null]"},
      {"text", "json_value: '[]'", "[]"},
  });
}

TEST_F(PostgresParameters, AnyTypeTakesItsTextForm) {
  ExpectAll({
      {"int4", String(" 5 "), "5"},
      {"bool", String("yes"), "t"},
      {"numeric", String(".5"), "0.5"},
      {"timestamp", String("294276-12-31 23:59:59.999999"), "294276-12-31 23:59:59.999999"},
      {"date", String("today"), Ask("SELECT current_date", {})},
      {"inet", String("::1/64"), "::1/64"},
      {"money", String("-1.50"), "-$1.50"},
      {"point", String("(1,2)"), "(1,2)"},
      {"tsvector", String("a b:1"), "'a' 'b':1"},
      {"timetz", String("12:00+02"), "12:00:00+02"},
      {"bit", String("1"), "1"},
      {"int4[]", String("{1,NULL}"), "{1,NULL}"},
      {"box[]", Array({String("(1,1),(0,0)"), String("(3,3),(2,2)")}), "{(1,1),(0,0);(3,3),(2,2)}"},
      {"inet[]", Array({String("::1"), kNull}), "{::1,NULL}"},
      {"int4range", String("[1,3]"), "[1,4)"},
  });
}

TEST_F(PostgresParameters, RawBytesAreTheServersOwnForm) {
  EXPECT_EQ(Sent("inet",
                 "raw_value { format: FORMAT_BINARY "
                 "data: '\\002\\040\\000\\004\\177\\000\\000\\001' }"),
            "127.0.0.1");
  EXPECT_EQ(Sent("inet", "raw_value { oid: 869 format: FORMAT_TEXT data: '::1' }"), "::1");
}

TEST_F(PostgresParameters, DatesAndTimesArriveToTheMicrosecond) {
  ExpectAll({
      {"date", "date_value { days: 0 }", "1970-01-01"},
      {"date", "date_value { days: -735160 }", "0044-03-15 BC"},
      {"date", "date_value { days: -719528 }", "0001-01-01 BC"},
      {"date", "date_value { days: -2440588 }", "4714-11-24 BC"},
      {"date", "date_value { days: 2145042905 }", "5874897-12-31"},
      {"date", "date_value { infinity: INFINITY_POSITIVE }", "infinity"},
      {"date", "date_value { infinity: INFINITY_NEGATIVE }", "-infinity"},
      {"time", "time_value { micros: 0 }", "00:00:00"},
      {"time", "time_value { micros: 86399999999 }", "23:59:59.999999"},
      {"time", "time_value { micros: 86400000000 }", "24:00:00"},
      {"timestamp", "timestamp_value { micros: -1 }", "1969-12-31 23:59:59.999999"},
      {"timestamp", "timestamp_value { micros: -210866803200000000 }", "4714-11-24 00:00:00 BC"},
      {"timestamp", "timestamp_value { micros: 9223372036854775807 }",
       "294247-01-10 04:00:54.775807"},
      {"timestamp", "timestamp_value { infinity: INFINITY_NEGATIVE }", "-infinity"},
      {"timestamptz", "timestamptz_value { micros: 1500000 }", "1970-01-01 00:00:01.5+00"},
      {"timestamptz", "timestamptz_value { micros: -62135596800000001 }",
       "0001-12-31 23:59:59.999999+00 BC"},
      {"timestamptz", "timestamptz_value { infinity: INFINITY_POSITIVE }", "infinity"},
      {"interval", "interval_value {}", "00:00:00"},
      {"interval", "interval_value { months: -1 days: 2 micros: -3500000 }",
       "-1 mons +2 days -00:00:03.5"},
      {"interval", "interval_value { months: 14 days: -40 micros: 90000000000 }",
       "1 year 2 mons -40 days +25:00:00"},
      {"interval", "interval_value { micros: -9223372036854775807 }", "-2562047788:00:54.775807"},
      {"interval", "interval_value { months: -2147483648 days: -2147483648 }",
       "-178956970 years -8 mons -2147483648 days"},
  });
}

TEST_F(PostgresParameters, TheServersSettingsDoNotChangeWhatTextMeans) {
  Run("SET DateStyle = 'SQL, DMY'; SET IntervalStyle = 'sql_standard';"
      "SET TimeZone = 'America/New_York'");
  const std::pair<const char*, const char*> cases[] = {
      {"date", "date_value { days: -735160 }"},
      {"date", "date_value { days: 2145042905 }"},
      {"timestamp", "timestamp_value { micros: -62135596800000001 }"},
      {"timestamptz", "timestamptz_value { micros: 1500000 }"},
      {"timestamptz", "timestamptz_value { micros: -62135596800000001 }"},
      {"interval", "interval_value { months: -1 days: 2 micros: 3 }"},
      {"interval", "interval_value { days: -2 }"},
      {"interval", "interval_value { months: -1 days: -2 micros: -3 }"},
  };
  for (const auto& [type, value] : cases) {
    std::string binary;
    std::string text;
    Format format = Format::kText;
    EXPECT_TRUE(EncodeValue(book_, OidOf(type), Value(value), "", 0, binary, format).ok());
    EXPECT_TRUE(EncodeText(book_, OidOf(type), Value(value), "", 0, text).ok());
    EXPECT_EQ(format, Format::kBinary);
    const std::string sql = absl::StrCat("SELECT encode(", type, "_send($1), 'hex') = encode(",
                                         type, "_send($2), 'hex')");
    EXPECT_EQ(Ask(sql, {{binary, format}, {text, Format::kText}}), "t") << text;
  }
}

TEST_F(PostgresParameters, ArraysKeepTheirShapeAndTheirNulls) {
  ExpectAll({
      {"int4[]", "array_value {}", "{}"},
      {"int4[]", "array_value { dimensions: [2, 0] }", "{}"},
      {"int4[]", Array({Int(1), kNull, Int(-3)}), "{1,NULL,-3}"},
      {"int4[]", Array({Int(1), String("2")}), "{1,2}"},
      {"int4[]", Array({Int(1), Int(2)}, "dimensions: 2 lower_bounds: -1"), "[-1:0]={1,2}"},
      {"int4[]", Array({Int(1), Int(2), kNull, Int(4)}, "dimensions: [2, 2]"), "{{1,2},{NULL,4}}"},
      {"int8[]", Array({Int(1), Int(2)}, "dimensions: [1, 1, 2] lower_bounds: [0, 5, 1]"),
       "[0:0][5:5][1:2]={{{1,2}}}"},
      {"numeric[]", Array({Numeric("1.50"), kNull}, "dimensions: 2 lower_bounds: 0"),
       "[0:1]={1.50,NULL}"},
      {"bool[]", Array({"bool_value: true"}), "{t}"},
      {"timestamptz[]", Array({"timestamptz_value {}"}), "{\"1970-01-01 00:00:00+00\"}"},
      {"bytea[]", Array({"bytes_value: '\\\\'"}), "{\"\\\\x5c\"}"},
      {"jsonb[]", Array({"json_value: '{\"a\": [1, null]}'"}), "{\"{\\\"a\\\": [1, null]}\"}"},
      {"float4[]", "vector_value { values: [1, 0.1, nan] }", "{1,0.1,NaN}"},
      {"float8[]", "vector_value { values: [0.5] }", "{0.5}"},
      {"float8[]", "vector_value {}", "{}"},
      {"int2vector", Array({Int(1), Int(-2)}), "1 -2"},
      {"int2vector", Array({}), ""},
      {"oidvector", Array({Int(4294967295)}, "dimensions: 1 lower_bounds: 0"), "4294967295"},
      {"int2vector[]", Array({Array({Int(1), Int(2)}), Array({Int(3)})}), "{\"1 2\",3}"},
  });
}

TEST_F(PostgresParameters, ElementsOfArraysAreNeverReadAsSomethingElse) {
  const std::vector<std::string> texts = {"",   "NULL", "null", " ",         "a b",     ",",  "{}",
                                          "\"", "\\",   "\\\"", "a\\",       "{a",      "b}", "'",
                                          "\n", "\v",   "é",    "[1:2]={a}", kNoQuotes, "$1", "--"};
  std::vector<std::string> values;
  for (const std::string& text : texts) values.push_back(String(text));
  std::string binary;
  std::string literal;
  Format format = Format::kText;
  const Oid type = OidOf("text[]");
  ASSERT_TRUE(EncodeValue(book_, type, Value(Array(values)), "", 0, binary, format).ok());
  ASSERT_TRUE(EncodeText(book_, type, Value(Array(values)), "", 0, literal).ok());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string sql = absl::StrCat("SELECT ($1::text[])[", i + 1, "]");
    EXPECT_EQ(Ask(sql, {{binary, format}}), texts[i]);
    EXPECT_EQ(Ask(sql, {{literal, Format::kText}}), texts[i]);
  }
  EXPECT_EQ(Ask("SELECT cardinality($1::text[])", {{literal, Format::kText}}),
            absl::StrCat(texts.size()));
}

TEST_F(PostgresParameters, RangesKeepTheirBounds) {
  Run("CREATE TYPE textrange AS RANGE (subtype = text)");
  Learn("textrange", Form::kRange, OidOf("text"));
  const std::string days = Range("date_value { days: 0 }", "date_value { days: 1 }");
  ExpectAll({
      {"int4range", "range_value { empty: true }", "empty"},
      {"int4range", "range_value {}", "(,)"},
      {"int4range", "range_value { lower_inclusive: true upper_inclusive: true }", "(,)"},
      {"int4range", Range(Int(1), Int(5)), "[1,5)"},
      {"int4range", "range_value { lower { int64_value: 1 } }", "[2,)"},
      {"numrange", "range_value { upper { numeric_value: '1.50' } upper_inclusive: true }",
       "(,1.50]"},
      {"daterange", days, "[1970-01-01,1970-01-02)"},
      {"tstzrange", Range("timestamptz_value {}", "timestamptz_value { micros: 1 }"),
       "[\"1970-01-01 00:00:00+00\",\"1970-01-01 00:00:00.000001+00\")"},
      {"textrange", Range(String(""), String("a\"b\\c, d)")), "[\"\",\"a\"\"b\\\\c, d)\")"},
      {"textrange", Range(String("NULL"), String("null")), "[NULL,null)"},
      {"int4range[]", Array({Range(Int(1), Int(5)), kNull}), "{\"[1,5)\",NULL}"},
      {"numrange[]", Array({Range(Numeric("1"), Int(5))}), "{\"[1,5)\"}"},
      {"int4multirange", "array_value {}", "{}"},
      {"int4multirange", Array({Range(Int(7), Int(9)), Range(Int(1), Int(5))}), "{[1,5),[7,9)}"},
      {"nummultirange", Array({Range(Numeric("1.5"), Int(5))}), "{[1.5,5)}"},
      {"datemultirange[]", Array({Array({days})}), "{\"{[1970-01-01,1970-01-02)}\"}"},
  });
}

TEST_F(PostgresParameters, CompositesNest) {
  Run("CREATE TYPE mood AS ENUM ('sad', 'so so')");
  Run("CREATE DOMAIN positive AS integer CHECK (VALUE > 0)");
  Run("CREATE DOMAIN row_of_two AS integer[] CHECK (cardinality(VALUE) = 2)");
  Run("CREATE TYPE pair AS (n positive, s text)");
  Run("CREATE TYPE nest AS (p pair, ps pair[], m mood, d numeric, r row_of_two)");
  Learn("mood", Form::kString, 0);
  Learn("positive", Form::kDomain, OidOf("int4"));
  Learn("row_of_two", Form::kDomain, OidOf("int4[]"));
  Learn("pair", Form::kComposite, 0, {{"n", OidOf("positive")}, {"s", OidOf("text")}});
  Learn("nest", Form::kComposite, 0,
        {{"p", OidOf("pair")},
         {"ps", OidOf("pair[]")},
         {"m", OidOf("mood")},
         {"d", OidOf("numeric")},
         {"r", OidOf("row_of_two")}});
  const std::string pair = Composite({Int(1), String("a \"b\"\\")});
  const std::string two = Array({Int(1), Int(2)});
  const std::string ps = Array({pair, kNull, Composite({kNull, String("")})});
  const std::string seen =
      R"x("{""(1,\\""a \\""\\""b\\""\\""\\\\\\\\\\"")"",NULL,""(,\\""\\"")""}")x";
  ExpectAll({
      {"mood", String("so so"), "so so"},
      {"mood[]", Array({String("so so"), String("sad")}), "{\"so so\",sad}"},
      {"positive", Int(1), "1"},
      {"positive[]", Array({Int(1), kNull}), "{1,NULL}"},
      {"row_of_two", two, "{1,2}"},
      {"row_of_two[]", Array({two, two}), "{\"{1,2}\",\"{1,2}\"}"},
      {"pair", pair, R"((1,"a ""b""\\"))"},
      {"pair", Composite({kNull, kNull}), "(,)"},
      {"pair", Composite({kNull, String("NULL")}), "(,NULL)"},
      {"pair[]", Array({Composite({Int(1), kNull})}), "{\"(1,)\"}"},
      {"nest", Composite({kNull, ps, String("sad"), kNull, two}),
       absl::StrCat("(,", seen, ",sad,,\"{1,2}\")")},
      // With a numeric in it, the whole goes as text.
      {"nest", Composite({kNull, ps, kNull, Numeric("1.0"), kNull}),
       absl::StrCat("(,", seen, ",,1.0,)")},
  });
  EXPECT_THAT(Sent("positive", Int(-1)), HasSubstr("violates check constraint"));
}

TEST_F(PostgresParameters, TypesOfParametersAreWhatTheServerInfers) {
  Run("CREATE TABLE t (n smallint, d numeric(6, 2), at timestamptz, tags text[])");
  const auto encode = [this](const char* type, const std::string& value) {
    std::string data;
    Format format = Format::kText;
    EXPECT_TRUE(EncodeValue(book_, OidOf(type), Value(value), "", 0, data, format).ok());
    return std::make_pair(data, format);
  };
  EXPECT_EQ(Ask("INSERT INTO t VALUES ($1, $2, $3, $4) RETURNING t",
                {encode("int2", Int(-5)), encode("numeric", Numeric("1.005")),
                 encode("timestamptz", "timestamptz_value {}"),
                 encode("text[]", Array({String("a,b")}))}),
            R"((-5,1.01,"1970-01-01 00:00:00+00","{""a,b""}"))");
  EXPECT_EQ(Ask("SELECT count(*) FROM t WHERE n = $1 AND tags @> $2",
                {encode("int2", Int(-5)), encode("text[]", Array({String("a,b")}))}),
            "1");
}

TEST_F(PostgresParameters, WhatIsOutOfRangeIsRefusedBeforeItIsSent) {
  const std::pair<const char*, std::string> cases[] = {
      {"int2", Int(32768)},
      {"int4", Int(-2147483649)},
      {"oid", Int(-1)},
      {"xid8", Numeric("-1")},
      {"float4", "double_value: 3.5e38"},
      {"float8", Int(INT64_MAX)},
      {"date", "date_value { days: -2440589 }"},
      {"date", "date_value { days: 2145042906 }"},
      {"time", "time_value { micros: 86400000001 }"},
      {"timestamp", "timestamp_value { micros: -210866803200000001 }"},
      {"int4[]", Array({Int(1), Int(1) + "0000000000"})},
      {"int4range", Range(Int(1), Int(1) + "0000000000")},
  };
  for (const auto& [type, value] : cases) {
    std::string data;
    Format format = Format::kText;
    EXPECT_THAT(EncodeValue(book_, OidOf(type), Value(value), "params[0]", 0, data, format),
                Fails(absl::StatusCode::kOutOfRange, "PARAMETER_INVALID"))
        << type << " " << value;
    EXPECT_EQ(data, "");
  }
}

TEST_F(PostgresParameters, TheLastOnesInRangeAreTakenByTheServer) {
  EXPECT_THAT(Sent("date", String("5874898-01-01")), HasSubstr("out of range"));
  EXPECT_THAT(Sent("date", String("4714-11-23 BC")), HasSubstr("out of range"));
  EXPECT_THAT(Sent("timestamp", String("4714-11-23 23:59:59.999999 BC")),
              HasSubstr("out of range"));
  EXPECT_EQ(Sent("int4[]", Array({Int(1)}, "dimensions: 1 lower_bounds: 2147483646")),
            "[2147483646:2147483646]={1}");
}

}  // namespace
}  // namespace sluice::postgres
