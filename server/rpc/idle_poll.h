// IdlePoll: whether a loop that has nothing to do should look again for a while before it sleeps.
#ifndef SLUICE_SERVER_RPC_IDLE_POLL_H_
#define SLUICE_SERVER_RPC_IDLE_POLL_H_

#include <algorithm>

#include "absl/time/time.h"

namespace sluice::rpc {

// To fall asleep and be woken costs a thread some ten microseconds of CPU, and its caller several
// times as much where the processor rests meanwhile, in a virtual machine above all. Where the next
// event mostly comes soon, as from a caller who sends one request after the other, it is cheaper to
// wait awake. Two kinds of loop must not: one with few calls, which would wait awake for nothing,
// and one with many callers, whose processor never rests for long anyway. So each wait counts for
// or against it, those against it more. Of one loop, on its thread.
class IdlePoll {
 public:
  // The longest wait that is worth it.
  static constexpr absl::Duration kLongest = absl::Microseconds(200);

  // Who yields the processor and has it back only after longer has neighbours that need it.
  static constexpr absl::Duration kTaken = absl::Microseconds(500);

  // More statements than these wait for work of a database, which needs the processor itself.
  static constexpr int kFewUnderWay = 8;

  // Whether waiting awake is likely to pay.
  bool pays() const { return score_ > 0; }

  // The loop had handled `events`, and waited for the next one for `gap`.
  void Learn(absl::Duration gap, int events) {
    score_ = std::clamp(score_ + Points(gap, events), -kMost, kMost);
  }

  // The processor was taken by others while the loop waited awake, who are favoured over one that
  // never sleeps.
  void LearnTaken() { score_ = -kMost; }

 private:
  static constexpr int kMost = 8;
  static constexpr absl::Duration kShort = absl::Microseconds(20);  // less than it costs to sleep
  // A call is three events, a message of a stream two.
  static constexpr int kOneCaller = 5;
  static constexpr int kFewCallers = 12;

  static int Points(absl::Duration gap, int events) {
    if (gap >= kLongest) return -2;
    return events <= kOneCaller || (events <= kFewCallers && gap < kShort) ? 1 : -3;
  }

  int score_ = 0;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_IDLE_POLL_H_
