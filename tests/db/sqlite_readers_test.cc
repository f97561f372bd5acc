// Reads: where they run, how they are cancelled, and that they see what was acknowledged.
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/db/sqlite/statement_book.h"
#include "tests/db/sqlite_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

constexpr char kCountTo[] =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < $1) "
    "SELECT count(*) FROM c";

TEST(StatementBook, RemembersWhatIsInUseAndForgetsWhatThereIsNoRoomFor) {
  using Known = sqlite::StatementBook::Known;
  sqlite::StatementBook book;
  EXPECT_EQ(book.Find("SELECT 0"), Known::kNothing);
  int remembered = 0;
  for (int i = 0; i < 200; ++i) book.Learn(absl::StrCat("SELECT ", i), Known::kFast);
  for (int i = 0; i < 200; ++i) {
    if (book.Find(absl::StrCat("SELECT ", i)) == Known::kFast) ++remembered;
  }
  EXPECT_GE(remembered, 198);
  book.Learn("SELECT 0", Known::kSlow);
  EXPECT_EQ(book.Find("SELECT 0"), Known::kSlow);
  for (int i = 0; i < 100'000; ++i) book.Learn(absl::StrCat("SELECT ", i), Known::kReads);
  EXPECT_EQ(book.Find("SELECT 99999"), Known::kReads);
}

class SqliteReaders : public SqliteTest {
 protected:
  void OpenWithOneReader(int queue_limit = 1024) {
    db::SqliteSettings settings;
    settings.readers = 1;
    settings.queue_limit = queue_limit;
    Open(settings);
  }
};

TEST_F(SqliteReaders, Fault31_CancelledWhileQueuedIsAnsweredAtOnceAndNeverRuns) {
  OpenWithOneReader();
  MakeNumbers(3);
  Call endless;
  Pending busy(executor_, *database_, kEndless, endless.ctx());
  ASSERT_TRUE(UntilActive(1));

  Call call;  // the driver does not know yet that this one writes, so it queues for the reader
  Pending queued(executor_, *database_, "DELETE FROM number WHERE n = 1", call.ctx());
  executor_.RunUntilIdle();
  EXPECT_EQ(database_->Load().queued, 1);
  call.Cancel();
  executor_.RunUntilIdle();
  ASSERT_TRUE(queued.done());
  EXPECT_THAT(queued.Wait(), Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
  EXPECT_THAT(queued.Wait(), WasExecuted("no"));
  EXPECT_EQ(database_->Load().queued, 0);

  endless.Cancel();
  EXPECT_EQ(busy.Wait().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
}

TEST_F(SqliteReaders, CancelledBeforeItIsEvenQueued) {
  Open();
  Call call;
  Pending pending(executor_, *database_, "SELECT 1", call.ctx());
  call.Cancel();  // collected, and not handed over before the executor has run
  executor_.RunUntilIdle();
  ASSERT_TRUE(pending.done());
  EXPECT_THAT(pending.Wait(), WasExecuted("no"));
  EXPECT_EQ(database_->Load().queued, 0);
}

TEST_F(SqliteReaders, Fault32_CancelledWhileRunningEndsSoonAndTheReaderGoesOn) {
  OpenWithOneReader();
  for (int i = 0; i < 10; ++i) {
    Call call;
    Pending pending(executor_, *database_, kEndless, call.ctx());
    ASSERT_TRUE(UntilActive(1));
    const absl::Time cancelled = absl::Now();
    call.Cancel();
    EXPECT_THAT(pending.Wait(), Fails(StatusCode::kCancelled, "CALL_CANCELLED"));
    EXPECT_THAT(pending.Wait(), WasExecuted("no"));
    EXPECT_LT(absl::Now() - cancelled, absl::Seconds(1));
    EXPECT_EQ(Number("SELECT 42"), 42);
  }
}

TEST_F(SqliteReaders, ADeadlineThatPassesInTheQueueIsNotRun) {
  OpenWithOneReader();
  MakeNumbers(3);
  Call endless;
  Pending busy(executor_, *database_, kEndless, endless.ctx());
  ASSERT_TRUE(UntilActive(1));
  Call call(absl::Now() + absl::Milliseconds(20));
  Pending queued(executor_, *database_, "DELETE FROM number", call.ctx());
  executor_.RunUntilIdle();
  RunUntil(executor_, [&] { return absl::Now() > call.ctx().deadline; });
  endless.Cancel();
  EXPECT_EQ(queued.Wait().status().code(), StatusCode::kDeadlineExceeded);
  EXPECT_THAT(queued.Wait(), WasExecuted("no"));
  busy.Wait();
  EXPECT_EQ(Number("SELECT count(*) FROM number"), 3);
}

TEST_F(SqliteReaders, AFullQueueIsSaidAtOnce) {
  OpenWithOneReader(2);
  Call endless;
  Pending busy(executor_, *database_, kEndless, endless.ctx());
  ASSERT_TRUE(UntilActive(1));
  Pending first(executor_, *database_, "SELECT 1");
  Pending second(executor_, *database_, "SELECT 2");
  Pending third(executor_, *database_, "SELECT 3");
  executor_.RunUntilIdle();
  ASSERT_TRUE(third.done());
  EXPECT_THAT(third.Wait(), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  EXPECT_THAT(third.Wait(), WasExecuted("no"));
  EXPECT_FALSE(first.done());
  endless.Cancel();
  busy.Wait();
  EXPECT_THAT(first.Wait(), IsOk());
  EXPECT_THAT(second.Wait(), IsOk());
}

TEST_F(SqliteReaders, AReadThatLastsTooLongIsEnded) {
  db::SqliteSettings settings;
  settings.max_snapshot_age = absl::Milliseconds(50);
  Open(settings);
  EXPECT_THAT(Ask(kEndless), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
}

TEST_F(SqliteReaders, AShortReadNeedsNoReader) {
  OpenWithOneReader();
  MakeNumbers(10);
  ASSERT_TRUE(WarmUp(executor_, "SELECT word FROM number WHERE n = 5"));
  Call endless;
  Pending busy(executor_, *database_, kEndless, endless.ctx());
  ASSERT_TRUE(UntilActive(1));
  Pending read(executor_, *database_, "SELECT word FROM number WHERE n = 5");
  ASSERT_TRUE(read.done());
  EXPECT_EQ(Parse(read.Wait())->rows(0).values(0).string_value(), "word 5");
  endless.Cancel();
  busy.Wait();
}

TEST_F(SqliteReaders, WithoutABudgetNoReadRunsOnTheLoop) {
  db::SqliteSettings settings;
  settings.loop_budget = 0;
  Open(settings);
  MakeNumbers(10);
  for (int i = 0; i < 20; ++i) {
    Pending read(executor_, *database_, "SELECT word FROM number WHERE n = 5");
    EXPECT_FALSE(read.done());
    EXPECT_THAT(read.Wait(), IsOk());
  }
}

TEST_F(SqliteReaders, AReadOverItsBudgetLeavesTheLoopForGood) {
  Open();
  const db::NamedParams no_names;
  const db::Params few = MakeParams({Int(10)});
  const db::Params many = MakeParams({Int(100'000)});
  const auto ask = [&](const db::Params& params, bool* at_once) {
    std::optional<absl::StatusOr<db::Rows>> rows;
    const Context ctx;
    const auto run = [&]() -> Task<void> {
      db::Statement statement(kCountTo, params, no_names);
      absl::StatusOr<db::Rows> result = co_await database_->Execute(ctx, statement);
      rows.emplace(std::move(result));
    };
    executor_.Start(run());
    *at_once = rows.has_value();
    RunUntil(executor_, [&] { return rows.has_value(); });
    return Parse(*std::move(rows))->rows(0).values(0).int64_value();
  };
  bool at_once = false;
  ASSERT_TRUE(RunUntil(executor_, [&] { return ask(few, &at_once) == 10 && at_once; }));
  EXPECT_EQ(ask(many, &at_once), 100'000);
  EXPECT_FALSE(at_once);
  EXPECT_EQ(ask(few, &at_once), 10);
  EXPECT_FALSE(at_once);
}

TEST_F(SqliteReaders, ALargeResultLeavesTheLoop) {
  Open();
  const auto ask = [&](int64_t size, bool* at_once) {
    const db::Params params = MakeParams({Int(size)});
    const db::NamedParams no_names;
    std::optional<absl::StatusOr<db::Rows>> rows;
    const Context ctx;
    const auto run = [&]() -> Task<void> {
      db::Statement statement("SELECT zeroblob($1)", params, no_names);
      absl::StatusOr<db::Rows> result = co_await database_->Execute(ctx, statement);
      rows.emplace(std::move(result));
    };
    executor_.Start(run());
    *at_once = rows.has_value();
    RunUntil(executor_, [&] { return rows.has_value(); });
    return Parse(*std::move(rows))->rows(0).values(0).bytes_value().size();
  };
  bool at_once = false;
  ASSERT_TRUE(RunUntil(executor_, [&] { return ask(10, &at_once) == 10u && at_once; }));
  EXPECT_EQ(ask(200'000, &at_once), 200'000u);
  EXPECT_FALSE(at_once);
}

// A loop reads twice in one drain, so that it holds a read transaction; then a write is
// acknowledged elsewhere, still within that drain; the next read must see it.
TEST_F(SqliteReaders, ALoopThatHoldsASnapshotSeesACommitThatWasAcknowledgedMeanwhile) {
  Open();
  ASSERT_THAT(Ask("CREATE TABLE counter (n INTEGER)"), IsOk());
  ASSERT_THAT(Ask("INSERT INTO counter (n) VALUES (0)"), IsOk());
  constexpr char kRead[] = "SELECT n FROM counter";
  ASSERT_TRUE(WarmUp(executor_, kRead));

  std::vector<int64_t> seen;
  bool all_at_once = true;
  const auto drain = [&]() -> Task<void> {
    for (int i = 1; i <= 20; ++i) {
      for (int twice = 0; twice < 2; ++twice) {
        const Context ctx;
        db::Statement statement(kRead);
        absl::StatusOr<db::Rows> rows = co_await database_->Execute(ctx, statement);
        seen.push_back(Parse(std::move(rows))->rows(0).values(0).int64_value());
      }
      // The barrier: this drain does not go on before the write has been answered.
      std::thread([&] {
        ManualExecutor elsewhere;
        EXPECT_THAT(Execute(elsewhere, *database_, "UPDATE counter SET n = $1", {Int(i)}), IsOk());
      }).join();
    }
  };
  std::optional<bool> done;
  const auto run = [&]() -> Task<void> {
    co_await drain();
    done = true;
  };
  executor_.Start(run());
  all_at_once = done.has_value();
  RunUntil(executor_, [&] { return done.has_value(); });
  EXPECT_TRUE(all_at_once);
  ASSERT_EQ(seen.size(), 40u);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i / 2);
}

TEST_F(SqliteReaders, ALoopLetsGoOfItsSnapshotAtTheEndOfADrain) {
  Open();
  MakeNumbers(10);
  ASSERT_TRUE(WarmUp(executor_, "SELECT word FROM number WHERE n = 5"));
  std::vector<std::unique_ptr<Pending>> reads;
  for (int i = 0; i < 5; ++i) {
    reads.push_back(
        std::make_unique<Pending>(executor_, *database_, "SELECT word FROM number WHERE n = 5"));
    ASSERT_TRUE(reads.back()->done());
  }
  // Another connection can empty the journal only if nobody reads from it.
  Outsider outsider(path_);
  ASSERT_THAT(Ask("DELETE FROM number WHERE n = 1"), IsOk());
  executor_.RunUntilIdle();
  EXPECT_EQ(outsider.Number("PRAGMA wal_checkpoint(TRUNCATE)"), 0);
}

TEST_F(SqliteReaders, ALoopFollowsAChangeOfTheSchema) {
  Open();
  MakeNumbers(10);
  constexpr char kRead[] = "SELECT * FROM number WHERE n = 5";
  ASSERT_TRUE(WarmUp(executor_, kRead));
  ASSERT_THAT(Ask("ALTER TABLE number ADD COLUMN extra INTEGER DEFAULT 7"), IsOk());
  const auto reply = Ask(kRead);
  ASSERT_THAT(reply, IsOk());
  EXPECT_EQ(reply->columns_size(), 3);
  ASSERT_EQ(reply->rows(0).values_size(), 3);
  EXPECT_EQ(reply->rows(0).values(2).int64_value(), 7);
}

TEST_F(SqliteReaders, ManyReadsOfOneDrainAreHandedOverTogether) {
  db::SqliteSettings settings;
  settings.loop_budget = 0;
  settings.readers = 2;
  Open(settings);
  MakeNumbers(500);
  std::vector<std::unique_ptr<Pending>> reads;
  std::vector<std::string> texts;
  for (int i = 1; i <= 300; ++i) {
    reads.push_back(std::make_unique<Pending>(
        executor_, *database_, absl::StrCat("SELECT ", i, " + n - n FROM number WHERE n = ", i)));
  }
  for (int i = 1; i <= 300; ++i) {
    auto& rows = reads[static_cast<size_t>(i - 1)]->Wait();
    ASSERT_THAT(rows, IsOk());
    EXPECT_EQ(Parse(rows)->rows(0).values(0).int64_value(), i);
  }
}

// Cancelled statements and others, from several threads, on the same readers: an interrupt that
// hits a neighbour would show as an error of a call that nobody cancelled.
TEST_F(SqliteReaders, Fault63_ACancelStormHitsNobodyElse) {
  db::SqliteSettings settings;
  settings.readers = 2;
  settings.loop_budget = 0;
  Open(settings);
  MakeNumbers(1000);
  std::atomic<int> wrong{0};
  std::atomic<int> cancelled{0};
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 3; ++seed) {
    threads.emplace_back([&, seed] {
      ManualExecutor executor;
      std::minstd_rand random(seed + 1);
      const absl::Time until = absl::Now() + absl::Milliseconds(1500);
      while (absl::Now() < until) {
        Call call;
        Pending doomed(executor, *database_,
                       "SELECT count(*) FROM number a, number b WHERE a.n + b.n = 77", call.ctx());
        const auto nonce = static_cast<int64_t>(random());
        Pending fine(executor, *database_, absl::StrCat("SELECT ", nonce));
        executor.RunUntilIdle();
        for (auto spin = random() % 2000; spin > 0; --spin)
          std::atomic_signal_fence(std::memory_order_seq_cst);
        call.Cancel();
        const auto& rows = fine.Wait();
        if (!rows.ok() || Parse(rows)->rows(0).values(0).int64_value() != nonce) ++wrong;
        if (absl::IsCancelled(doomed.Wait().status())) ++cancelled;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(cancelled, 0);
}

}  // namespace
}  // namespace sluice::test
