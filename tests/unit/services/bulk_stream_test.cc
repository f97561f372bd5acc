// A load's stream of messages: how it ends, and how long it may be silent.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "server/async/completion.h"
#include "server/base/errors.h"
#include "server/services/bulk_service.h"
#include "tests/unit/services/store_fixture.h"

namespace sluice::services {
namespace {

using test::Fails;
using test::IsOk;
using test::WasExecuted;

using BulkStream = StoreFixture;

TEST_F(BulkStream, AStreamThatBreaksOffWasNotAll) {
  ListSource source({Header(), Items({1}), Items({2})}, /*breaks_off=*/true);
  const auto load = Load(source);
  EXPECT_THAT(load, Fails(absl::StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_THAT(load, WasExecuted("rolled_back"));
  EXPECT_EQ(Count(), 0);
  EXPECT_THAT(Query("INSERT INTO item VALUES (9, 'the writer is free')"), IsOk());

  ListSource apart({Header(pb::BATCH_MODE_CONTINUE), Items({1}), Items({2})}, /*breaks_off=*/true);
  EXPECT_THAT(Load(apart), WasExecuted("unknown"));
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id = 1"), 1)
      << "a chunk for which the next one waited is there";
}

// StoppingSource: a client whose call ends for another reason, where its stream would have.
class StoppingSource final : public ListSource {
 public:
  StoppingSource(std::vector<pb::BulkInsertRequest> messages, StopCause cause)
      : ListSource(std::move(messages)), cause_(cause), ctx_(scope_.MakeContext({}, "")) {}

  const Context& ctx() const { return ctx_; }

  Task<std::shared_ptr<pb::BulkInsertRequest>> Read() override {
    std::shared_ptr<pb::BulkInsertRequest> message = co_await ListSource::Read();
    if (message == nullptr) scope_.Stop(cause_);
    co_return message;
  }

 private:
  const StopCause cause_;
  CallScope scope_;
  Context ctx_;
};

TEST_F(BulkStream, ACallThatIsEndedSaysWhatIsLeftOfIt) {
  const auto ended = [&](std::vector<pb::BulkInsertRequest> messages, StopCause cause) {
    StoppingSource source(std::move(messages), cause);
    Context ctx = source.ctx();
    ctx.deadline = absl::InfiniteFuture();
    const auto load = executor_.Run(loads_.BulkInsert(ctx, source));
    return load.status();
  };
  const absl::Status late = ended({Items({1}, Header())}, StopCause::kDeadline);
  EXPECT_THAT(late, Fails(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED"));
  EXPECT_THAT(late, WasExecuted("rolled_back"));
  EXPECT_EQ(Count(), 0);

  const absl::Status begun = ended({Header()}, StopCause::kDraining);
  EXPECT_THAT(begun, Fails(absl::StatusCode::kUnavailable, "SERVER_DRAINING"));
  EXPECT_THAT(begun, WasExecuted("no"));
  EXPECT_THAT(ended({}, StopCause::kDraining), WasExecuted("no"));

  const absl::Status apart =
      ended({Header(pb::BATCH_MODE_CONTINUE), Items({1}), Items({2})}, StopCause::kDeadline);
  EXPECT_THAT(apart, Fails(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED"));
  EXPECT_THAT(apart, WasExecuted("unknown"));
}

// QuietSource: a client that sends its messages and then nothing more, not even an end.
class QuietSource final : public ListSource {
 public:
  using ListSource::ListSource;

  Task<std::shared_ptr<pb::BulkInsertRequest>> Read() override {
    std::shared_ptr<pb::BulkInsertRequest> message = co_await ListSource::Read();
    if (message != nullptr || broken_off_) co_return message;
    co_await Async<bool>([&](Completion<bool> end) { quiet_.emplace(std::move(end)); });
    co_return message;
  }

  void BreakOff() override {
    broken_off_ = true;
    if (quiet_.has_value()) quiet_->Resolve(true);
    quiet_.reset();
  }

  bool complete() const override { return false; }

 private:
  bool broken_off_ = false;
  std::optional<Completion<bool>> quiet_;
};

class QuietLoadTest : public StoreFixture {
 protected:
  explicit QuietLoadTest(const db::SqliteSettings& settings) : StoreFixture(settings) {}

  void ExpectExpired() {
    QuietSource source({Header(), Items({1})});
    const auto load = Load(source);
    EXPECT_THAT(load, Fails(absl::StatusCode::kAborted, "TRANSACTION_EXPIRED"));
    EXPECT_THAT(load, WasExecuted("rolled_back"));
    EXPECT_EQ(Count(), 0);
    EXPECT_THAT(Query("INSERT INTO item VALUES (1, 'of another')"), IsOk());
  }
};

struct IdleLoadTest : QuietLoadTest {
  static db::SqliteSettings Settings() {
    db::SqliteSettings settings;
    settings.load_idle = absl::Milliseconds(20);
    return settings;
  }

  IdleLoadTest() : QuietLoadTest(Settings()) {}
};

struct LongLoadTest : QuietLoadTest {
  static db::SqliteSettings Settings() {
    db::SqliteSettings settings;
    settings.load_limit = absl::Milliseconds(20);
    return settings;
  }

  LongLoadTest() : QuietLoadTest(Settings()) {}
};

TEST_F(IdleLoadTest, GivesTheWriterBackWhenNoChunkComes) {
  ExpectExpired();
}

TEST_F(LongLoadTest, GivesTheWriterBackWhenItsTimeIsOver) {
  ExpectExpired();
}

// AlternatingSource: a client that sends nothing more before another's write was answered.
class AlternatingSource final : public ListSource {
 public:
  AlternatingSource(QueryService& queries, std::vector<pb::BulkInsertRequest> messages)
      : ListSource(std::move(messages)), queries_(queries) {
    write_.set_connection_id("default");
    write_.set_sql("INSERT INTO item VALUES (9, 'of another')");
  }

  const absl::Status& other() const { return other_; }

  Task<std::shared_ptr<pb::BulkInsertRequest>> Read() override {
    if (taken() == 2) {
      const auto reply = co_await queries_.Query(ctx_, write_);
      other_ = reply.status();
    }
    std::shared_ptr<pb::BulkInsertRequest> message = co_await ListSource::Read();
    co_return message;
  }

 private:
  QueryService& queries_;
  const Context ctx_;
  pb::QueryRequest write_;
  absl::Status other_ = absl::UnknownError("was not sent");
};

TEST_F(BulkStream, ALoadByChunkHoldsNothingBetweenItsChunks) {
  AlternatingSource source(queries_, {Header(pb::BATCH_MODE_CONTINUE), Items({1}), Items({2})});
  EXPECT_THAT(Load(source), IsOk());
  EXPECT_THAT(source.other(), IsOk());
  EXPECT_EQ(Count(), 3);
}

}  // namespace
}  // namespace sluice::services
