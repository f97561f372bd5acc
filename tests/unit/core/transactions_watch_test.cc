#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/unit/core/transactions_fixture.h"

namespace sluice::core {
namespace {

using test::IsOk;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class LeaseWatchTest : public TransactionsTest {
 protected:
  LeaseWatchTest() {
    transactions_->Start(timeline_.executor());
    timeline_.executor().RunUntilIdle();
  }

  void TearDown() override {
    transactions_->Stop();
    timeline_.executor().RunUntilIdle();
    transactions_->Join();
  }
};

TEST_F(LeaseWatchTest, ExpiresWhatNobodyAsksFor) {
  Abandon();
  timeline_.Pass(absl::Seconds(30) - absl::Milliseconds(10));
  EXPECT_EQ(transactions_->open(), 1);
  timeline_.Pass(absl::Milliseconds(60));
  EXPECT_EQ(transactions_->open(), 0);
  EXPECT_EQ(Counts().expired, 1);
  EXPECT_THAT(database_->begun[0]->ends(), SizeIs(1));
  EXPECT_FALSE(database_->begun[0]->alive);
}

TEST_F(LeaseWatchTest, IsNotMovedByAWallClockThatIsSet) {
  Abandon();
  for (const absl::Duration jump : {absl::Hours(1), -absl::Hours(24 * 365)}) {
    timeline_.clock().SetWall(jump);
    timeline_.Pass(absl::Seconds(10));
    EXPECT_EQ(transactions_->open(), 1);
  }
  timeline_.clock().SetWall(-absl::Hours(1));
  timeline_.Pass(absl::Seconds(11));
  EXPECT_EQ(transactions_->open(), 0);
}

TEST_F(LeaseWatchTest, SleepsWhileNothingIsOpen) {
  Advance(absl::Hours(1));
  EXPECT_FALSE(timeline_.executor().RunUntilIdle());

  Transaction::Turn turn = Begin();
  timeline_.executor().RunUntilIdle();
  Advance(kLeaseWatch);
  EXPECT_TRUE(timeline_.executor().RunUntilIdle());

  ASSERT_THAT(Commit(turn), IsOk());
  timeline_.Pass(kLeaseWatch);
  Advance(absl::Hours(1));
  EXPECT_FALSE(timeline_.executor().RunUntilIdle());

  Abandon();
  timeline_.Pass(absl::Seconds(31));
  EXPECT_EQ(transactions_->open(), 0);
}

TEST_F(LeaseWatchTest, TenThousandAbandonedOnesLeaveNothingOpen) {
  constexpr int64_t kMany = 10'000;
  TransactionLimits limits;
  limits.per_connection = kMany;
  limits.per_caller = kMany;
  Transactions many(limits, timeline_.clock());
  many.Start(timeline_.executor());
  for (int64_t i = 0; i < kMany; ++i) {
    ASSERT_THAT(many.Begin(ctx_, connection_, TransactionRequest()), IsOk());
  }
  EXPECT_EQ(many.open(), kMany);
  timeline_.Pass(absl::Seconds(1));
  EXPECT_EQ(many.open(), kMany);
  Advance(absl::Seconds(29));
  timeline_.Pass(kLeaseWatch);
  EXPECT_EQ(many.open(), 0);
  EXPECT_THAT(many.List(), IsEmpty());
  const TransactionCounts counts = many.Counts(connection_->key);
  EXPECT_EQ(counts.open, 0);
  EXPECT_EQ(counts.expired, kMany);
  for (const auto& script : database_->begun) EXPECT_FALSE(script->alive);
  EXPECT_THAT(many.Begin(ctx_, connection_, TransactionRequest()), IsOk());
  many.Stop();
  timeline_.executor().RunUntilIdle();
  many.Join();
}

TEST_F(LeaseWatchTest, MayBeStoppedWhileOneIsOpenAndTwice) {
  Abandon();
  timeline_.Pass(absl::Seconds(1));
  transactions_->Stop();
  transactions_->Stop();
  timeline_.executor().RunUntilIdle();
  transactions_->Join();
  Advance(absl::Hours(1));
  EXPECT_FALSE(timeline_.executor().RunUntilIdle());
}

TEST_F(TransactionsTest, MayBeStoppedWithoutAStart) {
  transactions_->Stop();
  transactions_->Join();
}

TEST(LeaseWatchThreads, WakesForWhatAnotherThreadBegins) {
  TransactionLimits limits;
  limits.idle_timeout = absl::Milliseconds(1);
  Transactions transactions(limits, Clock::System());
  const Connections::EntryPtr connection = std::make_shared<Connections::Entry>(
      EntryOf("c1", "a", std::make_shared<ScriptedDatabase>()));
  ManualExecutor executor;
  Notification running;
  std::optional<Completion<bool>> end;
  std::thread thread([&] {
    executor.Run([](Notification& waits, std::optional<Completion<bool>>& done) -> Task<void> {
      co_await Async<bool>([&](Completion<bool> completion) {
        done.emplace(std::move(completion));
        waits.Notify();
      });
    }(running, end));
  });
  running.WaitForNotification();
  transactions.Start(executor);
  const Context ctx;
  for (int i = 0; i < 3; ++i) {
    std::shared_ptr<Ending> finished;
    {
      const auto turn = transactions.Begin(ctx, connection, TransactionRequest());
      ASSERT_THAT(turn, IsOk());
      finished = turn->transaction().finished();
    }
    ManualExecutor own;
    EXPECT_TRUE(own.Run(finished->Within(ctx, absl::Minutes(1))));
  }
  transactions.Stop();
  transactions.Join();
  end->Resolve(true);
  thread.join();
}

}  // namespace
}  // namespace sluice::core
