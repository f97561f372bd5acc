#include "server/base/utf8.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace sluice {
namespace {

using std::string_view_literals::operator""sv;

TEST(Utf8, AcceptsEveryLengthAtItsLimits) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("\0"sv));
  EXPECT_TRUE(IsValidUtf8("\x7F"));
  EXPECT_TRUE(IsValidUtf8("\xC2\x80"));          // U+0080
  EXPECT_TRUE(IsValidUtf8("\xDF\xBF"));          // U+07FF
  EXPECT_TRUE(IsValidUtf8("\xE0\xA0\x80"));      // U+0800
  EXPECT_TRUE(IsValidUtf8("\xED\x9F\xBF"));      // U+D7FF, the last before the surrogates
  EXPECT_TRUE(IsValidUtf8("\xEE\x80\x80"));      // U+E000, the first after them
  EXPECT_TRUE(IsValidUtf8("\xEF\xBF\xBF"));      // U+FFFF
  EXPECT_TRUE(IsValidUtf8("\xF0\x90\x80\x80"));  // U+10000
  EXPECT_TRUE(IsValidUtf8("\xF4\x8F\xBF\xBF"));  // U+10FFFF
}

TEST(Utf8, RefusesWhatOnlyLooksLikeIt) {
  EXPECT_FALSE(IsValidUtf8("\x80"));              // continuation alone
  EXPECT_FALSE(IsValidUtf8("\xC0\x80"));          // overlong NUL
  EXPECT_FALSE(IsValidUtf8("\xC1\xBF"));          // overlong
  EXPECT_FALSE(IsValidUtf8("\xE0\x9F\xBF"));      // overlong
  EXPECT_FALSE(IsValidUtf8("\xF0\x8F\xBF\xBF"));  // overlong
  EXPECT_FALSE(IsValidUtf8("\xED\xA0\x80"));      // U+D800
  EXPECT_FALSE(IsValidUtf8("\xED\xBF\xBF"));      // U+DFFF
  EXPECT_FALSE(IsValidUtf8("\xF4\x90\x80\x80"));  // U+110000
  EXPECT_FALSE(IsValidUtf8("\xF5\x80\x80\x80"));
  EXPECT_FALSE(IsValidUtf8("\xFF"));
  EXPECT_FALSE(IsValidUtf8("\xC3\x28"));
  EXPECT_FALSE(IsValidUtf8("\xE2\x82\x28"));
}

TEST(Utf8, RefusesACharacterThatIsCutOff) {
  const std::string_view emoji = "\xF0\x9F\x98\x80";
  for (size_t length = 1; length < emoji.size(); ++length) {
    EXPECT_FALSE(IsValidUtf8(emoji.substr(0, length))) << length;
  }
}

// The fast path reads eight bytes at a time: a fault must show wherever it stands.
TEST(Utf8, FindsOneBadByteAtEveryPlace) {
  for (size_t size = 1; size <= 40; ++size) {
    const std::string good(size, 'a');
    EXPECT_TRUE(IsValidUtf8(good));
    for (size_t at = 0; at < size; ++at) {
      std::string bad = good;
      bad[at] = '\xFF';
      EXPECT_FALSE(IsValidUtf8(bad)) << size << " " << at;
    }
  }
}

TEST(Utf8, AcceptsACharacterAcrossEveryBoundary) {
  for (size_t before = 0; before <= 24; ++before) {
    for (size_t after = 0; after <= 24; ++after) {
      const std::string text =
          std::string(before, 'a') + "\xF0\x9F\x98\x80" + std::string(after, 'b');
      EXPECT_TRUE(IsValidUtf8(text)) << before << " " << after;
      EXPECT_EQ(CountCharacters(text), before + 1 + after);
    }
  }
}

TEST(Utf8, CountsCharactersAndNotBytes) {
  EXPECT_EQ(CountCharacters(""), 0u);
  EXPECT_EQ(CountCharacters("a\0b"sv), 3u);
  EXPECT_EQ(CountCharacters("Grüße"), 5u);
  EXPECT_EQ(CountCharacters("日本語"), 3u);
  EXPECT_EQ(CountCharacters("ascii only, longer than a word"), 30u);
}

TEST(SanitizeForMessage, LeavesPlainTextAlone) {
  EXPECT_EQ(SanitizeForMessage("no such table: Grüße 😀", 100), "no such table: Grüße 😀");
}

TEST(SanitizeForMessage, TurnsControlCharactersIntoSpaces) {
  EXPECT_EQ(SanitizeForMessage("a\nb\r\tc\x1B[31md\x7F", 100), "a b  c [31md ");
  EXPECT_EQ(SanitizeForMessage("a\0b"sv, 100), "a b");
  EXPECT_EQ(SanitizeForMessage("a\xC2\x85"
                               "b\xC2\x9B"
                               "c",
                               100),
            "a b c");  // NEL, CSI
  EXPECT_EQ(SanitizeForMessage("a\xE2\x80\xA8"
                               "b\xE2\x80\xA9"
                               "c",
                               100),
            "a b c");  // separators
}

TEST(SanitizeForMessage, ReplacesBadBytes) {
  EXPECT_EQ(SanitizeForMessage("a\xFF\xC3(", 100), "a\xEF\xBF\xBD\xEF\xBF\xBD(");
  EXPECT_TRUE(IsValidUtf8(SanitizeForMessage("\xED\xA0\x80\xF0\x9F", 100)));
}

TEST(SanitizeForMessage, CutsAtACharacter) {
  EXPECT_EQ(SanitizeForMessage("ab😀", 5), "ab");
  EXPECT_EQ(SanitizeForMessage("ab😀", 6), "ab😀");
  EXPECT_EQ(SanitizeForMessage("\xFF\xFF", 5), "\xEF\xBF\xBD");
  EXPECT_EQ(SanitizeForMessage("abc", 0), "");
}

}  // namespace
}  // namespace sluice
