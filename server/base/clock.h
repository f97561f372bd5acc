// The seam for time: production reads the system's clocks, tests set their own.
#ifndef SLUICE_SERVER_BASE_CLOCK_H_
#define SLUICE_SERVER_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace sluice {

// Clock: what time it is. Any thread.
class Clock {
 public:
  virtual ~Clock() = default;

  // Wall time; jumps when an operator sets the clock.
  virtual absl::Time Now() const = 0;

  // Wall time as it would be if nobody had set the clock since the process began. Deadlines of
  // calls are kept by it.
  virtual absl::Time Unset() const { return Now(); }

  // Time since an arbitrary start; never jumps. Leases, timeouts and measurements use this one.
  virtual absl::Duration Steady() const = 0;

  // The system's clocks.
  static const Clock& System();
};

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_CLOCK_H_
