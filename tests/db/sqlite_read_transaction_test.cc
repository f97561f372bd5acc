// Transactions of the SQLite driver that only read: the snapshots that they hold, and what becomes
// of the journal behind them.
#include <memory>
#include <string>
#include <vector>

#include <sqlite3.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/base/clock.h"
#include "tests/db/sqlite_transaction_fixture.h"

namespace sluice::test {
namespace {

using absl::StatusCode;

constexpr int64_t kMegabyte = 1 << 20;

class SqliteReadTransaction : public SqliteTransactionTest {
 protected:
  std::unique_ptr<db::Transaction> BeginReading() { return Begin("tx_read", /*read_only=*/true); }

  int64_t ItemsIn(db::Session& session) {
    const auto reply = In(session, "SELECT count(*) FROM item");
    EXPECT_THAT(reply, IsOk());
    return reply.ok() ? reply->rows(0).values(0).int64_value() : -1;
  }

  // Writes so many megabytes over and over the same row.
  void Churn(int64_t megabytes) {
    for (int64_t i = 0; i < megabytes * 4; ++i) {
      // What stays the same is not written.
      const pb::Value blob = Bytes(std::string(256 << 10, static_cast<char>(++churned_)));
      ASSERT_THAT(Ask("UPDATE item SET word = $1 WHERE id = 0", {blob}), IsOk());
    }
  }

