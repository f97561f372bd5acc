#include "server/db/postgres/fit.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "server/base/status.h"
#include "server/base/utf8.h"

namespace sluice::postgres {
namespace {

using As = Fitted::As;

constexpr int kMaxDimensions = 6;
constexpr int64_t kMicrosPerDay = int64_t{86'400'000'000};
constexpr int64_t kDaysTo2000 = 10957;        // from 1970
constexpr int64_t kFirstDate = -2'451'545;    // since 2000: 4714-11-24 BC, where Julian days begin
constexpr int64_t kLastDate = 2'145'031'948;  // 5874897-12-31
constexpr int64_t kFirstTimestamp = kFirstDate * kMicrosPerDay;
constexpr int64_t kMicrosTo2000 = kDaysTo2000 * kMicrosPerDay;
constexpr int64_t kExactInFloat = int64_t{1} << 24;
constexpr int64_t kExactInDouble = int64_t{1} << 53;
constexpr size_t kUuidBytes = 16;
constexpr size_t kShownBytes = 128;  // of a name in a message
constexpr absl::string_view kUnknownInfinity = "has an infinity that this server does not know";

struct Bounds {
  int64_t low;
  int64_t high;
};

template <class Int>
constexpr Bounds BoundsOf() {
  return {std::numeric_limits<Int>::min(), std::numeric_limits<Int>::max()};
}

std::optional<Bounds> IntegerBounds(Form form) {
  switch (form) {
    case Form::kInt2:
      return BoundsOf<int16_t>();
    case Form::kInt4:
      return BoundsOf<int32_t>();
    case Form::kInt8:
      return BoundsOf<int64_t>();
    case Form::kOid:
      return BoundsOf<uint32_t>();
    case Form::kXid8:
      return Bounds{0, std::numeric_limits<int64_t>::max()};
    default:
      return std::nullopt;
  }
}

// [+-] digits [. digits] [e [+-] digits], or one of the words.
bool IsDecimal(absl::string_view text) {
  if (text == "NaN" || text == "Infinity" || text == "-Infinity") return true;
  const auto skip_digits = [&text] {
    size_t digits = 0;
    while (digits < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[digits]))) {
      ++digits;
    }
    text.remove_prefix(digits);
    return digits > 0;
  };
  const auto skip_one_of = [&text](absl::string_view any) {
    const bool found = !text.empty() && absl::StrContains(any, text.front());
    if (found) text.remove_prefix(1);
    return found;
  };
  skip_one_of("+-");
  if (!skip_digits()) return false;
  if (skip_one_of(".") && !skip_digits()) return false;
  if (skip_one_of("eE")) {
    skip_one_of("+-");
    if (!skip_digits()) return false;
  }
  return text.empty();
}

bool IsVectorName(absl::string_view name) {
  return name == "vector" || absl::EndsWith(name, ".vector");
}

// The one form that a kind goes into, if there is but one.
std::optional<Form> OnlyFormOf(pb::Value::KindCase kind) {
  switch (kind) {
    case pb::Value::kBoolValue:
      return Form::kBool;
    case pb::Value::kBytesValue:
      return Form::kBytes;
    case pb::Value::kDateValue:
      return Form::kDate;
    case pb::Value::kTimeValue:
      return Form::kTime;
    case pb::Value::kTimestampValue:
      return Form::kTimestamp;
    case pb::Value::kTimestamptzValue:
      return Form::kTimestampTz;
    case pb::Value::kIntervalValue:
      return Form::kInterval;
    case pb::Value::kUuidValue:
      return Form::kUuid;
    case pb::Value::kRangeValue:
      return Form::kRange;
    case pb::Value::kCompositeValue:
      return Form::kComposite;
    default:
      return std::nullopt;
  }
}

// Fitter: one value and the type that it is for.
class Fitter {
 public:
  Fitter(const TypeBook& book, Oid oid, const pb::Value& value, const Place& place)
      : book_(book), oid_(oid), value_(value), place_(place) {
    fitted_.type = book.Base(oid);
    if (fitted_.type != nullptr) fitted_.form = fitted_.type->form;
    fitted_.value = &value;
  }

  absl::StatusOr<Fitted> Fit();

