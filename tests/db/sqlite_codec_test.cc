// Values in and out: every kind that SQLite has arrives as it was sent, byte for byte.
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/sqlite/codec.h"
#include "server/db/sqlite/limits.h"
#include "tests/db/sqlite_session.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;
using google::protobuf::util::MessageDifferencer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr int64_t kNoSplit = std::numeric_limits<int64_t>::max();

class Codec : public testing::Test {
 protected:
  // The statement with its values bound, on its first row.
  Prepared* FirstRow(absl::string_view sql, const std::vector<pb::Value>& params = {}) {
    values_ = db::Params(params.begin(), params.end());
    const auto prepared = session_->Prepare(sql);
    EXPECT_TRUE(prepared.ok()) << prepared.status();
    EXPECT_TRUE(session_->Bind(**prepared, values_, {}).ok());
    const auto step = session_->Advance(**prepared, nullptr);
    EXPECT_TRUE(step.ok()) << step.status();
    return *prepared;
  }

  absl::Status BindOne(const pb::Value& value) { return session_.Try("SELECT ?", {value}); }

  TemporaryFolder folder_;
  TestSession session_{Writer(folder_.File("a.db"))};
  db::Params values_;
};

TEST_F(Codec, EveryValueComesBackAsItWasSent) {
  const std::string nul("a\0b\0", 4);
  const std::pair<const char*, pb::Value> cases[] = {
      {"null", Null()},
      {"zero", Int(0)},
      {"one", Int(1)},
      {"minus one", Int(-1)},
      {"127", Int(127)},
      {"128", Int(128)},
      {"smallest", Int(std::numeric_limits<int64_t>::min())},
      {"largest", Int(std::numeric_limits<int64_t>::max())},
      {"real", Real(0.1)},
      {"minus zero", Real(-0.0)},
      {"largest real", Real(std::numeric_limits<double>::max())},
      {"smallest real", Real(std::numeric_limits<double>::denorm_min())},
      {"infinity", Real(std::numeric_limits<double>::infinity())},
      {"minus infinity", Real(-std::numeric_limits<double>::infinity())},
      {"text", Text("Grüße")},
      {"emoji", Text("👩‍👩‍👧 𝔘")},
      {"text with NUL", Text(nul)},
      {"empty text", Text("")},
      {"127 bytes of text", Text(std::string(127, 'x'))},
      {"128 bytes of text", Text(std::string(128, 'x'))},
      {"17 KB of text", Text(std::string(17000, 'x'))},
      {"bytes", Bytes("\x01\xFF\x80")},
      {"NUL bytes", Bytes(nul)},
      {"empty bytes", Bytes("")},
      {"a megabyte", Bytes(std::string(1 << 20, '\xEE'))},
  };
  for (const auto& [name, value] : cases) {
    EXPECT_TRUE(MessageDifferencer::Equals(session_.Value("SELECT ?", {value}), value)) << name;
  }
}

TEST_F(Codec, StoredValuesComeBackAsTheyWereSent) {
  ASSERT_TRUE(session_.Try("CREATE TABLE t(a)").ok());
  const std::string nul("x\0\xF0\x9F\x8E\x89", 6);
  for (const pb::Value& value : {Null(), Int(-5), Real(2.5), Text(nul), Bytes(nul), Text("")}) {
    ASSERT_TRUE(session_.Try("INSERT INTO t VALUES(?)", {value}).ok());
    EXPECT_TRUE(MessageDifferencer::Equals(session_.Value("SELECT a FROM t"), value))
        << value.ShortDebugString();
    ASSERT_TRUE(session_.Try("DELETE FROM t").ok());
  }
}

TEST_F(Codec, SignOfZeroSurvives) {
  EXPECT_TRUE(std::signbit(session_.Value("SELECT ?", {Real(-0.0)}).double_value()));
}

TEST_F(Codec, BooleansAreStoredAsIntegers) {
  pb::Value yes;
  yes.set_bool_value(true);
  EXPECT_EQ(session_.Value("SELECT ?", {yes}).int64_value(), 1);
  pb::Value no;
  no.set_bool_value(false);
  EXPECT_TRUE(session_.Value("SELECT ?", {no}).has_int64_value());
}

TEST_F(Codec, FloatsAreStoredAsDoubles) {
  pb::Value value;
  value.set_float_value(0.1F);
  EXPECT_EQ(session_.Value("SELECT ?", {value}).double_value(), static_cast<double>(0.1F));
}

TEST_F(Codec, JsonIsStoredAsText) {
  pb::Value value;
  value.set_json_value(R"({"a":[1]})");
  EXPECT_EQ(session_.Value("SELECT ?", {value}).string_value(), R"({"a":[1]})");
}

