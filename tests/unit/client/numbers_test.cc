#include "client/cli/numbers.h"

#include <cstdint>
#include <limits>
#include <string>

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

template <class Number>
std::string Real(Number value) {
  std::string text;
  AppendReal(value, &text);
  return text;
}

std::string Sqlite(double value) {
  std::string text;
  AppendSqliteReal(value, &text);
  return text;
}

TEST(CliNumbers, IntegersAreExactAtBothLimits) {
  std::string text;
  AppendInteger(std::numeric_limits<int64_t>::min(), &text);
  text += ' ';
  AppendInteger(std::numeric_limits<int64_t>::max(), &text);
  EXPECT_EQ(text, "-9223372036854775808 9223372036854775807");
}

TEST(CliNumbers, RealsAreShortAndReadBackTheSame) {
  EXPECT_EQ(Real(0.1), "0.1");
  EXPECT_EQ(Real(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(Real(5.0), "5.0");
  EXPECT_EQ(Real(-0.0), "-0.0");
  EXPECT_EQ(Real(1e300), "1e+300");
  EXPECT_EQ(Real(0.1F), "0.1");
  EXPECT_EQ(Real(std::numeric_limits<double>::infinity()), "Infinity");
  EXPECT_EQ(Real(-std::numeric_limits<double>::infinity()), "-Infinity");
  EXPECT_EQ(Real(std::numeric_limits<double>::quiet_NaN()), "NaN");
}

// Expected texts are what SQLite 3.40.1 answers for CAST(x AS TEXT).
TEST(CliNumbers, SqliteRealsHaveFifteenDigitsAndAPoint) {
  EXPECT_EQ(Sqlite(0.0), "0.0");
  EXPECT_EQ(Sqlite(-0.0), "0.0");
  EXPECT_EQ(Sqlite(1.0), "1.0");
  EXPECT_EQ(Sqlite(-2.5), "-2.5");
  EXPECT_EQ(Sqlite(0.1 + 0.2), "0.3");
  EXPECT_EQ(Sqlite(1.0 / 3), "0.333333333333333");
  EXPECT_EQ(Sqlite(2.0 / 3), "0.666666666666667");
  EXPECT_EQ(Sqlite(123456789012345.0), "123456789012345.0");
  EXPECT_EQ(Sqlite(1e15), "1.0e+15");
  EXPECT_EQ(Sqlite(0.0001), "0.0001");
  EXPECT_EQ(Sqlite(0.00001), "1.0e-05");
  EXPECT_EQ(Sqlite(1e300), "1.0e+300");
  EXPECT_EQ(Sqlite(5e-324), "4.94065645841247e-324");
  EXPECT_EQ(Sqlite(std::numeric_limits<double>::max()), "1.79769313486232e+308");
  EXPECT_EQ(Sqlite(std::numeric_limits<double>::infinity()), "Inf");
  EXPECT_EQ(Sqlite(-std::numeric_limits<double>::infinity()), "-Inf");
}

// Where the sixteenth digit is a 5, SQLite rounds up from its long double, and %.15g to even.
TEST(CliNumbers, SqliteRealsRoundAsSqliteDoes) {
  EXPECT_EQ(Sqlite(52601589221862.25), "52601589221862.3");
  EXPECT_EQ(Sqlite(0.9999999999999999), "1.0");
  EXPECT_EQ(Sqlite(99999999999999.95), "100000000000000.0");
  EXPECT_EQ(Sqlite(999999999999999.9), "1.0e+15");
}

}  // namespace
}  // namespace sluice::cli
