#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/postgres/input.h"
#include "tests/unit/db/postgres_message.h"

namespace sluice::postgres {
namespace {

using ::testing::ElementsAre;

constexpr size_t kLimit = 1'000'000;

// Receives `bytes`, at most `most` at once, and calls `take` for each message.
template <class Take>
void Receive(Input& input, absl::string_view bytes, size_t most, Take take) {
  while (!bytes.empty()) {
    const absl::Span<char> room = input.Room();
    ASSERT_FALSE(room.empty());
    const size_t count = std::min({room.size(), bytes.size(), most});
    std::memcpy(room.data(), bytes.data(), count);
    bytes.remove_prefix(count);
    input.Add(count);
    while (const std::optional<ServerMessage> message = input.Next()) take(*message);
  }
}

std::vector<std::string> Messages(const std::string& bytes, size_t most) {
  Input input(kLimit);
  std::vector<std::string> out;
  Receive(input, bytes, most, [&](const ServerMessage& message) {
    out.push_back(static_cast<char>(message.type) + std::string(message.body));
  });
  return out;
}

TEST(Input, GivesMessagesHoweverTheyAreCut) {
  const std::string large(100'000, 'x');
  const std::string bytes =
      MessageOf('Z', "I") + MessageOf('1', "") + MessageOf('D', large) + MessageOf('C', "SELECT 1");
  for (const size_t most : {1, 2, 3, 5, 7, 1000, 1'000'000}) {
    EXPECT_THAT(Messages(bytes, most), ElementsAre("ZI", "1", "D" + large, "CSELECT 1")) << most;
  }
}

TEST(Input, LeavesABufferAloneThatIsKept) {
  Input input(kLimit);
  std::vector<std::shared_ptr<const Input::Buffer>> kept;
  std::vector<absl::string_view> rows;
  std::string bytes;
  std::vector<std::string> expected;
  for (int i = 0; i < 5'000; ++i) {
    expected.push_back("row " + std::to_string(i) + std::string(static_cast<size_t>(i % 97), '.'));
    bytes += MessageOf('D', expected.back());
    if (i % 500 == 0) {
      expected.emplace_back(50'000, static_cast<char>('a' + i / 500));
      bytes += MessageOf('D', expected.back());
    }
  }
  Receive(input, bytes, 9'999, [&](const ServerMessage& message) {
    rows.push_back(message.body);
    if (kept.empty() || kept.back() != input.buffer()) kept.push_back(input.buffer());
  });
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), expected.begin(), expected.end()));
}

TEST(Input, UsesABufferAgainThatNobodyKeeps) {
  Input input(kLimit);
  const std::string bytes = MessageOf('D', "row");
  const Input::Buffer* first = nullptr;
  for (int i = 0; i < 10'000; ++i) {
    Receive(input, bytes, bytes.size(), [](const ServerMessage&) {});
    if (first == nullptr) first = input.buffer().get();
    ASSERT_EQ(input.buffer().get(), first);
  }
}

TEST(Input, LetsGoOfALargeBufferWhenItRests) {
  Input input(kLimit);
  Receive(input, MessageOf('D', std::string(500'000, 'x')), 500, [](const ServerMessage&) {});
  ASSERT_GE(input.buffer()->size, 500'000u);
  input.Rest();
  EXPECT_EQ(input.buffer(), nullptr);
  Receive(input, MessageOf('D', "row"), 500, [](const ServerMessage&) {});
  EXPECT_LE(input.buffer()->size, 16'384u);
}

TEST(Input, TakesNoLengthThatNoMessageHas) {
  for (const size_t length : {0, 1, 2, 3}) {
    Input input(kLimit);
    Receive(input, "D" + Int32(length), 5, [](const ServerMessage&) { FAIL(); });
    EXPECT_TRUE(input.broken()) << length;
  }
}

TEST(Input, TakesNothingThatIsTooLong) {
  Input input(1'000);
  Receive(input, "D" + Int32(1'000) + std::string(996, 'x'), 500, [](const ServerMessage&) {});
  EXPECT_FALSE(input.too_long());
  for (const size_t length : {size_t{1'001}, size_t{0x7fffffff}, size_t{0xffffffff}}) {
    Input fresh(1'000);
    Receive(fresh, "T" + Int32(length), 5, [](const ServerMessage&) { FAIL(); });
    EXPECT_TRUE(fresh.too_long()) << length;
  }
}

}  // namespace
}  // namespace sluice::postgres
