#include "client/row_stream.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/errors.h"
#include "client/values.h"

namespace sluice::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Message = v1::StreamQueryResponse;

// What a test sees of a source after its stream is gone.
struct Seen {
  bool cancelled = false;
  int finished = 0;
};

// Messages from a list, then the call's status.
class ListSource final : public MessageSource {
 public:
  ListSource(std::vector<Message> messages, absl::Status status, Seen* seen)
      : messages_(std::move(messages)), status_(std::move(status)), seen_(*seen) {}

  bool Read(Message* message) override {
    if (seen_.cancelled || next_ >= messages_.size()) return false;
    *message = messages_[next_++];
    return true;
  }

  absl::Status Finish() override {
    ++seen_.finished;
    return status_;
  }

  void Cancel() override { seen_.cancelled = true; }

 private:
  std::vector<Message> messages_;
  absl::Status status_;
  Seen& seen_;
  size_t next_ = 0;
};

Message Head(std::vector<std::string> columns) {
  Message message;
  message.set_has_columns(true);
  for (std::string& name : columns) message.add_columns()->set_name(std::move(name));
  return message;
}

template <class... Values>
void AddRow(Message* message, const Values&... values) {
  v1::Row* const row = message->add_rows();
  (static_cast<void>(*row->add_values() = ToValue(values)), ...);
}

Message Rows(int64_t offset, const std::vector<int>& values) {
  Message message;
  message.set_row_offset(offset);
  for (const int value : values) AddRow(&message, value);
  return message;
}

v1::Value Split(v1::ValueType type, uint64_t size) {
  v1::Value value;
  value.mutable_split_value()->set_type(type);
  value.mutable_split_value()->set_size(size);
  return value;
}

Message Part(uint64_t row, uint32_t column, uint64_t offset, const std::string& data) {
  Message message;
  message.mutable_part()->set_row(row);
  message.mutable_part()->set_column(column);
  message.mutable_part()->set_offset(offset);
  message.mutable_part()->set_data(data);
  return message;
}

Message Last(int64_t rows) {
  Message message;
  message.set_last(true);
  message.set_row_count(rows);
  message.set_command_tag("SELECT");
  return message;
}

// Reads a stream to its end: the first column of each row as debug text, then how it ended.
struct Result {
  std::vector<std::string> rows;
  absl::Status status;
};

Result Drain(RowStream& stream) {
  Result result;
  for (;;) {
    const auto row = stream.Next();
    if (!row.ok()) {
      result.status = row.status();
      return result;
    }
    if (*row == nullptr) return result;
    std::string text;
    for (const v1::Value& value : (*row)->values()) {
      if (!text.empty()) text += ' ';
      text += value.ShortDebugString();
    }
    result.rows.push_back(text);
  }
}

Result ReadAll(std::vector<Message> messages, absl::Status status = absl::OkStatus()) {
  Seen seen;
  auto stream =
      RowStream::Open(std::make_unique<ListSource>(std::move(messages), std::move(status), &seen));
  if (!stream.ok()) return {{}, stream.status()};
  return Drain(**stream);
}

std::string ReasonOf(const absl::Status& status) {
  return DecodeError(status).reason;
}

TEST(RowStream, RowsOfAllMessagesComeInOrder) {
  const Result result = ReadAll({Head({"n"}), Rows(0, {1, 2}), Rows(2, {3}), Last(3)});
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(result.rows, ElementsAre("int64_value: 1", "int64_value: 2", "int64_value: 3"));
}

TEST(RowStream, RowsMayRideInTheFirstMessage) {
  Message head = Head({"n"});
  AddRow(&head, 1);
  const Result result = ReadAll({head, Last(1)});
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_EQ(result.rows.size(), 1U);
}

TEST(RowStream, ColumnsAndClosingFactsAreKept) {
  Seen seen;
  auto stream = RowStream::Open(std::make_unique<ListSource>(
      std::vector<Message>{Head({"a", "b"}), Last(0)}, absl::OkStatus(), &seen));
  ASSERT_TRUE(stream.ok());
  EXPECT_TRUE((*stream)->HasColumns());
  ASSERT_EQ((*stream)->Columns().size(), 2);
  EXPECT_EQ((*stream)->Columns()[1].name(), "b");
  EXPECT_EQ(*(*stream)->Next(), nullptr);
  EXPECT_EQ(*(*stream)->Next(), nullptr) << "the end stays the end";
  EXPECT_EQ((*stream)->Summary().command_tag(), "SELECT");
  EXPECT_EQ(seen.finished, 1);
}

