#include "client/bulk_inserter.h"

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/copy_check.h"

namespace sluice::client {
namespace {

// What a sink was given. Outlives it.
struct Sent {
  std::vector<v1::BulkInsertRequest> messages;
  size_t accept = 1000;  // messages, before the call ends
  bool finished = false;
  std::atomic<bool> cancelled = false;
};

class ListSink final : public ChunkSink {
 public:
  explicit ListSink(Sent& sent) : sent_(sent) {}

  bool Write(std::string message) override {
    if (sent_.messages.size() >= sent_.accept) return false;
    EXPECT_TRUE(sent_.messages.emplace_back().ParseFromString(message));
    return true;
  }

  absl::StatusOr<v1::BulkInsertResponse> Finish() override {
    sent_.finished = true;
    if (sent_.cancelled) return absl::CancelledError("cancelled");
    if (sent_.messages.size() >= sent_.accept) return absl::AlreadyExistsError("taken");
    v1::BulkInsertResponse response;
    for (const auto& message : sent_.messages) {
      response.set_rows_received(response.rows_received() + message.rows_size());
    }
    return response;
  }

  void Cancel() override { sent_.cancelled = true; }

 private:
  Sent& sent_;
};

v1::BulkInsertRequest Header() {
  v1::BulkInsertRequest header;
  header.set_connection_id("default");
  header.set_table("t");
  return header;
}

TEST(RowBuffer, WritesTheWireFormOfRows) {
  RowBuffer rows;
  rows.AddRow(int64_t{1} << 40, "text", -2.5, nullptr, true, Bytes{std::string("\0\xFF", 2)});
  rows.AddRow(-1, std::string(300, 'x'), std::optional<double>(), std::string(), false, Bytes{});
  EXPECT_EQ(rows.RowCount(), 2u);
  v1::BulkInsertRequest request;
  ASSERT_TRUE(request.ParseFromString(rows.Take()));
  EXPECT_TRUE(rows.Empty());
  ASSERT_EQ(request.rows_size(), 2);
  EXPECT_EQ(request.rows(0).values(0).int64_value(), int64_t{1} << 40);
  EXPECT_EQ(request.rows(0).values(1).string_value(), "text");
  EXPECT_EQ(request.rows(0).values(2).double_value(), -2.5);
  EXPECT_TRUE(request.rows(0).values(3).has_null_value());
  EXPECT_TRUE(request.rows(0).values(4).bool_value());
  EXPECT_EQ(request.rows(0).values(5).bytes_value(), std::string("\0\xFF", 2));
  EXPECT_EQ(request.rows(1).values(0).int64_value(), -1);
  EXPECT_EQ(request.rows(1).values(1).string_value(), std::string(300, 'x'));
  EXPECT_TRUE(request.rows(1).values(2).has_null_value());
  EXPECT_TRUE(request.rows(1).values(3).has_string_value());
  EXPECT_TRUE(request.rows(1).values(4).has_bool_value());
  EXPECT_TRUE(request.rows(1).values(5).has_bytes_value());
}

TEST(RowBuffer, RowsMoveOneByOne) {
  RowBuffer rows;
  const std::string texts[] = {"", std::string(300, 'x'), std::string(70'000, 'y'), "end"};
  for (const std::string& text : texts) rows.AddRow(1, text);
  const size_t bytes = rows.ByteSize();
  RowBuffer moved;
  rows.MoveFirstRow(&moved);
  rows.MoveFirstRow(&moved);
  EXPECT_EQ(moved.RowCount(), 2u);
  EXPECT_EQ(rows.RowCount(), 2u);
  EXPECT_EQ(rows.ByteSize() + moved.ByteSize(), bytes);
  moved.Append(&rows);
  EXPECT_TRUE(rows.Empty());
  EXPECT_EQ(rows.ByteSize(), 0u);
  rows.AddRow(2, "again");
  moved.MoveFirstRow(&rows);
  v1::BulkInsertRequest left;
  ASSERT_TRUE(left.ParseFromString(moved.Take()));
  ASSERT_EQ(left.rows_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(left.rows(i).values(1).string_value(), texts[i + 1]);
  v1::BulkInsertRequest taken;
  ASSERT_TRUE(taken.ParseFromString(rows.Take()));
  ASSERT_EQ(taken.rows_size(), 2);
  EXPECT_EQ(taken.rows(0).values(1).string_value(), "again");
  EXPECT_EQ(taken.rows(1).values(1).string_value(), "");
}

TEST(BulkInserter, TheFirstMessageHasTheHeaderAndEachWriteIsAChunk) {
  Sent sent;
  BulkInserter inserter(std::make_unique<ListSink>(sent), Header());
  RowBuffer rows;
  for (int i = 0; i < 20; ++i) {
    rows.AddRow(i, "a");
    rows.AddRow(i, "b");
    ASSERT_TRUE(inserter.Write(&rows));
  }
  ASSERT_TRUE(inserter.Write(&rows));  // nothing
  EXPECT_EQ(inserter.Finish().value().rows_received(), 40);
  ASSERT_EQ(sent.messages.size(), 20u);
  for (size_t i = 0; i < sent.messages.size(); ++i) {
    EXPECT_EQ(sent.messages[i].table(), i == 0 ? "t" : "");
    ASSERT_EQ(sent.messages[i].rows_size(), 2);
    EXPECT_EQ(sent.messages[i].rows(1).values(0).int64_value(), static_cast<int64_t>(i));
  }
  EXPECT_FALSE(sent.cancelled);
}

TEST(BulkInserter, ALoadWithoutRowsStillSaysWhere) {
  Sent sent;
  BulkInserter inserter(std::make_unique<ListSink>(sent), Header());
  EXPECT_TRUE(inserter.Finish().ok());
  ASSERT_EQ(sent.messages.size(), 1u);
  EXPECT_EQ(sent.messages[0].table(), "t");
}

TEST(BulkInserter, ACallThatEndedEndsWriting) {
  Sent sent;
  sent.accept = 3;
  BulkInserter inserter(std::make_unique<ListSink>(sent), Header());
  RowBuffer rows;
  bool open = true;
  int written = 0;
  for (; open && written < 100; ++written) {
    rows.AddRow(written);
    open = inserter.Write(&rows);
  }
  EXPECT_FALSE(open);
  EXPECT_EQ(inserter.Finish().status().code(), absl::StatusCode::kAlreadyExists);
}

TEST(BulkInserter, DestroyingItCancelsTheCall) {
  Sent sent;
  {
    BulkInserter inserter(std::make_unique<ListSink>(sent), Header());
    RowBuffer rows;
    rows.AddRow(1);
    ASSERT_TRUE(inserter.Write(&rows));
  }
  EXPECT_TRUE(sent.cancelled);
  EXPECT_TRUE(sent.finished);
}

v1::BackupResponse Piece(const std::string& data) {
  v1::BackupResponse piece;
  piece.set_data(data);
  piece.set_total_bytes(3);
  return piece;
}

// The last message of a copy `abc`.
v1::BackupResponse Last() {
  v1::BackupResponse last;
  last.set_total_bytes(3);
  last.set_last(true);
  const char sha256[] =
      "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
      "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad";
  last.set_sha256(std::string(sha256, sizeof(sha256) - 1));
  return last;
}

absl::Status Check(const std::vector<v1::BackupResponse>& messages) {
  CopyCheck check;
  for (const auto& message : messages) {
    absl::Status status = check.Add(message);
    if (!status.ok()) return status;
  }
  return check.Finish().status();
}

TEST(CopyCheck, ACompleteCopyIsRight) {
  EXPECT_TRUE(Check({Piece("a"), Piece("bc"), Last()}).ok());
}

TEST(CopyCheck, AnythingElseIsDataLoss) {
  EXPECT_EQ(Check({}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Check({Piece("abc")}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Check({Piece("ab"), Last()}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Check({Piece("abd"), Last()}).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Check({Piece("abc"), Last(), Piece("")}).code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace sluice::client
