#include "server/base/ids.h"

#include <set>
#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace sluice::ids {
namespace {

constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";

bool HasOnlyDigits(std::string_view text) {
  return text.find_first_not_of(kDigits) == text.npos;
}

TEST(Ids, RandomHasPrefixLengthAndAlphabet) {
  const std::string id = Random("x_", 160);
  EXPECT_EQ(id.substr(0, 2), "x_");
  EXPECT_EQ(id.size(), 2u + 32u);
  EXPECT_TRUE(HasOnlyDigits(id.substr(2))) << id;
  EXPECT_EQ(Random("", 128).size(), 26u);  // 25 digits and three bits
  EXPECT_EQ(Random("", 8).size(), 2u);
}

TEST(Ids, RandomUsesTheWholeAlphabetAndNeverRepeats) {
  std::set<char> seen;
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = Random("", 80);
    seen.insert(id.begin(), id.end());
    ids.insert(id);
  }
  EXPECT_EQ(seen.size(), kDigits.size());
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(IdsDeathTest, RandomRefusesBitsThatAreNoBytes) {
  EXPECT_DEATH(Random("x_", 81), "odd number of bits");
  EXPECT_DEATH(Random("x_", 0), "odd number of bits");
}

TEST(Ids, ConnectionIdCarriesItsChecksum) {
  const std::string id = NewConnectionId();
  EXPECT_EQ(id.substr(0, 5), "conn_");
  EXPECT_EQ(id.size(), 5u + 32u + 6u);
  EXPECT_TRUE(HasOnlyDigits(id.substr(5))) << id;
  EXPECT_TRUE(IsConnectionId(id)) << id;
}

TEST(Ids, OneWrongCharacterBreaksTheChecksum) {
  const std::string id = NewConnectionId();
  for (size_t at = 0; at < id.size(); ++at) {
    std::string wrong = id;
    wrong[at] = wrong[at] == '7' ? '8' : '7';
    EXPECT_FALSE(IsConnectionId(wrong)) << wrong;
  }
}

TEST(Ids, OtherShapesAreNoConnectionIds) {
  const std::string id = NewConnectionId();
  EXPECT_FALSE(IsConnectionId(""));
  EXPECT_FALSE(IsConnectionId("default"));
  EXPECT_FALSE(IsConnectionId(id + "0"));
  EXPECT_FALSE(IsConnectionId(id.substr(0, id.size() - 1)));
  EXPECT_FALSE(IsConnectionId(Random("conn_", 160)));
  std::string upper = id;
  for (char& c : upper) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  EXPECT_FALSE(IsConnectionId(upper));
}

TEST(Ids, ChecksumIsTheLowBitsOfTheCrc32) {
  // Fixed, since secret scanners learn it: CRC-32 of the first part.
  EXPECT_TRUE(IsConnectionId("conn_00000000000000000000000000000000vav580"));
}

TEST(Ids, HandleIsTheBeginningOfTheSha256) {
  EXPECT_EQ(Handle("abc"), "h_ba7816bf");  // FIPS 180-2, appendix B.1
  EXPECT_EQ(Handle(HashOf("abc")), "h_ba7816bf");
  EXPECT_EQ(Handle(""), "h_e3b0c442");
  EXPECT_NE(HashOf("a"), HashOf("b"));
}

TEST(Ids, ATransactionsHandleIsTheBeginningOfTheSha256Too) {
  EXPECT_EQ(TransactionHandle(HashOf("abc")), "tx_ba7816bf8f01");
  EXPECT_EQ(TransactionHandle(HashOf("")), "tx_e3b0c44298fc");
}

TEST(Ids, HashOfIsTheSameOnEveryThread) {
  const Hash here = HashOf("conn_x");
  Hash there{};
  std::thread([&there] { there = HashOf("conn_x"); }).join();
  EXPECT_EQ(here, there);
}

TEST(Ids, RequestIdsAreShortAndDistinctAcrossThreads) {
  std::set<std::string> mine;
  std::set<std::string> others;
  const auto fill = [](std::set<std::string>& ids) {
    for (int i = 0; i < 5000; ++i) ids.insert(NewRequestId());
  };
  std::thread other(fill, std::ref(others));
  fill(mine);
  other.join();
  EXPECT_EQ(mine.size(), 5000u);
  EXPECT_EQ(others.size(), 5000u);
  others.insert(mine.begin(), mine.end());
  EXPECT_EQ(others.size(), 10000u);
  EXPECT_EQ(mine.begin()->size(), 4u + 16u);
  EXPECT_EQ(mine.begin()->substr(0, 4), "req_");
}

TEST(Ids, TransactionIdHasItsBits) {
  const std::string id = NewTransactionId();
  EXPECT_EQ(id.substr(0, 4), "txn_");
  EXPECT_EQ(id.size(), 4u + 26u);
}

}  // namespace
}  // namespace sluice::ids
