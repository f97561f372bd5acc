// Values of a real server: each is asked for in text and in binary, and both must come to the same
// Value, whose text is again what the server said.
#include "tests/db/postgres_values.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <libpq-fe.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

#include "server/db/postgres/decode.h"
#include "server/db/postgres/types.h"
#include "sluice/v1/query.pb.h"
#include "tests/db/postgres_text.h"
#include "tests/support/postgres.h"

namespace sluice::postgres {
namespace {

constexpr char kSettings[] =
    "SET client_encoding = 'UTF8'; SET DateStyle = ISO; SET IntervalStyle = postgres; "
    "SET bytea_output = hex; SET extra_float_digits = 1; SET TimeZone = UTC";

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }

  void operator()(PGresult* result) const { PQclear(result); }
};

using Connection = std::unique_ptr<PGconn, Finish>;
using Result = std::unique_ptr<PGresult, Finish>;

// With the settings that the driver makes.
Connection Connect(const std::string& conninfo) {
  Connection connection(PQconnectdb(conninfo.c_str()));
  EXPECT_EQ(PQstatus(connection.get()), CONNECTION_OK) << PQerrorMessage(connection.get());
  const Result settings(PQexec(connection.get(), kSettings));
  EXPECT_EQ(PQresultStatus(settings.get()), PGRES_COMMAND_OK);
  return connection;
}

