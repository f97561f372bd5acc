#include "server/services/protobuf_time.h"

#include "gtest/gtest.h"

namespace sluice::services {
namespace {

TEST(ProtobufTime, ADurationKeepsItsNanoseconds) {
  google::protobuf::Duration message;
  SetDuration(absl::Seconds(3) + absl::Nanoseconds(7), message);
  EXPECT_EQ(message.seconds(), 3);
  EXPECT_EQ(message.nanos(), 7);
  SetDuration(absl::Milliseconds(-1500), message);
  EXPECT_EQ(message.seconds(), -1);
  EXPECT_EQ(message.nanos(), -500'000'000);
}

TEST(ProtobufTime, NanosecondsOfAnInstantAreNeverNegative) {
  google::protobuf::Timestamp message;
  SetTimestamp(absl::FromUnixMillis(-1), message);
  EXPECT_EQ(message.seconds(), -1);
  EXPECT_EQ(message.nanos(), 999'000'000);
}

}  // namespace
}  // namespace sluice::services
