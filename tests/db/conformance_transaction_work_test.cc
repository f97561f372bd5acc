// What every driver promises of batches, results in pieces, loads and request ids in transactions.
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/conformance_transaction.h"

namespace sluice::test {
namespace {

using absl::StatusCode;
using db::BatchMode;

constexpr BatchMode kApart[] = {BatchMode::kStopOnError, BatchMode::kContinue};

class ConformanceTransactionWork : public ConformanceTransaction {
 protected:
  static db::LoadTarget Target(BatchMode mode = BatchMode::kAtomic) {
    db::LoadTarget target;
    target.table = "number";
    target.mode = mode;
    return target;
  }

  static LoadRows Row(int64_t n) { return MakeRows({{Int(n), Text("loaded")}}); }

  std::unique_ptr<db::Load> OpenLoad(db::Transaction& transaction, const db::LoadTarget& target) {
    auto load = executor_.Run(transaction.OpenLoad(ctx_, target));
    EXPECT_THAT(load, IsOk());
    return *std::move(load);
  }

  absl::Status Add(db::Load& load, LoadRows rows) {
    db::LoadChunk chunk;
    chunk.rows = std::make_shared<const LoadRows>(std::move(rows));
    return executor_.Run(load.Add(ctx_, std::move(chunk), "content"));
  }

  std::unique_ptr<db::Cursor> Open(db::Transaction& transaction, absl::string_view sql) {
    db::Statement statement(sql);
    statement.chunk_bytes = 4096;
    auto cursor = executor_.Run(transaction.Open(ctx_, statement));
    EXPECT_THAT(cursor, IsOk());
    return *std::move(cursor);
  }

  absl::StatusOr<std::optional<db::BatchResults>> Recall(const db::RequestKey& key) {
    return executor_.Run(database_->Recall(ctx_, key));
  }

  // Rows that refer to others; the references are looked at when all is done.
  void MakeNodes() {
    ASSERT_THAT(Ask("CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES node "
                    "(id) DEFERRABLE INITIALLY DEFERRED)"),
                IsOk());
  }
};

INSTANTIATE_TEST_SUITE_P(EveryDriver,
                         ConformanceTransactionWork,
                         ::testing::ValuesIn(Engines()),
                         [](const auto& info) { return info.param.name; });

TEST_P(ConformanceTransactionWork, ABatchIsPartOfIt) {
  for (const BatchMode mode : {BatchMode::kAtomic, kApart[0], kApart[1]}) {
    const auto transaction = Begin();
    BatchMaker maker(mode);
    maker.Add(kAdd, {Int(4)}).AddSet({Int(5)}).Add("SELECT count(*) FROM number");
    const auto results = Execute(executor_, *transaction, maker.batch);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), 3u);
    EXPECT_EQ((*results)[1]->rows_affected, 1);
    EXPECT_EQ(Parse((*results)[2])->rows(0).values(0).int64_value(), 5);
    EXPECT_EQ(Count(), 3);
    Rollback(*transaction);
    EXPECT_EQ(Count(), 3);
  }
}

TEST_P(ConformanceTransactionWork, AnAtomicBatchThatFailsFailsIt) {
  for (const bool guarded : {false, true}) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    if (guarded) {
      ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    }
    BatchMaker maker;
    maker.Add(kAdd, {Int(5)}).Add(kAdd, {Int(6)}).AddSet({Int(1)});
    const auto failed = Execute(executor_, *transaction, maker.batch);
    EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(errors::MetadataOf(failed.status(), "step"), "1");
    EXPECT_EQ(errors::MetadataOf(failed.status(), "parameter_set"), "1");
    EXPECT_EQ(StateOf(*transaction), guarded ? State::kFailed : State::kGone);
    if (guarded) {
      ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
      EXPECT_EQ(Count(*transaction), 4);
      ASSERT_THAT(Commit(*transaction), IsOk());
    }
    EXPECT_EQ(Count(), guarded ? 4 : 3);
  }
}

