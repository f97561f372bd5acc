#include "server/base/clock.h"

#include <chrono>

#include "absl/time/clock.h"

namespace sluice {
namespace {

class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }

  absl::Time Unset() const override { return anchor_ + Steady(); }

  absl::Duration Steady() const override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }

 private:
  // Not absl::Now, which takes a while to follow a clock that was set.
  const absl::Time anchor_ = absl::FromChrono(std::chrono::system_clock::now()) - Steady();
};

}  // namespace

const Clock& Clock::System() {
  static const SystemClock clock;
  return clock;
}

}  // namespace sluice
