#include "server/async/executor.h"

#include <atomic>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/inbox.h"
#include "server/async/manual_executor.h"
#include "server/async/sleep.h"

namespace sluice {
namespace {

// A clock that stands still until it is told otherwise.
class ManualClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::UnixEpoch() + now_; }

  absl::Duration Steady() const override { return now_; }

  void Advance(absl::Duration by) { now_ += by; }

 private:
  absl::Duration now_ = absl::Seconds(1);
};

struct Note : Job {
  Note(std::vector<int>& out_notes, int its_number)
      : Job([](Job* job) {
          auto* const note = static_cast<Note*>(job);
          note->notes.push_back(note->number);
        }),
        notes(out_notes),
        number(its_number) {}

  std::vector<int>& notes;
  const int number;
};

TEST(Inbox, OnlyThePushThatFindsItEmptyMustWake) {
  std::vector<int> notes;
  Note a(notes, 1), b(notes, 2), c(notes, 3);
  Inbox inbox;
  EXPECT_TRUE(inbox.Push(&a));
  EXPECT_FALSE(inbox.Push(&b));
  for (Job* job = inbox.Take(); job != nullptr; job = job->next) job->run(job);
  EXPECT_TRUE(inbox.Push(&c));
  EXPECT_EQ(notes, (std::vector<int>{1, 2}));
  EXPECT_EQ(inbox.Take(), &c);
  EXPECT_EQ(inbox.Take(), nullptr);
}

TEST(Inbox, LosesNothingAndKeepsEachThreadsOrderUnderContention) {
  constexpr int kThreads = 4, kEach = 20'000;
  Inbox inbox;
  std::vector<std::vector<Note>> jobs(kThreads);
  std::vector<std::vector<int>> notes(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    jobs[t].reserve(kEach);
    for (int i = 0; i < kEach; ++i) jobs[t].emplace_back(notes[t], i);
  }
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (Note& job : jobs[t]) inbox.Push(&job);
      --running;
    });
  }
  const auto drain = [&] {
    for (Job* job = inbox.Take(); job != nullptr;) {
      Job* const next = job->next;
      job->run(job);
      job = next;
    }
  };
  while (running > 0) drain();
  for (std::thread& thread : threads) thread.join();
  drain();
  for (int t = 0; t < kThreads; ++t) {
    ASSERT_EQ(notes[t].size(), static_cast<size_t>(kEach));
    for (int i = 0; i < kEach; ++i) ASSERT_EQ(notes[t][i], i);
  }
}

TEST(Completion, ResumesOnTheWaitersExecutorWhereverItIsResolved) {
  ManualExecutor executor;
  std::thread worker;
  const auto body = [&]() -> Task<bool> {
    const std::thread::id before = std::this_thread::get_id();
    const int value = co_await Async<int>([&](Completion<int> done) {
      worker = std::thread([completion = std::move(done)]() mutable { completion.Resolve(42); });
    });
    co_return value == 42 && before == std::this_thread::get_id() && Executor::Current() != nullptr;
  };
  EXPECT_TRUE(executor.Run(body()));
  worker.join();
}

TEST(Completion, ManyThreadsResolveManyWaiters) {
  constexpr int kWaiters = 2'000;
  ManualExecutor executor;
  std::vector<Completion<int>> waiting;
  int64_t sum = 0;
  const auto body = [&]() -> Task<void> {
    const int value =
        co_await Async<int>([&](Completion<int> done) { waiting.push_back(std::move(done)); });
    sum += value;
  };
  for (int i = 0; i < kWaiters; ++i) executor.Start(body());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < kWaiters; i += 4) waiting[i].Resolve(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  while (executor.RunUntilIdle()) {
  }
  EXPECT_EQ(sum, int64_t{kWaiters} * (kWaiters - 1) / 2);
}

TEST(Timers, FireInOrderAndOnlyWhenDue) {
  ManualClock clock;
  ManualExecutor executor(clock);
  std::vector<std::string> order;
  const auto wait = [&](absl::Duration delay, std::string name) -> Task<void> {
    const Context ctx;
    co_await SleepFor(ctx, delay);
    order.push_back(name);
  };
  executor.Start(wait(absl::Seconds(2), "late"));
  executor.Start(wait(absl::Seconds(1), "early"));
  executor.RunUntilIdle();
  EXPECT_TRUE(order.empty());
  clock.Advance(absl::Milliseconds(1500));
  executor.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<std::string>{"early"}));
  clock.Advance(absl::Seconds(1));
  executor.RunUntilIdle();
  EXPECT_EQ(order, (std::vector<std::string>{"early", "late"}));
}

TEST(SleepFor, EndsAtOnceWhenTheCallIsStopped) {
  ManualClock clock;
  ManualExecutor executor(clock);
  CallScope scope;
  std::vector<bool> ended;
  const auto wait = [&]() -> Task<void> {
    const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "req");
    const bool whole = co_await SleepFor(ctx, absl::Hours(1));
    ended.push_back(whole);
    const bool again = co_await SleepFor(ctx, absl::Hours(1));  // stopped already: no wait at all
    ended.push_back(again);
  };
  executor.Start(wait());
  executor.RunUntilIdle();
  EXPECT_TRUE(ended.empty());
  const auto stop = [&]() -> Task<void> {
    scope.Stop(StopCause::kCancelled);
    co_return;
  };
  executor.Run(stop());
  EXPECT_EQ(ended, (std::vector<bool>{false, false}));
}

TEST(CallScope, ItsLimitStopsTheCallWithADeadline) {
  ManualClock clock;
  ManualExecutor executor(clock);
  CallScope scope;
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "req");
  const auto arm = [&]() -> Task<void> {
    scope.Arm(executor, absl::Seconds(3));
    co_return;
  };
  executor.Run(arm());
  clock.Advance(absl::Seconds(2));
  executor.RunUntilIdle();
  EXPECT_FALSE(ctx.stop.stop_requested());
  clock.Advance(absl::Seconds(2));
  executor.RunUntilIdle();
  EXPECT_TRUE(ctx.stop.stop_requested());
  EXPECT_TRUE(absl::IsDeadlineExceeded(ctx.Stopped(errors::Executed::kNo)));
}

TEST(CallScope, TheFirstCauseStands) {
  CallScope scope;
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "req");
  scope.Stop(StopCause::kDraining);
  scope.Stop(StopCause::kCancelled);
  EXPECT_EQ(scope.cause(), StopCause::kDraining);
  EXPECT_TRUE(absl::IsUnavailable(ctx.Stopped(errors::Executed::kNo)));
  EXPECT_TRUE(absl::IsAborted(ctx.Stopped(errors::Executed::kRolledBack)));
  EXPECT_TRUE(absl::IsUnknown(ctx.Stopped(errors::Executed::kUnknown)));
}

class CountingHook final : public DrainHook {
 public:
  void OnDrained() override { ++calls; }

  int calls = 0;
};

TEST(DrainHook, IsCalledOncePerDrainHoweverOftenItAsks) {
  ManualExecutor executor;
  CountingHook hook;
  const auto ask = [&]() -> Task<int> {
    Executor::Current()->AtDrained(hook);
    Executor::Current()->AtDrained(hook);
    co_return hook.calls;
  };
  EXPECT_EQ(executor.Run(ask()), 0);
  EXPECT_EQ(hook.calls, 1);
  EXPECT_EQ(executor.Run(ask()), 1);
  EXPECT_EQ(hook.calls, 2);
}

}  // namespace
}  // namespace sluice
