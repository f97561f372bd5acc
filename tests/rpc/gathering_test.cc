#include "server/rpc/gathering.h"

#include "gtest/gtest.h"

namespace sluice::rpc {
namespace {

constexpr int kMany = 32;

// Asks every 100 µs for 10 ms, while `each` answers come meanwhile.
bool PaysAtLast(Gathering& gathering, int under_way, uint64_t each) {
  bool pays = false;
  uint64_t done = 0;
  for (int i = 1; i <= 100; ++i) {
    done += each;
    pays = gathering.Pays(under_way, done, absl::Seconds(5) + i * absl::Microseconds(100));
  }
  return pays;
}

TEST(GatheringTest, ManyThatComeQuicklyAreGathered) {
  Gathering gathering;
  EXPECT_TRUE(PaysAtLast(gathering, kMany, 2));
}

TEST(GatheringTest, AFewAreNotKeptWaiting) {
  Gathering gathering;
  EXPECT_FALSE(PaysAtLast(gathering, 5, 2));
}

TEST(GatheringTest, ManyThatComeSlowlyAreNotKeptWaiting) {
  Gathering gathering;
  EXPECT_FALSE(PaysAtLast(gathering, kMany, 0));
}

TEST(GatheringTest, ItEndsWhenTheyComeSlowlyAgain) {
  Gathering gathering;
  EXPECT_TRUE(PaysAtLast(gathering, kMany, 2));
  EXPECT_FALSE(gathering.Pays(kMany, 201, absl::Seconds(6)));
}

}  // namespace
}  // namespace sluice::rpc
