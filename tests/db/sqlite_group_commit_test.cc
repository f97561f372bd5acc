// Group commit: writes that wait are committed together, and each is as if it had been alone.
#include <array>
#include <atomic>
#include <barrier>
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

class SqliteGroupCommit : public SqliteGroupTest {};

TEST_F(SqliteGroupCommit, WritesThatWaitAreCommittedTogether) {
  OpenWithTables();
  Hold();
  const db::WriterStats before = Stats();
  for (int i = 1; i <= 100; ++i) Start(kInsert, {Int(i), Text("w")});
  ASSERT_TRUE(UntilQueued(100));
  EXPECT_EQ(Stats().writes, before.writes);
  Release();
  for (int i = 1; i <= 100; ++i) {
    const auto reply = Parse(started_[static_cast<size_t>(i - 1)]->Wait());
    ASSERT_THAT(reply, IsOk());
    EXPECT_EQ(reply->last_insert_rowid(), i);
    EXPECT_EQ(reply->rows_affected(), 1);
  }
  const db::WriterStats after = Stats();
  EXPECT_EQ(after.groups, before.groups + 1);
  EXPECT_EQ(after.writes, before.writes + 100);
  EXPECT_EQ(after.largest_group, 100);
  EXPECT_EQ(after.reruns, before.reruns);
  EXPECT_GT(after.wait_longest, absl::ZeroDuration());
  EXPECT_GE(after.wait_total, after.wait_longest);
  EXPECT_GT(after.commit_total, before.commit_total);
  Outsider outsider(path_);
  EXPECT_EQ(outsider.Number("SELECT count(*) FROM item"), 101);
}

TEST_F(SqliteGroupCommit, AGroupHasALimitInMembersAndInBytes) {
  OpenWithTables();
  Hold();
  db::WriterStats before = Stats();
  for (int i = 1; i <= 300; ++i) Start(kInsert, {Int(i), Text("w")});
  ASSERT_TRUE(UntilQueued(300));
  Release();
  for (const auto& write : started_) ASSERT_THAT(write->Wait(), IsOk());
  EXPECT_EQ(Stats().groups, before.groups + 2);
  EXPECT_EQ(Stats().largest_group, 256);

  Hold();
  before = Stats();
  started_.clear();
  const std::string large(1 << 20, 'x');
  for (int i = 1001; i <= 1010; ++i) Start(kInsert, {Int(i), Text(large)});
  ASSERT_TRUE(UntilQueued(10));
  Release();
  for (const auto& write : started_) ASSERT_THAT(write->Wait(), IsOk());
  EXPECT_EQ(Stats().groups, before.groups + 3);
}

TEST_F(SqliteGroupCommit, EachMemberGetsItsOwnAnswer) {
  OpenWithTables();
  MakeNumbers(10);
  constexpr char kUpdate[] = "UPDATE number SET word = 'w' WHERE n <= 7";
  constexpr char kDelete[] = "DELETE FROM number WHERE n > 8 RETURNING n";
  constexpr char kNothing[] = "INSERT INTO number (n) VALUES (1) ON CONFLICT DO NOTHING";
  constexpr char kCreate[] = "CREATE TABLE made (a INTEGER)";
  constexpr char kStreamed[] = "UPDATE number SET word = word || '!' WHERE n <= 5 RETURNING n";
  for (const char* const sql : {kUpdate, kDelete, kNothing, kCreate, kStreamed}) Know(sql);
  EXPECT_EQ(Number("SELECT count(*) FROM number WHERE word LIKE 'word%'"), 10);

  Hold();
  const db::WriterStats before = Stats();
  Pending& insert = Start(kInsert, {Int(41), Text("a")});
  Pending& update = Start(kUpdate);
  const Context ctx;
  const db::Statement streamed_statement(kStreamed);
  Started<absl::StatusOr<std::unique_ptr<db::Cursor>>> streamed(
      executor_, database_->Open(ctx, streamed_statement));
  Pending& nothing = Start(kNothing);
  Pending& gone = Start(kDelete);
  Pending& create = Start(kCreate);
  ASSERT_TRUE(UntilQueued(6));
  Release();
  EXPECT_EQ(Parse(insert.Wait())->last_insert_rowid(), 41);
  EXPECT_EQ(Parse(update.Wait())->rows_affected(), 7);
  EXPECT_EQ(Parse(update.Wait())->last_insert_rowid(), 0);
  EXPECT_EQ(Parse(nothing.Wait())->command_tag(), "INSERT 0 0");
  EXPECT_EQ(Parse(nothing.Wait())->last_insert_rowid(), 0);
  ASSERT_THAT(gone.Wait(), IsOk());
  EXPECT_EQ(Parse(gone.Wait())->rows_size(), 2);
  EXPECT_EQ(Parse(create.Wait())->rows_affected(), 0);
  ASSERT_THAT(streamed.Wait(), IsOk());
  EXPECT_EQ(executor_.Run((*streamed.Wait())->Next(ctx))->count, 5);
  EXPECT_EQ(Stats().groups, before.groups + 1);
  EXPECT_EQ(Stats().writes, before.writes + 6);
}

