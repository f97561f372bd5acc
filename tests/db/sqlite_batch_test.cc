// Batches: many statements as one member of a group, or as one read.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_group_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using db::BatchMode;

constexpr BatchMode kEveryMode[] = {BatchMode::kAtomic, BatchMode::kStopOnError,
                                    BatchMode::kContinue};
constexpr char kTaken[] = "INSERT INTO item (id) VALUES (0)";
constexpr char kLosing[] = "INSERT OR ROLLBACK INTO item (id) VALUES (900), (0)";

class SqliteBatch : public SqliteGroupTest {
 protected:
  void SetUp() override { OpenWithTables(); }

  absl::StatusOr<db::BatchResults> Run(const BatchMaker& maker, const Context& ctx = {}) {
    return Execute(executor_, *database_, maker.batch, ctx);
  }

  static int64_t First(const absl::StatusOr<db::Rows>& rows) {
    const auto reply = Parse(rows);
    EXPECT_THAT(reply, IsOk());
    return reply.ok() && reply->rows_size() > 0 ? reply->rows(0).values(0).int64_value() : -1;
  }
};

TEST_F(SqliteBatch, StepsAndTheirSetsRunInOrder) {
  for (const BatchMode mode : kEveryMode) {
    ASSERT_THAT(Ask("DELETE FROM item"), IsOk());
    BatchMaker maker(mode);
    maker.Add(kInsert, {Int(1), Text("a")}).AddSet({Int(2), Text("b")}).AddSet({Int(3), Null()});
    maker.Add("SELECT count(*) FROM item");
    maker.Add("UPDATE item SET word = 'c' WHERE id > $1", {Int(1)});
    maker.Add("SELECT id FROM item WHERE word = 'c' ORDER BY id");
    const auto results = Run(maker);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), 6u);
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ((*results)[i]->last_insert_rowid, static_cast<int64_t>(i) + 1);
      EXPECT_EQ((*results)[i]->command_tag, "INSERT 0 1");
    }
    EXPECT_EQ(First((*results)[3]), 3);
    EXPECT_EQ((*results)[4]->rows_affected, 2);
    EXPECT_EQ((*results)[4]->last_insert_rowid, 0);
    EXPECT_EQ((*results)[5]->count, 2);
  }
}

TEST_F(SqliteBatch, AnAtomicFailureLeavesNothingAndSaysWhere) {
  BatchMaker maker;
  maker.Add(kInsert, {Int(1), Text("a")});
  maker.Add(kInsert, {Int(2), Text("b")})
      .AddSet({Int(3), Text("refused")})
      .AddSet({Int(4), Null()});
  const auto failed = Run(maker);
  EXPECT_EQ(failed.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(errors::MetadataOf(failed.status(), "step"), "1");
  EXPECT_EQ(errors::MetadataOf(failed.status(), "parameter_set"), "1");
  EXPECT_EQ(Items(), 1);

  for (const char* const sql : {"SELEC 1", "SELECT $2", "BEGIN", "SELECT * FROM _sluice_request"}) {
    BatchMaker other;
    other.Add(kInsert, {Int(1), Text("a")}).Add(sql);
    const auto refused = Run(other);
    EXPECT_FALSE(refused.ok());
    EXPECT_EQ(errors::MetadataOf(refused.status(), "step"), "1") << sql;
    EXPECT_EQ(Items(), 1) << sql;
  }
}

TEST_F(SqliteBatch, Fault49_EachFailureIsThatOfItsExecution) {
  for (const BatchMode mode : {BatchMode::kStopOnError, BatchMode::kContinue}) {
    ASSERT_THAT(Ask("DELETE FROM item WHERE id > 0"), IsOk());
    const bool goes_on = mode == BatchMode::kContinue;
    BatchMaker maker(mode);
    maker.Add(kInsert, {Int(1), Text("a")});
    maker.Add(kInsert, {Int(2), Text("b")}).AddSet({Int(0), Null()}).AddSet({Int(3), Null()});
    maker.Add("SELEC 1");
    maker.Add("INSERT INTO item (id, word) VALUES (4, 'a'), (5, 'refused')");
    maker.Add("SELECT $1");
    maker.Add("SELECT count(*) FROM item");
    const auto results = Run(maker);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), goes_on ? 8u : 3u);
    EXPECT_THAT((*results)[0], IsOk());
    EXPECT_THAT((*results)[1], IsOk());
    EXPECT_EQ((*results)[2].status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(Items(), goes_on ? 4 : 3);
    if (!goes_on) continue;
    EXPECT_THAT((*results)[3], IsOk());
    EXPECT_THAT((*results)[4], Fails(StatusCode::kInvalidArgument, "SQL_ERROR"));
    EXPECT_THAT((*results)[5], Fails(StatusCode::kInvalidArgument, "SQL_ERROR"));
    EXPECT_THAT((*results)[6], Fails(StatusCode::kInvalidArgument, "PARAMETER_INVALID"));
    EXPECT_EQ(First((*results)[7]), 4);
  }
}