TEST_F(Codec, TextThatIsNotUtf8ComesAsRaw) {
  for (const absl::string_view bytes : {"\xFF", "a\xC0\xAF", "\xED\xA0\x80", "abc\xF0\x9F"}) {
    const pb::Value value = session_.Value("SELECT CAST(? AS TEXT)", {Bytes(bytes)});
    ASSERT_TRUE(value.has_raw_value()) << value.ShortDebugString();
    EXPECT_EQ(value.raw_value().format(), pb::Raw::FORMAT_TEXT);
    EXPECT_EQ(value.raw_value().data(), bytes);
    EXPECT_EQ(value.raw_value().oid(), 0u);
    // And goes back in.
    EXPECT_EQ(session_.Value("SELECT typeof(?)", {value}).string_value(), "text");
    EXPECT_TRUE(MessageDifferencer::Equals(session_.Value("SELECT ?", {value}), value));
  }
}

TEST_F(Codec, NanIsRefusedBecauseItWouldBecomeNull) {
  pb::Value single;
  single.set_float_value(std::numeric_limits<float>::quiet_NaN());
  for (const pb::Value& value : {Real(std::nan("")), single}) {
    const absl::Status status = BindOne(value);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(errors::ReasonOf(status), "PARAMETER_INVALID");
    EXPECT_THAT(std::string(status.message()), StartsWith("params[0]: "));
  }
}

TEST_F(Codec, KindsThatSqliteDoesNotHaveAreRefusedByName) {
  std::vector<pb::Value> values(12);
  values[0].set_numeric_value("1.10");
  values[1].mutable_date_value();
  values[2].mutable_time_value();
  values[3].mutable_timestamp_value();
  values[4].mutable_timestamptz_value();
  values[5].mutable_interval_value();
  values[6].set_uuid_value(std::string(16, 'u'));
  values[7].mutable_array_value();
  values[8].mutable_vector_value();
  values[9].mutable_range_value();
  values[10].mutable_composite_value();
  values[11].mutable_raw_value()->set_format(pb::Raw::FORMAT_BINARY);
  for (const pb::Value& value : values) {
    const absl::Status status = session_.Try("SELECT ?, ?", {Int(1), value});
    const std::string kind = pb::Value::descriptor()->FindFieldByNumber(value.kind_case())->name();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << kind;
    EXPECT_EQ(errors::ReasonOf(status), "PARAMETER_INVALID") << kind;
    EXPECT_THAT(std::string(status.message()), StartsWith("params[1]: ")) << kind;
    EXPECT_THAT(std::string(status.message()), HasSubstr(kind)) << kind;
  }
}

TEST_F(Codec, RawWithAnOidIsRefused) {
  pb::Value value;
  value.mutable_raw_value()->set_format(pb::Raw::FORMAT_TEXT);
  value.mutable_raw_value()->set_oid(25);
  EXPECT_EQ(errors::ReasonOf(BindOne(value)), "PARAMETER_INVALID");
}

TEST_F(Codec, NamedValuesAreNamedInErrors) {
  db::NamedParams named;
  named["when"].mutable_date_value();
  const auto prepared = session_->Prepare("SELECT :when");
  ASSERT_TRUE(prepared.ok());
  const absl::Status status = session_->Bind(**prepared, {}, named);
  EXPECT_THAT(std::string(status.message()), StartsWith("named_params[\"when\"]: "));
}

TEST_F(Codec, NumberedAndNamedParametersFindTheirValues) {
  EXPECT_EQ(session_.Value("SELECT $2 || $1 || $2", {Text("a"), Text("b")}).string_value(), "bab");
  EXPECT_EQ(session_.Value("SELECT ?2 || ?1", {Text("a"), Text("b")}).string_value(), "ba");
  const auto prepared = session_->Prepare("SELECT :x || @y || $x || ?1");
  ASSERT_FALSE(session_->Bind(**prepared, {}, {}).ok());  // ?1 is :x to SQLite
  db::NamedParams named;
  named["x"] = Text("1");
  named["y"] = Text("2");
  const auto only_names = session_->Prepare("SELECT :x || @y || $x");
  ASSERT_TRUE(only_names.ok()) << only_names.status();
  ASSERT_TRUE(session_->Bind(**only_names, {}, named).ok());
  ASSERT_TRUE(session_->Advance(**only_names, nullptr).ok());
  EXPECT_EQ(session_->SplitBytes(**only_names, 0), "121");
}

TEST_F(Codec, Fault52_AValueBeyondTheLimitIsRefusedBeforeItRuns) {
  const absl::Status status = BindOne(Text(std::string(kMaxValueBytes + 1, 'x')));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(errors::ReasonOf(status), "VALUE_TOO_LARGE");
  EXPECT_EQ(errors::MetadataOf(status, "limit_bytes"), absl::StrCat(kMaxValueBytes));
  EXPECT_TRUE(BindOne(Bytes(std::string(kMaxValueBytes, 'x'))).ok());
}

