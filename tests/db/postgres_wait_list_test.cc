// WaitList: who waits is woken in order, or lets go.
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"

#include "server/async/manual_executor.h"
#include "server/db/postgres/reactor.h"
#include "server/db/postgres/wait_list.h"
#include "tests/support/database.h"
#include "tests/support/matchers.h"

namespace sluice::postgres {
namespace {

using test::IsOk;
using test::Started;

// One that waits, with what came of it.
class Waiting {
 public:
  Waiting(ManualExecutor& executor, WaitList& list) : started_(executor, Wait(list, caller)) {}

  bool done() const { return started_.done(); }

  bool Woken() {
    const absl::StatusOr<bool>& woken = started_.Wait();
    EXPECT_THAT(woken, IsOk());
    return woken.value_or(false);
  }

  Caller caller{Reactor::Shared()};

 private:
  static Task<absl::StatusOr<bool>> Wait(WaitList& list, Caller& caller) {
    const bool woken = co_await list.Wait(caller);
    co_return woken;
  }

  Started<absl::StatusOr<bool>> started_;
};

class PostgresWaitListTest : public ::testing::Test {
 protected:
  std::unique_ptr<Waiting> Wait() { return std::make_unique<Waiting>(executor_, list_); }

  // What is on its way arrives.
  void Settle() { executor_.RunUntilIdle(); }

  ManualExecutor executor_;
  WaitList list_;
};

TEST_F(PostgresWaitListTest, WakesInTheOrderOfArrival) {
  std::vector<std::unique_ptr<Waiting>> waiting;
  for (int i = 0; i < 4; ++i) waiting.push_back(Wait());
  EXPECT_EQ(list_.size(), 4);
  for (int woken = 0; woken < 4; ++woken) {
    list_.WakeOne();
    Settle();
    for (int i = 0; i < 4; ++i) EXPECT_EQ(waiting[i]->done(), i <= woken) << i << " " << woken;
  }
  for (const std::unique_ptr<Waiting>& each : waiting) EXPECT_TRUE(each->Woken());
  EXPECT_EQ(list_.size(), 0);
}

TEST_F(PostgresWaitListTest, WakesAll) {
  const auto first = Wait();
  const auto second = Wait();
  list_.WakeAll();
  EXPECT_TRUE(first->Woken());
  EXPECT_TRUE(second->Woken());
}

TEST_F(PostgresWaitListTest, ToWakeNobodyIsNotKept) {
  list_.WakeOne();
  list_.WakeAll();
  const auto late = Wait();
  Settle();
  EXPECT_FALSE(late->done());
  list_.WakeOne();
  EXPECT_TRUE(late->Woken());
}

TEST_F(PostgresWaitListTest, WhoIsStoppedLetsGoAndTheNextIsWoken) {
  const auto first = Wait();
  const auto second = Wait();
  first->caller.Stop();
  EXPECT_FALSE(first->Woken());
  EXPECT_EQ(list_.size(), 1);
  list_.WakeOne();
  EXPECT_TRUE(second->Woken());
}

TEST_F(PostgresWaitListTest, WhoIsStoppedAfterHeWasWokenWasWoken) {
  const auto waiting = Wait();
  list_.WakeOne();
  waiting->caller.Stop();
  EXPECT_TRUE(waiting->Woken());
}

TEST_F(PostgresWaitListTest, WhoWasStoppedBeforeDoesNotWait) {
  Caller caller(Reactor::Shared());
  caller.Stop();
  EXPECT_FALSE(executor_.Run(list_.Wait(caller)));
  EXPECT_EQ(list_.size(), 0);
}

TEST_F(PostgresWaitListTest, WhoWaitsAgainStandsAtTheEnd) {
  const auto first = Wait();
  const auto second = Wait();
  list_.WakeOne();
  EXPECT_TRUE(first->Woken());
  const auto again = Wait();
  list_.WakeOne();
  Settle();
  EXPECT_TRUE(second->done());
  EXPECT_FALSE(again->done());
  list_.WakeOne();
  EXPECT_TRUE(again->Woken());
}

}  // namespace
}  // namespace sluice::postgres
