#include "server/services/monitoring_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/core/health.h"
#include "server/services/engine.h"
#include "server/services/protobuf_time.h"

namespace sluice::services {
namespace {

using Entries = std::vector<core::Connections::EntryPtr>;

pb::HealthState StateOf(core::HealthState state) {
  switch (state) {
    case core::HealthState::kHealthy:
      return pb::HEALTH_STATE_HEALTHY;
    case core::HealthState::kDegraded:
      return pb::HEALTH_STATE_DEGRADED;
    case core::HealthState::kUnhealthy:
      return pb::HEALTH_STATE_UNHEALTHY;
  }
  return pb::HEALTH_STATE_UNSPECIFIED;
}

void Show(const core::TransactionCounts& counts, int64_t limit, pb::TransactionStats& message) {
  message.set_open(counts.open);
  message.set_limit(limit);
  SetDuration(counts.oldest, *message.mutable_oldest());
  message.set_begun(counts.begun);
  message.set_committed(counts.committed);
  message.set_rolled_back(counts.rolled_back);
  message.set_expired(counts.expired);
  message.set_ended(counts.ended);
  message.set_unknown(counts.unknown);
  message.set_refused(counts.refused);
  message.set_conflicts_retried(counts.conflicts_retried);
}

void Show(const db::WriterStats& stats, absl::Duration now, pb::WriterStats& message) {
  message.set_groups(stats.groups);
  message.set_writes(stats.writes);
  message.set_largest_group(stats.largest_group);
  message.set_reruns(stats.reruns);
  SetDuration(stats.wait_total, *message.mutable_wait_total());
  SetDuration(stats.wait_longest, *message.mutable_wait_longest());
  SetDuration(stats.commit_total, *message.mutable_commit_total());
  SetDuration(stats.commit_longest, *message.mutable_commit_longest());
  message.set_checkpoints(stats.checkpoints);
  SetDuration(stats.checkpoint_total, *message.mutable_checkpoint_total());
  SetDuration(stats.checkpoint_longest, *message.mutable_checkpoint_longest());
  message.set_journal_bytes(stats.journal_bytes);
  message.set_journal_reliefs(stats.journal_reliefs);
  if (stats.hold == nullptr) return;
  message.set_held_by(stats.hold->handle);
  SetDuration(now - stats.hold->since, *message.mutable_held_for());
}

void Show(const core::ConnectionHealth& health, absl::Duration now, pb::ConnectionHealth& message) {
  message.set_handle(health.handle);
  message.set_name(health.name);
  message.set_state(StateOf(health.state));
  message.set_message(health.message);
  SetDuration(health.response_time, *message.mutable_response_time());
  message.set_database_name(health.info.database_name);
  message.set_size_bytes(health.info.size_bytes);
  message.set_server_version(health.info.server_version);
  message.set_score(health.score());
  message.set_active(health.load.active);
  message.set_queued(health.load.queued);
  message.set_queue_limit(health.load.queue_limit);
  if (health.load.writer.has_value()) Show(*health.load.writer, now, *message.mutable_writer());
}

void Show(const db::PoolStats::Limits& limits, pb::PoolLimits& message) {
  message.set_min(limits.min);
  message.set_max(limits.max);
  message.set_overflow(limits.overflow);
  message.set_waiters(limits.waiters);
  message.set_lanes(limits.lanes);
  SetDuration(limits.acquire_timeout, *message.mutable_acquire_timeout());
  SetDuration(limits.idle_timeout, *message.mutable_idle_timeout());
  SetDuration(limits.recycle, *message.mutable_recycle());
  SetDuration(limits.pre_ping, *message.mutable_pre_ping());
  SetDuration(limits.lane_allowance, *message.mutable_lane_allowance());
  SetDuration(limits.commit_grace, *message.mutable_commit_grace());
  message.set_strict_hygiene(limits.strict_hygiene);
}

void Show(const db::PoolStats& stats, pb::PoolStats& message) {
  Show(stats.limits, *message.mutable_limits());
  message.set_open(stats.open);
  message.set_idle(stats.idle);
  message.set_leased(stats.leased);
  message.set_waiting(stats.waiting);
  message.set_connecting(stats.connecting);
  message.set_lane_statements(stats.lane_statements);
  message.set_lanes_open(stats.lanes_open);
  message.set_lanes_condemned(stats.lanes_condemned);
  message.set_connects(stats.connects);
  message.set_connects_failed(stats.connects_failed);
  message.set_breaker_open(stats.breaker_open);
  message.set_last_failure(stats.last_failure);
  if (stats.retry_in > absl::ZeroDuration()) {
    SetDuration(stats.retry_in, *message.mutable_retry_in());
  }
  message.set_acquire_timeouts(stats.acquire_timeouts);
  message.set_timeline(stats.timeline);
  message.set_timeline_changes(stats.timeline_changes);
  for (const db::PoolStats::Holder& holder : stats.holders) {
    pb::PoolHolder& shown = *message.add_holders();
    shown.set_transaction(holder.transaction);
    shown.set_caller(holder.caller);
    shown.set_request_id(holder.request_id);
    SetDuration(holder.held_for, *shown.mutable_held_for());
    shown.set_statement(holder.statement);
    shown.set_busy(holder.busy);
  }
}

}  // namespace

Task<absl::StatusOr<pb::GetServerInfoResponse>> MonitoringService::GetServerInfo(
    const Context& /*ctx*/, const pb::GetServerInfoRequest& /*request*/) {
  pb::GetServerInfoResponse response;
  response.set_version(facts_.version);
  response.set_grpc_version(facts_.grpc_version);
  SetTimestamp(facts_.start_time, *response.mutable_start_time());
  SetDuration(clock_.Steady() - facts_.start_steady, *response.mutable_uptime());
  for (const ServerFacts::Engine& engine : facts_.engines) {
    pb::EngineInfo& info = *response.add_engines();
    info.set_engine(EngineOf(engine.kind));
    info.set_library_version(engine.library_version);
  }
  *response.mutable_limits() = facts_.limits;
  response.set_calls_in_flight(counters_.in_flight());
  response.set_calls_shed(counters_.shed());
  co_return response;
}

absl::StatusOr<std::vector<core::Connections::EntryPtr>> MonitoringService::EntriesOf(
    const Context& ctx, const std::string& connection_id) const {
  if (connection_id.empty()) return connections_.List();
  TRY(core::Connections::EntryPtr entry, connections_.Find(ctx, connection_id));
  return Entries{std::move(entry)};
}

Task<absl::StatusOr<pb::GetHealthResponse>> MonitoringService::GetHealth(
    const Context& ctx, const pb::GetHealthRequest& request) {
  CO_TRY(const Entries entries, EntriesOf(ctx, request.connection_id()));
  const std::vector<core::ConnectionHealth> checks =
      co_await core::CheckAll(ctx, connections_, entries);

  pb::GetHealthResponse response;
  auto worst = core::HealthState::kHealthy;  // a server without connections is well
  double scores = 0;
  for (size_t i = 0; i < checks.size(); ++i) {
    const core::ConnectionHealth& check = checks[i];
    worst = std::max(worst, check.state);
    scores += check.score();
    pb::ConnectionHealth& message = *response.add_connections();
    Show(check, clock_.Steady(), message);
    Show(transactions_.Counts(entries[i]->key), transactions_.limits().per_connection,
         *message.mutable_transactions());
  }
  response.set_state(counters_.draining() ? pb::HEALTH_STATE_DRAINING : StateOf(worst));
  response.set_score(checks.empty() ? 1 : scores / static_cast<double>(checks.size()));
  co_return response;
}

Task<absl::StatusOr<pb::GetPoolStatsResponse>> MonitoringService::GetPoolStats(
    const Context& ctx, const pb::GetPoolStatsRequest& request) {
  CO_TRY(const Entries entries, EntriesOf(ctx, request.connection_id()));
  pb::GetPoolStatsResponse response;
  for (const core::Connections::EntryPtr& entry : entries) {
    pb::ConnectionPool& message = *response.add_connections();
    message.set_handle(entry->handle);
    message.set_name(entry->name);
    if (entry->database == nullptr) continue;
    const auto stats = co_await entry->database->InspectPool(ctx);
    if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kNo);
    // One that is being closed has none any more.
    if (stats.ok() && stats->has_value()) Show(**stats, *message.mutable_pool());
  }
  co_return response;
}

}  // namespace sluice::services
