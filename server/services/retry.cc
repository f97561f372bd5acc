#include "server/services/retry.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "server/async/sleep.h"
#include "server/base/errors.h"

namespace sluice::services {

Task<absl::Status> Retry::Next(const Context& ctx, absl::Status failure) {
  ++attempts_;
  const bool transient = errors::IsTransient(failure);
  const bool in_time = clock_.Now() + policy_.delay < ctx.deadline;
  const bool again =
      transient && attempts_ < policy_.max_attempts && in_time && !ctx.stop.stop_requested();
  if (again) {
    const bool elapsed = co_await SleepFor(ctx, policy_.delay);
    if (elapsed) co_return absl::OkStatus();
    failure = ctx.Stopped(errors::Executed::kNo);
  }
  if (transient || attempts_ > 1) {  // an error that nobody would retry says nothing of attempts
    failure = errors::WithMetadata(std::move(failure), "attempts", absl::StrCat(attempts_));
  }
  co_return failure;
}

}  // namespace sluice::services