TEST_P(ConformanceTransactionWork, TheOtherModesUndoWhatFailsByItself) {
  for (const BatchMode mode : kApart) {
    const bool goes_on = mode == BatchMode::kContinue;
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    BatchMaker maker(mode);
    maker.Add(kAdd, {Int(5)}).Add(kTaken).Add("SELECT nothing FROM number").Add(kAdd, {Int(6)});
    const auto results = Execute(executor_, *transaction, maker.batch);
    ASSERT_THAT(results, IsOk());
    ASSERT_EQ(results->size(), goes_on ? 4u : 2u);
    EXPECT_THAT((*results)[0], IsOk());
    EXPECT_EQ((*results)[1].status().code(), StatusCode::kAlreadyExists);
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
    EXPECT_EQ(Count(*transaction), goes_on ? 6 : 5);
    Rollback(*transaction);
    EXPECT_EQ(Count(), 3);
  }
}

TEST_P(ConformanceTransactionWork, ABatchThatIsATrialOrExceedsItsBoundUndoesOnlyItself) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  BatchMaker trial(BatchMode::kContinue);
  trial.Add("DELETE FROM number").Add("SELECT count(*) FROM number");
  trial.batch.validate_only = true;
  const auto tried = Execute(executor_, *transaction, trial.batch);
  ASSERT_THAT(tried, IsOk());
  EXPECT_EQ(Parse((*tried)[1])->rows(0).values(0).int64_value(), 0);
  EXPECT_EQ(Count(*transaction), 4);

  BatchMaker bounded;
  bounded.Add("UPDATE number SET word = 'w'").Add("DELETE FROM number WHERE n = 1");
  bounded.batch.max_affected_rows = 4;
  EXPECT_THAT(Execute(executor_, *transaction, bounded.batch),
              Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  const auto changed = In(*transaction, "SELECT count(*) FROM number WHERE word = 'w'");
  ASSERT_THAT(changed, IsOk());
  EXPECT_EQ(changed->rows(0).values(0).int64_value(), 0);
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransactionWork, DeferredKeysAreLookedAtWhenItCommits) {
  MakeNodes();
  for (const BatchMode mode : {BatchMode::kAtomic, kApart[0], kApart[1]}) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, "INSERT INTO node (id, parent) VALUES (1, 9)"), IsOk());
    BatchMaker maker(mode);
    maker.Add("INSERT INTO node (id, parent) VALUES ($1, $2)", {Int(2), Int(8)});
    const auto results = Execute(executor_, *transaction, maker.batch);
    ASSERT_THAT(results, IsOk());
    EXPECT_THAT((*results)[0], IsOk());
    ASSERT_THAT(In(*transaction, "INSERT INTO node (id) VALUES (8), (9)"), IsOk());
    ASSERT_THAT(Commit(*transaction), IsOk());
    ASSERT_THAT(Ask("DELETE FROM node"), IsOk());
  }
}

TEST_P(ConformanceTransactionWork, ACommitThatBreaksADeferredKeyLeavesNothing) {
  MakeNodes();
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_THAT(In(*transaction, "INSERT INTO node (id, parent) VALUES (1, 9)"), IsOk());
  const absl::Status failed = Commit(*transaction, &key);
  EXPECT_EQ(failed.code(), StatusCode::kFailedPrecondition) << failed;
  EXPECT_EQ(errors::MetadataOf(failed, "sqlstate"), "23503");
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Count(), 3);
  const auto recalled = Recall(key);
  ASSERT_THAT(recalled, IsOk());
  EXPECT_FALSE(recalled->has_value());
  EXPECT_THAT(Ask(kAdd, {Int(4)}), IsOk());
}

