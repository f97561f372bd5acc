#include "server/db/parameters.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "sluice/v1/query.pb.h"

namespace sluice::db {
namespace {

constexpr Dialect kDialects[] = {Dialect::kSqlite, Dialect::kPostgres};

// A request's parameters: numbers for `params`, and names, each of which has its own name as value.
struct Request {
  Params params;
  NamedParams named;

  Request() = default;

  Request(const std::vector<int>& numbers, const std::vector<std::string>& names) {
    for (const int number : numbers) params.Add()->set_int64_value(number);
    for (const std::string& name : names) named[name].set_string_value(name);
  }

  Request& Add(const pb::Value& value) {
    *params.Add() = value;
    return *this;
  }
};

absl::Status Resolve(absl::string_view sql, const Request& request, Dialect dialect) {
  const StatementShape shape = Inspect(sql, dialect);
  return ResolveParameters(shape, request.params, request.named, dialect).status();
}

// `index:text=value` of each parameter, or the error.
std::string Bound(absl::string_view sql, const Request& request, Dialect dialect) {
  const StatementShape shape = Inspect(sql, dialect);
  const auto bound = ResolveParameters(shape, request.params, request.named, dialect);
  if (!bound.ok()) return std::string(bound.status().message());
  std::vector<std::string> seen;
  for (const BoundParameter& parameter : *bound) {
    const pb::Value& value = *parameter.value;
    seen.push_back(absl::StrCat(
        parameter.index, ":", parameter.parameter->text, "=",
        value.has_int64_value() ? absl::StrCat(value.int64_value()) : value.string_value()));
  }
  return absl::StrJoin(seen, " ");
}

struct Refusal {
  std::string field;
  std::string position;
  std::string hint;
};

// What an error says of its place; fails unless it is PARAMETER_INVALID.
Refusal Refused(absl::string_view sql, const Request& request, Dialect dialect) {
  const absl::Status status = Resolve(sql, request, dialect);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << sql;
  EXPECT_EQ(errors::ReasonOf(status), "PARAMETER_INVALID") << sql;
  EXPECT_EQ(errors::MetadataOf(status, "executed"), "no") << sql;
  const errors::Parts parts = errors::PartsOf(status);
  Refusal refusal;
  EXPECT_EQ(parts.fields.size(), 1u) << sql;
  if (!parts.fields.empty()) refusal.field = parts.fields[0].first;
  refusal.position = errors::MetadataOf(status, "position");
  for (const auto& [key, value] : parts.sql) {
    if (key == "hint") refusal.hint = value;
  }
  return refusal;
}

TEST(Parameters, NumberedOnesTakeTheirPlaceInParams) {
  const Request one({10}, {});
  const Request three({10, 20, 30}, {});
  EXPECT_EQ(Bound("select 1", Request(), Dialect::kSqlite), "");
  EXPECT_EQ(Bound("select ?", one, Dialect::kSqlite), "1:?=10");
  EXPECT_EQ(Bound("select ?, ?, ?", three, Dialect::kSqlite), "1:?=10 2:?=20 3:?=30");
  EXPECT_EQ(Bound("select ?3, ?1, ?2, ?3", three, Dialect::kSqlite), "3:?3=30 1:?1=10 2:?2=20");
  EXPECT_EQ(Bound("select ?1, ?01", one, Dialect::kSqlite), "1:?1=10");
  for (const Dialect dialect : kDialects) {
    EXPECT_EQ(Bound("select $1", one, dialect), "1:$1=10");
    EXPECT_EQ(Bound("select $1, $2, $3, $2", three, dialect), "1:$1=10 2:$2=20 3:$3=30");
  }
}

TEST(Parameters, SqliteNumbersDollarsAsItMeetsThem) {
  const Request three({10, 20, 30}, {});
  EXPECT_EQ(Bound("select $3, $1, $2", three, Dialect::kSqlite), "1:$3=30 2:$1=10 3:$2=20");
  EXPECT_EQ(Bound("select $3, $1, $2", three, Dialect::kPostgres), "3:$3=30 1:$1=10 2:$2=20");
  EXPECT_EQ(Bound("select ?1, $1", Request({10}, {}), Dialect::kSqlite), "1:?1=10 2:$1=10");
  EXPECT_EQ(Bound("select $1, ?1", Request({10}, {}), Dialect::kSqlite), "1:$1=10");
  EXPECT_EQ(Bound("select ?2, $1", Request({10, 20}, {}), Dialect::kSqlite), "2:?2=20 3:$1=10");
}

TEST(Parameters, NamedOnesTakeTheirNameFromNamedParams) {
  const Request a({}, {"a"});
  EXPECT_EQ(Bound("select :a, :a", a, Dialect::kSqlite), "1::a=a");
  EXPECT_EQ(Bound("select :a, @a, $a, :a", a, Dialect::kSqlite), "1::a=a 2:@a=a 3:$a=a");
  EXPECT_EQ(Bound("select :1", Request({}, {"1"}), Dialect::kSqlite), "1::1=1");
  EXPECT_EQ(Bound("select :été", Request({}, {"été"}), Dialect::kSqlite), "1::été=été");
  EXPECT_EQ(Bound("select :b, :a, :b", Request({}, {"a", "b"}), Dialect::kPostgres),
            "1::b=b 2::a=a");
}

TEST(Parameters, NamedAndNumberedMayStandTogether) {
  const Request both({10, 20}, {"a"});
  EXPECT_EQ(Bound("select ?, :a, ?", both, Dialect::kSqlite), "1:?=10 2::a=a 3:?=20");
  EXPECT_EQ(Bound("select $1, :a, $2", both, Dialect::kSqlite), "1:$1=10 2::a=a 3:$2=20");
  EXPECT_EQ(Bound("select ?1, ?2, :a", both, Dialect::kSqlite), "1:?1=10 2:?2=20 3::a=a");
  EXPECT_EQ(Bound("select :a, $2, $1", both, Dialect::kPostgres), "3::a=a 2:$2=20 1:$1=10");
}

TEST(Parameters, NumbersThatSqliteHasGivenToANameAreRefused) {
  // SQLite gives the first name index 1, and ?1 is that same index.
  const Refusal refusal = Refused("select :a, ?1", Request({10}, {"a"}), Dialect::kSqlite);
  EXPECT_EQ(refusal.field, "sql");
  EXPECT_EQ(refusal.position, "12");
  EXPECT_EQ(refusal.hint, "write $1 instead of ?1");
  EXPECT_EQ(Refused("select ?1, :a, ?2", Request({10, 20}, {"a"}), Dialect::kSqlite).position,
            "16");
  EXPECT_EQ(Refused("select $2, ?1", Request({10, 20}, {}), Dialect::kSqlite).position, "12");
}

TEST(Parameters, BareBesideNumberedIsRefused) {
  const Request two({10, 20}, {});
  EXPECT_EQ(Refused("select ?, ?2", two, Dialect::kSqlite).position, "11");
  EXPECT_EQ(Refused("select ?1, ?", two, Dialect::kSqlite).position, "12");
  EXPECT_EQ(Refused("select $1, ?", two, Dialect::kSqlite).field, "sql");
  EXPECT_EQ(Refused("select 'é', ?, $1", two, Dialect::kSqlite).position, "16");
}

TEST(Parameters, GapsAreRefused) {
  const Request three({10, 20, 30}, {});
  for (const Dialect dialect : kDialects) {
    const Refusal refusal = Refused("select $1, $3", three, dialect);
    EXPECT_EQ(refusal.field, "sql");
    EXPECT_EQ(refusal.position, "12");
    EXPECT_EQ(Refused("select $2", Request({10}, {}), dialect).position, "8");
  }
  EXPECT_EQ(Refused("select ?1, ?3", three, Dialect::kSqlite).position, "12");
}

TEST(Parameters, CastsThatSqliteReadsAsNamesAreRefusedWithTheHint) {
  const Request one({10}, {});
  EXPECT_EQ(Refused("select $1::int", one, Dialect::kSqlite).hint, "write CAST($1 AS int)");
  EXPECT_EQ(Refused("select :id::text", Request({}, {"id"}), Dialect::kSqlite).hint,
            "write CAST(:id AS text)");
  EXPECT_EQ(Refused("select a, $1::", one, Dialect::kSqlite).position, "11");
  EXPECT_EQ(Refused("select :f(x)", Request({}, {"f"}), Dialect::kSqlite).field, "sql");
  EXPECT_EQ(Refused("select #a", Request({}, {"a"}), Dialect::kSqlite).field, "sql");
  EXPECT_EQ(Bound("select $1::int", one, Dialect::kPostgres), "1:$1=10");
}

TEST(Parameters, TooFewAndTooManyValuesAreRefused) {
  for (const Dialect dialect : kDialects) {
    Refusal refusal = Refused("select $1, $2", Request({10}, {}), dialect);
    EXPECT_EQ(refusal.field, "params[1]");
    EXPECT_EQ(refusal.position, "12");
    refusal = Refused("select $1", Request(), dialect);
    EXPECT_EQ(refusal.field, "params[0]");
    EXPECT_EQ(refusal.position, "8");
    refusal = Refused("select $1", Request({10, 20, 30}, {}), dialect);
    EXPECT_EQ(refusal.field, "params[1]");
    EXPECT_EQ(refusal.position, "");
  }
  EXPECT_EQ(Refused("select ?, ?, ?", Request({10}, {}), Dialect::kSqlite).position, "11");
}

TEST(Parameters, ValuesForAStatementWithoutPlaceholdersAreRefusedWithTheHint) {
  const Request one({10}, {});
  EXPECT_EQ(Refused("select 1", one, Dialect::kSqlite).hint,
            "write ?, $1 or :name in the SQL where a value belongs");
  EXPECT_EQ(Refused("select '$1'", one, Dialect::kSqlite).field, "params[0]");
  EXPECT_EQ(Refused("select a ? b", one, Dialect::kPostgres).hint,
            "write $1 in the SQL where a value belongs; ? is an operator");
  EXPECT_EQ(Refused("select :a", Request({10}, {"a"}), Dialect::kSqlite).hint,
            "give the values of named parameters in named_params");
}

TEST(Parameters, MissingAndUnusedNamesAreRefused) {
  for (const Dialect dialect : kDialects) {
    Refusal refusal = Refused("select :a, :b", Request({}, {"a"}), dialect);
    EXPECT_EQ(refusal.field, "named_params[\"b\"]");
    EXPECT_EQ(refusal.position, "12");
    refusal = Refused("select :a", Request({}, {"a", "z", "x"}), dialect);
    EXPECT_EQ(refusal.field, "named_params[\"x\"]");
    EXPECT_EQ(refusal.position, "");
    refusal = Refused("select 1", Request({}, {":a"}), dialect);
    EXPECT_EQ(refusal.field, "named_params[\":a\"]");
    EXPECT_NE(refusal.hint, "");
    // Names of parameters are as exact as the SQL has them.
    EXPECT_EQ(Refused("select :A", Request({}, {"a"}), dialect).field, "named_params[\"A\"]");
  }
}

TEST(Parameters, Fault52_NamesFromOutsideAreShownCutAndClean) {
  const Request request({}, {std::string(100000, 'x') + "\n"});
  const absl::Status status = Resolve("select 1", request, Dialect::kSqlite);
  EXPECT_LT(status.message().size(), 300u);
  const Refusal refusal = Refused("select 1", Request({}, {"a\nb"}), Dialect::kSqlite);
  EXPECT_EQ(refusal.field, "named_params[\"a b\"]");
}

TEST(Parameters, Fault52_AnUnsetKindIsRefused) {
  for (const Dialect dialect : kDialects) {
    EXPECT_EQ(Refused("select $1", Request().Add(pb::Value()), dialect).field, "params[0]");
    Request named;
    named.named["a"];
    EXPECT_EQ(Refused("select :a", named, dialect).field, "named_params[\"a\"]");
  }
  pb::Value null;
  null.set_null_value(google::protobuf::NULL_VALUE);
  EXPECT_TRUE(Resolve("select ?", Request().Add(null), Dialect::kSqlite).ok());
}

TEST(Parameters, Fault52_KindsThatAreNoInputAreRefused) {
  pb::Value split;
  split.mutable_split_value();
  EXPECT_EQ(Refused("select ?", Request().Add(split), Dialect::kSqlite).field, "params[0]");
  pb::Value raw;
  raw.mutable_raw_value();
  EXPECT_EQ(Refused("select ?", Request().Add(raw), Dialect::kSqlite).field, "params[0]");
  raw.mutable_raw_value()->set_format(pb::Raw::FORMAT_TEXT);
  EXPECT_TRUE(Resolve("select ?", Request().Add(raw), Dialect::kSqlite).ok());
}

// A value of the given depth, of one kind of nesting.
pb::Value Nested(int depth, int kind) {
  pb::Value value;
  if (depth == 1) {
    value.set_bool_value(true);
    return value;
  }
  const pb::Value inner = Nested(depth - 1, kind);
  if (kind == 0) *value.mutable_array_value()->add_values() = inner;
  if (kind == 1) *value.mutable_composite_value()->add_values() = inner;
  if (kind == 2) *value.mutable_range_value()->mutable_lower() = inner;
  if (kind == 3) *value.mutable_range_value()->mutable_upper() = inner;
  return value;
}

TEST(Parameters, Fault52_NestingEndsAt32) {
  for (const Dialect dialect : kDialects) {
    for (int kind = 0; kind < 4; ++kind) {
      EXPECT_TRUE(Resolve("select $1", Request().Add(Nested(32, kind)), dialect).ok());
      EXPECT_FALSE(Resolve("select $1", Request().Add(Nested(33, kind)), dialect).ok());
    }
  }
}

TEST(Parameters, Fault52_AFaultInsideAValueIsNamedByItsPath) {
  pb::Value value;
  value.mutable_array_value()->add_values()->set_bool_value(true);
  pb::Value& range = *value.mutable_array_value()->add_values();
  range.mutable_range_value()->mutable_upper();
  EXPECT_EQ(Refused("select $1, $2", Request({1}, {}).Add(value), Dialect::kPostgres).field,
            "params[1].array_value.values[1].range_value.upper");
}

TEST(Parameters, Fault52_NulInTextIsForSqliteOnly) {
  pb::Value text;
  text.set_string_value(std::string("a\0b", 3));
  EXPECT_TRUE(Resolve("select $1", Request().Add(text), Dialect::kSqlite).ok());
  EXPECT_EQ(Refused("select $1", Request().Add(text), Dialect::kPostgres).field, "params[0]");
  text.set_json_value(std::string("\0", 1));
  EXPECT_EQ(Refused("select $1", Request().Add(text), Dialect::kPostgres).field, "params[0]");
  text.set_bytes_value(std::string("\0", 1));
  EXPECT_TRUE(Resolve("select $1", Request().Add(text), Dialect::kPostgres).ok());
}

TEST(Parameters, Fault52_TextThatIsNotUtf8DoesNotParseAsARequest) {
  pb::QueryRequest request;
  request.add_params()->set_bytes_value("\xC3(");
  std::string wire = request.SerializeAsString();
  EXPECT_TRUE(request.ParseFromString(wire));
  // The same bytes as string_value, whose field number is one less.
  const size_t tag = wire.find(std::string("\x3A\x02\xC3", 3));
  ASSERT_NE(tag, std::string::npos);
  wire[tag] = '\x32';
  EXPECT_FALSE(request.ParseFromString(wire));
}

TEST(Parameters, Fault52_MoreParametersThanTheEngineTakesAreRefused) {
  const auto values = [](int count) {
    return Request(std::vector<int>(static_cast<size_t>(count), 7), {});
  };
  std::string bare = "select ?";
  for (int i = 1; i < kMaxSqliteParameters; ++i) bare += ",?";
  EXPECT_TRUE(Resolve(bare, values(32766), Dialect::kSqlite).ok());
  const std::string one_more = absl::StrCat(bare, ",?");
  EXPECT_EQ(Refused(one_more, values(32767), Dialect::kSqlite).position,
            absl::StrCat(one_more.size()));
  EXPECT_FALSE(Resolve("select ?32766, :a", Request({}, {"a"}), Dialect::kSqlite).ok());

  std::string numbered = "select $1";
  for (int i = 2; i <= kMaxPostgresParameters; ++i) absl::StrAppend(&numbered, ",$", i);
  const StatementShape shape = Inspect(numbered, Dialect::kPostgres);
  EXPECT_TRUE(shape.parameters.problem.ok());
  EXPECT_EQ(shape.parameters.numbered, 65535);
  EXPECT_FALSE(Inspect(absl::StrCat(numbered, ",:a"), Dialect::kPostgres).parameters.problem.ok());
  EXPECT_FALSE(Resolve("select $65536", values(65536), Dialect::kPostgres).ok());
  EXPECT_FALSE(Resolve("select 1", values(65536), Dialect::kPostgres).ok());
}

TEST(Parameters, Fault52_NumbersOutOfRangeDoNotWrapAround) {
  for (const absl::string_view sql :
       {"select $0", "select $32767", "select $4294967297", "select $18446744073709551617",
        "select $99999999999999999999999999999999999999"}) {
    EXPECT_EQ(Refused(sql, Request({10}, {}), Dialect::kSqlite).position, "8") << sql;
  }
  EXPECT_EQ(Refused("select ?0", Request({10}, {}), Dialect::kSqlite).position, "8");
  EXPECT_EQ(Refused("select $65536", Request({10}, {}), Dialect::kPostgres).position, "8");
  EXPECT_EQ(Refused("select $4294967297", Request({10}, {}), Dialect::kPostgres).position, "8");
}

}  // namespace
}  // namespace sluice::db
