#include "server/services/page_token.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

using ::testing::ElementsAre;

const PageTokens& Tokens() {
  static const auto* const tokens = new PageTokens("a key");
  return *tokens;
}

TEST(PageToken, GivesBackTheKey) {
  const std::string token = Tokens().Make("list", {"3:x", std::string("\0é", 3)});
  const auto key = Tokens().Read("list", token, 2);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_THAT(*key, ElementsAre("3:x", std::string("\0é", 3)));
}

TEST(PageToken, IsTheSameAfterARestart) {
  const std::string token = PageTokens("a key").Make("list", {"name", "handle"});
  EXPECT_TRUE(PageTokens("a key").Read("list", token, 2).ok());
}

TEST(PageToken, CannotBeMadeWithoutTheKey) {
  const std::string token = PageTokens("another key").Make("list", {"name"});
  EXPECT_EQ(InvalidField(Tokens().Read("list", token, 1).status()), "page_token");
}

TEST(PageToken, IsRefusedByAnotherList) {
  const std::string token = Tokens().Make("list", {"name"});
  EXPECT_EQ(InvalidField(Tokens().Read("lists", token, 1).status()), "page_token");
}

TEST(PageToken, IsRefusedWithAnotherNumberOfParts) {
  const std::string token = Tokens().Make("list", {"a", "b"});
  EXPECT_FALSE(Tokens().Read("list", token, 1).ok());
  EXPECT_FALSE(Tokens().Read("list", token, 3).ok());
}

TEST(PageToken, IsRefusedWhenAnyOfItWasChanged) {
  const std::string token = Tokens().Make("list", {"name", "handle"});
  for (size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '=') continue;
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(Tokens().Read("list", changed, 2).ok()) << changed;
  }
  for (const char* wrong : {"x", "!", "AAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAA"}) {
    EXPECT_EQ(InvalidField(Tokens().Read("list", wrong, 2).status()), "page_token") << wrong;
  }
}

}  // namespace
}  // namespace sluice::services
