// Trying again what certainly was not applied.
#ifndef SLUICE_SERVER_SERVICES_RETRY_H_
#define SLUICE_SERVER_SERVICES_RETRY_H_

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/clock.h"

namespace sluice::services {

struct RetryPolicy {
  int max_attempts = 3;
  absl::Duration delay = absl::Seconds(1);
  // Also after conflicts with other transactions, for which nothing remains of the attempt: after a
  // random pause of at most this, which doubles each time.
  bool conflicts = false;
  absl::Duration conflict_delay = absl::Milliseconds(20);
};

// Retry: the attempts of one call. Lives in the call's coroutine, and costs one that succeeds at
// once nothing.
//
//   Retry retry(policy, clock);
//   for (;;) {
//     auto result = co_await Attempt();
//     if (result.ok()) co_return …;
//     absl::Status final = co_await retry.Next(ctx, result.status());
//     if (!final.ok()) co_return final;
//   }
class Retry {
 public:
  Retry(RetryPolicy policy, const Clock& clock) : policy_(policy), clock_(clock) {}

  // After a failed attempt. OK: the pause is over, try again. Otherwise what to answer: the failure
  // if another attempt would not help, is not allowed or would come after the call's deadline; or
  // why the call ended during the pause. Metadata `attempts` says how many there were.
  Task<absl::Status> Next(const Context& ctx, absl::Status failure);

  // That failed.
  int attempts() const { return attempts_; }

  // Of them, those that met a conflict and were followed by another.
  int conflicts() const { return conflicts_; }

 private:
  absl::Duration PauseAfterConflict() const;

  const RetryPolicy policy_;
  const Clock& clock_;
  int attempts_ = 0;  // failed ones
  int conflicts_ = 0;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_RETRY_H_
