// Fit: which kinds of Value go into which types, apart from how they are written then.
#ifndef SLUICE_SERVER_DB_POSTGRES_FIT_H_
#define SLUICE_SERVER_DB_POSTGRES_FIT_H_

#include <cstdint>
#include <limits>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/postgres/place.h"
#include "server/db/postgres/types.h"

namespace sluice::postgres {

// Infinity in the numbers of Fitted, and in the binary form.
inline constexpr int64_t kDateAfterAll = std::numeric_limits<int32_t>::max();
inline constexpr int64_t kDateBeforeAll = std::numeric_limits<int32_t>::min();
inline constexpr int64_t kTimestampAfterAll = std::numeric_limits<int64_t>::max();
inline constexpr int64_t kTimestampBeforeAll = std::numeric_limits<int64_t>::min();

// A value that goes into its type, ready to be written. Borrows from the value and the book.
struct Fitted {
  enum class As {
    kLiteral,  // `bytes` in the text form, which the server reads
    kBinary,   // `bytes` in the binary form
    kBool,
    kInteger,
    kFloat4,
    kFloat8,
    kBytes,
    kUuid,
    kDate,
    kTime,
    kTimestamp,
    kTimestampTz,
    kInterval,
    kArray,
    kVector,
    kRange,
    kMultirange,
    kComposite,
  };

  As as = As::kLiteral;
  Form form = Form::kUnknown;        // of the type, domains resolved
  const Type* type = nullptr;        // the same; null: the server's type is not known
  const pb::Value* value = nullptr;  // the parts of an Interval or of a kind that holds values
  absl::string_view bytes;
  int64_t integer = 0;  // kBool 0 or 1; days or microseconds since 2000-01-01, or since midnight
  double real = 0;
};

// Errors as EncodeValue has them. Of a kind that holds values only its own shape is looked at.
absl::StatusOr<Fitted> Fit(const TypeBook& book,
                           Oid type,
                           const pb::Value& value,
                           const Place& place);

inline bool IsNull(const pb::Value& value) {
  return value.kind_case() == pb::Value::kNullValue;
}

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_FIT_H_
