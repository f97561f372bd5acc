#include "tests/db/postgres_text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/civil_time.h"

namespace sluice::postgres {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;
constexpr int64_t kEpochDays = 10'957;

// The shortest digits that are the number; with an exponent outside of 1e-4 to 1e<limit>.
template <typename Real>
std::string Shortest(Real number, int limit) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::scientific);
  const std::string scientific(buffer, end.ptr);
  const int exponent = std::atoi(scientific.c_str() + scientific.find('e') + 1);
  if (exponent < -4 || exponent >= limit) return scientific;
  const auto fixed =
      std::to_chars(buffer, buffer + sizeof(buffer), number, std::chars_format::fixed);
  return std::string(buffer, fixed.ptr);
}

std::string Day(const absl::CivilDay& day, absl::string_view behind) {
  const int64_t year = day.year() > 0 ? day.year() : 1 - day.year();
  return absl::StrFormat("%04d-%02d-%02d%s%s", year, day.month(), day.day(), behind,
                         day.year() > 0 ? "" : " BC");
}

// Seconds with a fraction that ends with its last digit that is not zero.
std::string Seconds(int64_t micros) {
  std::string text = absl::StrFormat("%02d", micros / kMicrosPerSecond);
  const int64_t fraction = micros % kMicrosPerSecond;
  if (fraction == 0) return text;
  absl::StrAppend(&text, absl::StrFormat(".%06d", fraction));
  return text.substr(0, text.find_last_not_of('0') + 1);
}

std::string Clock(int64_t micros) {
  const int64_t minutes = micros / (60 * kMicrosPerSecond);
  return absl::StrFormat("%02d:%02d:%s", minutes / 60, minutes % 60,
                         Seconds(micros % (60 * kMicrosPerSecond)));
}

// Whole days before `micros`, and what is left of it.
int64_t FloorDays(int64_t micros, int64_t& rest) {
  int64_t days = micros / kMicrosPerDay;
  rest = micros % kMicrosPerDay;
  if (rest < 0) {
    rest += kMicrosPerDay;
    --days;
  }
  return days;
}

std::string Moment(int64_t micros, int64_t epoch_days, absl::string_view zone) {
  int64_t rest = 0;
  const int64_t days = FloorDays(micros, rest);
  return Day(absl::CivilDay(1970, 1, 1) + days + epoch_days, absl::StrCat(" ", Clock(rest), zone));
}

std::string InfinityText(pb::Infinity infinity) {
  return infinity == pb::INFINITY_POSITIVE ? "infinity" : "-infinity";
}

template <typename Timestamp>
std::string TimestampText(const Timestamp& value, absl::string_view zone) {
  if (value.infinity() != pb::INFINITY_UNSPECIFIED) return InfinityText(value.infinity());
  return Moment(value.micros(), 0, zone);
}

// A part of an interval; one that follows a negative part shows its sign.
void AddPart(int64_t number, absl::string_view unit, bool& is_before, std::string& text) {
  if (number == 0) return;
  absl::StrAppend(&text, text.empty() ? "" : " ", is_before && number > 0 ? "+" : "", number, " ",
                  unit, number == 1 ? "" : "s");
  is_before = number < 0;
}

std::string IntervalText(const pb::Interval& value) {
  std::string text;
  bool is_before = false;
  AddPart(value.months() / 12, "year", is_before, text);
  AddPart(value.months() % 12, "mon", is_before, text);
  AddPart(value.days(), "day", is_before, text);
  if (!text.empty() && value.micros() == 0) return text;
  const char* const sign = value.micros() < 0 ? "-" : is_before ? "+" : "";
  const int64_t minutes = std::abs(value.micros() / (60 * kMicrosPerSecond));
  const int64_t rest = std::abs(value.micros() % (60 * kMicrosPerSecond));
  absl::StrAppend(&text, text.empty() ? "" : " ", sign,
                  absl::StrFormat("%02d:%02d:%s", minutes / 60, minutes % 60, Seconds(rest)));
  return text;
}

std::string UuidText(const std::string& bytes) {
  std::string text = absl::BytesToHexString(bytes);
  for (const size_t dash : {8, 13, 18, 23}) text.insert(dash, 1, '-');
  return text;
}

bool HasAny(absl::string_view text, absl::string_view characters) {
  return text.find_first_of(characters) != absl::string_view::npos;
}

// In quotes if it is empty or has one of `special` or a space in it.
std::string Quote(const std::string& text, absl::string_view special, absl::string_view quote) {
  if (!text.empty() && !HasAny(text, special) && !HasAny(text, " \t\n\r\v\f")) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') {
      absl::StrAppend(&quoted, quote);
    } else if (c == '\\') {
      absl::StrAppend(&quoted, "\\\\");
    } else {
      quoted.push_back(c);
    }
  }
  return quoted + "\"";
}

std::string ElementText(const TypeBook& book, Oid oid, char delimiter, const pb::Value& value) {
  if (value.kind_case() == pb::Value::kNullValue) return "NULL";
  const std::string text = FormatText(book, oid, value);
  if (absl::EqualsIgnoreCase(text, "NULL")) return absl::StrCat("\"", text, "\"");
  return Quote(text, absl::StrCat("\"\\{}", std::string(1, delimiter)), "\\\"");
}