TEST_P(ConformanceTransactionWork, ABatchThatBreaksADeferredKeyLeavesNothing) {
  MakeNodes();
  BatchMaker maker(BatchMode::kAtomic);
  maker.Add(kAdd, {Int(4)});
  maker.Add("INSERT INTO node (id, parent) VALUES ($1, $2)", {Int(1), Int(9)});
  // What is known of its statements after the first time may make it another way.
  for (int i = 0; i < 3; ++i) {
    const auto results = Execute(executor_, *database_, maker.batch);
    EXPECT_EQ(results.status().code(), StatusCode::kFailedPrecondition) << results.status();
    EXPECT_EQ(errors::MetadataOf(results.status(), "sqlstate"), "23503");
    EXPECT_THAT(results, WasExecuted("rolled_back"));
    EXPECT_EQ(Count(), 3);
  }
  EXPECT_THAT(Ask("INSERT INTO node (id) VALUES (9)"), IsOk());
  EXPECT_THAT(Execute(executor_, *database_, maker.batch), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransactionWork, AResultIsReadInPiecesWithWhatIsNotCommitted) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction,
                 "INSERT INTO number (n, word) WITH RECURSIVE c(x) AS (SELECT 4 UNION ALL SELECT x "
                 "+ 1 FROM c WHERE x < 3000) SELECT x, 'uncommitted' FROM c"),
              IsOk());
  db::Statement statement("SELECT n, word FROM number ORDER BY n");
  statement.chunk_bytes = 4096;
  const auto chunks = ReadAll(executor_, *transaction, statement);
  ASSERT_THAT(chunks, IsOk());
  EXPECT_GT(chunks->size(), 5u);
  int64_t next = 1;
  for (const pb::StreamQueryResponse& chunk : *chunks) {
    for (const pb::Row& row : chunk.rows()) ASSERT_EQ(row.values(0).int64_value(), next++);
    EXPECT_EQ(chunk.has_columns(), &chunk == &chunks->front());
  }
  EXPECT_EQ(next, 3001);
  EXPECT_EQ(chunks->back().command_tag(), "SELECT 3000");
  const auto outside = ReadAll(executor_, *database_, statement);
  ASSERT_THAT(outside, IsOk());
  EXPECT_EQ(outside->back().command_tag(), "SELECT 3");
  ASSERT_THAT(Commit(*transaction), IsOk());
}

TEST_P(ConformanceTransactionWork, AResultThatIsAbandonedIsInNobodysWay) {
  ASSERT_THAT(Ask("DROP TABLE number"), IsOk());
  MakeNumbers(3000);
  const auto transaction = Begin();
  for (const bool goes_on : {true, false}) {
    auto cursor = Open(*transaction, "SELECT n, word FROM number ORDER BY n");
    for (int i = 0; i < 2; ++i) {
      const auto chunk = executor_.Run(cursor->Next(ctx_));
      ASSERT_THAT(chunk, IsOk());
      EXPECT_GT(chunk->count, 0);
      EXPECT_FALSE(chunk->end);
    }
    cursor.reset();
    if (goes_on) {
      ASSERT_THAT(In(*transaction, "DELETE FROM number WHERE n = 1"), IsOk());
    }
  }
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 2999);
}

TEST_P(ConformanceTransactionWork, AnAbandonedResultIsInNoWayOfARollback) {
  ASSERT_THAT(Ask("DROP TABLE number"), IsOk());
  MakeNumbers(3000);
  const auto transaction = Begin();
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  ASSERT_THAT(In(*transaction, "DELETE FROM number WHERE n > 2000"), IsOk());
  auto cursor = Open(*transaction, "SELECT n, word FROM number");
  ASSERT_THAT(executor_.Run(cursor->Next(ctx_)), IsOk());
  ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
  EXPECT_EQ(Count(*transaction), 3000);
  ASSERT_THAT(In(*transaction, "DELETE FROM number"), IsOk());
  cursor = Open(*transaction, "SELECT n FROM number UNION ALL SELECT 1");
  Rollback(*transaction);
  EXPECT_EQ(Count(), 3000);
}