// The step takes the transaction with it: the batch runs again without that step.
TEST_F(SqliteBatch, Fault61_AStepThatRollsBackTheTransactionFailsByItself) {
  for (const BatchMode mode : kEveryMode) {
    ASSERT_THAT(Ask("DELETE FROM item WHERE id > 0"), IsOk());
    const db::WriterStats before = Stats();
    BatchMaker maker(mode);
    maker.Add(kInsert, {Int(1), Text("a")}).Add(kLosing);
    maker.Add(kInsert, {Int(2), Text("b")}).Add(kLosing);
    maker.Add(kInsert, {Int(3), Text("c")});
    const auto results = Run(maker);
    if (mode == BatchMode::kAtomic) {
      EXPECT_EQ(results.status().code(), StatusCode::kAlreadyExists);
      EXPECT_EQ(errors::MetadataOf(results.status(), "step"), "1");
      EXPECT_EQ(Items(), 1);
      continue;
    }
    ASSERT_THAT(results, IsOk());
    const bool goes_on = mode == BatchMode::kContinue;
    ASSERT_EQ(results->size(), goes_on ? 5u : 2u);
    for (size_t i = 0; i < results->size(); ++i) {
      EXPECT_EQ((*results)[i].ok(), i % 2 == 0) << (*results)[i].status();
    }
    EXPECT_THAT((*results)[1], WasExecuted("rolled_back"));
    EXPECT_EQ(Stats().reruns, before.reruns + (goes_on ? 2 : 1));
    EXPECT_EQ(Items(), goes_on ? 4 : 2);
    EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id = 900"), 0);
  }
}

TEST_F(SqliteBatch, Fault61_ABatchIsAMemberOfAGroupLikeAnother) {
  Hold();
  const db::WriterStats before = Stats();
  const Context ctx;
  BatchMaker good(BatchMode::kContinue);
  good.Add(kInsert, {Int(1), Text("a")}).Add(kLosing).Add(kInsert, {Int(2), Text("a")});
  BatchMaker bad;
  bad.Add(kInsert, {Int(3), Text("b")}).Add(kTaken);
  using Asked = Started<absl::StatusOr<db::BatchResults>>;
  Pending& first = Start(kInsert, {Int(11), Text("x")});
  Asked kept(executor_, database_->ExecuteBatch(ctx, good.batch));
  Asked failed(executor_, database_->ExecuteBatch(ctx, bad.batch));
  Pending& last = Start(kInsert, {Int(12), Text("x")});
  ASSERT_TRUE(UntilQueued(4));
  Release();
  EXPECT_THAT(first.Wait(), IsOk());
  EXPECT_THAT(last.Wait(), IsOk());
  ASSERT_THAT(kept.Wait(), IsOk());
  EXPECT_EQ(kept.Wait()->size(), 3u);
  EXPECT_EQ(failed.Wait().status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Stats().groups, before.groups + 1);
  EXPECT_EQ(Stats().writes, before.writes + 3);
  EXPECT_EQ(Stats().reruns, before.reruns + 1);
  EXPECT_EQ(Items(), 5);
}

