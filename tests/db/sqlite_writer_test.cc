// Writes: one at a time, all or nothing, acknowledged once committed.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

constexpr char kEndlessInsert[] =
    "INSERT INTO number (word) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT 'w' FROM c";

class SqliteWriter : public SqliteTest {
 protected:
  // Afterwards the driver knows that the statement writes, and sends it straight to the writer.
  void MakeKnown(absl::string_view sql) { ASSERT_THAT(Ask(sql), IsOk()); }
};

TEST_F(SqliteWriter, WhatIsAcknowledgedIsCommitted) {
  Open();
  MakeNumbers(1);
  Outsider outsider(path_);
  for (int i = 2; i < 30; ++i) {
    ASSERT_THAT(Ask("INSERT INTO number (n) VALUES ($1)", {Int(i)}), IsOk());
    EXPECT_EQ(outsider.Number("SELECT max(n) FROM number"), i);
  }
  EXPECT_EQ(outsider.Number("PRAGMA integrity_check(1)"), 0);  // "ok", which is no number
}

TEST_F(SqliteWriter, Fault59_AnothersLockIsWaitedForUpToTheTimeout) {
  db::SqliteSettings settings;
  settings.busy_timeout = absl::Milliseconds(150);
  Open(settings);
  MakeNumbers(1);
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("BEGIN IMMEDIATE"), SQLITE_OK);
  const absl::Time begin = absl::Now();
  const auto failed = Ask("DELETE FROM number");
  EXPECT_EQ(failed.status().code(), StatusCode::kUnavailable);
  EXPECT_THAT(failed, WasExecuted("no"));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(140));
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 1);  // reads go on
  ASSERT_EQ(outsider.Run("COMMIT"), SQLITE_OK);
  EXPECT_THAT(Ask("DELETE FROM number"), IsOk());
}

TEST_F(SqliteWriter, AWriteThatWaitsForAnothersLockCanBeCancelled) {
  Open();
  MakeNumbers(1);
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("BEGIN IMMEDIATE"), SQLITE_OK);
  Call call;
  Pending write(executor_, *database_, "DELETE FROM number", call.ctx());
  ASSERT_TRUE(UntilQueued(1));
  const absl::Time cancelled = absl::Now();
  call.Cancel();
  EXPECT_EQ(write.Wait().status().code(), StatusCode::kCancelled);
  EXPECT_LT(absl::Now() - cancelled, absl::Seconds(1));
  ASSERT_EQ(outsider.Run("COMMIT"), SQLITE_OK);
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 1);
}

TEST_F(SqliteWriter, Fault31_AWriteThatIsCancelledInTheQueueNeverRuns) {
  Open();
  MakeNumbers(1);
  MakeKnown("UPDATE number SET word = 'a'");
  MakeKnown("DELETE FROM number WHERE n = 99");
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("BEGIN IMMEDIATE"), SQLITE_OK);
  Pending first(executor_, *database_, "UPDATE number SET word = 'a'");
  ASSERT_TRUE(UntilQueued(1));
  Call call;
  Pending second(executor_, *database_, "DELETE FROM number WHERE n = 99", call.ctx());
  executor_.RunUntilIdle();
  EXPECT_EQ(database_->Load().queued, 2);
  call.Cancel();
  executor_.RunUntilIdle();
  ASSERT_TRUE(second.done());
  EXPECT_THAT(second.Wait(), WasExecuted("no"));
  ASSERT_EQ(outsider.Run("COMMIT"), SQLITE_OK);
  EXPECT_THAT(first.Wait(), IsOk());
}

