#include "server/services/retry.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"

#include "server/async/sleep.h"
#include "server/base/errors.h"

namespace sluice::services {
namespace {

// After a conflict.
constexpr absl::Duration kLongestPause = absl::Seconds(60);

}  // namespace

// Those that met are not to meet again.
absl::Duration Retry::PauseAfterConflict() const {
  thread_local absl::BitGen random;
  const absl::Duration most =
      std::min(policy_.conflict_delay * (1 << std::min(attempts_ - 1, 10)), kLongestPause);
  return absl::Uniform(random, 0.0, 1.0) * most;
}

Task<absl::Status> Retry::Next(const Context& ctx, absl::Status failure) {
  ++attempts_;
  const bool conflict = policy_.conflicts && errors::IsConflict(failure);
  const bool transient = conflict || errors::IsTransient(failure);
  const absl::Duration pause = conflict ? PauseAfterConflict() : policy_.delay;
  const bool in_time = clock_.Unset() + pause < ctx.deadline;
  const bool again =
      transient && attempts_ < policy_.max_attempts && in_time && !ctx.stop.stop_requested();
  if (again) {
    const bool elapsed = co_await SleepFor(ctx, pause);
    if (elapsed && conflict) ++conflicts_;
    if (elapsed) co_return absl::OkStatus();
    failure = ctx.Stopped(errors::Executed::kNo);
  }
  if (transient || attempts_ > 1) {  // an error that nobody would retry says nothing of attempts
    failure = errors::WithMetadata(std::move(failure), "attempts", absl::StrCat(attempts_));
  }
  co_return failure;
}

}  // namespace sluice::services