TEST_P(ConformanceTransactionWork, AWriteWithRowsIsReadInPieces) {
  ASSERT_THAT(Ask("DROP TABLE number"), IsOk());
  MakeNumbers(3000);
  const auto transaction = Begin();
  db::Statement statement("UPDATE number SET word = word || '!' RETURNING n, word");
  statement.chunk_bytes = 4096;
  for (int i = 0; i < 2; ++i) {  // unknown at first, known to write then
    const auto chunks = ReadAll(executor_, *transaction, statement);
    ASSERT_THAT(chunks, IsOk());
    EXPECT_GT(chunks->size(), 5u);
    EXPECT_EQ(chunks->back().rows_affected(), 3000);
    EXPECT_EQ(chunks->back().command_tag(), "UPDATE 3000");
  }
  const char* const word = "SELECT word FROM number WHERE n = 1";
  EXPECT_EQ(In(*transaction, word)->rows(0).values(0).string_value(), "word 1!!");
  EXPECT_EQ(Ask(word)->rows(0).values(0).string_value(), "word 1");
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Ask(word)->rows(0).values(0).string_value(), "word 1!!");
}

TEST_P(ConformanceTransactionWork, AnErrorOnTheWayOfAResultFailsIt) {
  ASSERT_THAT(Ask("DROP TABLE number"), IsOk());
  MakeNumbers(5000);
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, "DELETE FROM number WHERE n > 4500"), IsOk());
  db::Statement statement(
      "SELECT n, abs(CASE n WHEN 4000 THEN -9223372036854775807 - 1 ELSE n END) FROM number "
      "ORDER BY n");
  statement.chunk_bytes = 4096;
  EXPECT_FALSE(ReadAll(executor_, *transaction, statement).ok());
  EXPECT_EQ(StateOf(*transaction), State::kGone);
  EXPECT_EQ(Count(), 5000);
}

TEST_P(ConformanceTransactionWork, ALoadIsPartOfIt) {
  for (const BatchMode mode : {BatchMode::kAtomic, kApart[0], kApart[1]}) {
    const auto transaction = Begin();
    const auto loaded =
        LoadAll(executor_, *transaction, Target(mode),
                {MakeRows({{Int(4), Text("a")}, {Int(5), Null()}}), MakeRows({{Int(6), Null()}})});
    ASSERT_THAT(loaded, IsOk());
    ASSERT_EQ(loaded->size(), 2u);
    EXPECT_EQ((*loaded)[0].rows_affected, 2);
    EXPECT_EQ((*loaded)[1].rows_affected, 1);
    EXPECT_EQ(Count(*transaction), 6);
    EXPECT_EQ(Count(), 3);
    ASSERT_THAT(Commit(*transaction), IsOk());
    EXPECT_EQ(Count(), 6);
    ASSERT_THAT(Ask("DELETE FROM number WHERE n > 3"), IsOk());
  }
}

TEST_P(ConformanceTransactionWork, AnAtomicLoadThatFailsFailsIt) {
  for (const bool guarded : {false, true}) {
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
    if (guarded) {
      ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    }
    const auto failed = LoadAll(executor_, *transaction, Target(),
                                {Row(5), MakeRows({{Int(6), Null()}, {Int(1), Null()}})});
    EXPECT_EQ(failed.status().code(), StatusCode::kAlreadyExists);
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
    EXPECT_EQ(errors::MetadataOf(failed.status(), "row"), "2");
    EXPECT_EQ(StateOf(*transaction), guarded ? State::kFailed : State::kGone);
    if (guarded) {
      ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
      EXPECT_EQ(Count(*transaction), 4);
      ASSERT_THAT(Commit(*transaction), IsOk());
    }
    EXPECT_EQ(Count(), guarded ? 4 : 3);
  }
}

TEST_P(ConformanceTransactionWork, ALoadThatHasFailedTakesNothingMore) {
  const auto transaction = Begin();
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  for (const bool bounded : {false, true}) {
    db::LoadTarget target = Target();
    target.max_affected_rows = bounded ? 1 : 0;
    const auto load = OpenLoad(*transaction, target);
    ASSERT_THAT(Add(*load, Row(4)), IsOk());
    const absl::Status failed = Add(*load, Row(bounded ? 5 : 1));
    EXPECT_FALSE(failed.ok());
    EXPECT_EQ(Add(*load, Row(6)), failed);
    EXPECT_EQ(executor_.Run(load->Finish(ctx_, "content")), failed);
    ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
    EXPECT_EQ(Count(*transaction), 3);
  }
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 3);
}

