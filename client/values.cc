#include "client/values.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace sluice::client {
namespace {

// `int64_value` → `int64`.
std::string KindName(const v1::Value& value) {
  if (value.kind_case() == v1::Value::KIND_NOT_SET) return "unset";
  const auto* field = v1::Value::descriptor()->FindFieldByNumber(value.kind_case());
  std::string name = field->name();
  name.resize(name.size() - sizeof("_value") + 1);
  return name;
}

absl::Status WrongKind(const v1::Value& value, absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("the value is of kind ", KindName(value), ", not ", wanted));
}

}  // namespace

v1::Value ToValue(std::nullptr_t /*null*/) {
  v1::Value proto;
  proto.set_null_value(google::protobuf::NULL_VALUE);
  return proto;
}

v1::Value ToValue(double value) {
  v1::Value proto;
  proto.set_double_value(value);
  return proto;
}

v1::Value ToValue(float value) {
  v1::Value proto;
  proto.set_float_value(value);
  return proto;
}

v1::Value ToValue(absl::string_view text) {
  v1::Value proto;
  proto.set_string_value(text.data(), text.size());
  return proto;
}

v1::Value ToValue(Bytes bytes) {
  v1::Value proto;
  proto.set_bytes_value(std::move(bytes.data));
  return proto;
}

template <>
absl::StatusOr<bool> Get<bool>(const v1::Value& value) {
  if (value.has_bool_value()) return value.bool_value();
  const bool is_flag =
      value.has_int64_value() && (value.int64_value() == 0 || value.int64_value() == 1);
  if (is_flag) return value.int64_value() == 1;
  return WrongKind(value, "bool");
}

template <>
absl::StatusOr<int64_t> Get<int64_t>(const v1::Value& value) {
  if (!value.has_int64_value()) return WrongKind(value, "int64");
  return value.int64_value();
}

template <>
absl::StatusOr<double> Get<double>(const v1::Value& value) {
  if (value.has_double_value()) return value.double_value();
  if (value.has_float_value()) return double{value.float_value()};
  return WrongKind(value, "double");
}

template <>
absl::StatusOr<std::string> Get<std::string>(const v1::Value& value) {
  if (!value.has_string_value()) return WrongKind(value, "string");
  return value.string_value();
}

template <>
absl::StatusOr<Bytes> Get<Bytes>(const v1::Value& value) {
  if (!value.has_bytes_value()) return WrongKind(value, "bytes");
  return Bytes{value.bytes_value()};
}

}  // namespace sluice::client
