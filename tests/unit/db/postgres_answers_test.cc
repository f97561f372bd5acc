#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/postgres/answers.h"

namespace sluice::postgres {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using namespace std::string_literals;  // NOLINT(google-build-using-namespace): bytes with NULs

using Kind = Result::Kind;
using Taken = Answers::Taken;

struct Sent {
  char type;
  std::string body;
};

// One column, an integer in binary.
const char kColumns[] = "\0\1n\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\1";
const char kTwoColumns[] =
    "\0\2n\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\1"
    "m\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\1";

const Sent kParsed{'1', ""};
const Sent kBound{'2', ""};
const Sent kNoColumns{'n', ""};
const Sent kTaking{'t', "\0\1\0\0\0\x19"s};
const Sent kGiving{'T', {kColumns, sizeof kColumns - 1}};
const Sent kRow{'D', "\0\1\0\0\0\4\0\0\0\7"s};
const Sent kSelected{'C', "SELECT 1\0"s};
const Sent kCommitted{'C', "COMMIT\0"s};
const Sent kFailed{'E', "C23505\0Mtwice\0\0"s};
const Sent kReady{'Z', "I"};

Answers::Expected Prepare() {
  Answers::Expected expected;
  expected.parse = true;
  return expected;
}

Answers::Expected Describe() {
  Answers::Expected expected;
  expected.parameters = expected.columns = true;
  return expected;
}

Answers::Expected Execute(std::shared_ptr<const Columns> shape = nullptr) {
  Answers::Expected expected;
  expected.bind = expected.execution = true;
  expected.columns = shape == nullptr;
  expected.shape = std::move(shape);
  return expected;
}

// A trip, and the server it is sent to.
class Trip {
 public:
  explicit Trip(std::vector<Answers::Expected> expected = {}) {
    for (Answers::Expected& each : expected) answers.Expect(std::move(each));
    if (expected.empty()) answers.ExpectCommands();
  }

  Taken Take(const Sent& sent) {
    auto buffer = std::make_shared<Input::Buffer>(sent.body.size() + 1);
    std::memcpy(buffer->bytes.get(), sent.body.data(), sent.body.size());
    const ServerMessage message{static_cast<MessageType>(sent.type),
                                {buffer->bytes.get(), sent.body.size()}};
    return answers.Take(message, buffer, results);
  }

  // What came of the last.
  Taken TakeAll(const std::vector<Sent>& all) {
    Taken taken = Taken::kMore;
    for (const Sent& sent : all) taken = Take(sent);
    return taken;
  }

  std::vector<Kind> Kinds() const {
    std::vector<Kind> kinds;
    for (const Result& result : results) kinds.push_back(result.kind());
    return kinds;
  }