// What a member may do wrong, and what that does to a transaction.
struct Bad {
  const char* name;
  const char* sql;
  StatusCode code;
  bool loses = false;  // the transaction goes with it
};

constexpr Bad kBad[] = {
    {"unique", "INSERT INTO item (id) VALUES (0)", StatusCode::kAlreadyExists},
    {"check", "INSERT INTO item (id, word) VALUES (900, 'refused')", StatusCode::kInvalidArgument},
    {"fail_keeps_what_was_done", "INSERT OR FAIL INTO item (id) VALUES (900), (0)",
     StatusCode::kAlreadyExists},
    {"deferred_key", "INSERT INTO child (parent) VALUES (900)", StatusCode::kFailedPrecondition},
    {"too_big", "INSERT INTO item (id, word) VALUES (900, hex(zeroblob(60000000)))",
     StatusCode::kResourceExhausted},
    {"on_conflict_rollback", "INSERT OR ROLLBACK INTO item (id) VALUES (900), (0)",
     StatusCode::kAlreadyExists, true},
    {"raise_rollback", "INSERT INTO trap (a) VALUES (1)", StatusCode::kFailedPrecondition, true},
};

TEST_F(SqliteGroupCommit, Fault61_OneBadMemberFailsAlone) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE child (parent INTEGER REFERENCES item (id) DEFERRABLE INITIALLY "
                  "DEFERRED)"),
              IsOk());
  ASSERT_THAT(Ask("CREATE TABLE trap (a INTEGER)"), IsOk());
  ASSERT_THAT(Ask("CREATE TRIGGER spring BEFORE INSERT ON trap BEGIN SELECT RAISE(ROLLBACK, "
                  "'trapped'); END"),
              IsOk());
  int64_t next = 1;
  for (const Bad& bad : kBad) {
    SCOPED_TRACE(bad.name);
    started_.clear();
    EXPECT_EQ(Ask(bad.sql).status().code(), bad.code);  // alone, and known to write from here on
    Hold();
    const db::WriterStats before = Stats();
    const int64_t first = next;
    for (int i = 0; i < 10; ++i) Start(kInsert, {Int(next++), Text(bad.name)});
    Pending& failing = Start(bad.sql);
    for (int i = 0; i < 10; ++i) Start(kInsert, {Int(next++), Text(bad.name)});
    ASSERT_TRUE(UntilQueued(21));
    Release();
    EXPECT_EQ(failing.Wait().status().code(), bad.code) << failing.Wait().status();
    if (bad.code != StatusCode::kInvalidArgument) {
      EXPECT_THAT(failing.Wait(), WasExecuted("rolled_back"));
    }
    for (const auto& write : started_) {
      if (write.get() != &failing) EXPECT_THAT(write->Wait(), IsOk());
    }
    EXPECT_EQ(Number(absl::StrCat("SELECT count(*) FROM item WHERE word = '", bad.name, "'")), 20);
    EXPECT_EQ(Items(), 1 + next - 1) << "from " << first;
    const db::WriterStats after = Stats();
    EXPECT_EQ(after.groups, before.groups + 1);
    EXPECT_EQ(after.writes, before.writes + 20);
    EXPECT_EQ(after.reruns, before.reruns + (bad.loses ? 1 : 0));
  }
  EXPECT_EQ(Number("SELECT count(*) FROM child"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM trap"), 0);
}

TEST_F(SqliteGroupCommit, Fault61_AMemberThatIsEndedTakesNobodyWithIt) {
  OpenWithTables();
  for (const bool by_deadline : {false, true}) {
    SCOPED_TRACE(by_deadline);
    const int64_t first = by_deadline ? 100 : 1;
    started_.clear();
    Hold();
    const db::WriterStats before = Stats();
    Start(kInsert, {Int(first), Text("before")});
    Call call(by_deadline ? absl::Now() + absl::Milliseconds(400) : absl::InfiniteFuture());
    Pending& endless = Start(kSlowInsert, {Int(kForever)}, call.ctx());
    Start(kInsert, {Int(first + 1), Text("after")});
    ASSERT_TRUE(UntilQueued(3));
    Release();
    if (!by_deadline) {
      ASSERT_TRUE(UntilActive(2));  // the endless one has begun
      call.Cancel();
    }
    EXPECT_EQ(endless.Wait().status().code(),
              by_deadline ? StatusCode::kDeadlineExceeded : StatusCode::kCancelled);
    EXPECT_THAT(endless.Wait(), WasExecuted("rolled_back"));
    EXPECT_THAT(started_.front()->Wait(), IsOk());
    EXPECT_THAT(started_.back()->Wait(), IsOk());
    EXPECT_EQ(Stats().reruns, before.reruns + 1);
    EXPECT_EQ(Stats().writes, before.writes + 2);
    EXPECT_EQ(Items(), by_deadline ? 5 : 3);
  }
}

// The second conflicts with the first, which is cancelled only after that, and gone in the end.
TEST_F(SqliteGroupCommit, Fault61_AMemberThatFailedForWhatIsGoneRunsAgain) {
  OpenWithTables();
  constexpr char kMany[] =
      "INSERT INTO item (id) WITH RECURSIVE c(x) AS (SELECT 1000 UNION ALL SELECT x + 1 FROM c "
      "WHERE x < 9000) SELECT x FROM c";
  Know(kMany);
  Hold();
  const db::WriterStats before = Stats();
  Call many_call;
  Call endless_call;
  Pending& many = Start(kMany, {}, many_call.ctx());
  Pending& second = Start(kInsert, {Int(1000), Text("second")});
  Pending& endless = Start(kSlowInsert, {Int(kForever)}, endless_call.ctx());
  ASSERT_TRUE(UntilQueued(3));
  Release();
  ASSERT_TRUE(UntilActive(3));
  many_call.Cancel();
  endless_call.Cancel();
  EXPECT_EQ(endless.Wait().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(many.Wait().status().code(), StatusCode::kCancelled);
  EXPECT_THAT(many.Wait(), WasExecuted("rolled_back"));
  EXPECT_THAT(second.Wait(), IsOk());
  EXPECT_EQ(Stats().reruns, before.reruns + 2);
  EXPECT_EQ(Items(), 2);
}

TEST_F(SqliteGroupCommit, Fault61_ATableThatAMemberMadeSurvivesARerun) {
  OpenWithTables();
  constexpr char kCreate[] = "CREATE TABLE made (a INTEGER)";
  constexpr char kFill[] = "INSERT INTO made (a) VALUES (7)";
  ASSERT_THAT(Ask(kCreate), IsOk());
  Know(kFill);
  ASSERT_THAT(Ask("DROP TABLE made"), IsOk());
  Hold();
  Pending& create = Start(kCreate);
  Pending& fill = Start(kFill);
  Call call;
  Pending& endless = Start(kSlowInsert, {Int(kForever)}, call.ctx());
  ASSERT_TRUE(UntilQueued(3));
  Release();
  ASSERT_TRUE(UntilActive(3));
  call.Cancel();
  EXPECT_THAT(create.Wait(), IsOk());
  EXPECT_THAT(fill.Wait(), IsOk());
  EXPECT_FALSE(endless.Wait().ok());
  EXPECT_EQ(Number("SELECT a FROM made"), 7);
}

TEST_F(SqliteGroupCommit, Fault49_AnErrorInTheMiddleReachesItsOwnerOnly) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE strict (a INTEGER PRIMARY KEY, b TEXT NOT NULL)"), IsOk());
  constexpr char kStrict[] = "INSERT INTO strict (a, b) VALUES ($1, $2)";
  ASSERT_THAT(Ask(kStrict, {Int(-1), Text("")}), IsOk());
  Hold();
  for (int i = 1; i <= 80; ++i) {
    switch (i % 4) {
      case 0:
        Start(kInsert, {Int(i), Text("fine")});
        break;
      case 1:
        Start(kInsert, {Int(0), Text("taken")});
        break;
      case 2:
        Start(kInsert, {Int(i), Text("refused")});
        break;
      default:
        Start(kStrict, {Int(i), Null()});
    }
  }
  ASSERT_TRUE(UntilQueued(80));
  Release();
  for (int i = 1; i <= 80; ++i) {
    const auto& rows = started_[static_cast<size_t>(i - 1)]->Wait();
    const std::string message(rows.status().message());
    switch (i % 4) {
      case 0:
        EXPECT_THAT(rows, IsOk());
        break;
      case 1:
        EXPECT_THAT(message, ::testing::HasSubstr("item.id"));
        break;
      case 2:
        EXPECT_THAT(message, ::testing::HasSubstr("refused"));
        break;
      default:
        EXPECT_THAT(message, ::testing::HasSubstr("strict.b"));
    }
  }
  EXPECT_EQ(Items(), 21);
  EXPECT_EQ(Number("SELECT count(*) FROM strict"), 1);
}

TEST_F(SqliteGroupCommit, AMemberThatOnlyTriesOrChangesTooMuchLeavesNothing) {
  OpenWithTables();
  Hold();
  Pending& trial = Start(kInsert, {Int(1), Text("trial")}, {},
                         [](db::Statement& each) { each.validate_only = true; });
  Pending& same = Start(kInsert, {Int(1), Text("kept")});
  Pending& bounded = Start(kInsert, {Int(2), Text("kept")}, {},
                           [](db::Statement& each) { each.max_affected_rows = 1; });
  ASSERT_TRUE(UntilQueued(3));
  const db::WriterStats before = Stats();
  Release();
  EXPECT_EQ(Parse(trial.Wait())->last_insert_rowid(), 1);
  EXPECT_THAT(same.Wait(), IsOk());
  EXPECT_THAT(bounded.Wait(), IsOk());
  EXPECT_EQ(Stats().writes, before.writes + 2);
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE word = 'kept'"), 2);
  EXPECT_EQ(Items(), 3);
}

// A loop reads twice in one drain, so that it holds a transaction; then a group is acknowledged
// elsewhere, still within that drain; the next read must see all of it.
TEST_F(SqliteGroupCommit, ALoopThatHoldsASnapshotSeesAGroupThatWasAcknowledgedMeanwhile) {
  OpenWithTables();
  constexpr char kRead[] = "SELECT count(*) FROM item";
  ASSERT_TRUE(WarmUp(executor_, kRead));
  std::vector<int64_t> seen;
  const auto drain = [&]() -> Task<bool> {
    for (int64_t round = 0; round < 10; ++round) {
      for (int twice = 0; twice < 2; ++twice) {
        const Context ctx;
        const db::Statement statement(kRead);
        absl::StatusOr<db::Rows> rows = co_await database_->Execute(ctx, statement);
        seen.push_back(Parse(std::move(rows))->rows(0).values(0).int64_value());
      }
      std::thread([&] {
        ManualExecutor elsewhere;
        std::vector<std::unique_ptr<Pending>> writes;
        for (int64_t i = 1; i <= 8; ++i) {
          const std::initializer_list<pb::Value> values = {Int(round * 8 + i), Text("w")};
          writes.push_back(
              std::make_unique<Pending>(elsewhere, *database_, kInsert, Context(), values));
        }
        for (const auto& write : writes) EXPECT_THAT(write->Wait(), IsOk());
      }).join();
    }
    co_return true;
  };
  Started<absl::StatusOr<bool>> run(executor_, [](Task<bool> task) -> Task<absl::StatusOr<bool>> {
    const bool done = co_await task;
    co_return done;
  }(drain()));
  EXPECT_TRUE(run.done());  // all in one drain
  run.Wait().IgnoreError();
  ASSERT_EQ(seen.size(), 20u);
  for (size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], 1 + 8 * static_cast<int64_t>(i / 2));
}