Result Ask(PGconn* connection, const std::string& sql, Format format = Format::kText) {
  Result result(PQexecParams(connection, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr,
                             static_cast<int>(format)));
  const ExecStatusType status = PQresultStatus(result.get());
  EXPECT_TRUE(status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
      << sql << ": " << PQresultErrorMessage(result.get());
  return result;
}

std::string Text(const Result& result, int row, int column) {
  return std::string(PQgetvalue(result.get(), row, column),
                     static_cast<size_t>(PQgetlength(result.get(), row, column)));
}

Oid Number(const Result& result, int row, int column) {
  Oid oid = 0;
  EXPECT_TRUE(absl::SimpleAtoi(Text(result, row, column), &oid));
  return oid;
}

// What the catalog knows of types; {inner} is what Type::inner has to be.
constexpr char kTypeQuery[] =
    "SELECT t.oid, format_type(t.oid, NULL), t.typtype, t.typdelim, t.typrelid, a.is_array, "
    "CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typtype = 'r' THEN r.rngsubtype "
    "WHEN t.typtype = 'm' THEN m.rngtypid WHEN a.is_array THEN t.typelem ELSE 0 END "
    "FROM pg_type t LEFT JOIN pg_range r ON r.rngtypid = t.oid "
    "LEFT JOIN pg_range m ON m.rngmultitypid = t.oid "
    "LEFT JOIN pg_type e ON e.typarray = t.oid CROSS JOIN LATERAL "
    "(SELECT t.typsubscript = 'array_subscript_handler'::regproc) a (is_array) ";

enum TypeColumn { kOid, kName, kKind, kDelimiter, kRelation, kIsArray, kInner };

Form FormOf(char kind, bool is_array) {
  switch (kind) {
    case 'c':
      return Form::kComposite;
    case 'd':
      return Form::kDomain;
    case 'e':
      return Form::kString;
    case 'm':
      return Form::kMultirange;
    case 'r':
      return Form::kRange;
    default:
      return is_array ? Form::kArray : Form::kTextOnly;
  }
}

Type TypeOf(const Result& result, int row) {
  Type type;
  type.oid = Number(result, row, kOid);
  type.name = Text(result, row, kName);
  type.form = FormOf(Text(result, row, kKind)[0], Text(result, row, kIsArray) == "t");
  type.inner = Number(result, row, kInner);
  type.delimiter = Text(result, row, kDelimiter)[0];
  return type;
}

// Learns a type and what it is made of, as the driver does.
void Learn(PGconn* connection, Oid oid, TypeBook& book) {
  std::vector<Oid> missing;
  for (book.AppendMissing(oid, missing); !missing.empty(); book.AppendMissing(oid, missing)) {
    const Result types = Ask(
        connection, absl::StrCat(kTypeQuery, "WHERE t.oid IN (", absl::StrJoin(missing, ","), ")"));
    ASSERT_EQ(PQntuples(types.get()), static_cast<int>(missing.size()));
    for (int i = 0; i < PQntuples(types.get()); ++i) {
      Type type = TypeOf(types, i);
      const Result fields = Ask(
          connection, absl::StrCat("SELECT attname, atttypid FROM pg_attribute WHERE attrelid = ",
                                   Text(types, i, kRelation),
                                   " AND attnum > 0 AND NOT attisdropped ORDER BY attnum"));
      for (int j = 0; j < PQntuples(fields.get()); ++j) {
        type.fields.push_back({Text(fields, j, 0), Number(fields, j, 1)});
      }
      book.Add(std::move(type));
    }
    missing.clear();
  }
}

class PostgresValues : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEED_POSTGRES();
    database_.emplace();
    connection_ = Connect(database_->Conninfo());
  }

  void Run(const std::string& sql) { Ask(connection_.get(), sql); }

  // The only value that a query gives.
  pb::Value Decode(const std::string& sql, Format format) {
    const Result result = Ask(connection_.get(), sql, format);
    pb::Value value;
    if (PQntuples(result.get()) != 1) {
      ADD_FAILURE() << sql << ": not one row";
      return value;
    }
    const Oid oid = PQftype(result.get(), 0);
    Learn(connection_.get(), oid, book_);
    std::string wire;
    const absl::Status status = AppendValue(book_, oid, format, Text(result, 0, 0), wire);
    EXPECT_TRUE(status.ok()) << sql << ": " << status;
    EXPECT_TRUE(value.ParseFromString(wire)) << sql;
    return value;
  }

  // Both formats of an expression make the same value, and it makes the server's text.
  void Check(const std::string& expression) {
    SCOPED_TRACE(expression);
    const std::string sql = absl::StrCat("SELECT ", expression);
    const Result result = Ask(connection_.get(), sql);
    ASSERT_EQ(PQntuples(result.get()), 1);
    ASSERT_FALSE(PQgetisnull(result.get(), 0, 0));
    const Oid oid = PQftype(result.get(), 0);
    const pb::Value text = Decode(sql, Format::kText);
    EXPECT_EQ(FormatText(book_, oid, text), Text(result, 0, 0));
    CheckBinary(sql, oid, text);
  }

  void CheckBinary(const std::string& sql, Oid oid, const pb::Value& text) {
    if (!book_.HasBinary(oid)) return;
    const pb::Value binary = Decode(sql, Format::kBinary);
    EXPECT_EQ(text.SerializeAsString(), binary.SerializeAsString())
        << "text: " << text.ShortDebugString() << "\nbinary: " << binary.ShortDebugString();
    ++in_binary_;
  }

  // Each row of a result can be read.
  void CheckRows(const std::string& query, Format format) {
    const Result result = Ask(connection_.get(), query, format);
    const int width = PQnfields(result.get());
    std::vector<RowDecoder::Column> columns;
    for (int i = 0; i < width; ++i) {
      const Oid oid = PQftype(result.get(), i);
      Learn(connection_.get(), oid, book_);
      columns.push_back({oid, format});
    }
    const RowDecoder decoder(book_, columns);
    std::string out;
    std::vector<int> split;
    for (int row = 0; row < PQntuples(result.get()); ++row) {
      std::vector<Cell> cells;
      for (int i = 0; i < width; ++i) {
        const bool is_null = PQgetisnull(result.get(), row, i) != 0;
        cells.push_back({is_null ? nullptr : PQgetvalue(result.get(), row, i),
                         PQgetlength(result.get(), row, i)});
      }
      const absl::Status status = decoder.Append(cells, 1 << 30, out, split);
      ASSERT_TRUE(status.ok()) << query << ", row " << row << ": " << status;
    }
    pb::QueryResponse reply;
    ASSERT_TRUE(reply.ParseFromString(out)) << query;
    EXPECT_EQ(reply.rows_size(), PQntuples(result.get())) << query;
    if (reply.rows_size() > 0) EXPECT_EQ(reply.rows(0).values_size(), width) << query;
  }

  std::optional<test::TestDatabase> database_;
  Connection connection_;
  TypeBook book_;
  int in_binary_ = 0;
};

