#include "server/db/postgres/place.h"

#include <cstdint>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "server/base/errors.h"

namespace sluice::postgres {
namespace {

// The kind to send for a type of this form.
absl::string_view KindFor(Form form) {
  switch (form) {
    case Form::kBool:
      return "bool_value";
    case Form::kInt2:
    case Form::kInt4:
    case Form::kInt8:
    case Form::kOid:
    case Form::kXid8:
      return "int64_value";
    case Form::kFloat4:
    case Form::kFloat8:
      return "double_value";
    case Form::kNumeric:
      return "numeric_value";
    case Form::kBytes:
      return "bytes_value";
    case Form::kDate:
      return "date_value";
    case Form::kTime:
      return "time_value";
    case Form::kTimestamp:
      return "timestamp_value";
    case Form::kTimestampTz:
      return "timestamptz_value";
    case Form::kInterval:
      return "interval_value";
    case Form::kUuid:
      return "uuid_value";
    case Form::kJson:
    case Form::kJsonb:
      return "json_value";
    case Form::kArray:
      return "array_value";
    case Form::kRange:
      return "range_value";
    case Form::kMultirange:
      return "array_value of range_value";
    case Form::kComposite:
      return "composite_value";
    default:
      return "";
  }
}

// The type that a kind is at home in, as SQL writes it.
absl::string_view HomeOf(pb::Value::KindCase kind) {
  switch (kind) {
    case pb::Value::kBoolValue:
      return "boolean";
    case pb::Value::kInt64Value:
      return "bigint";
    case pb::Value::kDoubleValue:
      return "double precision";
    case pb::Value::kFloatValue:
      return "real";
    case pb::Value::kBytesValue:
      return "bytea";
    case pb::Value::kNumericValue:
      return "numeric";
    case pb::Value::kDateValue:
      return "date";
    case pb::Value::kTimeValue:
      return "time";
    case pb::Value::kTimestampValue:
      return "timestamp";
    case pb::Value::kTimestamptzValue:
      return "timestamptz";
    case pb::Value::kIntervalValue:
      return "interval";
    case pb::Value::kUuidValue:
      return "uuid";
    case pb::Value::kVectorValue:
      return "real[]";
    default:
      return "";
  }
}

}  // namespace

std::string Place::Path() const {
  const std::string before = outer_ == nullptr ? "" : outer_->Path();
  if (index_ < 0) return absl::StrCat(before, step_);
  return absl::StrCat(before, step_, "[", index_, "]");
}

absl::Status Place::Refuse(absl::string_view why, absl::string_view hint) const {
  return errors::ParameterInvalidAt(Path(), why, position_, hint);
}

absl::Status Place::OutOfRange(absl::string_view why, absl::string_view hint) const {
  return errors::ParameterOutOfRange(Path(), why, position_, hint);
}

std::string Place::CastHint(absl::string_view cast_to) const {
  constexpr absl::string_view kSend = "send string_value";
  if (nested() || cast_to.empty()) return std::string(kSend);
  absl::string_view number = step_;
  uint32_t index = 0;
  const bool numbered = absl::ConsumePrefix(&number, "params[") &&
                        absl::ConsumeSuffix(&number, "]") && absl::SimpleAtoi(number, &index);
  if (!numbered) return absl::StrCat(kSend, ", or cast the parameter to ", cast_to);
  return absl::StrCat(kSend, ", or cast the parameter: $", uint64_t{index} + 1, "::", cast_to);
}

absl::Status Place::RefuseKind(const pb::Value& value,
                               Form form,
                               absl::string_view type_name) const {
  const auto* const field =
      pb::Value::descriptor()->FindFieldByNumber(static_cast<int>(value.kind_case()));
  const std::string kind = field == nullptr ? "a value without a kind" : field->name();
  const std::string why = absl::StrCat(kind, " is no kind for ", type_name);
  switch (form) {
    case Form::kVoid:
      return Refuse(why);
    case Form::kRecord:
      return Refuse(why, "cast the parameter to a row type that has a name");
    case Form::kUnknown:
    case Form::kTextOnly:
      return Refuse(why, "send PostgreSQL's text form in string_value, or raw_value");
    case Form::kString:
      return Refuse(why, CastHint(HomeOf(value.kind_case())));
    default:
      return Refuse(why, absl::StrCat("send ", KindFor(form), ", or its text in string_value"));
  }
}

}  // namespace sluice::postgres