  int churned_ = 0;
};

TEST_F(SqliteReadTransaction, ItsSnapshotIsThatOfItsFirstStatement) {
  OpenWithTables();
  const auto transaction = BeginReading();
  EXPECT_EQ(transaction->standing().end, absl::InfiniteDuration());
  ASSERT_THAT(Ask(kInsert, {Int(1), Text("w")}), IsOk());
  EXPECT_EQ(ItemsIn(*transaction), 2);
  ASSERT_THAT(Ask(kInsert, {Int(2), Text("w")}), IsOk());
  EXPECT_EQ(ItemsIn(*transaction), 2);
}

TEST_F(SqliteReadTransaction, ItSaysUntilWhenItsSnapshotMayLive) {
  db::SqliteSettings settings;
  settings.max_snapshot_age = absl::Seconds(50);
  OpenWithTables(settings);
  const auto transaction = BeginReading();
  const absl::Duration before = Clock::System().Steady();
  EXPECT_EQ(ItemsIn(*transaction), 1);
  const db::TransactionStanding standing = transaction->standing();
  EXPECT_GE(standing.end, before + absl::Seconds(50));
  EXPECT_LE(standing.end, Clock::System().Steady() + absl::Seconds(50));
  EXPECT_EQ(standing.idle_limit, absl::InfiniteDuration());
  EXPECT_FALSE(standing.writer_since.has_value());
  EXPECT_FALSE(standing.waiting_since.has_value());
  EXPECT_EQ(Stats().hold, nullptr);
}

TEST_F(SqliteReadTransaction, AStatementThatLastsTooLongEndsIt) {
  db::SqliteSettings settings;
  settings.max_snapshot_age = absl::Milliseconds(100);
  OpenWithTables(settings);
  for (const bool streamed : {false, true}) {
    const auto transaction = BeginReading();
    const db::Statement endless(kEndless);
    EXPECT_THAT(streamed ? ReadAll(executor_, *transaction, endless).status()
                         : Execute(executor_, *transaction, endless).status(),
                Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
    EXPECT_EQ(StateOf(*transaction), State::kGone);
  }
}

TEST_F(SqliteReadTransaction, ThereIsALimitToHowManyThereAre) {
  OpenWithTables();
  std::vector<std::unique_ptr<db::Transaction>> open;
  for (int i = 0; i < 64; ++i) {
    open.push_back(BeginReading());
    EXPECT_EQ(ItemsIn(*open.back()), 1);
  }
  const auto another = BeginReading();  // it has no snapshot yet
  const auto refused = [&] { return In(*another, "SELECT 1").status(); };
  EXPECT_THAT(refused(), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  EXPECT_THAT(Commit(*BeginHolding()), IsOk());  // those that write are not counted
  EXPECT_EQ(Items(), 2);                         // and other reads have readers of their own
  for (const auto& each : open) EXPECT_EQ(ItemsIn(*each), 1);
  EXPECT_THAT(refused(), Fails(StatusCode::kResourceExhausted, "POOL_EXHAUSTED"));
  open.pop_back();
  EXPECT_EQ(ItemsIn(*another), 2);
}

TEST_F(SqliteReadTransaction, ItsConnectionIsAsNewForTheNext) {
  OpenWithTables();
  MakeNumbers(3000);
  db::Statement statement("SELECT n, word FROM number");
  statement.chunk_bytes = 4096;
  for (int64_t i = 1; i <= 20; ++i) {
    const auto transaction = BeginReading();
    EXPECT_EQ(ItemsIn(*transaction), i);
    const auto cursor = executor_.Run(transaction->Open(ctx_, statement));
    ASSERT_THAT(cursor, IsOk());
    EXPECT_THAT(executor_.Run((*cursor)->Next(ctx_)), IsOk());
    switch (i % 4) {
      case 0:
        EXPECT_THAT(Commit(*transaction), IsOk());
        break;
      case 1:
        Rollback(*transaction);
        break;
      case 2:
        transaction->End(errors::TransactionExpired("It was idle"));
        break;
      default:
        break;  // destroyed
    }
    ASSERT_THAT(Ask(kInsert, {Int(i), Text("w")}), IsOk());
  }
}

TEST_F(SqliteReadTransaction, ItPinsTheJournalWhileItLivesAndNoLonger) {
  OpenWithTables();
  for (int round = 0; round < 3; ++round) {
    const auto transaction = BeginReading();
    EXPECT_EQ(ItemsIn(*transaction), 1);
    Churn(20);
    EXPECT_GT(Stats().journal_bytes, 15 * kMegabyte);
    EXPECT_EQ(Stats().journal_reliefs, 0);
    EXPECT_EQ(ItemsIn(*transaction), 1);
    if (round == 0) {
      EXPECT_THAT(Commit(*transaction), IsOk());
    } else if (round == 1) {
      Rollback(*transaction);
    } else {
      transaction->End(errors::TransactionExpired("It was idle"));
    }
    ASSERT_TRUE(RunUntil(executor_, [&] {
      Churn(1);
      return Stats().journal_bytes < 2 * kMegabyte;
    }));
  }
}

TEST_F(SqliteReadTransaction, Fault62_OneInTheJournalsWayIsEndedAtItsLimit) {
  db::SqliteSettings settings;
  settings.journal_limit = 8 * kMegabyte;
  OpenWithTables(settings);
  MakeNumbers(5000);
  const auto idle = BeginReading();
  EXPECT_EQ(ItemsIn(*idle), 1);
  const auto busy = BeginReading();
  EXPECT_EQ(ItemsIn(*busy), 1);
  Pending& endless = StartIn(*busy, kEndless);
  const auto streaming = BeginReading();
  db::Statement statement("SELECT n, word FROM number");
  statement.chunk_bytes = 4096;
  const auto cursor = executor_.Run(streaming->Open(ctx_, statement));
  ASSERT_THAT(cursor, IsOk());
  EXPECT_THAT(executor_.Run((*cursor)->Next(ctx_)), IsOk());
  ASSERT_TRUE(RunUntil(executor_, [&] {
    Churn(1);
    return Stats().journal_reliefs > 0 && StateOf(*idle) == State::kGone &&
           StateOf(*busy) == State::kGone && StateOf(*streaming) == State::kGone;
  }));
  EXPECT_THAT(endless.Wait(), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
  EXPECT_THAT(executor_.Run((*cursor)->Next(ctx_)),
              Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
  for (const auto* const each : {&idle, &busy, &streaming}) {
    EXPECT_EQ(StateOf(**each), State::kGone);
    EXPECT_THAT((*each)->standing().why, Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
    EXPECT_THAT(In(**each, "SELECT 1"), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
    EXPECT_THAT(Commit(**each), Fails(StatusCode::kAborted, "SNAPSHOT_TOO_OLD"));
  }
  ASSERT_TRUE(RunUntil(executor_, [&] {
    Churn(1);
    return Stats().journal_bytes < settings.journal_limit;
  }));
}

TEST_F(SqliteReadTransaction, Fault62_OneThatHasReadNothingYetIsInNobodysWay) {
  db::SqliteSettings settings;
  settings.journal_limit = 8 * kMegabyte;
  OpenWithTables(settings);
  const auto unread = BeginReading();
  const auto pins = BeginReading();
  EXPECT_EQ(ItemsIn(*pins), 1);
  ASSERT_TRUE(RunUntil(executor_, [&] {
    Churn(1);
    return StateOf(*pins) == State::kGone;
  }));
  Churn(20);  // which comes after all that the relief has ended
  EXPECT_EQ(StateOf(*unread), State::kOpen);
  EXPECT_EQ(ItemsIn(*unread), 1);
}

// The engine gives the snapshot up by itself then, whatever savepoints there are.
TEST_F(SqliteReadTransaction, WhereMemoryRunsOutNoOtherSnapshotTakesThePlaceOfItsOwn) {
  OpenWithTables();
  const auto transaction = BeginReading();
  EXPECT_EQ(ItemsIn(*transaction), 1);
  ASSERT_THAT(Savepoint(*transaction, 1), IsOk());
  const int64_t limit = sqlite3_hard_heap_limit64(-1);
  sqlite3_hard_heap_limit64(sqlite3_memory_used() + 20 * kMegabyte);
  const auto failed = In(*transaction, "SELECT length(hex(zeroblob(30000000 + id))) FROM item");
  sqlite3_hard_heap_limit64(limit);
  EXPECT_EQ(failed.status().code(), StatusCode::kResourceExhausted) << failed.status();
  EXPECT_EQ(errors::MetadataOf(failed.status(), "sqlstate"), "53200");
  EXPECT_EQ(StateOf(*transaction), State::kGone);
}

TEST_F(SqliteReadTransaction, ACommitStoresNoRequestId) {
  OpenWithTables();
  const db::RequestKey key = MakeKey("one", "c");
  const auto transaction = BeginReading();
  EXPECT_EQ(ItemsIn(*transaction), 1);
  ASSERT_THAT(Commit(*transaction, &key), IsOk());
  const auto recalled = executor_.Run(database_->Recall(ctx_, key));
  ASSERT_THAT(recalled, IsOk());
  EXPECT_FALSE(recalled->has_value());
}

TEST_F(SqliteReadTransaction, AConnectionThatOnlyReadsTakesNoOther) {
  {
    OpenWithTables();
    executor_.RunUntilIdle();
    database_->Close();
  }
  auto opened = OpenSqlite(executor_, path_, {}, {{"readonly", "on"}});
  ASSERT_THAT(opened, IsOk());
  database_ = *std::move(opened);
  EXPECT_THAT(database_->Begin(db::TransactionOptions()).status(),
              Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  const auto transaction = BeginReading();
  EXPECT_EQ(ItemsIn(*transaction), 1);
  EXPECT_THAT(In(*transaction, "DELETE FROM item"),
              Fails(StatusCode::kPermissionDenied, "READ_ONLY_VIOLATION"));
  EXPECT_EQ(StateOf(*transaction), State::kOpen);
  EXPECT_THAT(Commit(*transaction), IsOk());
  const auto recalled = executor_.Run(database_->Recall(ctx_, MakeKey("one", "c")));
  ASSERT_THAT(recalled, IsOk());
  EXPECT_FALSE(recalled->has_value());
}

}  // namespace
}  // namespace sluice::test
