#include "server/core/health.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "server/async/completion.h"
#include "server/base/mutex.h"
#include "server/base/utf8.h"
#include "tests/unit/core/scripted_database.h"

namespace sluice::core {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class HealthTest : public ::testing::Test {
 protected:
  ConnectionHealth CheckOne() {
    return timeline_.Run(Check(ctx_, connections_, std::make_shared<Connections::Entry>(entry_)));
  }

  std::shared_ptr<ScriptedDatabase> database_ = std::make_shared<ScriptedDatabase>();
  Connections::Entry entry_ = EntryOf("default", "main", database_);
  Connections connections_;
  Context ctx_;
  Timeline timeline_;
};

TEST_F(HealthTest, AQuickAnswerIsHealthy) {
  database_->inspect_delay = absl::Milliseconds(30);
  database_->load = {3, 5, 1024};
  const ConnectionHealth health = CheckOne();
  EXPECT_EQ(health.state, HealthState::kHealthy);
  EXPECT_EQ(health.score(), 1);
  EXPECT_EQ(health.message, "");
  EXPECT_EQ(health.response_time, absl::Milliseconds(30));
  EXPECT_EQ(health.handle, "h_default");
  EXPECT_EQ(health.name, "main");
  EXPECT_EQ(health.info.server_version, "3.40.1");
  EXPECT_EQ(health.info.size_bytes, 4096);
  EXPECT_EQ(health.load.active, 3);
  EXPECT_EQ(health.load.queued, 5);
  EXPECT_EQ(health.load.queue_limit, 1024);
}

TEST_F(HealthTest, MoreThanASecondIsDegraded) {
  database_->inspect_delay = absl::Milliseconds(1000);
  EXPECT_EQ(CheckOne().state, HealthState::kHealthy);

  database_->inspect_delay = absl::Milliseconds(1010);
  const ConnectionHealth health = CheckOne();
  EXPECT_EQ(health.state, HealthState::kDegraded);
  EXPECT_EQ(health.score(), 0.5);
  EXPECT_EQ(health.message, "The answer took 1010 ms.");
  EXPECT_EQ(health.info.server_version, "3.40.1");
}

TEST_F(HealthTest, AnErrorIsUnhealthyAndItsMessageIsCut) {
  std::string long_message;
  for (int i = 0; i < 150; ++i) absl::StrAppend(&long_message, "é");
  database_->info = errors::DatabaseCorrupt(long_message);
  const ConnectionHealth health = CheckOne();
  EXPECT_EQ(health.state, HealthState::kUnhealthy);
  EXPECT_EQ(health.score(), 0);
  EXPECT_EQ(CountCharacters(health.message), 100U);
  EXPECT_TRUE(IsValidUtf8(health.message));
  EXPECT_EQ(health.info.server_version, "");
}

TEST_F(HealthTest, AMessageIsOneLine) {
  database_->info = errors::DatabaseCorrupt("torn\npage");
  EXPECT_EQ(CheckOne().message, "torn page");
}

TEST_F(HealthTest, ADatabaseThatHangsIsUnhealthyAfterTwoSeconds) {
  database_->inspect_delay = absl::InfiniteDuration();
  const absl::Time asked = timeline_.clock().Now();
  const ConnectionHealth health = CheckOne();
  EXPECT_EQ(health.state, HealthState::kUnhealthy);
  EXPECT_EQ(health.message, "No answer within 2s.");
  EXPECT_EQ(health.response_time, absl::Seconds(2));
  EXPECT_EQ(database_->inspect_deadline, asked + absl::Seconds(2));
}

TEST_F(HealthTest, ACheckEndsWithItsCaller) {
  database_->inspect_delay = absl::InfiniteDuration();
  CallScope scope;
  ctx_ = scope.MakeContext(timeline_.clock().Now() + absl::Milliseconds(500), "req");
  scope.Arm(timeline_.executor(), absl::Milliseconds(500));
  const ConnectionHealth health = CheckOne();
  EXPECT_EQ(health.response_time, absl::Milliseconds(500));
  EXPECT_EQ(health.state, HealthState::kUnhealthy);
  EXPECT_EQ(database_->inspect_deadline, ctx_.deadline);
}

TEST_F(HealthTest, DatabasesAreAskedSideBySide) {
  std::vector<Connections::EntryPtr> entries;
  for (const char* name : {"a", "b", "c"}) {
    auto database = std::make_shared<ScriptedDatabase>();
    database->inspect_delay = absl::Milliseconds(800);
    entries.push_back(std::make_shared<Connections::Entry>(EntryOf(name, name, database)));
  }
  const absl::Duration asked = timeline_.clock().Steady();
  const std::vector<ConnectionHealth> results =
      timeline_.Run(CheckAll(ctx_, connections_, entries));
  EXPECT_EQ(timeline_.clock().Steady() - asked, absl::Milliseconds(800));
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(results[0].name, "a");
  EXPECT_EQ(results[2].name, "c");
}

TEST_F(HealthTest, NothingToAskIsAnsweredAtOnce) {
  EXPECT_THAT(timeline_.Run(CheckAll(ctx_, connections_, {})), IsEmpty());
}

class HealthMonitorTest : public HealthTest {
 protected:
  HealthMonitorTest() { EXPECT_TRUE(connections_.Add(entry_).ok()); }