TEST_F(SqliteBatch, DeferredKeysHoldAtTheEndOfWhatIsCommittedByItself) {
  ASSERT_THAT(Ask("CREATE TABLE child (parent INTEGER REFERENCES item (id) DEFERRABLE INITIALLY "
                  "DEFERRED)"),
              IsOk());
  constexpr char kChild[] = "INSERT INTO child (parent) VALUES ($1)";
  BatchMaker atomic;
  atomic.Add(kChild, {Int(5)}).Add(kInsert, {Int(5), Text("parent")});
  EXPECT_THAT(Run(atomic), IsOk());

  BatchMaker orphan;
  orphan.Add(kInsert, {Int(6), Text("other")}).Add(kChild, {Int(7)});
  const auto failed = Run(orphan);
  EXPECT_EQ(failed.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(Items(), 2);

  BatchMaker each(BatchMode::kContinue);
  each.Add(kChild, {Int(8)}).Add(kInsert, {Int(8), Text("parent")}).Add(kChild, {Int(8)});
  const auto results = Run(each);
  ASSERT_THAT(results, IsOk());
  EXPECT_EQ((*results)[0].status().code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT((*results)[1], IsOk());
  EXPECT_THAT((*results)[2], IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM child"), 2);
}

TEST_F(SqliteBatch, ATrialAnswersAndLeavesNothing) {
  for (const BatchMode mode : kEveryMode) {
    BatchMaker maker(mode);
    maker.Add("CREATE TABLE made (a INTEGER)").Add("INSERT INTO made (a) VALUES (1), (2)");
    maker.Add("SELECT count(*) FROM made");
    maker.batch.validate_only = true;
    const auto results = Run(maker);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), 3u);
    EXPECT_EQ(First((*results)[2]), 2);
    EXPECT_FALSE(Ask("SELECT * FROM made").ok());
  }
}

TEST_F(SqliteBatch, BoundsOfAffectedRowsHoldForAStepAndForAll) {
  MakeNumbers(10);
  BatchMaker step(BatchMode::kContinue);
  step.Add("DELETE FROM number WHERE n <= 2").Add("DELETE FROM number WHERE n <= 5");
  for (db::Execution& each : step.batch.executions) each.statement.max_affected_rows = 2;
  const auto results = Run(step);
  ASSERT_THAT(results, IsOk());
  EXPECT_THAT((*results)[0], IsOk());
  EXPECT_THAT((*results)[1], Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_THAT((*results)[1], WasExecuted("rolled_back"));
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 8);

  BatchMaker all;
  all.Add("DELETE FROM number WHERE n <= 5").Add("DELETE FROM number WHERE n <= 7");
  all.batch.max_affected_rows = 5;
  EXPECT_THAT(Run(all), IsOk());
  ASSERT_THAT(Ask("DELETE FROM number"), IsOk());
  BatchMaker more;
  more.Add("INSERT INTO number (n) VALUES (1), (2), (3)").Add("UPDATE number SET word = 'w'");
  more.batch.max_affected_rows = 5;
  const auto exceeded = Run(more);
  EXPECT_THAT(exceeded, Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_THAT(exceeded, WasExecuted("rolled_back"));
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 0);
}

TEST_F(SqliteBatch, ResultsAreCutAtTheirRowsAndAtTheBytesOfAll) {
  MakeNumbers(100);
  for (int twice = 0; twice < 2; ++twice) {  // at the writer, and once they are known at a reader
    BatchMaker maker;
    maker.Add("SELECT n, word FROM number").Add("SELECT n FROM number").Add("SELECT 1");
    for (db::Execution& each : maker.batch.executions) each.statement.max_rows = 10;
    auto results = Run(maker);
    ASSERT_THAT(results, IsOk());
    EXPECT_EQ((*results)[0]->count, 10);
    EXPECT_TRUE((*results)[1]->truncated);
    EXPECT_FALSE((*results)[2]->truncated);

    BatchMaker tight;
    tight.Add("SELECT n, word FROM number").Add("SELECT n, word FROM number").Add("SELECT 1");
    tight.batch.max_bytes = 1000;
    results = Run(tight);
    ASSERT_THAT(results, IsOk());
    size_t bytes = 0;
    for (const auto& rows : *results) {
      EXPECT_TRUE(rows->truncated);
      const auto parsed = Parse(rows);
      for (const pb::Row& row : parsed->rows()) bytes += row.ByteSizeLong();
    }
    EXPECT_LE(bytes, 1000u);
    EXPECT_GT((*results)[0]->count, 5);
    EXPECT_EQ((*results)[2]->count, 0);
    EXPECT_TRUE((*results)[2]->has_columns);
  }
  BatchMaker writes;
  writes.Add("UPDATE number SET word = 'w' RETURNING n, word");
  writes.batch.max_bytes = 200;
  const auto results = Run(writes);
  ASSERT_THAT(results, IsOk());
  EXPECT_TRUE((*results)[0]->truncated);
  EXPECT_EQ((*results)[0]->rows_affected, 100);
}

TEST_F(SqliteBatch, ABatchThatReadsNeedsNoWriterAndSeesOneSnapshot) {
  BatchMaker maker;
  maker.Add("SELECT count(*) FROM item");
  maker.Add(
      "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $1) SELECT "
      "count(*) FROM c",
      {Int(1'000'000)});
  maker.Add("SELECT count(*) FROM item");
  ASSERT_THAT(Run(maker), IsOk());
  Hold();
  EXPECT_THAT(Run(maker), IsOk());
  Release();

  const Context ctx;
  Started<absl::StatusOr<db::BatchResults>> reading(executor_,
                                                    database_->ExecuteBatch(ctx, maker.batch));
  ASSERT_TRUE(UntilActive(1));
  Pending& write = Start(kInsert, {Int(1), Text("meanwhile")});
  EXPECT_THAT(write.Wait(), IsOk());
  ASSERT_THAT(reading.Wait(), IsOk());
  EXPECT_EQ(First((*reading.Wait())[0]), First((*reading.Wait())[2]));
}

TEST_F(SqliteBatch, AReadOnlyBatchNeverWrites) {
  for (const BatchMode mode : kEveryMode) {
    BatchMaker maker(mode);
    maker.Add("SELECT 1").Add("DELETE FROM item");
    maker.batch.read_only = true;
    for (int i = 0; i < 2; ++i) {
      EXPECT_THAT(Run(maker), Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
    }
    BatchMaker reads(mode);
    reads.Add("SELECT 1").Add("SELECT count(*) FROM item");
    reads.batch.read_only = true;
    EXPECT_THAT(Run(reads), IsOk());
  }
  EXPECT_EQ(Items(), 1);
}

TEST_F(SqliteBatch, Fault32_ABatchThatIsEndedLeavesNothingInAnyMode) {
  for (const BatchMode mode : kEveryMode) {
    for (const bool by_deadline : {false, true}) {
      Call call(by_deadline ? absl::Now() + absl::Milliseconds(100) : absl::InfiniteFuture());
      BatchMaker maker(mode);
      maker.Add(kInsert, {Int(1), Text("a")}).Add(kSlowInsert, {Int(kForever)});
      maker.Add(kInsert, {Int(2), Text("b")});
      Started<absl::StatusOr<db::BatchResults>> asked(
          executor_, database_->ExecuteBatch(call.ctx(), maker.batch));
      ASSERT_TRUE(UntilActive(1));
      if (!by_deadline) call.Cancel();
      EXPECT_EQ(asked.Wait().status().code(),
                by_deadline ? StatusCode::kDeadlineExceeded : StatusCode::kCancelled);
      EXPECT_THAT(asked.Wait(), WasExecuted("rolled_back"));
      EXPECT_EQ(Items(), 1);
    }
  }
}

TEST_F(SqliteBatch, TenThousandExecutionsAreOneCommit) {
  BatchMaker maker;
  maker.Add(kInsert, {Int(1), Text("w")});
  for (int i = 2; i <= 10'000; ++i) maker.AddSet({Int(i), Text("w")});
  const db::WriterStats before = Stats();
  const auto results = Run(maker);
  ASSERT_THAT(results, IsOk());
  EXPECT_EQ(results->size(), 10'000u);
  EXPECT_EQ(Stats().groups, before.groups + 1);
  EXPECT_EQ(Items(), 10'001);
  EXPECT_THAT(Run(BatchMaker()), IsOk());  // of nothing
}

}  // namespace
}  // namespace sluice::test