TEST_F(SqliteWriter, Fault32_ARunningWriteThatIsCancelledIsRolledBack) {
  Open();
  MakeNumbers(3);
  Call call;
  Pending write(executor_, *database_, kEndlessInsert, call.ctx());
  // On its way through a reader first; once that has handed it over, the writer is at it.
  ASSERT_TRUE(UntilActive(1));
  Outsider outsider(path_);
  ASSERT_TRUE(RunUntil(executor_, [&] {
    const bool locked = outsider.Run("BEGIN IMMEDIATE") == SQLITE_BUSY;
    if (!locked) outsider.Run("ROLLBACK");
    return locked;
  }));
  const absl::Time cancelled = absl::Now();
  call.Cancel();
  EXPECT_THAT(write.Wait(), Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_THAT(write.Wait(), WasExecuted("rolled_back"));
  EXPECT_LT(absl::Now() - cancelled, absl::Seconds(1));
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
  EXPECT_THAT(Ask("DELETE FROM number"), IsOk());
}

TEST_F(SqliteWriter, Fault66_ARunawayWriteEndsAtItsDeadline) {
  Open();
  MakeNumbers(3);
  Call call(absl::Now() + absl::Milliseconds(100));
  const db::Statement statement(kEndlessInsert);
  const auto failed = Execute(executor_, *database_, statement, call.ctx());
  EXPECT_EQ(failed.status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
}

TEST_F(SqliteWriter, ACommitThatFailsIsRolledBack) {
  Open();
  ASSERT_THAT(Ask("CREATE TABLE parent (id INTEGER PRIMARY KEY)"), IsOk());
  ASSERT_THAT(Ask("CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY "
                  "DEFERRED)"),
              IsOk());
  for (int i = 0; i < 2; ++i) {
    const auto failed = Ask("INSERT INTO child (parent) VALUES (1)");
    EXPECT_EQ(failed.status().code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(failed, WasExecuted("rolled_back"));
  }
  EXPECT_EQ(Number("SELECT count(*) FROM child"), 0);
  EXPECT_THAT(Ask("INSERT INTO parent (id) VALUES (1)"), IsOk());
  EXPECT_THAT(Ask("INSERT INTO child (parent) VALUES (1)"), IsOk());
}

TEST_F(SqliteWriter, AStatementThatRollsBackTheTransactionLeavesTheWriterUsable) {
  Open();
  MakeNumbers(3);
  EXPECT_EQ(Ask("INSERT OR ROLLBACK INTO number (n) VALUES (50), (1)").status().code(),
            StatusCode::kAlreadyExists);
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
  EXPECT_THAT(Ask("INSERT INTO number (n) VALUES (50)"), IsOk());
}

TEST_F(SqliteWriter, TheRowidIsOfThisInsertOrZero) {
  Open();
  MakeNumbers(3);
  const auto inserted = Ask("INSERT INTO number (n) VALUES (41)");
  ASSERT_THAT(inserted, IsOk());
  EXPECT_EQ(inserted->last_insert_rowid(), 41);
  const auto nothing = Ask("INSERT INTO number (n) VALUES (41) ON CONFLICT DO NOTHING");
  ASSERT_THAT(nothing, IsOk());
  EXPECT_EQ(nothing->last_insert_rowid(), 0);
  EXPECT_EQ(nothing->command_tag(), "INSERT 0 0");
  const auto changed =
      Ask("INSERT INTO number (n) VALUES (41) ON CONFLICT (n) DO UPDATE SET word = 'w'");
  ASSERT_THAT(changed, IsOk());
  EXPECT_EQ(changed->last_insert_rowid(), 0);
  EXPECT_EQ(changed->rows_affected(), 1);
  const auto updated = Ask("UPDATE number SET word = 'x' WHERE n = 41");
  EXPECT_EQ(updated->last_insert_rowid(), 0);
  const auto created = Ask("CREATE TABLE later (id INTEGER)");
  EXPECT_EQ(created->rows_affected(), 0);
  EXPECT_EQ(created->last_insert_rowid(), 0);
}

TEST_F(SqliteWriter, ARowOfAWriteThatCannotBeAnsweredRollsItBack) {
  Open();
  MakeNumbers(3);
  db::Statement statement("UPDATE number SET word = hex(zeroblob(1000)) RETURNING word");
  statement.max_bytes = 500;
  const auto failed = Execute(executor_, *database_, statement);
  EXPECT_THAT(failed, Fails(StatusCode::kResourceExhausted, "VALUE_TOO_LARGE"));
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(Number("SELECT count(*) FROM number WHERE length(word) > 100"), 0);
}

TEST_F(SqliteWriter, AStreamedWriteHasALimit) {
  Open();
  ASSERT_THAT(Ask("CREATE TABLE blob (b BLOB)"), IsOk());
  const db::Statement statement(
      "INSERT INTO blob (b) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x "
      "< 8) SELECT zeroblob(1000000) FROM c RETURNING b, b, b, b, b, b, b, b, b");
  const auto failed = ReadAll(executor_, *database_, statement);
  EXPECT_THAT(failed, Fails(StatusCode::kResourceExhausted, "VALUE_TOO_LARGE"));
  EXPECT_THAT(failed, WasExecuted("rolled_back"));
  EXPECT_EQ(Number("SELECT count(*) FROM blob"), 0);
}

TEST_F(SqliteWriter, AFullQueueIsSaidAtOnce) {
  db::SqliteSettings settings;
  settings.queue_limit = 3;
  Open(settings);
  MakeNumbers(3);
  MakeKnown("UPDATE number SET word = 'a'");
  Outsider outsider(path_);
  ASSERT_EQ(outsider.Run("BEGIN IMMEDIATE"), SQLITE_OK);
  Pending taken(executor_, *database_, "UPDATE number SET word = 'a'");
  ASSERT_TRUE(UntilQueued(1));
  Pending first(executor_, *database_, "UPDATE number SET word = 'a'");
  Pending second(executor_, *database_, "UPDATE number SET word = 'a'");
  Pending third(executor_, *database_, "UPDATE number SET word = 'a'");
  executor_.RunUntilIdle();
  ASSERT_TRUE(third.done());
  EXPECT_THAT(third.Wait(), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  ASSERT_EQ(outsider.Run("COMMIT"), SQLITE_OK);
  EXPECT_THAT(taken.Wait(), IsOk());
  EXPECT_THAT(first.Wait(), IsOk());
  EXPECT_THAT(second.Wait(), IsOk());
}

TEST_F(SqliteWriter, WritesHappenInTheOrderTheyCame) {
  Open();
  ASSERT_THAT(Ask("CREATE TABLE log (id INTEGER PRIMARY KEY, what INTEGER)"), IsOk());
  constexpr char kInsert[] = "INSERT INTO log (what) VALUES ($1)";
  ASSERT_THAT(Ask(kInsert, {Int(-1)}), IsOk());
  ASSERT_THAT(Ask("DELETE FROM log"), IsOk());
  std::vector<std::unique_ptr<Pending>> writes;
  for (int i = 0; i < 100; ++i) {
    const std::initializer_list<pb::Value> what = {Int(i)};
    writes.push_back(std::make_unique<Pending>(executor_, *database_, kInsert, Context(), what));
  }
  for (const auto& write : writes) ASSERT_THAT(write->Wait(), IsOk());
  const auto reply = Ask("SELECT what FROM log ORDER BY id");
  ASSERT_EQ(reply->rows_size(), 100);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(reply->rows(i).values(0).int64_value(), i);
}

}  // namespace
}  // namespace sluice::test
