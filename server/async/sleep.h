// SleepFor: a pause that a stopped call cuts short.
#ifndef SLUICE_SERVER_ASYNC_SLEEP_H_
#define SLUICE_SERVER_ASYNC_SLEEP_H_

#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"

namespace sluice {

// Waits on the calling executor. False if the call was stopped first.
Task<bool> SleepFor(const Context& ctx, absl::Duration delay);

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_SLEEP_H_
