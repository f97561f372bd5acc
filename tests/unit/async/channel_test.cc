#include "server/async/channel.h"

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "server/async/join.h"
#include "server/async/manual_executor.h"
#include "server/async/mutex.h"

namespace sluice {
namespace {

TEST(Channel, AFullOneMakesItsSenderWait) {
  ManualExecutor executor;
  Channel<int> channel(2);
  int sent = 0;
  const auto send = [&]() -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      const bool ok = co_await channel.Send(i);
      if (ok) ++sent;
    }
  };
  executor.Start(send());
  executor.RunUntilIdle();
  EXPECT_EQ(sent, 2);
  std::vector<int> received;
  const auto receive = [&]() -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      const std::optional<int> value = co_await channel.Receive();
      received.push_back(value.value_or(-1));
    }
  };
  executor.Run(receive());
  EXPECT_EQ(received, (std::vector<int>{0, 1, 2, 3, 4}));
  EXPECT_EQ(sent, 5);
}

TEST(Channel, CloseGivesWhatIsLeftThenTheEnd) {
  ManualExecutor executor;
  Channel<std::string> channel(4);
  const auto body = [&]() -> Task<std::vector<std::string>> {
    co_await channel.Send("a");
    co_await channel.Send("b");
    channel.Close();
    const bool refused = co_await channel.Send("c");
    EXPECT_FALSE(refused);
    std::vector<std::string> all;
    for (;;) {
      std::optional<std::string> value = co_await channel.Receive();
      if (!value.has_value()) break;
      all.push_back(*std::move(value));
    }
    co_return all;
  };
  EXPECT_EQ(executor.Run(body()), (std::vector<std::string>{"a", "b"}));
}

TEST(Channel, CloseWakesWaitingSendersAndReceiver) {
  ManualExecutor executor;
  Channel<int> full(0);
  Channel<int> empty(1);
  std::vector<std::string> ended;
  const auto sender = [&]() -> Task<void> {
    const bool ok = co_await full.Send(1);
    ended.push_back(ok ? "sent" : "refused");
  };
  const auto receiver = [&]() -> Task<void> {
    const std::optional<int> value = co_await empty.Receive();
    ended.push_back(value.has_value() ? "received" : "end");
  };
  executor.Start(sender());
  executor.Start(receiver());
  full.Close();
  empty.Close();
  executor.RunUntilIdle();
  EXPECT_EQ(ended, (std::vector<std::string>{"refused", "end"}));
}

TEST(Channel, OfNoCapacityHandsOver) {
  ManualExecutor executor;
  Channel<int> channel(0);
  const auto send = [&]() -> Task<bool> {
    const bool first = co_await channel.Send(1);
    const bool second = co_await channel.Send(2);
    co_return first&& second;
  };
  const auto receive = [&]() -> Task<int> {
    const std::optional<int> first = co_await channel.Receive();
    const std::optional<int> second = co_await channel.Receive();
    co_return first.value_or(0) * 10 + second.value_or(0);
  };
  const auto [sent, received] = executor.Run(Join(send(), receive()));
  EXPECT_TRUE(sent);
  EXPECT_EQ(received, 12);
}

TEST(FifoMutex, IsHeldByOneAtATimeInOrderOfArrival) {
  ManualExecutor executor;
  FifoMutex mutex;
  Channel<int> gate(0);
  std::vector<int> order;
  const auto hold = [&](int number) -> Task<void> {
    const Context ctx;
    auto holding = co_await mutex.Lock(ctx);
    EXPECT_TRUE(holding.ok());
    order.push_back(number);
    co_await gate.Receive();
    order.push_back(-number);
  };
  for (int i = 1; i <= 3; ++i) executor.Start(hold(i));
  executor.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<int>{1}));
  EXPECT_EQ(mutex.waiting(), 2u);
  const auto open = [&]() -> Task<void> {
    for (int i = 0; i < 3; ++i) co_await gate.Send(0);
  };
  executor.Run(open());
  executor.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<int>{1, -1, 2, -2, 3, -3}));
}

TEST(FifoMutex, IsTriedWithoutAWait) {
  FifoMutex mutex;
  std::optional<FifoMutex::Holding> holding = mutex.TryLock();
  EXPECT_TRUE(holding.has_value());
  EXPECT_FALSE(mutex.TryLock().has_value());
  holding.reset();
  EXPECT_TRUE(mutex.TryLock().has_value());
}

TEST(FifoMutex, AStoppedWaiterLeavesTheQueueAndTheOthersKeepTheirOrder) {
  ManualExecutor executor;
  FifoMutex mutex;
  Channel<int> gate(0);
  CallScope impatient;
  std::vector<std::string> order;
  const auto hold = [&](std::string name, Context ctx) -> Task<void> {
    auto holding = co_await mutex.Lock(ctx);
    order.push_back(holding.ok() ? name : name + " left");
    if (holding.ok()) co_await gate.Receive();
  };
  executor.Start(hold("a", Context()));
  executor.Start(hold("b", impatient.MakeContext(absl::InfiniteFuture(), "req")));
  executor.Start(hold("c", Context()));
  executor.RunUntilIdle();
  const auto stop = [&]() -> Task<void> {
    impatient.Stop(StopCause::kDeadline);
    co_return;
  };
  executor.Run(stop());
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b left"}));
  const auto open = [&]() -> Task<void> {
    co_await gate.Send(0);
    co_await gate.Send(0);
  };
  executor.Run(open());
  EXPECT_EQ(order, (std::vector<std::string>{"a", "b left", "c"}));
}

}  // namespace
}  // namespace sluice