TEST_F(Codec, ColumnsHaveNameTypeAndDeclaration) {
  ASSERT_TRUE(
      session_.Try("CREATE TABLE t(id INTEGER PRIMARY KEY, price DECIMAL(10,2), \"o k\")").ok());
  const auto reply = session_.Execute("SELECT id, price AS p, \"o k\", id + 1 FROM t");
  ASSERT_TRUE(reply.ok()) << reply.status();
  ASSERT_EQ(reply->columns_size(), 4);
  EXPECT_EQ(reply->columns(0).name(), "id");
  EXPECT_EQ(reply->columns(0).type(), pb::VALUE_TYPE_INT64);
  EXPECT_EQ(reply->columns(0).native_type(), "INTEGER");
  EXPECT_EQ(reply->columns(1).name(), "p");
  EXPECT_EQ(reply->columns(1).type(), pb::VALUE_TYPE_NUMERIC);
  EXPECT_EQ(reply->columns(1).native_type(), "DECIMAL(10,2)");
  EXPECT_EQ(reply->columns(2).name(), "o k");
  EXPECT_EQ(reply->columns(2).type(), pb::VALUE_TYPE_UNSPECIFIED);
  EXPECT_EQ(reply->columns(3).name(), "id + 1");
  EXPECT_EQ(reply->columns(3).native_type(), "");
}

TEST(TypeOfDeclaration, FollowsNamesAndThenAffinity) {
  const std::pair<const char*, pb::ValueType> cases[] = {
      {"INT", pb::VALUE_TYPE_INT64},
      {"bigint", pb::VALUE_TYPE_INT64},
      {"UNSIGNED BIG INT", pb::VALUE_TYPE_INT64},
      {"VARCHAR(255)", pb::VALUE_TYPE_STRING},
      {"NATIVE CHARACTER(70)", pb::VALUE_TYPE_STRING},
      {"clob", pb::VALUE_TYPE_STRING},
      {"TEXT", pb::VALUE_TYPE_STRING},
      {"CHARINT", pb::VALUE_TYPE_INT64},
      {"BLOB", pb::VALUE_TYPE_BYTES},
      {"REAL", pb::VALUE_TYPE_DOUBLE},
      {"DOUBLE PRECISION", pb::VALUE_TYPE_DOUBLE},
      {"FLOAT", pb::VALUE_TYPE_DOUBLE},
      {"NUMERIC", pb::VALUE_TYPE_NUMERIC},
      {"DECIMAL(10,5)", pb::VALUE_TYPE_NUMERIC},
      {"BOOLEAN", pb::VALUE_TYPE_BOOL},
      {"bool", pb::VALUE_TYPE_BOOL},
      {"DATE", pb::VALUE_TYPE_DATE},
      {"DATETIME", pb::VALUE_TYPE_TIMESTAMP},
      {"timestamp(3)", pb::VALUE_TYPE_TIMESTAMP},
      {"TIME", pb::VALUE_TYPE_TIME},
      {"JSON", pb::VALUE_TYPE_JSON},
      {"UUID", pb::VALUE_TYPE_UUID},
      {"STRING", pb::VALUE_TYPE_UNSPECIFIED},
      {"", pb::VALUE_TYPE_UNSPECIFIED},
  };
  for (const auto& [declared, type] : cases)
    EXPECT_EQ(TypeOfDeclaration(declared), type) << declared;
}

TEST_F(Codec, RowsAreCompleteWhateverTheirWidth) {
  for (const int width : {1, 31, 32, 33, 100}) {
    std::string sql = "SELECT 0";
    for (int i = 1; i < width; ++i) absl::StrAppend(&sql, ",", i % 2 == 0 ? "i" : "'t'");
    absl::StrAppend(&sql, " FROM (SELECT 7 AS i UNION ALL SELECT 8)");
    const auto reply = session_.Execute(sql);
    ASSERT_TRUE(reply.ok()) << reply.status();
    ASSERT_EQ(reply->rows_size(), 2);
    for (const pb::Row& row : reply->rows()) ASSERT_EQ(row.values_size(), width);
  }
}

TEST_F(Codec, RowsFollowWhatIsThereAlready) {
  Prepared* const prepared = FirstRow("SELECT 1, 'a'");
  std::string out = "before";
  std::vector<int> split;
  session_->AppendRow(*prepared, kNoSplit, out, split);
  session_->AppendRow(*prepared, kNoSplit, out, split);
  ASSERT_THAT(out, StartsWith("before"));
  pb::QueryResponse reply;
  ASSERT_TRUE(reply.ParseFromString(out.substr(6)));
  ASSERT_EQ(reply.rows_size(), 2);
  EXPECT_TRUE(MessageDifferencer::Equals(reply.rows(0), reply.rows(1)));
  EXPECT_THAT(split, IsEmpty());
}