TEST_F(SqliteGroupCommit, WhoeverWasToldOfAWriteSeesItInEveryKindOfRead) {
  OpenWithTables();
  ASSERT_THAT(Ask("CREATE TABLE slot (id INTEGER PRIMARY KEY, round INTEGER)"), IsOk());
  constexpr int64_t kSlots = 24;
  for (int64_t i = 0; i < kSlots; ++i) {
    ASSERT_THAT(Ask("INSERT INTO slot (id, round) VALUES ($1, 0)", {Int(i)}), IsOk());
  }
  constexpr char kLoop[] = "SELECT round FROM slot WHERE id = $1";
  // Too much for a loop.
  constexpr char kReader[] =
      "SELECT round FROM slot WHERE id = $1 AND (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT "
      "x + 1 FROM c WHERE x < 3000) SELECT count(*) FROM c) = 3000";
  int stale = 0;
  const auto go = [&](int64_t slot, int64_t round) -> Task<absl::StatusOr<bool>> {
    const Context ctx;
    const db::NamedParams no_names;
    const db::Params change = MakeParams({Int(round), Int(slot)});
    const db::Params which = MakeParams({Int(slot)});
    const db::Statement update("UPDATE slot SET round = $1 WHERE id = $2", change, no_names);
    absl::StatusOr<db::Rows> rows = co_await database_->Execute(ctx, update);
    if (!rows.ok()) co_return rows.status();
    const db::Statement read(slot % 3 == 1 ? kReader : kLoop, which, no_names);
    if (slot % 3 == 2) {
      auto cursor = co_await database_->Open(ctx, read);
      if (!cursor.ok()) co_return cursor.status();
      rows = co_await (*cursor)->Next(ctx);
    } else {
      rows = co_await database_->Execute(ctx, read);
    }
    const auto reply = Parse(std::move(rows));
    if (!reply.ok()) co_return reply.status();
    if (reply->rows(0).values(0).int64_value() != round) ++stale;
    co_return true;
  };
  const db::WriterStats before = Stats();
  for (int64_t round = 1; round <= 20; ++round) {
    std::vector<std::unique_ptr<Started<absl::StatusOr<bool>>>> calls;
    for (int64_t slot = 0; slot < kSlots; ++slot) {
      calls.push_back(std::make_unique<Started<absl::StatusOr<bool>>>(executor_, go(slot, round)));
    }
    for (const auto& call : calls) ASSERT_THAT(call->Wait(), IsOk());
  }
  EXPECT_EQ(stale, 0);
  const db::WriterStats after = Stats();
  EXPECT_EQ(after.writes - before.writes, 20 * kSlots);
  EXPECT_LT(after.groups - before.groups, 20 * kSlots / 2);
}

