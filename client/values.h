// Between C++ values and sluice.v1.Value: parameters on the way in, cells on the way out.
#ifndef SLUICE_CLIENT_VALUES_H_
#define SLUICE_CLIENT_VALUES_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "sluice/v1/query.pb.h"
#include "sluice/v1/value.pb.h"

namespace sluice::client {

// A blob; std::string is text.
struct Bytes {
  std::string data;
};

v1::Value ToValue(std::nullptr_t null);
v1::Value ToValue(double value);
v1::Value ToValue(float value);
v1::Value ToValue(absl::string_view text);  // UTF-8
v1::Value ToValue(Bytes bytes);

// Integers and bool; a template, so that a pointer never turns into a bool.
template <std::integral T>
v1::Value ToValue(T value) {
  v1::Value proto;
  if constexpr (std::same_as<T, bool>) {
    proto.set_bool_value(value);
  } else {
    static_assert(std::signed_integral<T> || sizeof(T) < sizeof(int64_t),
                  "an SQL integer has 64 bits and a sign");
    proto.set_int64_value(value);
  }
  return proto;
}

inline v1::Value ToValue(const char* text) {
  return ToValue(absl::string_view(text));
}

inline v1::Value ToValue(const std::string& text) {
  return ToValue(absl::string_view(text));
}

inline v1::Value ToValue(std::string_view text) {
  return ToValue(absl::string_view(text.data(), text.size()));
}

inline v1::Value ToValue(v1::Value value) {
  return value;
}

template <class T>
v1::Value ToValue(const std::optional<T>& value) {
  return value ? ToValue(*value) : ToValue(nullptr);
}

// True for SQL NULL.
inline bool IsNull(const v1::Value& value) {
  return value.kind_case() == v1::Value::kNullValue;
}

// The value as T: bool, int64_t, double, std::string or Bytes. INVALID_ARGUMENT if it is of another
// kind or NULL; nothing is converted, except that an int64 of 0 or 1 reads as a bool, which is how
// SQLite keeps them. Get<std::optional<T>> gives nullopt for NULL.
template <class T>
absl::StatusOr<T> Get(const v1::Value& value);

template <>
absl::StatusOr<bool> Get<bool>(const v1::Value& value);
template <>
absl::StatusOr<int64_t> Get<int64_t>(const v1::Value& value);
template <>
absl::StatusOr<double> Get<double>(const v1::Value& value);
template <>
absl::StatusOr<std::string> Get<std::string>(const v1::Value& value);
template <>
absl::StatusOr<Bytes> Get<Bytes>(const v1::Value& value);

template <class T>
requires requires {
  typename T::value_type;

} && std::same_as<T, std::optional<typename T::value_type>> absl::StatusOr<T> Get(
    const v1::Value& value) {
  if (IsNull(value)) return T();
  auto inner = Get<typename T::value_type>(value);
  if (!inner.ok()) return inner.status();
  return T(*std::move(inner));
}

// A request for `sql` on the connection `default`, with the values of its numbered parameters:
// MakeQuery("SELECT name FROM artist WHERE id = ?", 7). Fill in the other fields as needed.
template <class Request = v1::QueryRequest, class... Params>
Request MakeQuery(absl::string_view sql, const Params&... params) {
  Request request;
  request.set_connection_id("default");
  request.set_sql(std::string(sql));
  (static_cast<void>(*request.add_params() = ToValue(params)), ...);
  return request;
}

// The same for StreamQuery.
template <class... Params>
v1::StreamQueryRequest MakeStreamQuery(absl::string_view sql, const Params&... params) {
  return MakeQuery<v1::StreamQueryRequest>(sql, params...);
}

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_VALUES_H_