TEST_F(Codec, ValuesAboveTheSplitStandAside) {
  const std::string text(300, 'x');
  const std::string bytes(1000, '\x01');
  Prepared* const prepared =
      FirstRow("SELECT ?, 'short', ?, CAST(? AS TEXT), ?",
               {Text(text), Bytes(bytes), Bytes(std::string(200, '\xFF')), Int(1)});
  std::string out;
  std::vector<int> split;
  session_->AppendRow(*prepared, 199, out, split);
  EXPECT_THAT(split, ElementsAre(0, 2, 3));
  pb::QueryResponse reply;
  ASSERT_TRUE(reply.ParseFromString(out));
  const pb::Row& row = reply.rows(0);
  EXPECT_EQ(row.values(0).split_value().type(), pb::VALUE_TYPE_STRING);
  EXPECT_EQ(row.values(0).split_value().size(), 300u);
  EXPECT_EQ(row.values(1).string_value(), "short");
  EXPECT_EQ(row.values(2).split_value().type(), pb::VALUE_TYPE_BYTES);
  EXPECT_EQ(row.values(2).split_value().size(), 1000u);
  EXPECT_EQ(row.values(3).split_value().type(), pb::VALUE_TYPE_RAW);
  EXPECT_EQ(row.values(4).int64_value(), 1);
  EXPECT_EQ(session_->SplitBytes(*prepared, 0), text);
  EXPECT_EQ(session_->SplitBytes(*prepared, 2), bytes);
}

TEST_F(Codec, ARowBeyondTheLimitIsLeftOutAndTheStatementFails) {
  // Three times 64 MiB, none of which is stored anywhere.
  Prepared* const prepared =
      FirstRow("SELECT zeroblob(67108864), zeroblob(67108864), zeroblob(67108864)");
  std::string out;
  std::vector<int> split;
  session_->AppendRow(*prepared, kNoSplit, out, split);
  EXPECT_THAT(out, IsEmpty());
  const auto next = session_->Advance(*prepared, nullptr);
  EXPECT_EQ(errors::ReasonOf(next.status()), "VALUE_TOO_LARGE");
  // The fault is the row's, not the connection's.
  EXPECT_TRUE(session_.Try("SELECT 1").ok());
}

TEST_F(Codec, ATypeIsOfTheCellAndNotOfTheColumn) {
  const auto reply = session_.Execute("SELECT 1 UNION ALL SELECT 'a' UNION ALL SELECT NULL");
  ASSERT_TRUE(reply.ok());
  EXPECT_TRUE(reply->rows(0).values(0).has_int64_value());
  EXPECT_TRUE(reply->rows(1).values(0).has_string_value());
  EXPECT_TRUE(reply->rows(2).values(0).has_null_value());
}

TEST_F(Codec, ADatabaseInUtf16GivesUtf8) {
  for (const char* const encoding : {"UTF-16le", "UTF-16be"}) {
    const std::string path = folder_.File(encoding);
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    const std::string setup = absl::StrCat("PRAGMA encoding='", encoding, "'; CREATE TABLE t(a)");
    ASSERT_EQ(sqlite3_exec(db, setup.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
    ASSERT_EQ(sqlite3_close(db), SQLITE_OK);
    TestSession session(Writer(path));
    const std::string nul("ü\0🎉", 7);
    ASSERT_TRUE(session.Try("INSERT INTO t VALUES(?)", {Text(nul)}).ok());
    EXPECT_EQ(session.Value("SELECT a FROM t").string_value(), nul);
    EXPECT_EQ(session.Value("SELECT a || 'x' FROM t").string_value(), nul + "x");
    EXPECT_EQ(session.Value("SELECT ''").string_value(), "");
    EXPECT_EQ(session.Value("SELECT ?", {Bytes(nul)}).bytes_value(), nul);
  }
}

TEST_F(Codec, AReadDoesNotChangeWhatTheStatementComputes) {
  // Text is read as a blob, without a copy; the engine must go on seeing text.
  const auto reply = session_.Execute(
      "WITH RECURSIVE c(n, s) AS (SELECT 1, 'a' UNION ALL SELECT n + 1, s || 'a' FROM c WHERE n < "
      "5) "
      "SELECT 'constant', s, typeof(s), length(s), s = 'aaa' FROM c");
  ASSERT_TRUE(reply.ok());
  ASSERT_EQ(reply->rows_size(), 5);
  EXPECT_EQ(reply->rows(4).values(0).string_value(), "constant");
  EXPECT_EQ(reply->rows(4).values(1).string_value(), "aaaaa");
  EXPECT_EQ(reply->rows(4).values(2).string_value(), "text");
  EXPECT_EQ(reply->rows(2).values(4).int64_value(), 1);
}

}  // namespace
}  // namespace sluice::sqlite