// All write, and are told; then each must see what all were told, in snapshots that reads share.
TEST_F(SqliteGroupCommit, WhatAnyoneWasToldIsSeenByAllWhoReadAfterwards) {
  OpenWithTables();
  constexpr int kThreads = 4;
  constexpr int kSlots = 4;  // of each thread
  constexpr int64_t kRounds = 200;
  ASSERT_THAT(Ask("CREATE TABLE slot (id INTEGER PRIMARY KEY, round INTEGER)"), IsOk());
  for (int64_t i = 0; i < kThreads * kSlots; ++i) {
    ASSERT_THAT(Ask("INSERT INTO slot (id, round) VALUES ($1, 0)", {Int(i)}), IsOk());
  }
  std::barrier told(kThreads);
  std::atomic<int64_t> stale{0};
  std::atomic<int64_t> failed{0};
  const auto serve = [&](int64_t thread) {
    ManualExecutor executor;
    constexpr char kShort[] = "SELECT min(round) FROM slot";
    constexpr char kOther[] = "SELECT round FROM slot ORDER BY round LIMIT 1";
    // Too much for a loop.
    constexpr char kLong[] =
        "SELECT min(round) FROM slot WHERE (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + "
        "1 FROM c WHERE x < 2000) SELECT count(*) FROM c) = 2000";
    const std::array<const char*, 3> queries = {kShort, kOther, kLong};
    for (int64_t round = 1; round <= kRounds; ++round) {
      std::vector<std::unique_ptr<Pending>> writes;
      for (int64_t slot = 0; slot < kSlots; ++slot) {
        const std::initializer_list<pb::Value> change = {Int(round), Int(thread * kSlots + slot)};
        writes.push_back(std::make_unique<Pending>(
            executor, *database_, "UPDATE slot SET round = $1 WHERE id = $2", Context(), change));
      }
      for (const auto& write : writes) failed += write->Wait().ok() ? 0 : 1;
      told.arrive_and_wait();
      std::vector<std::unique_ptr<Pending>> reads;
      for (size_t i = 0; i < 9; ++i) {
        reads.push_back(std::make_unique<Pending>(executor, *database_, queries[i % 3]));
      }
      for (const auto& read : reads) {
        const auto reply = Parse(read->Wait());
        failed += reply.ok() ? 0 : 1;
        if (reply.ok() && reply->rows(0).values(0).int64_value() != round) ++stale;
      }
      told.arrive_and_wait();
    }
  };
  const db::WriterStats before = Stats();
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < kThreads; ++i) threads.emplace_back(serve, i);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stale, 0);
  EXPECT_EQ(failed, 0);
  const db::WriterStats after = Stats();
  EXPECT_EQ(after.writes - before.writes, kRounds * kThreads * kSlots);
  EXPECT_LT(after.groups - before.groups, after.writes - before.writes);
}