  Answers answers;
  Results results;
};

TEST(Answers, MakeAResultOfEachMessage) {
  Trip trip({Prepare(), Describe(), Execute()});
  ASSERT_EQ(
      trip.TakeAll({kParsed, kTaking, kGiving, kBound, kGiving, kRow, kRow, kSelected, kReady}),
      Taken::kReady);
  EXPECT_THAT(trip.Kinds(), ElementsAre(Kind::kDone, Kind::kDone, Kind::kRows));
  EXPECT_EQ(trip.results[1].parameters(), 1);
  EXPECT_EQ(trip.results[1].parameter(0), 25u);
  EXPECT_EQ(trip.results[1].name(0), "n");
  const Result& rows = trip.results[2];
  ASSERT_EQ(rows.rows(), 2);
  EXPECT_EQ(rows.text(1, 0), "\0\0\0\7"s);
  EXPECT_EQ(rows.format(0), Format::kBinary);
  EXPECT_EQ(rows.tag(), "SELECT 1");
  EXPECT_EQ(rows.affected(), 1);
  EXPECT_EQ(trip.answers.block(), Block::kNone);
}

TEST(Answers, NeedNoDescriptionOfWhatIsKnown) {
  Trip first({Execute()});
  ASSERT_EQ(first.TakeAll({kBound, kGiving, kSelected, kReady}), Taken::kReady);
  Trip second({Execute(first.results[0].shape()), Execute(first.results[0].shape())});
  ASSERT_EQ(second.TakeAll({kBound, kRow, kSelected, kBound, kSelected, kReady}), Taken::kReady);
  EXPECT_THAT(second.Kinds(), ElementsAre(Kind::kRows, Kind::kRows));
  EXPECT_EQ(second.results[0].rows(), 1);
  EXPECT_EQ(second.results[1].rows(), 0);
  EXPECT_EQ(second.results[1].columns(), 1);
}

TEST(Answers, AreEmptyBeyondWhatCame) {
  Trip trip({Execute()});
  trip.TakeAll({kBound, kGiving, kRow, kSelected, kReady});
  const Result& result = trip.results[0];
  for (const auto& [row, column] : {std::pair(1, 0), std::pair(0, 1), std::pair(7, 7)}) {
    EXPECT_TRUE(result.is_null(row, column));
    EXPECT_EQ(result.text(row, column), "");
  }
  EXPECT_EQ(result.type(1), 0u);
  EXPECT_EQ(result.name(9), "");
}

TEST(Answers, SkipWhatFollowsAFailure) {
  Trip trip({Prepare(), Execute(), Execute()});
  ASSERT_EQ(trip.TakeAll({kParsed, kBound, kGiving, kRow, kFailed, {'Z', "E"}}), Taken::kReady);
  EXPECT_THAT(trip.Kinds(), ElementsAre(Kind::kDone, Kind::kError, Kind::kSkipped));
  EXPECT_EQ(trip.results[1].error().sqlstate, "23505");
  EXPECT_EQ(trip.results[1].rows(), 0);
  EXPECT_EQ(trip.answers.block(), Block::kFailed);
}

TEST(Answers, TellAFailureOfTheEndItself) {
  Trip trip({Execute()});
  ASSERT_EQ(trip.TakeAll({kBound, kNoColumns, kCommitted, kFailed, kReady}), Taken::kReady);
  EXPECT_THAT(trip.Kinds(), ElementsAre(Kind::kDone, Kind::kError));
}

TEST(Answers, OfCommandsAreAsManyAsThereAre) {
  Trip trip;
  ASSERT_EQ(trip.Take({'C', "BEGIN\0"s}), Taken::kMore);
  ASSERT_EQ(trip.Take({'G', "\1\0\0"s}), Taken::kCopyIn);
  ASSERT_EQ(trip.TakeAll({{'C', "COPY 5\0"s}, kReady}), Taken::kReady);
  ASSERT_EQ(trip.results.size(), 2u);
  EXPECT_EQ(trip.results[1].affected(), 5);
  Trip nothing;
  EXPECT_EQ(nothing.Take(kReady), Taken::kStrange);
}

// At each place of a conversation, whatever does not belong there.
TEST(Answers, TakeNothingThatIsOutOfPlace) {
  const std::vector<Sent> all = {kParsed,   kBound,     kTaking,   kNoColumns, kGiving,
                                 kRow,      kCommitted, kFailed,   kReady,     {'I', ""},
                                 {'G', ""}, {'s', ""},  {'H', ""}, {'K', ""},  {'3', ""}};
  const std::vector<std::pair<Sent, std::string>> conversation = {
      {kParsed, "1E"},  {kTaking, "tE"}, {kGiving, "TnE"},    {kBound, "2E"},
      {kGiving, "TnE"}, {kRow, "DCIE"},  {kSelected, "DCIE"}, {kReady, "ZE"}};
  for (size_t place = 0; place < conversation.size(); ++place) {
    for (const Sent& wrong : all) {
      Trip trip({Prepare(), Describe(), Execute()});
      for (size_t i = 0; i < place; ++i) ASSERT_EQ(trip.Take(conversation[i].first), Taken::kMore);
      const bool belongs = conversation[place].second.find(wrong.type) != std::string::npos;
      EXPECT_EQ(trip.Take(wrong) != Taken::kStrange, belongs) << wrong.type << " at " << place;
    }
  }
}

TEST(Answers, TakeNoRowOfOtherColumns) {
  Trip fewer({Execute()});
  EXPECT_EQ(fewer.TakeAll({kBound, {'T', {kTwoColumns, sizeof kTwoColumns - 1}}, kRow}),
            Taken::kStrange);
  Trip none({Execute()});
  EXPECT_EQ(none.TakeAll({kBound, kNoColumns, kRow}), Taken::kStrange);
  Trip commands;
  EXPECT_EQ(commands.Take(kGiving), Taken::kStrange);
}

TEST(Answers, KeepNoMoreThanTheyMay) {
  Trip rows({Execute()});
  rows.TakeAll({kBound, kGiving});
  const Sent large{'D', "\0\1\0\x0f\xff\xff"s + std::string(0x0fffff, 'x')};
  int count = 0;
  while (rows.Take(large) == Taken::kMore) ASSERT_LT(++count, 129);
  EXPECT_GT(count, 120);
  Trip commands;
  int64_t many = 0;
  Taken taken = Taken::kMore;
  while (taken == Taken::kMore && many < 2'000'000) {
    taken = commands.Take(kCommitted);
    ++many;
  }
  EXPECT_EQ(taken, Taken::kTooMuch);
  EXPECT_LT(many * static_cast<int64_t>(sizeof(Result)), Answers::kMost);
}

}  // namespace
}  // namespace sluice::postgres