  void End() {
    monitor_.Stop();
    timeline_.executor().RunUntilIdle();
    monitor_.Join();
  }

  std::vector<std::pair<std::string, HealthState>> changes_;
  std::vector<std::string> gone_;
  HealthMonitor monitor_{
      connections_,
      [&](const ConnectionHealth& health) { changes_.emplace_back(health.name, health.state); },
      [&](absl::string_view name) { gone_.emplace_back(name); }};
};

using Changes = std::vector<std::pair<std::string, HealthState>>;

TEST_F(HealthMonitorTest, TellsTheFirstStateAndThenChangesOnly) {
  monitor_.Start(timeline_.executor());
  timeline_.Pass(absl::Seconds(25));
  EXPECT_EQ(changes_, (Changes{{"main", HealthState::kHealthy}}));

  database_->info = errors::DatabaseCorrupt("gone");
  timeline_.Pass(absl::Seconds(20));
  EXPECT_EQ(changes_,
            (Changes{{"main", HealthState::kHealthy}, {"main", HealthState::kUnhealthy}}));

  database_->info = db::DatabaseInfo{};
  timeline_.Pass(absl::Seconds(10));
  EXPECT_EQ(changes_.size(), 3U);
  EXPECT_EQ(changes_.back().second, HealthState::kHealthy);
  End();
}

TEST_F(HealthMonitorTest, SeesConnectionsThatComeLater) {
  monitor_.Start(timeline_.executor());
  timeline_.Pass(absl::Seconds(1));
  ASSERT_TRUE(connections_.Add(EntryOf("2", "late", std::make_shared<ScriptedDatabase>())).ok());
  timeline_.Pass(absl::Seconds(10));
  EXPECT_EQ(changes_, (Changes{{"main", HealthState::kHealthy}, {"late", HealthState::kHealthy}}));
  End();
}

TEST_F(HealthMonitorTest, TellsOfConnectionsThatAreGone) {
  monitor_.Start(timeline_.executor());
  timeline_.Pass(absl::Seconds(1));
  ASSERT_TRUE(connections_.Remove(entry_.key).ok());
  timeline_.Pass(absl::Seconds(20));
  EXPECT_THAT(gone_, ElementsAre("main"));
  End();
}

TEST_F(HealthMonitorTest, StopCutsACheckShortAndBlamesNobody) {
  database_->inspect_delay = absl::InfiniteDuration();
  monitor_.Start(timeline_.executor());
  timeline_.Pass(absl::Seconds(1));
  End();
  EXPECT_THAT(changes_, IsEmpty());
}

TEST_F(HealthMonitorTest, MayBeStoppedTwiceOrWithoutAStart) {
  monitor_.Stop();
  monitor_.Join();
  monitor_.Start(timeline_.executor());
  timeline_.Pass(absl::Seconds(1));
  monitor_.Stop();
  End();
  EXPECT_EQ(changes_.size(), 1U);
}

TEST(HealthMonitorThreads, IsStartedAndJoinedFromAnotherThread) {
  Connections connections;
  ASSERT_TRUE(connections.Add(EntryOf("1", "a", std::make_shared<ScriptedDatabase>())).ok());
  Notification told;
  HealthMonitor monitor(
      connections, [&](const ConnectionHealth&) { told.Notify(); }, [](absl::string_view) {});

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
  monitor.Start(executor);
  told.WaitForNotification();
  monitor.Stop();
  monitor.Join();
  end->Resolve(true);
  thread.join();
}

}  // namespace
}  // namespace sluice::core
