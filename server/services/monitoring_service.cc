#include "server/services/monitoring_service.h"

#include <algorithm>
#include <utility>

#include "server/base/status.h"
#include "server/core/health.h"
#include "server/services/engine.h"
#include "server/services/protobuf_time.h"

namespace sluice::services {
namespace {

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

Task<absl::StatusOr<pb::GetHealthResponse>> MonitoringService::GetHealth(
    const Context& ctx, const pb::GetHealthRequest& request) {
  std::vector<core::Connections::EntryPtr> entries;
  if (request.connection_id().empty()) {
    entries = connections_.List();
  } else {
    CO_TRY(auto entry, connections_.Find(ctx, request.connection_id()));
    entries.push_back(std::move(entry));
  }
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

}  // namespace sluice::services
