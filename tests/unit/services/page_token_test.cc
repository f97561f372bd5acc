#include "server/services/page_token.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

using ::testing::ElementsAre;

TEST(PageToken, GivesBackTheKey) {
  const std::string token = MakePageToken("list", {"3:x", std::string("\0é", 3)});
  const auto key = ReadPageToken("list", token, 2);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_THAT(*key, ElementsAre("3:x", std::string("\0é", 3)));
}

TEST(PageToken, IsTheSameAfterARestart) {
  EXPECT_EQ(MakePageToken("list", {"name", "handle"}), MakePageToken("list", {"name", "handle"}));
}

TEST(PageToken, IsRefusedByAnotherList) {
  const std::string token = MakePageToken("list", {"name"});
  EXPECT_EQ(InvalidField(ReadPageToken("lists", token, 1).status()), "page_token");
}

TEST(PageToken, IsRefusedWithAnotherNumberOfParts) {
  const std::string token = MakePageToken("list", {"a", "b"});
  EXPECT_FALSE(ReadPageToken("list", token, 1).ok());
  EXPECT_FALSE(ReadPageToken("list", token, 3).ok());
}

TEST(PageToken, IsRefusedWhenAnyOfItWasChanged) {
  const std::string token = MakePageToken("list", {"name", "handle"});
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '=') continue;
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(ReadPageToken("list", changed, 2).ok()) << changed;
  }
  for (const char* wrong : {"x", "!", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAA"}) {
    EXPECT_EQ(InvalidField(ReadPageToken("list", wrong, 2).status()), "page_token") << wrong;
  }
}

}  // namespace
}  // namespace sluice::services
