#include "server/base/nearest.h"

#include <string>

#include "gtest/gtest.h"

namespace sluice {
namespace {

TEST(EditDistance, CountsTheFourKindsOfMistakes) {
  EXPECT_EQ(EditDistance("listen", "listen"), 0u);
  EXPECT_EQ(EditDistance("listn", "listen"), 1u);
  EXPECT_EQ(EditDistance("llisten", "listen"), 1u);
  EXPECT_EQ(EditDistance("liszen", "listen"), 1u);
  EXPECT_EQ(EditDistance("litsen", "listen"), 1u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("abc", ""), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
}

TEST(Nearest, FindsTheLikelyName) {
  const std::vector<std::string> names = {"listen", "limits.max_rows", "limits.max_bytes",
                                          "log.level"};
  EXPECT_EQ(Nearest("lsten", names), "listen");
  EXPECT_EQ(Nearest("limit.max_row", names), "limits.max_rows");
  EXPECT_EQ(Nearest("limits.max_byte", names), "limits.max_bytes");
  EXPECT_EQ(Nearest("max_bytes", names), "limits.max_bytes");
  EXPECT_EQ(Nearest("log_level", names), "log.level");
}

TEST(Nearest, DoesNotGuessWildly) {
  EXPECT_EQ(Nearest("port", {"listen", "log.level"}), "");
  EXPECT_EQ(Nearest("", {"listen"}), "");
  EXPECT_EQ(Nearest(std::string(100'000, 'x'), {"listen"}), "");
}

}  // namespace
}  // namespace sluice
