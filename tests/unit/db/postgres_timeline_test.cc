#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "server/db/postgres/timeline.h"
#include "tests/support/matchers.h"

namespace sluice::postgres {
namespace {

using test::IsOk;

const Timeline kTimeline{"7361842290112358132", "00000002", "1763840000.123456"};
const std::string kRequest = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\xff";

TEST(Timeline, ATokenSaysWhatItWasMadeOf) {
  for (const OutcomeToken& made :
       {OutcomeToken{"", "876", kTimeline}, OutcomeToken{kRequest, "", {}},
        OutcomeToken{kRequest, "18446744073709551", kTimeline}}) {
    const std::string text = Pack(made);
    EXPECT_LE(text.size(), 256u);
    const auto read = Unpack(text);
    ASSERT_THAT(read, IsOk()) << text;
    EXPECT_EQ(read->request, made.request);
    EXPECT_EQ(read->number, made.number);
    EXPECT_EQ(read->timeline.system, made.timeline.system);
    EXPECT_EQ(read->timeline.number, made.timeline.number);
    EXPECT_EQ(read->timeline.start, made.timeline.start);
  }
}

TEST(Timeline, WhatIsNoTokenIsRefused) {
  const std::string good = Pack({"", "876", kTimeline});
  for (const std::string& bad :
       {std::string(), std::string("v1"), good + ":", "v2" + good.substr(2), good.substr(1),
        Pack({"", "", kTimeline}), Pack({"short", "876", kTimeline}), Pack({"", "8 76", kTimeline}),
        Pack({"", "-876", kTimeline}), Pack({"", std::string(20, '9'), kTimeline}),
        "v1:zz" + std::string(30, '0') + ":876:1:2:3", "v1:" + std::string(32, 'A') + ":876:1:2:3",
        good + std::string(256, '0')}) {
    EXPECT_THAT(Unpack(bad), test::Fails(absl::StatusCode::kInvalidArgument, "PARAMETER_INVALID"))
        << bad;
  }
}

}  // namespace
}  // namespace sluice::postgres