// Braces of one dimension, and those inside; `next` is the element that follows.
std::string Braces(
    const TypeBook& book, Oid element, const pb::Array& array, int dimension, int& next) {
  const Type* const type = book.Find(element);
  const std::string delimiter(1, type->delimiter);
  std::vector<std::string> items;
  for (int i = 0; i < array.dimensions(dimension); ++i) {
    if (dimension + 1 < array.dimensions_size()) {
      items.push_back(Braces(book, element, array, dimension + 1, next));
    } else {
      items.push_back(ElementText(book, element, type->delimiter, array.values(next++)));
    }
  }
  return absl::StrCat("{", absl::StrJoin(items, delimiter), "}");
}

std::string ArrayText(const TypeBook& book, Oid element, const pb::Array& array) {
  if (array.dimensions().empty()) return "{}";
  std::string text;
  for (int i = 0; i < array.lower_bounds_size(); ++i) {
    const int lower = array.lower_bounds(i);
    absl::StrAppend(&text, "[", lower, ":", lower + array.dimensions(i) - 1, "]");
  }
  if (!text.empty()) text += "=";
  int next = 0;
  return text + Braces(book, element, array, 0, next);
}

std::string Joined(const TypeBook& book,
                   Oid element,
                   const pb::Array& array,
                   absl::string_view between) {
  return absl::StrJoin(array.values(), between, [&](std::string* out, const pb::Value& value) {
    absl::StrAppend(out, FormatText(book, element, value));
  });
}

std::string RangeText(const TypeBook& book, Oid subtype, const pb::Range& range) {
  if (range.empty()) return "empty";
  const auto bound = [&](const pb::Value& value) {
    return Quote(FormatText(book, subtype, value), "\"\\()[],", "\"\"");
  };
  return absl::StrCat(
      range.lower_inclusive() ? "[" : "(", range.has_lower() ? bound(range.lower()) : "", ",",
      range.has_upper() ? bound(range.upper()) : "", range.upper_inclusive() ? "]" : ")");
}

std::string CompositeText(const TypeBook& book, const Type& type, const pb::Composite& row) {
  std::vector<std::string> fields;
  for (int i = 0; i < row.values_size(); ++i) {
    const pb::Value& value = row.values(i);
    const bool is_null = value.kind_case() == pb::Value::kNullValue;
    const Oid oid = type.fields.at(static_cast<size_t>(i)).type;
    fields.push_back(is_null ? "" : Quote(FormatText(book, oid, value), "\"\\(),", "\"\""));
  }
  return absl::StrCat("(", absl::StrJoin(fields, ","), ")");
}

// What the contract has no kind for: text as it was sent, or a timestamp that is too late for it.
std::string RawText(const Type& type, const pb::Raw& raw) {
  if (raw.format() == pb::Raw::FORMAT_TEXT) return raw.data();
  int64_t micros = 0;
  for (const char c : raw.data()) micros = micros << 8 | static_cast<unsigned char>(c);
  return Moment(micros, kEpochDays, type.form == Form::kTimestampTz ? "+00" : "");
}

}  // namespace

std::string FormatText(const TypeBook& book, Oid oid, const pb::Value& value) {
  const Type& type = *book.Base(oid);
  switch (value.kind_case()) {
    case pb::Value::kNullValue:
      return "";  // void
    case pb::Value::kBoolValue:
      return value.bool_value() ? "t" : "f";
    case pb::Value::kInt64Value:
      return absl::StrCat(value.int64_value());
    case pb::Value::kDoubleValue:
      return Shortest(value.double_value(), 15);
    case pb::Value::kFloatValue:
      return Shortest(value.float_value(), 6);
    case pb::Value::kStringValue:
      return value.string_value();
    case pb::Value::kBytesValue:
      return absl::StrCat("\\x", absl::BytesToHexString(value.bytes_value()));
    case pb::Value::kNumericValue:
      return value.numeric_value();
    case pb::Value::kDateValue:
      if (value.date_value().infinity() != 0) return InfinityText(value.date_value().infinity());
      return Day(absl::CivilDay(1970, 1, 1) + value.date_value().days(), "");
    case pb::Value::kTimeValue:
      return Clock(value.time_value().micros());
    case pb::Value::kTimestampValue:
      return TimestampText(value.timestamp_value(), "");
    case pb::Value::kTimestamptzValue:
      return TimestampText(value.timestamptz_value(), "+00");
    case pb::Value::kIntervalValue:
      return IntervalText(value.interval_value());
    case pb::Value::kUuidValue:
      return UuidText(value.uuid_value());
    case pb::Value::kJsonValue:
      return value.json_value();
    case pb::Value::kArrayValue:
      if (IsVector(type)) return Joined(book, type.inner, value.array_value(), " ");
      if (type.form == Form::kArray) return ArrayText(book, type.inner, value.array_value());
      return absl::StrCat("{", Joined(book, type.inner, value.array_value(), ","), "}");
    case pb::Value::kRangeValue:
      return RangeText(book, type.inner, value.range_value());
    case pb::Value::kCompositeValue:
      return CompositeText(book, type, value.composite_value());
    case pb::Value::kRawValue:
      return RawText(type, value.raw_value());
    case pb::Value::kVectorValue:
    case pb::Value::kSplitValue:
    case pb::Value::KIND_NOT_SET:
      break;
  }
  return "no value that a decoder makes";
}

}  // namespace sluice::postgres
