// Gathering: whether a loop should let answers of its guest come together before it looks again.
#ifndef SLUICE_SERVER_RPC_GATHERING_H_
#define SLUICE_SERVER_RPC_GATHERING_H_

#include <cstdint>

#include "absl/time/time.h"

namespace sluice::rpc {

// A database that works for many calls answers them one by one, and to be woken for each costs a
// loop, and whoever it takes the processor from, more than to handle it. Where many are under way
// and come quickly, a short rest between two looks costs no caller anything that he could notice.
// Of one loop, on its thread.
class Gathering {
 public:
  static constexpr absl::Duration kRest = absl::Microseconds(50);
  // Rests in a row in which nothing comes; then the loop goes to sleep.
  static constexpr int kMostRests = 3;

  // `under_way`: what the guest waits for; `done`: what it has had so far.
  bool Pays(int under_way, uint64_t done, absl::Duration now) {
    if (now - since_ >= kWindow) {
      quick_ = static_cast<double>(done - done_) * kQuick >= now - since_;
      since_ = now;
      done_ = done;
    }
    return quick_ && under_way >= kMany;
  }

 private:
  static constexpr int kMany = 6;
  static constexpr absl::Duration kQuick = absl::Microseconds(100);  // from one to the next
  static constexpr absl::Duration kWindow = absl::Milliseconds(1);

  absl::Duration since_;
  uint64_t done_ = 0;
  bool quick_ = false;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_GATHERING_H_
