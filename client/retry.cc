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
  absl::Duration backoff = policy.initial_backoff;
  for (int i = 1; i < attempts && backoff < policy.max_backoff; ++i) backoff *= 2;
  backoff = std::min(backoff, policy.max_backoff) * random;
  return error.retry_delay.value_or(absl::ZeroDuration()) + backoff;
}

}  // namespace sluice::client
