// SQL values as text for people.
#ifndef SLUICE_CLIENT_CLI_VALUE_TEXT_H_
#define SLUICE_CLIENT_CLI_VALUE_TEXT_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

#include "sluice/v1/value.pb.h"

namespace sluice::cli {

// Appends the value in the form that psql shows: dates and times in ISO 8601, arrays as {1,2},
// ranges as [1,5), composites as (1,a). Text, JSON and bytes are appended as they are; NULL appends
// nothing.
void AppendText(const v1::Value& value, std::string* out);

// Parts of it.
void AppendDate(int64_t days, std::string* out);                      // 2026-11-21
void AppendTime(int64_t micros, std::string* out);                    // 13:05:00.25
void AppendTimestamp(int64_t micros, std::string* out);               // 2026-11-21 13:05:00
void AppendInterval(const v1::Interval& interval, std::string* out);  // 1 mon 2 days 03:00:00
void AppendUuid(absl::string_view bytes, std::string* out);
void AppendHex(absl::string_view bytes, std::string* out);

// `sqlite`, `healthy`: an enum value's name without its type's prefix, in lower case.
std::string EnumWord(absl::string_view name, absl::string_view prefix);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_VALUE_TEXT_H_
