// When the client sends a request again by itself.
#ifndef SLUICE_CLIENT_RETRY_H_
#define SLUICE_CLIENT_RETRY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace sluice::client {

// How often and how fast. The call's deadline always wins.
struct RetryPolicy {
  int max_attempts = 3;  // in all; 1 = never retry
  absl::Duration initial_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
};

// How long to wait before the next attempt, after `attempts` attempts of which the last ended with
// `status`; nullopt: do not retry. Only UNAVAILABLE that says `executed` = no is retried. The pause
// is full-jitter exponential backoff (`random` in [0, 1) picks it), on top of what RetryInfo asks.
std::optional<absl::Duration> RetryDelay(const RetryPolicy& policy,
                                         const absl::Status& status,
                                         int attempts,
                                         double random);

// A pause after `attempts` attempts: `random` of a bound that doubles from `initial` up to `most`.
absl::Duration Backoff(absl::Duration initial, absl::Duration most, int attempts, double random);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_RETRY_H_