TEST_P(ConformanceTransactionWork, AChunkByItselfIsUndoneByItself) {
  for (const BatchMode mode : kApart) {
    const bool goes_on = mode == BatchMode::kContinue;
    const auto transaction = Begin();
    const auto loaded = LoadAll(executor_, *transaction, Target(mode),
                                {Row(4), MakeRows({{Int(5), Null()}, {Int(1), Null()}}), Row(6)});
    ASSERT_THAT(loaded, IsOk());
    ASSERT_EQ(loaded->size(), goes_on ? 3u : 2u);
    EXPECT_THAT((*loaded)[0].status, IsOk());
    EXPECT_EQ((*loaded)[1].status.code(), StatusCode::kAlreadyExists);
    EXPECT_EQ((*loaded)[1].rows_affected, 0);
    EXPECT_EQ(errors::MetadataOf((*loaded)[1].status, "row"), "2");
    EXPECT_EQ(StateOf(*transaction), State::kOpen);
    EXPECT_EQ(Count(*transaction), goes_on ? 5 : 4);
    Rollback(*transaction);
    EXPECT_EQ(Count(), 3);
  }
}

TEST_P(ConformanceTransactionWork, ALoadThatIsAbandonedIsUndoneAlone) {
  for (const BatchMode mode : {BatchMode::kAtomic, BatchMode::kContinue}) {
    for (const bool goes_on : {true, false}) {
      const auto transaction = Begin();
      ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
      auto load = OpenLoad(*transaction, Target(mode));
      ASSERT_THAT(Add(*load, Row(5)), IsOk());
      ASSERT_THAT(Add(*load, Row(6)), IsOk());
      load.reset();
      if (goes_on) {
        EXPECT_EQ(Count(*transaction), 4);
        ASSERT_THAT(In(*transaction, kAdd, {Int(7)}), IsOk());
      }
      ASSERT_THAT(Commit(*transaction), IsOk());
      EXPECT_EQ(Count(), goes_on ? 5 : 4);
      ASSERT_THAT(Ask("DELETE FROM number WHERE n > 3"), IsOk());
    }
  }
}

TEST_P(ConformanceTransactionWork, ALoadThatIsATrialOrExceedsItsBoundUndoesOnlyItself) {
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  db::LoadTarget target = Target();
  target.validate_only = true;
  const auto tried = LoadAll(executor_, *transaction, target, {Row(5), Row(6)});
  ASSERT_THAT(tried, IsOk());
  EXPECT_EQ((*tried)[1].rows_affected, 1);
  EXPECT_EQ(Count(*transaction), 4);

  target = Target();
  target.max_affected_rows = 2;
  EXPECT_THAT(LoadAll(executor_, *transaction, target, {Row(5), Row(6), Row(7)}),
              Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_EQ(Count(*transaction), 4);

  target.mode = BatchMode::kContinue;  // of each chunk
  const auto each =
      LoadAll(executor_, *transaction, target,
              {Row(5), MakeRows({{Int(6), Null()}, {Int(7), Null()}, {Int(8), Null()}}), Row(9)});
  ASSERT_THAT(each, IsOk());
  EXPECT_THAT((*each)[1].status, Fails(StatusCode::kFailedPrecondition, "AFFECTED_ROWS_EXCEEDED"));
  EXPECT_EQ(Count(*transaction), 6);
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 6);
}