TEST_F(PostgresValues, BothFormatsAreTheSameValueWhoseTextIsTheServers) {
  for (const char* const statement : kValueTypes) Run(statement);
  for (const char* const expression : kValueExpressions) Check(expression);
  EXPECT_GT(in_binary_, 200);
}

TEST_F(PostgresValues, AnInstantIsTheSameInEveryZone) {
  for (const char* const zone :
       {"Asia/Kolkata", "America/St_Johns", "Pacific/Apia", "Etc/GMT+12"}) {
    Run(absl::StrCat("SET TimeZone = '", zone, "'"));
    for (const char* const moment :
         {"2024-02-29 23:59:59.999999+00", "0044-03-15 12:00:00+00 BC", "1880-01-01 00:00:00+00",
          "4714-11-25 00:00:00+00 BC", "294276-12-30 12:00:00+00", "1969-12-31 23:59:59.9+00"}) {
      const std::string sql = absl::StrCat("SELECT '", moment, "'::timestamptz");
      CheckBinary(sql, 1184, Decode(sql, Format::kText));
    }
  }
}

TEST_F(PostgresValues, BytesAreTheSameInTheEscapeFormat) {
  Run("SET bytea_output = 'escape'");
  for (const char* const bytes : {"", "\\x00", "\\x5c", "\\x61005cff7f80", "\\x2761220a"}) {
    const std::string sql = absl::StrCat("SELECT '", bytes, "'::bytea");
    CheckBinary(sql, 17, Decode(sql, Format::kText));
  }
  EXPECT_EQ(in_binary_, 5);
}

TEST_F(PostgresValues, EveryByteComesThrough) {
  const std::string sql =
      "SELECT string_agg(set_byte('\\x00', 0, i), '' ORDER BY i) FROM generate_series(0, 255) i";
  const pb::Value value = Decode(sql, Format::kText);
  ASSERT_EQ(value.bytes_value().size(), 256u);
  EXPECT_EQ(value.bytes_value()[255], '\xFF');
  CheckBinary(sql, 17, value);
}

TEST_F(PostgresValues, RandomNumbersAreTheSame) {
  Run("SELECT setseed(0.25)");
  for (int i = 0; i < 300; ++i) {
    const Result drawn = Ask(
        connection_.get(),
        "SELECT round((random() * 10 ^ (random() * 40 - 20))::numeric, (random() * 30)::int) "
        "* CASE WHEN random() < 0.5 THEN 1 ELSE -1 END, random() * 10.0 ^ (random() * 600 - 300), "
        "((random() - 0.5) * 10 ^ (random() * 70 - 35))::real, "
        "'epoch'::timestamp + make_interval(secs => (random() - 0.5) * 1e11), "
        "make_interval(months => ((random() - 0.5) * 1e4)::int, days => ((random() - 0.5) * "
        "1e5)::int, secs => (random() - 0.5) * 1e7)");
    const char* const types[] = {"numeric", "float8", "real", "timestamp", "interval"};
    for (int j = 0; j < 5; ++j) Check(absl::StrCat("'", Text(drawn, 0, j), "'::", types[j]));
  }
}

TEST_F(PostgresValues, ARecordHasItsFieldsInBinaryAndIsPassedThroughInText) {
  const std::string sql = "SELECT ROW(1, 'a b', NULL, ARRAY[true, NULL], '10.0.0.1'::inet)";
  const pb::Value text = Decode(sql, Format::kText);
  EXPECT_EQ(text.raw_value().oid(), 2249u);
  EXPECT_EQ(text.raw_value().format(), pb::Raw::FORMAT_TEXT);
  EXPECT_EQ(text.raw_value().data(), "(1,\"a b\",,\"{t,NULL}\",10.0.0.1)");

  const pb::Value binary = Decode(sql, Format::kBinary);
  ASSERT_EQ(binary.composite_value().values_size(), 5);
  EXPECT_EQ(binary.composite_value().values(0).int64_value(), 1);
  EXPECT_EQ(binary.composite_value().values(1).string_value(), "a b");
  EXPECT_EQ(binary.composite_value().values(2).kind_case(), pb::Value::kNullValue);
  EXPECT_TRUE(binary.composite_value().values(3).array_value().values(0).bool_value());
  EXPECT_EQ(binary.composite_value().values(4).raw_value().oid(), 869u);
  EXPECT_EQ(binary.composite_value().values(4).raw_value().format(), pb::Raw::FORMAT_BINARY);
}

