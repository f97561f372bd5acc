#include "client/retry.h"

#include <algorithm>

#include "client/errors.h"

namespace sluice::client {

std::optional<absl::Duration> RetryDelay(const RetryPolicy& policy,
                                         const absl::Status& status,
                                         int attempts,
                                         double random) {
  if (attempts >= policy.max_attempts) return std::nullopt;
  if (status.code() != absl::StatusCode::kUnavailable) return std::nullopt;
  const Error error = DecodeError(status);
  if (error.executed != Executed::kNo) return std::nullopt;
  return error.retry_delay.value_or(absl::ZeroDuration()) +
         Backoff(policy.initial_backoff, policy.max_backoff, attempts, random);
}

absl::Duration Backoff(absl::Duration initial, absl::Duration most, int attempts, double random) {
  absl::Duration bound = initial;
  for (int i = 1; i < attempts && bound < most; ++i) bound *= 2;
  return std::min(bound, most) * random;
}

}  // namespace sluice::client
