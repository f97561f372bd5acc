#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/sleep.h"
#include "server/base/errors.h"
#include "server/services/query_service.h"
#include "tests/unit/services/query_fixture.h"

namespace sluice::services {
namespace {

using ::testing::SizeIs;

class StreamQueryTest : public QueryFixture {};

TEST_F(StreamQueryTest, AStreamTellsItsColumnsFirstAndItsFactsLast) {
  database_->answers.push_back(Answers(Encoded(0)));
  database_->answers.push_back(Answers(Encoded(2, false)));
  database_->answers.push_back(Answers(Encoded(3, false)));
  database_->answers.push_back(Answers(End()));
  for (Answer& answer : database_->answers) answer.delay = absl::Milliseconds(20);
  ASSERT_TRUE(Stream().ok());

  ASSERT_THAT(sink_.messages, SizeIs(4));
  EXPECT_EQ(sink_.messages[0].columns_size(), 1);
  EXPECT_TRUE(sink_.messages[0].has_columns());
  EXPECT_EQ(sink_.messages[1].row_offset(), 0);
  EXPECT_EQ(sink_.messages[1].rows_size(), 2);
  EXPECT_EQ(sink_.messages[1].columns_size(), 0);
  EXPECT_EQ(sink_.messages[2].row_offset(), 2);
  EXPECT_EQ(sink_.messages[2].rows_size(), 3);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(sink_.messages[i].last());

  const pb::StreamQueryResponse& last = sink_.messages[3];
  EXPECT_TRUE(last.last());
  EXPECT_EQ(last.row_count(), 5);
  EXPECT_EQ(last.rows_size(), 0);
  EXPECT_EQ(last.rows_affected(), 4);
  EXPECT_EQ(last.last_insert_rowid(), 9);
  EXPECT_EQ(last.command_tag(), "SELECT 5");
  EXPECT_EQ(last.elapsed().nanos(), 80'000'000);
  EXPECT_EQ(database_->cursors_open, 0);
}

TEST_F(StreamQueryTest, AStreamWithoutAResultIsOneMessage) {
  db::Rows end = End();
  end.has_columns = false;
  database_->answers.push_back(Answers(std::move(end)));
  ASSERT_TRUE(Stream().ok());
  ASSERT_THAT(sink_.messages, SizeIs(1));
  EXPECT_FALSE(sink_.messages[0].has_columns());
  EXPECT_TRUE(sink_.messages[0].last());
  EXPECT_EQ(sink_.messages[0].row_count(), 0);
}

TEST_F(StreamQueryTest, PartsOfALargeValueDoNotMoveTheRowOffset) {
  db::Rows part;
  pb::StreamQueryResponse carries;
  carries.mutable_part()->set_data("piece");
  part.wire = carries.SerializeAsString();
  database_->answers = {Answers(Encoded(2)), Answers(std::move(part)), Answers(Encoded(1, false)),
                        Answers(End())};
  ASSERT_TRUE(Stream().ok());
  ASSERT_THAT(sink_.messages, SizeIs(4));
  EXPECT_EQ(sink_.messages[1].part().data(), "piece");
  EXPECT_EQ(sink_.messages[1].row_offset(), 0);
  EXPECT_EQ(sink_.messages[2].row_offset(), 2);
  EXPECT_EQ(sink_.messages[3].row_count(), 3);
}

TEST_F(StreamQueryTest, Fault36_APeerThatIsGoneEndsItsStatement) {
  for (int i = 0; i < 5; ++i) database_->answers.push_back(Answers(Encoded(2)));
  CollectingSink<pb::StreamQueryResponse> sink(2);
  const absl::Status status = timeline_.Run(service_.StreamQuery(ctx_, stream_request_, sink));
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(errors::MetadataOf(status, "rows_sent"), "4");
  EXPECT_THAT(sink.messages, SizeIs(2));
  EXPECT_THAT(database_->answers, SizeIs(2)) << "one piece beyond those sent was asked for";
  EXPECT_EQ(database_->cursors_open, 0);
}

TEST_F(StreamQueryTest, AStreamIsTriedAgainUntilItsFirstMessage) {
  database_->answers = {Fails(errors::PoolClosed()), Fails(errors::PoolClosed()),
                        Answers(Encoded(1)), Answers(End())};
  ASSERT_TRUE(Stream().ok());
  EXPECT_THAT(database_->opened, SizeIs(3));
  EXPECT_THAT(sink_.messages, SizeIs(2));
  EXPECT_EQ(database_->cursors_open, 0);
}

TEST_F(StreamQueryTest, ACursorThatFailedIsGoneDuringThePause) {
  database_->answers = {Fails(errors::PoolClosed()), Answers(End())};
  absl::Status status = absl::UnknownError("not ended");
  timeline_.executor().Start(Store(service_.StreamQuery(ctx_, stream_request_, sink_), status));
  timeline_.Pass(absl::Milliseconds(500));
  EXPECT_THAT(database_->opened, SizeIs(1));
  EXPECT_EQ(database_->cursors_open, 0);
  timeline_.Pass(absl::Seconds(1));
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(StreamQueryTest, AStreamIsNeverTriedAgainAfterItsFirstMessage) {
  database_->answers = {Answers(Encoded(3)), Fails(errors::PoolClosed())};
  const absl::Status status = Stream();
  EXPECT_EQ(errors::ReasonOf(status), "POOL_CLOSED");
  EXPECT_EQ(errors::MetadataOf(status, "rows_sent"), "3");
  EXPECT_THAT(database_->opened, SizeIs(1));
  EXPECT_THAT(sink_.messages, SizeIs(1));
  EXPECT_FALSE(sink_.messages[0].last());
}

TEST_F(StreamQueryTest, AStreamThatNeverBeganSaysNothingOfRows) {
  database_->answers = {Fails(errors::DatabaseCorrupt("The file is damaged."))};
  const absl::Status status = Stream();
  EXPECT_EQ(errors::ReasonOf(status), "DATABASE_CORRUPT");
  EXPECT_EQ(errors::MetadataOf(status, "rows_sent"), "");
}

TEST_F(StreamQueryTest, AChunksSizeIsCoerced) {
  stream_request_.set_chunk_bytes(1);
  ASSERT_TRUE(Stream().ok());
  EXPECT_EQ(database_->opened[0].chunk_bytes, 4 << 10);
  stream_request_.set_chunk_bytes(1 << 30);
  ASSERT_TRUE(Stream().ok());
  EXPECT_EQ(database_->opened[1].chunk_bytes, 256 << 10);
  stream_request_.set_chunk_bytes(-1);
  EXPECT_EQ(InvalidField(Stream()), "chunk_bytes");
}

// SlowSink: takes a second for each message.
class SlowSink final : public Sink<Reply<pb::StreamQueryResponse>> {
 public:
  explicit SlowSink(const Context& ctx) : ctx_(ctx) {}

  Task<bool> Write(Reply<pb::StreamQueryResponse> /*reply*/) override {
    const bool elapsed = co_await SleepFor(ctx_, absl::Seconds(1));
    ++written;
    co_return elapsed;
  }

  int written = 0;

 private:
  const Context& ctx_;
};

TEST_F(StreamQueryTest, ASlowPeerSlowsItsStatement) {
  for (int i = 0; i < 9; ++i) database_->answers.push_back(Answers(Encoded(1)));
  SlowSink sink(ctx_);
  absl::Status status = absl::UnknownError("not ended");
  timeline_.executor().Start(Store(service_.StreamQuery(ctx_, stream_request_, sink), status));
  timeline_.Pass(absl::Milliseconds(2500));
  EXPECT_EQ(sink.written, 2);
  EXPECT_THAT(database_->answers, SizeIs(6)) << "pieces are asked for as the peer takes them";
  timeline_.Pass(absl::Seconds(10));
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace sluice::services
