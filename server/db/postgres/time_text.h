// Dates and times as the server writes them: DateStyle=ISO and IntervalStyle=postgres.
#ifndef SLUICE_SERVER_DB_POSTGRES_TIME_TEXT_H_
#define SLUICE_SERVER_DB_POSTGRES_TIME_TEXT_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace sluice::postgres {

// Each is false for what the server does not write. Infinities are its own: the largest and the
// smallest number of the type.

// `days` since 2000-01-01.
bool ParseDate(absl::string_view text, int32_t& days);

// `micros` since midnight; 24:00:00 is one.
bool ParseTime(absl::string_view text, int64_t& micros);

// `micros` since 2000-01-01; with a zone, of UTC.
bool ParseTimestamp(absl::string_view text, bool has_zone, int64_t& micros);

bool ParseInterval(absl::string_view text, int32_t& months, int32_t& days, int64_t& micros);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_TIME_TEXT_H_
