#include "server/services/param_types.h"

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::services {
namespace {

namespace pb = ::sluice::v1;
using Kind = pb::Value::KindCase;

// The kind that a value of a type has; KIND_NOT_SET: the type stands for many.
Kind KindOf(pb::ValueType type) {
  switch (type) {
    case pb::VALUE_TYPE_BOOL:
      return Kind::kBoolValue;
    case pb::VALUE_TYPE_INT64:
      return Kind::kInt64Value;
    case pb::VALUE_TYPE_DOUBLE:
      return Kind::kDoubleValue;
    case pb::VALUE_TYPE_FLOAT:
      return Kind::kFloatValue;
    case pb::VALUE_TYPE_STRING:
      return Kind::kStringValue;
    case pb::VALUE_TYPE_BYTES:
      return Kind::kBytesValue;
    case pb::VALUE_TYPE_NUMERIC:
      return Kind::kNumericValue;
    case pb::VALUE_TYPE_DATE:
      return Kind::kDateValue;
    case pb::VALUE_TYPE_TIME:
      return Kind::kTimeValue;
    case pb::VALUE_TYPE_TIMESTAMP:
      return Kind::kTimestampValue;
    case pb::VALUE_TYPE_TIMESTAMPTZ:
      return Kind::kTimestamptzValue;
    case pb::VALUE_TYPE_INTERVAL:
      return Kind::kIntervalValue;
    case pb::VALUE_TYPE_UUID:
      return Kind::kUuidValue;
    case pb::VALUE_TYPE_JSON:
      return Kind::kJsonValue;
    default:
      return Kind::KIND_NOT_SET;
  }
}

}  // namespace

absl::Status CheckParamTypes(db::EngineKind engine,
                             const db::ParamTypes& types,
                             const db::Params& params,
                             absl::string_view types_place,
                             absl::string_view place) {
  const std::string field = absl::StrCat(types_place, "param_types");
  if (types.size() > params.size()) {
    return errors::ParameterInvalid(
        field, absl::StrCat("has ", types.size(), " entries, and there are ", params.size(),
                            " numbered parameters"));
  }
  for (int i = 0; i < types.size(); ++i) {
    if (types[i] == pb::VALUE_TYPE_UNSPECIFIED) continue;
    const std::string which = absl::StrCat(field, "[", i, "]");
    if (!pb::ValueType_IsValid(types[i])) {
      return errors::ParameterInvalid(which, "is no type that this server knows");
    }
    const auto type = static_cast<pb::ValueType>(types[i]);
    if (KindOf(type) == Kind::KIND_NOT_SET) {
      return errors::ParameterInvalid(
          which, "stands for many types; write a cast in the SQL instead, such as $1::int[]");
    }
    const Kind kind = params[i].kind_case();
    const bool fits =
        engine != db::EngineKind::kSqlite || kind == Kind::kNullValue || kind == KindOf(type);
    if (!fits) {
      return errors::ParameterInvalid(
          absl::StrCat(place, "params[", i, "]"),
          absl::StrCat("is no ", pb::ValueType_Name(type), ", which ", which, " says"));
    }
  }
  return absl::OkStatus();
}

}  // namespace sluice::services
