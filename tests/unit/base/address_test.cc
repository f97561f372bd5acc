#include "server/base/address.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string Canonical(absl::string_view text) {
  const auto address = ParseListenAddress(text);
  return address.ok() ? address->ToString() : "refused";
}

std::string WhyNot(absl::string_view text) {
  return std::string(ParseListenAddress(text).status().message());
}

TEST(ListenAddress, TakesLoopbackInBothFamilies) {
  EXPECT_EQ(Canonical("127.0.0.1:50051"), "127.0.0.1:50051");
  EXPECT_EQ(Canonical("127.0.0.1:0"), "127.0.0.1:0");
  EXPECT_EQ(Canonical("127.1.2.3:65535"), "127.1.2.3:65535");
  EXPECT_EQ(Canonical("[::1]:50051"), "[::1]:50051");
  EXPECT_EQ(Canonical("localhost:50051"), "127.0.0.1:50051");
}

TEST(ListenAddress, TakesUnixSockets) {
  const auto address = ParseListenAddress("unix:/run/sluice.sock");
  ASSERT_TRUE(address.ok());
  EXPECT_TRUE(address->is_unix());
  EXPECT_EQ(address->path, "/run/sluice.sock");
  EXPECT_EQ(Canonical("unix:relative.sock"), "unix:relative.sock");
  EXPECT_EQ(Canonical("unix:///run/sluice.sock"), "unix:/run/sluice.sock");
}

TEST(ListenAddress, RefusesEverythingThatOthersCouldReach) {
  for (const char* open : {"0.0.0.0:50051", "192.168.1.5:50051", "[::]:50051", "[fe80::1]:1",
                           "[::ffff:127.0.0.1]:1", "example.org:443", "127.0.0.1.nip.io:1",
                           "0177.0.0.1:1", "2130706433:1", "unix-abstract:name:1", "dns:x:1"}) {
    EXPECT_EQ(Canonical(open), "refused") << open;
  }
  EXPECT_THAT(WhyNot("0.0.0.0:50051"), HasSubstr("no authentication yet"));
  EXPECT_THAT(WhyNot("[::]:50051"), HasSubstr("127.0.0.1"));
}

TEST(ListenAddress, RefusesWhatIsNoAddress) {
  for (const char* wrong :
       {"", "50051", ":50051", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "127.0.0.1:-1", "::1:50051", "[::1:50051", "::1]:1", "[]:1", "unix:"}) {
    EXPECT_EQ(Canonical(wrong), "refused") << wrong;
  }
  EXPECT_THAT(WhyNot("127.0.0.1:70000"), HasSubstr("0 to 65535"));
  EXPECT_THAT(WhyNot("50051"), HasSubstr("127.0.0.1:PORT"));
}

TEST(ListenAddress, RefusesASocketPathThatTheSystemWouldCut) {
  EXPECT_NE(Canonical("unix:" + std::string(107, 'a')), "refused");
  EXPECT_EQ(Canonical("unix:" + std::string(108, 'a')), "refused");
  EXPECT_THAT(WhyNot("unix:" + std::string(108, 'a')), HasSubstr("107"));
}

TEST(Ports, AreNumbersBetweenCommas) {
  EXPECT_THAT(*ParsePorts("5432,6432"), testing::ElementsAre(5432, 6432));
  EXPECT_THAT(*ParsePorts("1"), testing::ElementsAre(1));
  EXPECT_THAT(*ParsePorts(""), testing::IsEmpty());
  for (const char* text : {"0", "65536", "a", "5432,", ",", "5432;6432", "-1"}) {
    EXPECT_FALSE(ParsePorts(text).ok()) << text;
  }
}

}  // namespace
}  // namespace sluice