TEST_P(ConformanceTransactionWork, ALoadWithAKeyIsDoneOnce) {
  for (const BatchMode mode : {BatchMode::kAtomic, BatchMode::kContinue}) {
    db::LoadTarget target = Target(mode);
    target.key = MakeKey(absl::StrCat("load ", static_cast<int>(mode)), "");
    for (const bool again : {false, true}) {
      const auto transaction = Begin();
      for (const bool repeats : {again, true}) {
        const auto loaded = LoadAll(executor_, *transaction, target, {Row(4), Row(5)});
        ASSERT_THAT(loaded, IsOk());
        ASSERT_EQ(loaded->size(), 2u);
        for (const db::ChunkOutcome& outcome : *loaded) {
          EXPECT_EQ(outcome.replayed, repeats);
          EXPECT_EQ(outcome.rows_affected, 1);
        }
        EXPECT_EQ(Count(*transaction), 5);
      }
      EXPECT_THAT(LoadAll(executor_, *transaction, target, {Row(4), Row(6)}),
                  Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
      EXPECT_EQ(StateOf(*transaction), State::kOpen);
      ASSERT_THAT(Commit(*transaction), IsOk());
      EXPECT_EQ(Count(), 5);
    }
    ASSERT_THAT(Ask("DELETE FROM number WHERE n > 3"), IsOk());
  }
}

TEST_P(ConformanceTransactionWork, ARequestIdIsAnsweredAgainInItAndAfterItsCommit) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = Begin();
  const auto first = Once(*transaction, key, kAdd, {Int(4)});
  ASSERT_THAT(first, IsOk());
  const auto inside = Once(*transaction, key, kAdd, {Int(4)});
  ASSERT_THAT(inside, IsOk());
  EXPECT_EQ(inside->SerializeAsString(), first->SerializeAsString());
  EXPECT_THAT(Once(*transaction, MakeKey("one", "d"), kAdd, {Int(5)}),
              Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  ASSERT_THAT(Commit(*transaction), IsOk());
  const auto after = Once(*database_, key, kAdd, {Int(4)});
  ASSERT_THAT(after, IsOk());
  EXPECT_EQ(after->SerializeAsString(), first->SerializeAsString());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransactionWork, ARequestIdGoesWithWhatIsRolledBack) {
  const db::RequestKey key = MakeKey("one", "c");
  for (const bool to_savepoint : {false, true}) {
    const auto transaction = Begin();
    ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
    ASSERT_THAT(Once(*transaction, key, kAdd, {Int(4)}), IsOk());
    if (to_savepoint) {
      ASSERT_THAT(RollbackTo(*transaction, 1), IsOk());
      ASSERT_THAT(Commit(*transaction), IsOk());
    } else {
      Rollback(*transaction);
    }
    EXPECT_EQ(Count(), 3);
    const auto recalled = Recall(key);
    ASSERT_THAT(recalled, IsOk());
    EXPECT_FALSE(recalled->has_value());
  }
  EXPECT_THAT(Once(*database_, key, kAdd, {Int(4)}), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransactionWork, ABatchWithARequestIdIsAnsweredAgain) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = Begin();
  for (int i = 0; i < 2; ++i) {
    BatchMaker maker;
    maker.Add(kAdd, {Int(4)}).Add("SELECT count(*) FROM number");
    maker.batch.request = &key;
    const auto results = Execute(executor_, *transaction, maker.batch);
    ASSERT_THAT(results, IsOk());
    EXPECT_EQ(Parse((*results)[1])->rows(0).values(0).int64_value(), 4);
  }
  ASSERT_THAT(Commit(*transaction), IsOk());
  EXPECT_EQ(Count(), 4);
}

TEST_P(ConformanceTransactionWork, AStreamWithARequestIdIsAnsweredAgain) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = Begin();
  for (int i = 0; i < 2; ++i) {
    db::Statement statement("UPDATE number SET word = word || '!' RETURNING n, word");
    statement.request = &key;
    const auto chunks = ReadAll(executor_, *transaction, statement);
    ASSERT_THAT(chunks, IsOk());
    EXPECT_EQ(chunks->front().rows_size(), 3);
    EXPECT_EQ(chunks->front().rows(0).values(1).string_value(), "word 1!");
    EXPECT_EQ(chunks->back().rows_affected(), 3);
  }
  ASSERT_THAT(Commit(*transaction), IsOk());
}

