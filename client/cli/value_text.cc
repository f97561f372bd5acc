#include "client/cli/value_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

#include "client/cli/numbers.h"

namespace sluice::cli {
namespace {

constexpr uint64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerDay = 86'400'000'000;
constexpr int64_t kMaxDays = 1'000'000'000'000;  // beyond any engine's calendar

// Day numbers of the proleptic Gregorian calendar, in eras of 400 years that begin on March 1st.
struct Civil {
  int64_t year;
  int month;
  int day;
};

Civil CivilOf(int64_t days) {
  constexpr int64_t kDaysPerEra = 146'097;
  const int64_t shifted = days + 719'468;  // from 0000-03-01
  const int64_t era = (shifted >= 0 ? shifted : shifted - (kDaysPerEra - 1)) / kDaysPerEra;
  const int64_t day_of_era = shifted - era * kDaysPerEra;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month = (5 * day_of_year + 2) / 153;  // from March
  const int day = static_cast<int>(day_of_year - (153 * month + 2) / 5 + 1);
  const int calendar_month = static_cast<int>(month < 10 ? month + 3 : month - 9);
  return {year_of_era + era * 400 + (calendar_month <= 2 ? 1 : 0), calendar_month, day};
}

// The year zero is 1 BC.
void AppendCivil(const Civil& date, absl::string_view time, std::string* out) {
  const bool before_christ = date.year <= 0;
  absl::StrAppendFormat(out, "%04d-%02d-%02d%s%s", before_christ ? 1 - date.year : date.year,
                        date.month, date.day, time, before_christ ? " BC" : "");
}

// hours:minutes:seconds with as many decimals as there are.
void AppendClock(uint64_t micros, std::string* out) {
  const uint64_t seconds = micros / kMicrosPerSecond;
  absl::StrAppendFormat(out, "%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  const uint64_t fraction = micros % kMicrosPerSecond;
  if (fraction == 0) return;
  absl::StrAppendFormat(out, ".%06d", fraction);
  while (out->back() == '0') out->pop_back();
}

bool AppendInfinity(v1::Infinity infinity, std::string* out) {
  if (infinity == v1::INFINITY_UNSPECIFIED) return false;
  absl::StrAppend(out, infinity == v1::INFINITY_POSITIVE ? "infinity" : "-infinity");
  return true;
}

// An element inside {…}, (…) or […): quoted where its bare form would be misread.
void AppendElement(const v1::Value& value, absl::string_view special, std::string* out) {
  std::string text;
  if (value.has_bytes_value()) {
    text = "\\x";
    AppendHex(value.bytes_value(), &text);
  } else {
    AppendText(value, &text);
  }
  const bool nested = value.has_array_value();
  const bool quote = !nested && (text.empty() || absl::EqualsIgnoreCase(text, "NULL") ||
                                 text.find_first_of(std::string(special)) != std::string::npos);
  if (!quote) return absl::StrAppend(out, text);
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out->push_back('\\');
    out->push_back(c);
  }
  out->push_back('"');
}

// One dimension of an array; `index` walks over its values in row-major order.
void AppendDimension(const v1::Array& array, int dimension, int* index, std::string* out) {
  out->push_back('{');
  for (int i = 0; i < array.dimensions(dimension) && *index < array.values_size(); ++i) {
    if (i > 0) out->push_back(',');
    if (dimension + 1 < array.dimensions_size()) {
      AppendDimension(array, dimension + 1, index, out);
      continue;
    }
    const v1::Value& value = array.values((*index)++);
    if (value.has_null_value()) {
      out->append("NULL");
    } else {
      AppendElement(value, "{},\"\\ \t\n\r", out);
    }
  }
  out->push_back('}');
}

void AppendArray(const v1::Array& array, std::string* out) {
  if (array.dimensions_size() == 0) return absl::StrAppend(out, "{}");
  const bool shifted = std::any_of(array.lower_bounds().begin(), array.lower_bounds().end(),
                                   [](int bound) { return bound != 1; });
  if (shifted && array.lower_bounds_size() == array.dimensions_size()) {
    for (int i = 0; i < array.dimensions_size(); ++i) {
      const int64_t first = array.lower_bounds(i);
      absl::StrAppend(out, "[", first, ":", first + array.dimensions(i) - 1, "]");
    }
    out->push_back('=');
  }
  int index = 0;
  AppendDimension(array, 0, &index, out);
}

void AppendVector(const v1::Vector& vector, std::string* out) {
  out->push_back('[');
  for (int i = 0; i < vector.values_size(); ++i) {
    if (i > 0) out->push_back(',');
    AppendReal(vector.values(i), out);
  }
  out->push_back(']');
}

void AppendRange(const v1::Range& range, std::string* out) {
  if (range.empty()) return absl::StrAppend(out, "empty");
  constexpr char kSpecial[] = "()[],\"\\ \t\n\r";
  out->push_back(range.lower_inclusive() ? '[' : '(');
  if (range.has_lower()) AppendElement(range.lower(), kSpecial, out);
  out->push_back(',');
  if (range.has_upper()) AppendElement(range.upper(), kSpecial, out);
  out->push_back(range.upper_inclusive() ? ']' : ')');
}

void AppendComposite(const v1::Composite& composite, std::string* out) {
  out->push_back('(');
  for (int i = 0; i < composite.values_size(); ++i) {
    if (i > 0) out->push_back(',');
    if (!composite.values(i).has_null_value()) {
      AppendElement(composite.values(i), "(),\"\\ \t\n\r", out);
    }
  }
  out->push_back(')');
}

void AppendUnit(int64_t count, absl::string_view unit, std::string* out) {
  if (count == 0) return;
  absl::StrAppend(out, out->empty() || out->back() == ' ' ? "" : " ", count, " ", unit,
                  count == 1 || count == -1 ? "" : "s");
}

}  // namespace

void AppendDate(int64_t days, std::string* out) {
  if (days > kMaxDays || days < -kMaxDays) return absl::StrAppend(out, "day ", days);
  AppendCivil(CivilOf(days), "", out);
}

void AppendTime(int64_t micros, std::string* out) {
  AppendClock(static_cast<uint64_t>(micros), out);
}

void AppendTimestamp(int64_t micros, std::string* out) {
  int64_t days = micros / kMicrosPerDay;
  int64_t rest = micros % kMicrosPerDay;
  if (rest < 0) {
    --days;
    rest += kMicrosPerDay;
  }
  std::string time = " ";
  AppendClock(static_cast<uint64_t>(rest), &time);
  AppendCivil(CivilOf(days), time, out);
}

void AppendInterval(const v1::Interval& interval, std::string* out) {
  std::string text;
  AppendUnit(interval.months() / 12, "year", &text);
  AppendUnit(interval.months() % 12, "mon", &text);
  AppendUnit(interval.days(), "day", &text);
  if (interval.micros() != 0 || text.empty()) {
    if (!text.empty()) text.push_back(' ');
    const bool negative = interval.micros() < 0;
    if (negative) text.push_back('-');
    const auto micros = static_cast<uint64_t>(interval.micros());
    AppendClock(negative ? 0 - micros : micros, &text);
  }
  absl::StrAppend(out, text);
}

void AppendUuid(absl::string_view bytes, std::string* out) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out->push_back('-');
    AppendHex(bytes.substr(i, 1), out);
  }
}