 private:
  absl::StatusOr<Fitted> FitInteger(int64_t number);
  absl::StatusOr<Fitted> FitDouble(double number);
  absl::StatusOr<Fitted> FitFloat(float number);
  absl::StatusOr<Fitted> FitNumeric(const std::string& digits);
  absl::StatusOr<Fitted> FitText(const std::string& text);
  absl::StatusOr<Fitted> FitJson(const std::string& text);
  absl::StatusOr<Fitted> FitUuid(const std::string& bytes);
  absl::StatusOr<Fitted> FitDate(const pb::Date& date);
  absl::StatusOr<Fitted> FitTime(int64_t micros);
  absl::StatusOr<Fitted> FitTimestamp(As as, int64_t micros, pb::Infinity infinity);
  absl::StatusOr<Fitted> FitArray(const pb::Array& array);
  absl::StatusOr<Fitted> FitVector();
  absl::StatusOr<Fitted> FitRange(const pb::Range& range);
  absl::StatusOr<Fitted> FitComposite(const pb::Composite& composite);
  absl::StatusOr<Fitted> FitRaw(const pb::Raw& raw);

  Fitted Integer(As as, int64_t number);
  Fitted Real(As as, double number);
  Fitted Bytes(As as, const std::string& bytes);
  Fitted Whole(As as);

  absl::Status CheckText(const std::string& text) const;
  absl::Status CheckShape(const pb::Array& array) const;
  absl::Status CheckSpaced(const pb::Array& array) const;
  absl::Status CheckRanges(const pb::Array& array) const;
  absl::Status CheckBound(const pb::Value& bound, absl::string_view step) const;
  absl::Status RefuseKind() const;
  absl::Status RefuseNumber(const Bounds& bounds) const;
  std::string TypeName() const;