TEST_F(PostgresValues, ARowWhoseTypeHasChangedIsPassedThrough) {
  Run("CREATE TYPE pair AS (a int, b int)");
  EXPECT_EQ(Decode("SELECT '(1,2)'::pair", Format::kText).composite_value().values_size(), 2);
  Run("ALTER TYPE pair ADD ATTRIBUTE c int");
  const pb::Value value = Decode("SELECT '(1,2,3)'::pair", Format::kText);
  EXPECT_EQ(value.raw_value().data(), "(1,2,3)");
  EXPECT_EQ(Decode("SELECT '(1,2,3)'::pair", Format::kBinary).composite_value().values_size(), 3);
}

TEST_F(PostgresValues, TextWithoutEncodingIsRawWhereItIsNotUtf8) {
  const std::string name = absl::StrCat(database_->name(), "_ascii");
  Run(absl::StrCat("CREATE DATABASE ", name,
                   " TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"));
  const Connection server =
      std::exchange(connection_, Connect(absl::StrCat(database_->Conninfo(), " dbname=", name)));
  Run("SET client_encoding = 'SQL_ASCII'");  // else the server refuses what is not valid
  for (const Format format : {Format::kText, Format::kBinary}) {
    const pb::Value value = Decode("SELECT E'caf\\xe9'::text", format);
    EXPECT_EQ(value.raw_value().oid(), 25u);
    EXPECT_EQ(value.raw_value().format(), pb::Raw::FORMAT_TEXT);
    EXPECT_EQ(value.raw_value().data(), "caf\xE9");
    const pb::Value array = Decode("SELECT ARRAY[E'\\xe9', E'\\xc3\\xa9']", format);
    EXPECT_EQ(array.array_value().values(0).raw_value().data(), "\xE9");
    EXPECT_EQ(array.array_value().values(1).string_value(), "é");
  }
  connection_.reset();
  Ask(server.get(), absl::StrCat("DROP DATABASE ", name, " WITH (FORCE)"));
}

TEST_F(PostgresValues, EveryBuiltInTypeIsKnownAsTheServerKnowsIt) {
  // Left out: row types of catalogs and their arrays, and pseudo-types that no column has.
  const Result types = Ask(
      connection_.get(),
      absl::StrCat(kTypeQuery,
                   "WHERE t.typnamespace = 'pg_catalog'::regnamespace "
                   "AND t.typtype <> 'c' AND e.typtype IS DISTINCT FROM 'c' AND (t.typtype <> 'p' "
                   "OR t.typname IN ('void', 'record', '_record', 'unknown', 'cstring', "
                   "'_cstring', 'anyarray'))"));
  EXPECT_GT(PQntuples(types.get()), 160);
  for (int i = 0; i < PQntuples(types.get()); ++i) {
    const Type expected = TypeOf(types, i);
    SCOPED_TRACE(expected.name);
    const Type* const type = book_.Find(expected.oid);
    ASSERT_NE(type, nullptr);
    EXPECT_EQ(type->oid, expected.oid);
    EXPECT_EQ(type->name, expected.name);
    EXPECT_EQ(type->inner, expected.inner);
    EXPECT_EQ(type->delimiter, expected.delimiter);
    EXPECT_NE(type->form, Form::kUnknown);
    if (expected.form != Form::kTextOnly) EXPECT_EQ(type->form, expected.form);
  }
}

TEST_F(PostgresValues, CatalogsAreReadToTheirEnd) {
  for (const char* const query :
       {"SELECT * FROM pg_type", "SELECT * FROM pg_proc", "SELECT * FROM pg_stats",
        "SELECT * FROM pg_settings", "SELECT * FROM pg_class", "SELECT * FROM pg_rewrite"}) {
    CheckRows(query, Format::kText);
  }
  for (const char* const query :
       {"SELECT * FROM pg_index", "SELECT * FROM pg_attrdef", "SELECT * FROM pg_opclass",
        "SELECT oid, proname, proargtypes, proallargtypes, proargnames, prosrc FROM pg_proc"}) {
    CheckRows(query, Format::kText);
    CheckRows(query, Format::kBinary);
  }
}

}  // namespace
}  // namespace sluice::postgres