TEST_F(SqliteGroupCommit, Fault31_AMemberThatIsEndedInTheQueueIsNeverApplied) {
  OpenWithTables();
  Hold();
  Call call;
  Call late(absl::Now() + absl::Milliseconds(50));
  Start(kInsert, {Int(1), Text("before")});
  Pending& cancelled = Start(kInsert, {Int(2), Text("cancelled")}, call.ctx());
  Pending& expired = Start(kInsert, {Int(3), Text("expired")}, late.ctx());
  Start(kInsert, {Int(4), Text("after")});
  ASSERT_TRUE(UntilQueued(4));
  call.Cancel();
  EXPECT_EQ(cancelled.Wait().status().code(), StatusCode::kCancelled);
  EXPECT_THAT(cancelled.Wait(), WasExecuted("no"));
  EXPECT_EQ(database_->Load().queued, 3);
  ASSERT_TRUE(RunUntil(executor_, [&] { return absl::Now() > late.ctx().deadline; }));
  Release();
  EXPECT_EQ(expired.Wait().status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(expired.Wait(), WasExecuted("no"));
  EXPECT_THAT(started_.front()->Wait(), IsOk());
  EXPECT_THAT(started_.back()->Wait(), IsOk());
  EXPECT_EQ(Number("SELECT count(*) FROM item WHERE id IN (2, 3)"), 0);
  EXPECT_EQ(Items(), 3);
}

}  // namespace
}  // namespace sluice::test
