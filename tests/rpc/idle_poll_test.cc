#include "server/rpc/idle_poll.h"

#include "gtest/gtest.h"

namespace sluice::rpc {
namespace {

constexpr int kCall = 3;  // events of one
constexpr int kCalls = 2 * kCall;

const absl::Duration kInstant = absl::Microseconds(10);  // less than it takes to sleep
const absl::Duration kSoon = absl::Microseconds(50);
const absl::Duration kLate = IdlePoll::kLongest;

void Learn(IdlePoll& poll, absl::Duration gap, int events, int times) {
  for (int i = 0; i < times; ++i) poll.Learn(gap, events);
}

TEST(IdlePollTest, ALoopThatKnowsNothingSleeps) {
  EXPECT_FALSE(IdlePoll().pays());
}

TEST(IdlePollTest, OneCallAfterTheOtherKeepsItAwake) {
  IdlePoll poll;
  Learn(poll, kSoon, kCall, 10);
  EXPECT_TRUE(poll.pays());
}

TEST(IdlePollTest, AFewCallersWhoseCallsComeAtOnceKeepItAwake) {
  IdlePoll poll;
  Learn(poll, kInstant, kCalls, 10);
  EXPECT_TRUE(poll.pays());
}

TEST(IdlePollTest, ABusyLoopSleepsWhenItCan) {
  IdlePoll poll;
  Learn(poll, kSoon, kCall, 10);
  Learn(poll, kInstant, 10 * kCall, 3);
  EXPECT_FALSE(poll.pays());
}

TEST(IdlePollTest, ALateCallNowAndThenChangesNothing) {
  IdlePoll poll;
  Learn(poll, kSoon, kCall, 10);
  for (int i = 0; i < 100; ++i) {
    poll.Learn(kLate, kCall);
    EXPECT_TRUE(poll.pays());
    Learn(poll, kSoon, kCall, 3);
  }
}

TEST(IdlePollTest, WhereOthersNeedTheProcessorItSleeps) {
  IdlePoll poll;
  Learn(poll, kSoon, kCall, 10);
  poll.LearnTaken();
  Learn(poll, kSoon, kCall, 8);
  EXPECT_FALSE(poll.pays());
}

TEST(IdlePollTest, ItGivesUpAfterAFewLateCallsHoweverManyWereNot) {
  IdlePoll poll;
  Learn(poll, kSoon, kCall, 1000);
  Learn(poll, kLate, kCall, 4);
  EXPECT_FALSE(poll.pays());
}

TEST(IdlePollTest, ItBeginsAnewSoonHoweverLongTheLoopWasQuiet) {
  IdlePoll poll;
  Learn(poll, kLate, kCall, 1000);
  Learn(poll, kSoon, kCall, 9);
  EXPECT_TRUE(poll.pays());
}

TEST(IdlePollTest, ManyCallersWhoComeAtRandomLetItSleep) {
  IdlePoll poll;
  int polled = 0;
  for (int i = 0; i < 100; ++i) {
    poll.Learn(kSoon, kCall);
    polled += poll.pays() ? 1 : 0;
    poll.Learn(kSoon, kCalls);
  }
  EXPECT_LE(polled, 1);
}

TEST(IdlePollTest, AQuietLoopSleepsThoughEachCallIsABurst) {
  IdlePoll poll;
  int polled = 0;
  for (int i = 0; i < 100; ++i) {
    poll.Learn(kInstant, 1);
    polled += poll.pays() ? 1 : 0;
    poll.Learn(kLate, kCall);
  }
  EXPECT_LE(polled, 1);
}

}  // namespace
}  // namespace sluice::rpc