TEST(RowStream, AStatementWithoutAResultHasNoColumns) {
  Message last = Last(0);
  last.set_rows_affected(2);
  Seen seen;
  auto stream = RowStream::Open(
      std::make_unique<ListSource>(std::vector<Message>{Message(), last}, absl::OkStatus(), &seen));
  ASSERT_TRUE(stream.ok());
  EXPECT_FALSE((*stream)->HasColumns());
  EXPECT_EQ(*(*stream)->Next(), nullptr);
  EXPECT_EQ((*stream)->Summary().rows_affected(), 2);
}

TEST(RowStream, AnErrorBeforeTheFirstMessageIsMetAtOpen) {
  Seen seen;
  const auto stream = RowStream::Open(std::make_unique<ListSource>(
      std::vector<Message>{}, absl::InvalidArgumentError("no such table"), &seen));
  EXPECT_EQ(stream.status().message(), "no such table");
  EXPECT_EQ(seen.finished, 1);
}

TEST(RowStream, AnErrorAfterRowsComesAfterThem) {
  const Result result = ReadAll({Head({"n"}), Rows(0, {1})}, absl::AbortedError("too old"));
  EXPECT_EQ(result.rows.size(), 1U);
  EXPECT_EQ(result.status.message(), "too old");
}

TEST(RowStream, ItDrainsWhereAMessageEnds) {
  Seen seen;
  auto stream = RowStream::Open(std::make_unique<ListSource>(
      std::vector<Message>{Head({"n"}), Rows(0, {1, 2}), Last(2)}, absl::OkStatus(), &seen));
  ASSERT_TRUE(stream.ok());
  EXPECT_TRUE((*stream)->Drained());
  ASSERT_TRUE((*stream)->Next().ok());
  EXPECT_FALSE((*stream)->Drained());
  ASSERT_TRUE((*stream)->Next().ok());
  EXPECT_TRUE((*stream)->Drained());
}

TEST(RowStream, SplitValuesAreJoined) {
  Message rows;
  AddRow(&rows, 1, "whole", "x");
  AddRow(&rows, 2, Split(v1::VALUE_TYPE_STRING, 5), Split(v1::VALUE_TYPE_BYTES, 2));
  Message after;
  after.set_row_offset(2);
  AddRow(&after, 3, "whole", "x");
  // A part may end inside a character: é is C3 A9.
  const Result result =
      ReadAll({Head({"n", "t", "b"}), rows, Part(1, 1, 0, "ab\xC3"), Part(1, 1, 3, "\xA9z"),
               Part(1, 2, 0, "\x01\x02"), after, Last(3)});
  EXPECT_TRUE(result.status.ok()) << result.status;
  EXPECT_THAT(
      result.rows,
      ElementsAre("int64_value: 1 string_value: \"whole\" string_value: \"x\"",
                  "int64_value: 2 string_value: \"ab\\303\\251z\" bytes_value: \"\\001\\002\"",
                  "int64_value: 3 string_value: \"whole\" string_value: \"x\""));
}

TEST(RowStream, ASplitRawValueIsTextThatIsNotUtf8) {
  Message rows;
  AddRow(&rows, Split(v1::VALUE_TYPE_RAW, 1));
  const Result result = ReadAll({Head({"t"}), rows, Part(0, 0, 0, "\xFF"), Last(1)});
  EXPECT_THAT(result.rows, ElementsAre("raw_value { format: FORMAT_TEXT data: \"\\377\" }"));
}

