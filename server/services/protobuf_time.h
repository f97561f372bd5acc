// Durations and instants as the contract carries them.
#ifndef SLUICE_SERVER_SERVICES_PROTOBUF_TIME_H_
#define SLUICE_SERVER_SERVICES_PROTOBUF_TIME_H_

#include <cstdint>

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace sluice::services {

// Finite ones only. Fractions of a nanosecond are cut off.
inline void SetDuration(absl::Duration duration, google::protobuf::Duration& message) {
  message.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  message.set_nanos(
      static_cast<int32_t>(absl::IDivDuration(duration, absl::Nanoseconds(1), &duration)));
}

inline void SetTimestamp(absl::Time time, google::protobuf::Timestamp& message) {
  const int64_t seconds = absl::ToUnixSeconds(time);  // rounds down, so nanos are never negative
  message.set_seconds(seconds);
  message.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
}

inline absl::Duration DurationOf(const google::protobuf::Duration& message) {
  return absl::Seconds(message.seconds()) + absl::Nanoseconds(message.nanos());
}

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_PROTOBUF_TIME_H_
