// The text form.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/civil_time.h"

#include "server/base/status.h"
#include "server/db/postgres/encode.h"
#include "server/db/postgres/fit.h"

namespace sluice::postgres {
namespace {

using As = Fitted::As;

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;
constexpr size_t kLongestNumber = 32;
// Each level of nesting doubles what the one below it had to add.
constexpr size_t kMostEscapes = size_t{64} << 20;

// The shortest digits that are read back as the same number.
template <class Real>
void AppendReal(Real number, std::string& out) {
  if (std::isnan(number)) {
    out += "NaN";
  } else if (std::isinf(number)) {
    out += number < 0 ? "-Infinity" : "Infinity";
  } else {
    std::array<char, kLongestNumber> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out.append(digits.data(), end);
  }
}

// `days` since 2000-01-01. The era goes to the very end, after a time of day.
void AppendDay(int64_t days, std::string& out) {
  const absl::CivilDay day = absl::CivilDay(2000, 1, 1) + days;
  const int64_t year = day.year() > 0 ? day.year() : 1 - day.year();
  absl::StrAppendFormat(&out, "%04d-%02d-%02d", year, day.month(), day.day());
}

void AppendEra(int64_t days, std::string& out) {
  if ((absl::CivilDay(2000, 1, 1) + days).year() <= 0) out += " BC";
}

// Not before 0; hours have no end. Without a fraction that is zero.
void AppendClock(uint64_t micros, std::string& out) {
  const uint64_t seconds = micros / kMicrosPerSecond;
  absl::StrAppendFormat(&out, "%02d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
  const uint64_t fraction = micros % kMicrosPerSecond;
  if (fraction != 0) absl::StrAppendFormat(&out, ".%06d", fraction);
}

void AppendDate(int64_t days, std::string& out) {
  if (days == kDateAfterAll || days == kDateBeforeAll) {
    out += days == kDateAfterAll ? "infinity" : "-infinity";
    return;
  }
  AppendDay(days, out);
  AppendEra(days, out);
}

void AppendTimestamp(int64_t micros, absl::string_view zone, std::string& out) {
  if (micros == kTimestampAfterAll || micros == kTimestampBeforeAll) {
    out += micros == kTimestampAfterAll ? "infinity" : "-infinity";
    return;
  }
  int64_t days = micros / kMicrosPerDay;
  if (micros % kMicrosPerDay < 0) --days;
  AppendDay(days, out);
  out.push_back(' ');
  AppendClock(static_cast<uint64_t>(micros - days * kMicrosPerDay), out);
  absl::StrAppend(&out, zone);
  AppendEra(days, out);
}

// Every part has its sign: the server may be set to take a single first one for all of them.
void AppendInterval(const pb::Interval& interval, std::string& out) {
  absl::StrAppendFormat(&out, "%+d mons %+d days ", interval.months(), interval.days());
  const bool negative = interval.micros() < 0;
  const auto micros = static_cast<uint64_t>(interval.micros());
  out.push_back(negative ? '-' : '+');
  AppendClock(negative ? 0 - micros : micros, out);
}

void AppendUuid(absl::string_view bytes, std::string& out) {
  const std::string digits = absl::BytesToHexString(bytes);
  const absl::string_view hex = digits;
  absl::StrAppend(&out, hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-");
  absl::StrAppend(&out, hex.substr(16, 4), "-", hex.substr(20));
}

// Whether a text would be read as something else inside an array, a range or a row.
bool NeedsQuotes(absl::string_view text) {
  if (text.empty() || absl::EqualsIgnoreCase(text, "NULL")) return true;
  for (const char c : text) {
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) return true;
    if (absl::StrContains("{}()[],;\"\\", c)) return true;
  }
  return false;
}

// TextWriter: appends values as the server's input functions read them.
class TextWriter {
 public:
  TextWriter(const TypeBook& book, std::string& out) : book_(book), out_(out) {}

  absl::Status Append(Oid type, const pb::Value& value, const Place& place);

 private:
  absl::Status AppendArray(const Fitted& fitted, const Place& place);
  absl::Status AppendSpaced(const Fitted& fitted, const Place& place);
  // What stands in the braces of one dimension; `next` is the value that comes next.
  absl::Status AppendDimension(const Fitted& fitted, int dimension, int& next, const Place& place);
  void AppendVector(const Fitted& fitted);
  absl::Status AppendRange(const Fitted& fitted, const Place& place);
  absl::Status AppendMultirange(const Fitted& fitted, const Place& place);
  absl::Status AppendComposite(const Fitted& fitted, const Place& place);
  // In quotes where they are needed.
  absl::Status AppendPart(Oid type, const pb::Value& value, const Place& place);

  const TypeBook& book_;
  std::string& out_;
  size_t escapes_ = 0;
};

absl::Status TextWriter::Append(Oid type, const pb::Value& value, const Place& place) {
  TRY(const Fitted fitted, Fit(book_, type, value, place));
  switch (fitted.as) {
    case As::kLiteral:
      absl::StrAppend(&out_, fitted.bytes);
      break;
    case As::kBinary:
      return place.Refuse("the binary form cannot be taken here, where the text form is sent",
                          "send FORMAT_TEXT");
    case As::kBool:
      out_.push_back(fitted.integer != 0 ? 't' : 'f');
      break;
    case As::kInteger:
      if (fitted.form == Form::kXid8) {
        absl::StrAppend(&out_, static_cast<uint64_t>(fitted.integer));
      } else {
        absl::StrAppend(&out_, fitted.integer);
      }
      break;
    case As::kFloat4:
      AppendReal(static_cast<float>(fitted.real), out_);
      break;
    case As::kFloat8:
      AppendReal(fitted.real, out_);
      break;
    case As::kBytes:
      absl::StrAppend(&out_, "\\x", absl::BytesToHexString(fitted.bytes));
      break;
    case As::kUuid:
      AppendUuid(fitted.bytes, out_);
      break;
    case As::kDate:
      AppendDate(fitted.integer, out_);
      break;
    case As::kTime:
      AppendClock(static_cast<uint64_t>(fitted.integer), out_);
      break;
    case As::kTimestamp:
      AppendTimestamp(fitted.integer, "", out_);
      break;
    case As::kTimestampTz:
      AppendTimestamp(fitted.integer, "+00", out_);
      break;
    case As::kInterval:
      AppendInterval(value.interval_value(), out_);
      break;
    case As::kArray:
      return AppendArray(fitted, place);
    case As::kVector:
      AppendVector(fitted);
      break;
    case As::kRange:
      return AppendRange(fitted, place);
    case As::kMultirange:
      return AppendMultirange(fitted, place);
    case As::kComposite:
      return AppendComposite(fitted, place);
  }
  return absl::OkStatus();
}

absl::Status TextWriter::AppendArray(const Fitted& fitted, const Place& place) {
  const pb::Array& array = fitted.value->array_value();
  if (IsVector(*fitted.type)) return AppendSpaced(fitted, place);
  if (array.values().empty()) {
    out_ += "{}";
    return absl::OkStatus();
  }
  bool from_one = true;
  for (const int32_t bound : array.lower_bounds()) from_one = from_one && bound == 1;
  if (!from_one) {
    for (int i = 0; i < array.dimensions_size(); ++i) {
      const int64_t first = array.lower_bounds(i);
      absl::StrAppend(&out_, "[", first, ":", first + array.dimensions(i) - 1, "]");
    }
    out_.push_back('=');
  }
  int next = 0;
  return AppendDimension(fitted, 0, next, place);
}

absl::Status TextWriter::AppendSpaced(const Fitted& fitted, const Place& place) {
  const auto& values = fitted.value->array_value().values();
  for (int i = 0; i < values.size(); ++i) {
    if (i > 0) out_.push_back(' ');
    TRY_STATUS(Append(fitted.type->inner, values[i], Place(place, kArrayValues, i)));
  }
  return absl::OkStatus();
}

absl::Status TextWriter::AppendDimension(const Fitted& fitted,
                                         int dimension,
                                         int& next,
                                         const Place& place) {
  const pb::Array& array = fitted.value->array_value();
  const Type* const element = book_.Base(fitted.type->inner);
  const char delimiter = element == nullptr ? ',' : element->delimiter;
  out_.push_back('{');
  for (int i = 0; i < array.dimensions(dimension); ++i) {
    if (i > 0) out_.push_back(delimiter);
    if (dimension + 1 < array.dimensions_size()) {
      TRY_STATUS(AppendDimension(fitted, dimension + 1, next, place));
      continue;
    }
    const pb::Value& value = array.values(next);
    if (IsNull(value)) {
      out_ += "NULL";
    } else {
      TRY_STATUS(AppendPart(fitted.type->inner, value, Place(place, kArrayValues, next)));
    }
    ++next;
  }
  out_.push_back('}');
  return absl::OkStatus();
}

void TextWriter::AppendVector(const Fitted& fitted) {
  const bool array = fitted.form == Form::kArray;
  out_.push_back(array ? '{' : '[');
  absl::string_view separator = "";
  for (const float number : fitted.value->vector_value().values()) {
    absl::StrAppend(&out_, separator);
    AppendReal(number, out_);
    separator = ",";
  }
  out_.push_back(array ? '}' : ']');
}

absl::Status TextWriter::AppendRange(const Fitted& fitted, const Place& place) {
  const pb::Range& range = fitted.value->range_value();
  if (range.empty()) {
    out_ += "empty";
    return absl::OkStatus();
  }
  out_.push_back(range.lower_inclusive() && range.has_lower() ? '[' : '(');
  if (range.has_lower()) {
    TRY_STATUS(AppendPart(fitted.type->inner, range.lower(), Place(place, kLower)));
  }
  out_.push_back(',');
  if (range.has_upper()) {
    TRY_STATUS(AppendPart(fitted.type->inner, range.upper(), Place(place, kUpper)));
  }
  out_.push_back(range.upper_inclusive() && range.has_upper() ? ']' : ')');
  return absl::OkStatus();
}

// Its ranges stand as they are, without quotes around them.
absl::Status TextWriter::AppendMultirange(const Fitted& fitted, const Place& place) {
  const pb::Array& ranges = fitted.value->array_value();
  out_.push_back('{');
  for (int i = 0; i < ranges.values_size(); ++i) {
    if (i > 0) out_.push_back(',');
    TRY_STATUS(Append(fitted.type->inner, ranges.values(i), Place(place, kArrayValues, i)));
  }
  out_.push_back('}');
  return absl::OkStatus();
}

// NULL is nothing at all between the commas.
absl::Status TextWriter::AppendComposite(const Fitted& fitted, const Place& place) {
  const auto& fields = fitted.type->fields;
  const auto& values = fitted.value->composite_value().values();
  out_.push_back('(');
  for (int i = 0; i < values.size(); ++i) {
    if (i > 0) out_.push_back(',');
    if (IsNull(values[i])) continue;
    const Oid type = fields[static_cast<size_t>(i)].type;
    TRY_STATUS(AppendPart(type, values[i], Place(place, kCompositeValues, i)));
  }
  out_.push_back(')');
  return absl::OkStatus();
}

absl::Status TextWriter::AppendPart(Oid type, const pb::Value& value, const Place& place) {
  const size_t begin = out_.size();
  TRY_STATUS(Append(type, value, place));
  if (!NeedsQuotes(absl::string_view(out_).substr(begin))) return absl::OkStatus();
  const std::string text = out_.substr(begin);
  const auto is_escaped = [](char c) { return c == '"' || c == '\\'; };
  escapes_ += static_cast<size_t>(std::count_if(text.begin(), text.end(), is_escaped));
  if (escapes_ > kMostEscapes) {
    return place.Refuse("has too many quotes and backslashes for its depth in the text form");
  }
  out_.resize(begin);
  out_.push_back('"');
  for (const char c : text) {
    if (is_escaped(c)) out_.push_back('\\');
    out_.push_back(c);
  }
  out_.push_back('"');
  return absl::OkStatus();
}

}  // namespace

absl::Status EncodeText(const TypeBook& book,
                        Oid type,
                        const pb::Value& value,
                        absl::string_view path,
                        int position,
                        std::string& out) {
  const size_t before = out.size();
  const absl::Status status = TextWriter(book, out).Append(type, value, Place(path, position));
  if (!status.ok()) out.resize(before);
  return status;
}

}  // namespace sluice::postgres
