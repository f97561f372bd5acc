#include "server/async/guest.h"

#include <atomic>
#include <utility>

namespace sluice {
namespace {

std::atomic<Guest*> present{nullptr};
thread_local bool run_here = false;

}  // namespace

Guest* Guest::Present() {
  return present.load(std::memory_order_acquire);
}

void Guest::Appear(Guest& guest) {
  present.store(&guest, std::memory_order_release);
}

// Out of line for the reason for which Executor::Current is.
__attribute__((noinline)) bool Guest::RunHere() {
  return run_here;
}

__attribute__((noinline)) void Guest::SetRunHere(bool here) {
  run_here = here;
}

void Host::Rise() {
  if (guest_ != nullptr) return;
  Guest* const guest = Guest::Present();
  if (guest == nullptr || clock_.Steady() < apart_until_) return;
  guest_ = guest;
  Guest::SetRunHere(true);
}

bool Host::Run() {
  Rise();
  if (guest_ == nullptr || !guest_->Busy()) return false;
  if (!std::exchange(attending_, true)) guest_->Attend();
  const absl::Duration begin = clock_.Steady();
  const bool ran = guest_->Visit();
  if (!ran) return false;
  const absl::Duration end = clock_.Steady();
  if (end - begin > kLong) {
    apart_until_ = end + kApart;
    Rest();
  }
  return true;
}

void Host::Rest() {
  Guest* const guest = std::exchange(guest_, nullptr);
  if (guest == nullptr) return;
  Guest::SetRunHere(false);
  // Something may have been posted since it was last run.
  if (!attending_ && !guest->Busy()) return;
  if (!std::exchange(attending_, false)) guest->Attend();
  guest->Leave();
}

}  // namespace sluice