TEST_P(ConformanceTransactionWork, ACommitWithARequestIdIsFoundAgain) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = Begin();
  ASSERT_THAT(In(*transaction, kAdd, {Int(4)}), IsOk());
  ASSERT_THAT(Commit(*transaction, &key), IsOk());
  const auto found = Recall(key);
  ASSERT_THAT(found, IsOk());
  ASSERT_TRUE(found->has_value());
  EXPECT_TRUE((*found)->empty());
  EXPECT_THAT(Recall(MakeKey("one", "d")),
              Fails(StatusCode::kInvalidArgument, "REQUEST_ID_REUSED"));
  db::RequestKey any = key;
  any.content.clear();
  const auto fits = Recall(any);
  ASSERT_THAT(fits, IsOk());
  EXPECT_TRUE(fits->has_value());
}

TEST_P(ConformanceTransactionWork, ACommitOfNothingIsFoundAgainToo) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = Begin();
  ASSERT_THAT(Commit(*transaction, &key), IsOk());
  const auto found = Recall(key);
  ASSERT_THAT(found, IsOk());
  EXPECT_TRUE(found->has_value());
}

// Whoever commits with the last request of a transaction asks for that one.
TEST_P(ConformanceTransactionWork, ARequestThatCommitsIsFoundAgainEvenIfItOnlyReads) {
  for (const bool commits : {false, true}) {
    db::RequestKey keys[] = {MakeKey("unary", "c"), MakeKey("stream", "c"), MakeKey("batch", "c")};
    for (db::RequestKey& key : keys) key.commits = commits;
    const auto transaction = Begin();
    ASSERT_THAT(In(*transaction, "UPDATE number SET word = 'w'"), IsOk());
    ASSERT_THAT(Once(*transaction, keys[0], "SELECT count(*) FROM number"), IsOk());
    db::Statement streamed("SELECT n FROM number");
    streamed.request = &keys[1];
    ASSERT_THAT(ReadAll(executor_, *transaction, streamed), IsOk());
    BatchMaker maker;
    maker.Add("SELECT n FROM number");
    maker.batch.request = &keys[2];
    ASSERT_THAT(Execute(executor_, *transaction, maker.batch), IsOk());
    ASSERT_THAT(Commit(*transaction), IsOk());
    for (const db::RequestKey& key : keys) {
      const auto found = Recall(key);
      ASSERT_THAT(found, IsOk());
      EXPECT_EQ(found->has_value(), commits) << key.id;
    }
  }
}

TEST_P(ConformanceTransactionWork, WhatNobodyAskedIsNotRecalled) {
  for (int i = 0; i < 2; ++i) {  // before there is anything of the kind, and then
    const auto unknown = Recall(MakeKey("unknown", "c"));
    ASSERT_THAT(unknown, IsOk());
    EXPECT_FALSE(unknown->has_value());
    db::RequestKey elsewhere = MakeKey("one", "c");
    elsewhere.scope = std::string(16, 't');
    const auto other = Recall(elsewhere);
    ASSERT_THAT(other, IsOk());
    EXPECT_FALSE(other->has_value());
    ASSERT_THAT(Once(*database_, MakeKey("one", "c"), kAdd, {Int(4)}), IsOk());
  }
}

TEST_P(ConformanceTransactionWork, WhatAWriteAnsweredIsRecalled) {
  const db::RequestKey key = MakeKey("one", "c");
  const auto first = Once(*database_, key, kAdd, {Int(4)});
  ASSERT_THAT(first, IsOk());
  const auto found = Recall(key);
  ASSERT_THAT(found, IsOk());
  ASSERT_TRUE(found->has_value());
  ASSERT_EQ((*found)->size(), 1u);
  EXPECT_EQ(Parse((**found)[0])->SerializeAsString(), first->SerializeAsString());
}

}  // namespace
}  // namespace sluice::test
