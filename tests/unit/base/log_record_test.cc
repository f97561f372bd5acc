#include "server/base/log_record.h"

#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"

namespace sluice::log {
namespace {

using nlohmann::json;
using std::string_view_literals::operator""sv;

const absl::Time kTime = absl::FromUnixMicros(1'769'846'400'123'456);

std::string Line(Text message, std::initializer_list<Field> fields = {}) {
  return FormatRecord(kTime, Level::kInfo, "test", message, fields);
}

json Parsed(const std::string& line) {
  return json::parse(line);
}

TEST(LogRecord, IsOneJsonObjectOnOneLine) {
  EXPECT_EQ(FormatRecord(kTime, Level::kWarning, "sqlite", "reader ended",
                         {{"age_ms", 60012}, {"request_id", "req_1"}, {"handle", "h_1c2d3e4f"}}),
            "{\"timestamp\":\"2026-01-31T08:00:00.123456Z\",\"level\":\"warning\","
            "\"logger\":\"sqlite\",\"message\":\"reader ended\",\"request_id\":\"req_1\","
            "\"age_ms\":60012,\"handle\":\"h_1c2d3e4f\"}\n");
}

TEST(LogRecord, TimestampHasSixDigitsAndYearsHaveFour) {
  const std::string line = FormatRecord(absl::UnixEpoch(), Level::kInfo, "l", "m", {});
  EXPECT_EQ(Parsed(line)["timestamp"], "1970-01-01T00:00:00.000000Z");
}

TEST(LogRecord, FieldsKeepTheirTypes) {
  const json record = Parsed(Line("m", {{"i", -5},
                                        {"big", std::numeric_limits<int64_t>::min()},
                                        {"size", size_t{7}},
                                        {"huge", std::numeric_limits<uint64_t>::max()},
                                        {"d", 0.1},
                                        {"yes", true},
                                        {"no", false},
                                        {"s", "text"},
                                        {"std", std::string("own")},
                                        {"view", "view"sv},
                                        {"absl", absl::string_view("absl")}}));
  EXPECT_EQ(record["i"], -5);
  EXPECT_EQ(record["big"], std::numeric_limits<int64_t>::min());
  EXPECT_EQ(record["size"], 7);
  EXPECT_EQ(record["huge"], std::numeric_limits<int64_t>::max());
  EXPECT_TRUE(record["d"].is_number_float());
  EXPECT_EQ(record["d"], 0.1);
  EXPECT_EQ(record["yes"], true);
  EXPECT_EQ(record["no"], false);
  EXPECT_EQ(record["s"], "text");
  EXPECT_EQ(record["std"], "own");
  EXPECT_EQ(record["view"], "view");
  EXPECT_EQ(record["absl"], "absl");
}

TEST(LogRecord, NumbersThatJsonLacksAreStrings) {
  const json record = Parsed(Line("m", {{"nan", std::nan("")},
                                        {"up", std::numeric_limits<double>::infinity()},
                                        {"down", -std::numeric_limits<double>::infinity()},
                                        {"small", 5e-324}}));
  EXPECT_EQ(record["nan"], "NaN");
  EXPECT_EQ(record["up"], "Infinity");
  EXPECT_EQ(record["down"], "-Infinity");
  EXPECT_EQ(record["small"], 5e-324);
}

// Whoever controls a message, a field or even a key must not be able to begin a second record.
TEST(LogRecord, Fault100_NothingCanEndTheLineOrTheString) {
  const std::string evil =
      "x\"}\n{\"timestamp\":\"2026\",\"level\":\"error\",\"message\":\"forged\"}\r\n\x1B["
      "2K\xC2\x85";
  const std::string line =
      FormatRecord(kTime, Level::kInfo, evil, evil, {{"sql", evil}, {evil, 1}});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(line.find_first_of("\r\x1B"), line.npos);
  EXPECT_EQ(line.find("\xC2\x85"), line.npos);
  const json record = Parsed(line);
  EXPECT_EQ(record["level"], "info");
  EXPECT_EQ(record["message"], evil);
  EXPECT_EQ(record["sql"], evil);
  EXPECT_EQ(record[evil], 1);
}

TEST(LogRecord, BadUtf8BecomesValid) {
  const std::string line = Line("a\xFF\xC3", {{"k\xFE", "\xED\xA0\x80"}});
  EXPECT_EQ(Parsed(line)["message"], "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(LogRecord, AFieldCannotReplaceTheRecordsOwnKeys) {
  const json record = Parsed(Line("real", {{"message", "fake"}, {"level", "off"}}));
  EXPECT_EQ(record["message"], "real");
  EXPECT_EQ(record["level"], "info");
  EXPECT_EQ(record["message_"], "fake");
  EXPECT_EQ(record["level_"], "off");
}

TEST(LogRecord, LongTextIsCutAtACharacterAndSaysSo) {
  const std::string sql = std::string(4095, 'a') + "😀" + std::string(1000, 'b');
  const std::string shown = Parsed(Line("m", {{"sql", sql}}))["sql"];
  EXPECT_EQ(shown, std::string(4095, 'a') + "… (1004 bytes more)");
  const std::string exact(4096, 'c');
  EXPECT_EQ(Parsed(Line("m", {{"sql", exact}}))["sql"], exact);
  const std::string bad(5000, '\x80');
  EXPECT_TRUE(Parsed(Line(bad))["message"].is_string());
}

}  // namespace
}  // namespace sluice::log
