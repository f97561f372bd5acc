#include "server/async/task.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "server/async/completion.h"
#include "server/async/join.h"
#include "server/async/manual_executor.h"

namespace sluice {
namespace {

Task<int> Add(int a, int b) {
  co_return a + b;
}

Task<int> SumTo(int n) {
  int sum = 0;
  for (int i = 1; i <= n; ++i) {
    const int next = co_await Add(sum, i);
    sum = next;
  }
  co_return sum;
}

Task<int> Deep(int depth) {
  if (depth == 0) co_return 0;
  const int below = co_await Deep(depth - 1);
  co_return below + 1;
}

TEST(Task, DoesNotStartBeforeItIsAwaited) {
  bool started = false;
  const auto body = [&]() -> Task<void> {
    started = true;
    co_return;
  };
  {
    const Task<void> never = body();
    EXPECT_FALSE(started);
  }
  EXPECT_FALSE(started);
  ManualExecutor executor;
  executor.Run(body());
  EXPECT_TRUE(started);
}

TEST(Task, ReturnsItsValueThroughChainsOfAwaits) {
  ManualExecutor executor;
  EXPECT_EQ(executor.Run(SumTo(100)), 5050);
}

TEST(Task, ManyReadyAwaitsInALoopDoNotGrowTheStack) {
  ManualExecutor executor;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SLUICE_SANITIZED)
  EXPECT_EQ(executor.Run(SumTo(1'000)), 500'500);  // sanitizers keep every frame of a resumption
#else
  EXPECT_EQ(executor.Run(SumTo(60'000)), 1'800'030'000);
#endif
}

TEST(Task, DeepChainsUnwind) {
  ManualExecutor executor;
  EXPECT_EQ(executor.Run(Deep(500)), 500);
}

TEST(Task, CarriesMoveOnlyValues) {
  ManualExecutor executor;
  const auto body = []() -> Task<std::unique_ptr<std::string>> {
    co_return std::make_unique<std::string>("moved");
  };
  EXPECT_EQ(*executor.Run(body()), "moved");
}

TEST(Task, SpawnRunsUpToTheFirstWait) {
  ManualExecutor executor;
  std::vector<std::string> order;
  std::vector<Completion<int>> waiting;
  const auto body = [&]() -> Task<void> {
    order.push_back("before");
    const int value =
        co_await Async<int>([&](Completion<int> done) { waiting.push_back(std::move(done)); });
    order.push_back(std::to_string(value));
  };
  executor.Start(body());
  order.push_back("outside");
  waiting.front().Resolve(7);
  executor.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<std::string>{"before", "outside", "7"}));
}

TEST(Join, GivesBothResultsInOrderWhicheverEndsFirst) {
  ManualExecutor executor;
  std::vector<Completion<int>> waiting;
  const auto slow = [&]() -> Task<int> {
    const int value =
        co_await Async<int>([&](Completion<int> done) { waiting.push_back(std::move(done)); });
    co_return value;
  };
  const auto resolver = [&]() -> Task<std::string> {
    waiting.front().Resolve(1);
    co_return "second";
  };
  const auto [first, second] = executor.Run(Join(slow(), resolver()));
  EXPECT_EQ(first, 1);
  EXPECT_EQ(second, "second");
}

TEST(Join, AllKeepsTheTasksOrder) {
  ManualExecutor executor;
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(Add(i, 0));
  const std::vector<int> results = executor.Run(JoinAll(std::move(tasks)));
  EXPECT_EQ(results, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Join, AllOfNothingIsDoneAtOnce) {
  ManualExecutor executor;
  EXPECT_TRUE(executor.Run(JoinAll(std::vector<Task<int>>())).empty());
}

}  // namespace
}  // namespace sluice