TEST(RowStream, PartsThatAreMissingOrMisplacedAreErrors) {
  const auto joined = [](std::vector<Message> parts) {
    Message rows;
    AddRow(&rows, Split(v1::VALUE_TYPE_STRING, 4));
    std::vector<Message> messages = {Head({"t"}), rows};
    messages.insert(messages.end(), parts.begin(), parts.end());
    return ReadAll(std::move(messages));
  };
  EXPECT_TRUE(joined({Part(0, 0, 0, "abcd"), Last(1)}).status.ok());
  for (const Result& result :
       {joined({Part(0, 0, 0, "ab"), Last(1)}),                        // too few bytes
        joined({Part(0, 0, 0, "ab"), Part(0, 0, 3, "d"), Last(1)}),    // a gap
        joined({Part(0, 0, 0, "abc"), Part(0, 0, 3, "de"), Last(1)}),  // too many bytes
        joined({Part(1, 0, 0, "abcd"), Last(1)}),                      // another row
        joined({Part(0, 1, 0, "abcd"), Last(1)}),                      // another column
        joined({Part(0, 0, 0, ""), Last(1)}),                          // an empty part
        joined({Rows(1, {1}), Last(2)}),                               // rows before the parts
        joined({Part(0, 0, 0, "ab")})}) {                              // the stream ends
    EXPECT_EQ(ReasonOf(result.status), "STREAM_INCOMPLETE") << result.status;
    EXPECT_TRUE(result.rows.empty());
  }
}

TEST(RowStream, ARowBehindASplitOneInTheSameMessageIsAnError) {
  Message rows;
  AddRow(&rows, Split(v1::VALUE_TYPE_STRING, 1));
  AddRow(&rows, "next");
  const Result result = ReadAll({Head({"t"}), rows, Part(0, 0, 0, "a"), Last(2)});
  EXPECT_EQ(ReasonOf(result.status), "STREAM_INCOMPLETE");
}

TEST(RowStream, AStreamWithoutItsLastMessageIsIncomplete) {
  const Result result = ReadAll({Head({"n"}), Rows(0, {1, 2})});
  EXPECT_EQ(result.rows.size(), 2U);
  EXPECT_EQ(ReasonOf(result.status), "STREAM_INCOMPLETE");
  EXPECT_THAT(std::string(result.status.message()), HasSubstr("without its last message"));
}

TEST(RowStream, CountsAndOffsetsMustAgree) {
  EXPECT_EQ(ReasonOf(ReadAll({Head({"n"}), Rows(0, {1}), Last(2)}).status), "STREAM_INCOMPLETE");
  EXPECT_EQ(ReasonOf(ReadAll({Head({"n"}), Rows(1, {1}), Last(1)}).status), "STREAM_INCOMPLETE");
  EXPECT_EQ(ReasonOf(ReadAll({Head({"n"}), Rows(0, {1}), Rows(2, {3}), Last(3)}).status),
            "STREAM_INCOMPLETE");
  EXPECT_EQ(ReasonOf(ReadAll({Head({"a", "b"}), Rows(0, {1}), Last(1)}).status),
            "STREAM_INCOMPLETE");
  EXPECT_EQ(ReasonOf(ReadAll({Head({"n"}), Last(0), Rows(0, {1})}).status), "STREAM_INCOMPLETE");
  EXPECT_EQ(ReasonOf(ReadAll({Head({"n"}), Head({"n"}), Last(0)}).status), "STREAM_INCOMPLETE");
}

TEST(RowStream, LeavingEarlyCancelsTheCall) {
  Seen seen;
  {
    auto stream = RowStream::Open(std::make_unique<ListSource>(
        std::vector<Message>{Head({"n"}), Rows(0, {1}), Rows(1, {2}), Last(2)}, absl::OkStatus(),
        &seen));
    ASSERT_TRUE(stream.ok());
    ASSERT_TRUE((*stream)->Next().ok());
  }
  EXPECT_TRUE(seen.cancelled);
  EXPECT_EQ(seen.finished, 1);
}

TEST(RowStream, AStreamReadToItsEndIsNotCancelled) {
  Seen seen;
  {
    auto stream = RowStream::Open(std::make_unique<ListSource>(
        std::vector<Message>{Head({"n"}), Last(0)}, absl::OkStatus(), &seen));
    ASSERT_TRUE(stream.ok());
    ASSERT_TRUE((*stream)->Next().ok());
  }
  EXPECT_FALSE(seen.cancelled);
}

}  // namespace
}  // namespace sluice::client