  const TypeBook& book_;
  const Oid oid_;
  const pb::Value& value_;
  const Place& place_;
  Fitted fitted_;
};

absl::StatusOr<Fitted> Fitter::Fit() {
  const auto only = OnlyFormOf(value_.kind_case());
  if (only.has_value() && *only != fitted_.form) return RefuseKind();
  switch (value_.kind_case()) {
    case pb::Value::kBoolValue:
      return Integer(As::kBool, value_.bool_value() ? 1 : 0);
    case pb::Value::kInt64Value:
      return FitInteger(value_.int64_value());
    case pb::Value::kDoubleValue:
      return FitDouble(value_.double_value());
    case pb::Value::kFloatValue:
      return FitFloat(value_.float_value());
    case pb::Value::kStringValue:
      return FitText(value_.string_value());
    case pb::Value::kBytesValue:
      return Bytes(As::kBytes, value_.bytes_value());
    case pb::Value::kNumericValue:
      return FitNumeric(value_.numeric_value());
    case pb::Value::kDateValue:
      return FitDate(value_.date_value());
    case pb::Value::kTimeValue:
      return FitTime(value_.time_value().micros());
    case pb::Value::kTimestampValue:
      return FitTimestamp(As::kTimestamp, value_.timestamp_value().micros(),
                          value_.timestamp_value().infinity());
    case pb::Value::kTimestamptzValue:
      return FitTimestamp(As::kTimestampTz, value_.timestamptz_value().micros(),
                          value_.timestamptz_value().infinity());
    case pb::Value::kIntervalValue:
      return Whole(As::kInterval);
    case pb::Value::kUuidValue:
      return FitUuid(value_.uuid_value());
    case pb::Value::kJsonValue:
      return FitJson(value_.json_value());
    case pb::Value::kArrayValue:
      return FitArray(value_.array_value());
    case pb::Value::kVectorValue:
      return FitVector();
    case pb::Value::kRangeValue:
      return FitRange(value_.range_value());
    case pb::Value::kCompositeValue:
      return FitComposite(value_.composite_value());
    case pb::Value::kRawValue:
      return FitRaw(value_.raw_value());
    default:
      return RefuseKind();
  }
}

absl::StatusOr<Fitted> Fitter::FitInteger(int64_t number) {
  if (const auto bounds = IntegerBounds(fitted_.form); bounds.has_value()) {
    if (number < bounds->low || number > bounds->high) {
      return RefuseNumber(*bounds);
    }
    return Integer(As::kInteger, number);
  }
  if (fitted_.form == Form::kNumeric) return Integer(As::kInteger, number);
  const bool single = fitted_.form == Form::kFloat4;
  if (!single && fitted_.form != Form::kFloat8) return RefuseKind();
  const int64_t exact = single ? kExactInFloat : kExactInDouble;
  if (number < -exact || number > exact) {
    return place_.OutOfRange(absl::StrCat("not every integer of this size is exact as ", TypeName(),
                                          ": ", -exact, " to ", exact, " are"),
                             "send double_value to have it rounded, or numeric_value");
  }
  return Real(single ? As::kFloat4 : As::kFloat8, static_cast<double>(number));
}

absl::StatusOr<Fitted> Fitter::FitDouble(double number) {
  if (fitted_.form == Form::kFloat8 || fitted_.form == Form::kNumeric) {
    return Real(As::kFloat8, number);
  }
  if (fitted_.form != Form::kFloat4) return RefuseKind();
  // The cast rounds to nearest, and a double beyond what rounds to the largest float is infinity.
  const auto narrow = static_cast<float>(number);
  const bool overflows = std::isinf(narrow) && !std::isinf(number);
  const bool vanishes = narrow == 0 && number != 0;
  if (overflows || vanishes) {
    return place_.OutOfRange(
        absl::StrCat("does not fit ", TypeName(), ": ",
                     overflows ? "it would become infinite" : "it would become zero"));
  }
  return Real(As::kFloat4, number);
}

absl::StatusOr<Fitted> Fitter::FitFloat(float number) {
  if (fitted_.form == Form::kFloat8) return Real(As::kFloat8, number);
  if (fitted_.form != Form::kFloat4 && fitted_.form != Form::kNumeric) return RefuseKind();
  return Real(As::kFloat4, number);
}

absl::StatusOr<Fitted> Fitter::FitNumeric(const std::string& digits) {
  const Form form = fitted_.form;
  const auto bounds = IntegerBounds(form);
  const bool real = form == Form::kNumeric || form == Form::kFloat4 || form == Form::kFloat8;
  if (!bounds.has_value() && !real) return RefuseKind();
  if (!IsDecimal(digits)) {
    return place_.Refuse("is no decimal number",
                         "write digits, as -12.50 or 1e-3, or one of NaN, Infinity, -Infinity");
  }
  if (real) return Bytes(As::kLiteral, digits);
  if (digits.find_first_not_of("+-0123456789") != std::string::npos) {
    return place_.Refuse(absl::StrCat("is no integer, which ", TypeName(), " takes"));
  }
  // The server reads some types of integers in C's way, where 010 is eight and 1e99 is cut.
  uint64_t large = 0;
  if (form == Form::kXid8 && absl::SimpleAtoi(digits, &large)) {
    return Integer(As::kInteger, static_cast<int64_t>(large));
  }
  int64_t number = 0;
  const bool read = absl::SimpleAtoi(digits, &number);
  if (!read || number < bounds->low || number > bounds->high) {
    return RefuseNumber(*bounds);
  }
  return Integer(As::kInteger, number);
}

absl::StatusOr<Fitted> Fitter::FitText(const std::string& text) {
  if (fitted_.form == Form::kVoid || fitted_.form == Form::kRecord) return RefuseKind();
  TRY_STATUS(CheckText(text));
  return Bytes(As::kLiteral, text);
}

absl::StatusOr<Fitted> Fitter::FitJson(const std::string& text) {
  const Form form = fitted_.form;
  if (form != Form::kJson && form != Form::kJsonb && form != Form::kString) return RefuseKind();
  return FitText(text);
}

absl::StatusOr<Fitted> Fitter::FitUuid(const std::string& bytes) {
  if (bytes.size() != kUuidBytes) {
    return place_.Refuse(absl::StrCat("has ", bytes.size(), " bytes; a UUID has 16"));
  }
  return Bytes(As::kUuid, bytes);
}

absl::StatusOr<Fitted> Fitter::FitDate(const pb::Date& date) {
  if (date.infinity() == pb::INFINITY_POSITIVE) return Integer(As::kDate, kDateAfterAll);
  if (date.infinity() == pb::INFINITY_NEGATIVE) return Integer(As::kDate, kDateBeforeAll);
  if (date.infinity() != pb::INFINITY_UNSPECIFIED) return place_.Refuse(kUnknownInfinity);
  if (date.days() < kFirstDate + kDaysTo2000 || date.days() > kLastDate + kDaysTo2000) {
    return place_.OutOfRange("does not fit date: 4714-11-24 BC to 5874897-12-31");
  }
  return Integer(As::kDate, date.days() - kDaysTo2000);
}

absl::StatusOr<Fitted> Fitter::FitTime(int64_t micros) {
  if (micros < 0 || micros > kMicrosPerDay) {
    return place_.OutOfRange("does not fit time: 0 to 86400000000 microseconds");
  }
  return Integer(As::kTime, micros);
}

absl::StatusOr<Fitted> Fitter::FitTimestamp(As as, int64_t micros, pb::Infinity infinity) {
  if (infinity == pb::INFINITY_POSITIVE) return Integer(as, kTimestampAfterAll);
  if (infinity == pb::INFINITY_NEGATIVE) return Integer(as, kTimestampBeforeAll);
  if (infinity != pb::INFINITY_UNSPECIFIED) return place_.Refuse(kUnknownInfinity);
  // The last one of the server lies beyond what 64 bits hold from 1970.
  if (micros < kFirstTimestamp + kMicrosTo2000) {
    return place_.OutOfRange(absl::StrCat("does not fit ", TypeName(), ", which begins with ",
                                          "4714-11-24 00:00:00 BC"));
  }
  return Integer(as, micros - kMicrosTo2000);
}

absl::StatusOr<Fitted> Fitter::FitArray(const pb::Array& array) {
  if (fitted_.form != Form::kArray && fitted_.form != Form::kMultirange) {
    if (place_.nested() && fitted_.form != Form::kUnknown) {
      return place_.Refuse(
          absl::StrCat("an array is no value for ", TypeName()),
          "an array of several dimensions is one array_value with several `dimensions`");
    }
    return RefuseKind();
  }
  TRY_STATUS(CheckShape(array));
  if (fitted_.form == Form::kArray) {
    if (IsVector(*fitted_.type)) {
      TRY_STATUS(CheckSpaced(array));
    }
    return Whole(As::kArray);
  }
  TRY_STATUS(CheckRanges(array));
  return Whole(As::kMultirange);
}

absl::StatusOr<Fitted> Fitter::FitVector() {
  if (fitted_.type != nullptr && IsVectorName(fitted_.type->name) &&
      (fitted_.form == Form::kUnknown || fitted_.form == Form::kTextOnly)) {
    return Whole(As::kVector);
  }
  const Type* const element =
      fitted_.form == Form::kArray ? book_.Base(fitted_.type->inner) : nullptr;
  const bool real =
      element != nullptr && (element->form == Form::kFloat4 || element->form == Form::kFloat8);
  if (!real) return RefuseKind();
  return Whole(As::kVector);
}

absl::StatusOr<Fitted> Fitter::FitRange(const pb::Range& range) {
  if (range.empty() && (range.has_lower() || range.has_upper())) {
    return place_.Refuse("is empty and has a bound");
  }
  if (range.has_lower()) {
    TRY_STATUS(CheckBound(range.lower(), kLower));
  }
  if (range.has_upper()) {
    TRY_STATUS(CheckBound(range.upper(), kUpper));
  }
  return Whole(As::kRange);
}

absl::StatusOr<Fitted> Fitter::FitComposite(const pb::Composite& composite) {
  const auto fields = static_cast<int>(fitted_.type->fields.size());
  if (composite.values_size() != fields) {
    return place_.Refuse(absl::StrCat("has ", composite.values_size(), " values; ", TypeName(),
                                      " has ", fields, " fields"),
                         "send null_value for a field without a value");
  }
  return Whole(As::kComposite);
}

absl::StatusOr<Fitted> Fitter::FitRaw(const pb::Raw& raw) {
  if (fitted_.form == Form::kVoid || fitted_.form == Form::kRecord) return RefuseKind();
  const bool same =
      raw.oid() == 0 || raw.oid() == oid_ || (fitted_.type && raw.oid() == fitted_.type->oid);
  if (!same) {
    return place_.Refuse(absl::StrCat("raw_value is of OID ", raw.oid(), "; the parameter is ",
                                      TypeName(), ", OID ", oid_),
                         "leave oid 0, or cast the parameter to that type");
  }
  if (raw.format() == pb::Raw::FORMAT_BINARY) return Bytes(As::kBinary, raw.data());
  if (raw.format() != pb::Raw::FORMAT_TEXT) {
    return place_.Refuse("raw_value does not say its format", "set FORMAT_TEXT or FORMAT_BINARY");
  }
  TRY_STATUS(CheckText(raw.data()));
  return Bytes(As::kLiteral, raw.data());
}

Fitted Fitter::Integer(As as, int64_t number) {
  fitted_.as = as;
  fitted_.integer = number;
  return fitted_;
}

Fitted Fitter::Real(As as, double number) {
  fitted_.as = as;
  fitted_.real = number;
  return fitted_;
}

Fitted Fitter::Bytes(As as, const std::string& bytes) {
  fitted_.as = as;
  fitted_.bytes = bytes;
  return fitted_;
}

Fitted Fitter::Whole(As as) {
  fitted_.as = as;
  return fitted_;
}

absl::Status Fitter::CheckText(const std::string& text) const {
  // The server's own reading would stop there, and take the rest for nothing.
  if (text.find('\0') != std::string::npos) {
    return place_.Refuse("has a NUL character, which PostgreSQL cannot hold in text",
                         "send bytes_value to a bytea");
  }
  if (!IsValidUtf8(text)) return place_.Refuse("is not valid UTF-8");
  return absl::OkStatus();
}

absl::Status Fitter::CheckShape(const pb::Array& array) const {
  if (array.dimensions_size() > kMaxDimensions) {
    return place_.Refuse(
        absl::StrCat("has ", array.dimensions_size(), " dimensions; the most is ", kMaxDimensions));
  }
  const bool bounded = array.lower_bounds_size() != 0;
  if (bounded && array.lower_bounds_size() != array.dimensions_size()) {
    return place_.Refuse("has not one lower bound for each dimension",
                         "leave lower_bounds empty to count from 1");
  }
  // Never much beyond 32 bits, so that no product overflows.
  int64_t count = array.dimensions_size() == 0 ? 0 : 1;
  for (int i = 0; i < array.dimensions_size(); ++i) {
    const int64_t length = array.dimensions(i);
    if (length < 0) return place_.Refuse("has a dimension of negative length");
    const int64_t first = bounded ? array.lower_bounds(i) : 1;
    if (first + length > std::numeric_limits<int32_t>::max()) {
      return place_.Refuse("has subscripts beyond 2147483646");
    }
    count = std::min<int64_t>(count * length, std::numeric_limits<uint32_t>::max());
  }
  if (count == array.values_size()) return absl::OkStatus();
  if (array.dimensions_size() == 0) {
    return place_.Refuse("has values and no dimensions",
                         absl::StrCat("set dimensions to [", array.values_size(), "]"));
  }
  return place_.Refuse(
      absl::StrCat("has ", array.values_size(), " values; its dimensions make ", count));
}

// Of int2vector and oidvector, which count from 0 and have no NULL.
absl::Status Fitter::CheckSpaced(const pb::Array& array) const {
  if (array.dimensions_size() > 1) return place_.Refuse(TypeName() + " has one dimension");
  if (!array.lower_bounds().empty() && array.lower_bounds(0) != 0) {
    return place_.Refuse(TypeName() + " counts from 0", "leave lower_bounds empty");
  }
  for (int i = 0; i < array.values_size(); ++i) {
    const Place place(place_, kArrayValues, i);
    if (!array.values(i).has_int64_value()) return place.Refuse("is no int64_value");
  }
  return absl::OkStatus();
}

absl::Status Fitter::CheckRanges(const pb::Array& array) const {
  if (array.dimensions_size() > 1) return place_.Refuse("a multirange has one dimension");
  for (int i = 0; i < array.values_size(); ++i) {
    if (!array.values(i).has_range_value()) {
      return Place(place_, kArrayValues, i).Refuse("a multirange is made of range_value alone");
    }
  }
  return absl::OkStatus();
}

absl::Status Fitter::CheckBound(const pb::Value& bound, absl::string_view step) const {
  if (!IsNull(bound)) return absl::OkStatus();
  return Place(place_, step).Refuse("a bound cannot be NULL", "leave it unset for no bound");
}

absl::Status Fitter::RefuseKind() const {
  return place_.RefuseKind(value_, fitted_.form, TypeName());
}

absl::Status Fitter::RefuseNumber(const Bounds& bounds) const {
  const uint64_t high = fitted_.form == Form::kXid8 ? std::numeric_limits<uint64_t>::max()
                                                    : static_cast<uint64_t>(bounds.high);
  return place_.OutOfRange(
      absl::StrCat("does not fit ", TypeName(), ": ", bounds.low, " to ", high));
}

std::string Fitter::TypeName() const {
  const Type* const type = book_.Find(oid_);
  if (type == nullptr || type->name.empty()) return absl::StrCat("the type of OID ", oid_);
  return SanitizeForMessage(type->name, kShownBytes);
}

}  // namespace

absl::StatusOr<Fitted> Fit(const TypeBook& book,
                           Oid type,
                           const pb::Value& value,
                           const Place& place) {
  return Fitter(book, type, value, place).Fit();
}

}  // namespace sluice::postgres
