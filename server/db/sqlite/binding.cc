// The codec's way in: parameters of the request, bound where they stand.
#include <cmath>

#include <sqlite3.h>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"
#include "server/db/sqlite/codec.h"
#include "server/db/sqlite/limits.h"
#include "server/db/sqlite/result_code.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

constexpr size_t kShownBytes = 64;

std::string Path(const db::Parameter& parameter) {
  if (parameter.form != db::ParameterForm::kNamed) {
    return absl::StrCat("params[", parameter.number - 1, "]");
  }
  return absl::StrCat("named_params[\"", SanitizeForMessage(parameter.name, kShownBytes), "\"]");
}

absl::Status Refuse(const db::Parameter& parameter,
                    absl::string_view why,
                    absl::string_view hint = "") {
  return errors::ParameterInvalidAt(Path(parameter), why, parameter.place.position, hint);
}

// What to send in place of a kind that SQLite does not have.
absl::string_view InPlaceOf(pb::Value::KindCase kind) {
  switch (kind) {
    case pb::Value::kNumericValue:
      return "send string_value to keep every digit, or double_value";
    case pb::Value::kDateValue:
    case pb::Value::kTimeValue:
    case pb::Value::kTimestampValue:
    case pb::Value::kTimestamptzValue:
      return "send ISO 8601 in string_value, which SQLite's date functions read, or int64_value";
    case pb::Value::kUuidValue:
      return "send its text in string_value, or bytes_value";
    case pb::Value::kArrayValue:
    case pb::Value::kVectorValue:
    case pb::Value::kRangeValue:
    case pb::Value::kCompositeValue:
    case pb::Value::kIntervalValue:
      return "send json_value";
    default:
      return "";
  }
}

absl::Status RefuseKind(const db::Parameter& parameter, const pb::Value& value) {
  const auto* const field =
      pb::Value::descriptor()->FindFieldByNumber(static_cast<int>(value.kind_case()));
  const std::string kind = field == nullptr ? "a value without a kind" : field->name();
  return Refuse(parameter, absl::StrCat(kind, " is not a kind that SQLite has"),
                InPlaceOf(value.kind_case()));
}

absl::Status BindFailed(const db::Parameter& parameter, int code) {
  if (code == SQLITE_TOOBIG) {
    return errors::ValueTooLarge(Path(parameter), kMaxValueBytes, "several rows");
  }
  Failure failure;
  failure.code = code;
  failure.phase = Phase::kCompiling;
  failure.message = sqlite3_errstr(code);
  return ToStatus(failure);
}

int BindText(sqlite3_stmt* stmt, int index, const std::string& text) {
  return sqlite3_bind_text64(stmt, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

}  // namespace

absl::Status BindValue(sqlite3_stmt* stmt,
                       const db::Parameter& parameter,
                       const db::pb::Value& value) {
  const int index = parameter.index;
  int code = SQLITE_OK;
  switch (value.kind_case()) {
    case pb::Value::kNullValue:
      code = sqlite3_bind_null(stmt, index);
      break;
    case pb::Value::kBoolValue:
      code = sqlite3_bind_int64(stmt, index, value.bool_value() ? 1 : 0);
      break;
    case pb::Value::kInt64Value:
      code = sqlite3_bind_int64(stmt, index, value.int64_value());
      break;
    case pb::Value::kDoubleValue:
    case pb::Value::kFloatValue: {
      const double number = value.has_double_value() ? value.double_value()
                                                     : static_cast<double>(value.float_value());
      if (std::isnan(number)) {
        return Refuse(parameter, "SQLite has no NaN and would store NULL", "send null_value");
      }
      code = sqlite3_bind_double(stmt, index, number);
      break;
    }
    case pb::Value::kStringValue:
      code = BindText(stmt, index, value.string_value());
      break;
    case pb::Value::kJsonValue:
      code = BindText(stmt, index, value.json_value());
      break;
    case pb::Value::kBytesValue:
      code = sqlite3_bind_blob64(stmt, index, value.bytes_value().data(),
                                 value.bytes_value().size(), SQLITE_STATIC);
      break;
    case pb::Value::kRawValue:
      if (value.raw_value().format() != pb::Raw::FORMAT_TEXT) {
        return Refuse(parameter, "raw_value is taken in FORMAT_TEXT only", "send bytes_value");
      }
      if (value.raw_value().oid() != 0) {
        return Refuse(parameter, "raw_value has an oid, which SQLite does not know");
      }
      code = BindText(stmt, index, value.raw_value().data());
      break;
    default:
      return RefuseKind(parameter, value);
  }
  return code == SQLITE_OK ? absl::OkStatus() : BindFailed(parameter, code);
}

}  // namespace sluice::sqlite