void AppendHex(absl::string_view bytes, std::string* out) {
  absl::StrAppend(out, absl::BytesToHexString(bytes));
}

void AppendText(const v1::Value& value, std::string* out) {
  switch (value.kind_case()) {
    case v1::Value::kNullValue:
    case v1::Value::KIND_NOT_SET:
      return;
    case v1::Value::kBoolValue:
      return absl::StrAppend(out, value.bool_value() ? "true" : "false");
    case v1::Value::kInt64Value:
      return AppendInteger(value.int64_value(), out);
    case v1::Value::kDoubleValue:
      return AppendReal(value.double_value(), out);
    case v1::Value::kFloatValue:
      return AppendReal(value.float_value(), out);
    case v1::Value::kStringValue:
      return absl::StrAppend(out, value.string_value());
    case v1::Value::kBytesValue:
      return absl::StrAppend(out, value.bytes_value());
    case v1::Value::kNumericValue:
      return absl::StrAppend(out, value.numeric_value());
    case v1::Value::kDateValue:
      if (AppendInfinity(value.date_value().infinity(), out)) return;
      return AppendDate(value.date_value().days(), out);
    case v1::Value::kTimeValue:
      return AppendTime(value.time_value().micros(), out);
    case v1::Value::kTimestampValue:
      if (AppendInfinity(value.timestamp_value().infinity(), out)) return;
      return AppendTimestamp(value.timestamp_value().micros(), out);
    case v1::Value::kTimestamptzValue: {
      if (AppendInfinity(value.timestamptz_value().infinity(), out)) return;
      std::string text;
      AppendTimestamp(value.timestamptz_value().micros(), &text);
      const bool before_christ = absl::EndsWith(text, " BC");
      if (before_christ) text.resize(text.size() - 3);
      return absl::StrAppend(out, text, "+00", before_christ ? " BC" : "");
    }
    case v1::Value::kIntervalValue:
      return AppendInterval(value.interval_value(), out);
    case v1::Value::kUuidValue:
      return AppendUuid(value.uuid_value(), out);
    case v1::Value::kJsonValue:
      return absl::StrAppend(out, value.json_value());
    case v1::Value::kArrayValue:
      return AppendArray(value.array_value(), out);
    case v1::Value::kVectorValue:
      return AppendVector(value.vector_value(), out);
    case v1::Value::kRangeValue:
      return AppendRange(value.range_value(), out);
    case v1::Value::kCompositeValue:
      return AppendComposite(value.composite_value(), out);
    case v1::Value::kRawValue:
      return absl::StrAppend(out, value.raw_value().data());
    case v1::Value::kSplitValue:
      return;  // RowStream has joined it
  }
}

std::string EnumWord(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

}  // namespace sluice::cli
