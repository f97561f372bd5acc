#include "server/services/monitoring_service.h"

#include <memory>
#include <optional>
#include <utility>

#include "gtest/gtest.h"

#include "server/base/errors.h"
#include "tests/unit/core/scripted_database.h"
#include "tests/unit/services/support.h"

namespace sluice::services {
namespace {

struct Counters final : CallCounters {
  int64_t in_flight() const override { return 7; }

  int64_t shed() const override { return 3; }

  bool draining() const override { return is_draining; }

  bool is_draining = false;
};

class MonitoringServiceTest : public ::testing::Test {
 protected:
  ServerFacts Facts() {
    ServerFacts facts;
    facts.version = "0.1.0";
    facts.grpc_version = "1.51.1";
    facts.start_time = absl::FromUnixMicros(1'700'000'000'000'250);
    facts.start_steady = timeline_.clock().Steady();
    facts.engines.push_back({db::EngineKind::kSqlite, "3.40.1"});
    facts.limits.set_max_calls(1000);
    return facts;
  }

  absl::StatusOr<pb::GetHealthResponse> Health(const std::string& connection_id = "") {
    pb::GetHealthRequest request;
    request.set_connection_id(connection_id);
    return timeline_.Run(service_.GetHealth(ctx_, request));
  }

  core::ScriptedDatabase& AddDatabase(const std::string& name) {
    auto database = std::make_shared<core::ScriptedDatabase>();
    core::ScriptedDatabase& added = *database;
    EXPECT_TRUE(connections_.Add(core::EntryOf(name, name, std::move(database))).ok());
    return added;
  }

  core::Timeline timeline_;
  core::Connections connections_;
  core::Transactions transactions_{core::TransactionLimits(), timeline_.clock()};
  Counters counters_;
  MonitoringService service_{connections_, transactions_, Facts(), counters_, timeline_.clock()};
  Context ctx_;
};

TEST_F(MonitoringServiceTest, TellsWhatRunsHere) {
  timeline_.clock().Advance(absl::Milliseconds(90'500));
  const auto info = timeline_.Run(service_.GetServerInfo(ctx_, pb::GetServerInfoRequest()));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version(), "0.1.0");
  EXPECT_EQ(info->grpc_version(), "1.51.1");
  EXPECT_EQ(info->start_time().seconds(), 1'700'000'000);
  EXPECT_EQ(info->start_time().nanos(), 250'000);
  EXPECT_EQ(info->uptime().seconds(), 90);
  EXPECT_EQ(info->uptime().nanos(), 500'000'000);
  ASSERT_EQ(info->engines_size(), 1);
  EXPECT_EQ(info->engines(0).engine(), pb::ENGINE_SQLITE);
  EXPECT_EQ(info->engines(0).library_version(), "3.40.1");
  EXPECT_EQ(info->limits().max_calls(), 1000);
  EXPECT_EQ(info->calls_in_flight(), 7);
  EXPECT_EQ(info->calls_shed(), 3);
}

TEST_F(MonitoringServiceTest, ShowsPoolsAndWhoHasTheirConnections) {
  AddDatabase("embedded");
  db::PoolStats stats;
  stats.limits.max = 10;
  stats.limits.commit_grace = absl::Seconds(30);
  stats.open = 4;
  stats.leased = 1;
  stats.lanes_condemned = 2;
  stats.breaker_open = true;
  stats.last_failure = "BACKEND_LOST";
  stats.retry_in = absl::Milliseconds(250);
  stats.timeline = 3;
  stats.timeline_changes = 1;
  db::PoolStats::Holder& holder = stats.holders.emplace_back();
  holder.transaction = "tx_1";
  holder.caller = "ipv4:127.0.0.1:40112";
  holder.statement = "select ?";
  holder.held_for = absl::Seconds(7);
  holder.busy = true;
  AddDatabase("served").pool = std::optional<db::PoolStats>(stats);
  const auto ask = [&](const char* id) {
    pb::GetPoolStatsRequest request;
    request.set_connection_id(id);
    return timeline_.Run(service_.GetPoolStats(ctx_, request));
  };
  const auto all = ask("");
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->connections_size(), 2);
  EXPECT_EQ(all->connections(0).name(), "embedded");
  EXPECT_FALSE(all->connections(0).has_pool());
  const pb::PoolStats& pool = all->connections(1).pool();
  EXPECT_EQ(pool.limits().max(), 10);
  EXPECT_EQ(pool.limits().commit_grace().seconds(), 30);
  EXPECT_EQ(pool.open(), 4);
  EXPECT_EQ(pool.leased(), 1);
  EXPECT_EQ(pool.lanes_condemned(), 2);
  EXPECT_TRUE(pool.breaker_open());
  EXPECT_EQ(pool.last_failure(), "BACKEND_LOST");
  EXPECT_EQ(pool.retry_in().nanos(), 250'000'000);
  EXPECT_EQ(pool.timeline(), 3);
  EXPECT_EQ(pool.timeline_changes(), 1);
  ASSERT_EQ(pool.holders_size(), 1);
  EXPECT_EQ(pool.holders(0).transaction(), "tx_1");
  EXPECT_EQ(pool.holders(0).caller(), "ipv4:127.0.0.1:40112");
  EXPECT_EQ(pool.holders(0).statement(), "select ?");
  EXPECT_EQ(pool.holders(0).held_for().seconds(), 7);
  EXPECT_TRUE(pool.holders(0).busy());
  EXPECT_EQ(ask("served")->connections_size(), 1);
  EXPECT_EQ(errors::ReasonOf(ask("nobody").status()), "CONNECTION_NOT_FOUND");
}

TEST_F(MonitoringServiceTest, AServerWithoutConnectionsIsWell) {
  const auto health = Health();
  ASSERT_TRUE(health.ok()) << health.status();
  EXPECT_EQ(health->state(), pb::HEALTH_STATE_HEALTHY);
  EXPECT_EQ(health->score(), 1);
}

TEST_F(MonitoringServiceTest, TheWorstStateAndTheMeanScoreStandForAll) {
  AddDatabase("a").load = {1, 2, 3};
  AddDatabase("b").inspect_delay = absl::Milliseconds(1500);
  const auto degraded = Health();
  ASSERT_TRUE(degraded.ok()) << degraded.status();
  EXPECT_EQ(degraded->state(), pb::HEALTH_STATE_DEGRADED);
  EXPECT_EQ(degraded->score(), 0.75);

  AddDatabase("c").info = errors::DatabaseCorrupt("The file is damaged.");
  const auto unhealthy = Health();
  ASSERT_TRUE(unhealthy.ok()) << "a failing database never fails the call";
  EXPECT_EQ(unhealthy->state(), pb::HEALTH_STATE_UNHEALTHY);
  EXPECT_EQ(unhealthy->score(), 0.5);
  ASSERT_EQ(unhealthy->connections_size(), 3);

  const pb::ConnectionHealth& a = unhealthy->connections(0);
  EXPECT_EQ(a.handle(), "h_a");
  EXPECT_EQ(a.name(), "a");
  EXPECT_EQ(a.state(), pb::HEALTH_STATE_HEALTHY);
  EXPECT_EQ(a.database_name(), "test.db");
  EXPECT_EQ(a.size_bytes(), 4096);
  EXPECT_EQ(a.server_version(), "3.40.1");
  EXPECT_EQ(a.active(), 1);
  EXPECT_EQ(a.queued(), 2);
  EXPECT_EQ(a.queue_limit(), 3);
  EXPECT_EQ(unhealthy->connections(1).response_time().seconds(), 1);
  EXPECT_EQ(unhealthy->connections(1).score(), 0.5);
  EXPECT_EQ(unhealthy->connections(2).message(), "The file is damaged.");
}

TEST_F(MonitoringServiceTest, AsksOnlyTheConnectionThatIsNamed) {
  AddDatabase("a");
  AddDatabase("b").info = errors::DatabaseCorrupt("The file is damaged.");
  const auto health = Health("a");
  ASSERT_TRUE(health.ok()) << health.status();
  ASSERT_EQ(health->connections_size(), 1);
  EXPECT_EQ(health->connections(0).name(), "a");
  EXPECT_EQ(health->state(), pb::HEALTH_STATE_HEALTHY);
}

TEST_F(MonitoringServiceTest, AnUnknownConnectionIsNotFound) {
  EXPECT_EQ(errors::ReasonOf(Health("nobody").status()), "CONNECTION_NOT_FOUND");
}

TEST_F(MonitoringServiceTest, AServerThatGoesDownSaysSo) {
  counters_.is_draining = true;
  EXPECT_EQ(Health()->state(), pb::HEALTH_STATE_DRAINING);
}

}  // namespace
}  // namespace sluice::services
