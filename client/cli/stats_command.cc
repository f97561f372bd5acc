// `sluice stats`.
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/records.h"

namespace sluice::cli {
namespace {

using client::ToValue;

Record PoolRecord(const v1::ConnectionPool& connection) {
  const v1::PoolStats& pool = connection.pool();
  return {{"connection", ToValue(connection.name())},
          {"open", ToValue(pool.open())},
          {"max", ToValue(pool.limits().max())},
          {"overflow", ToValue(pool.limits().overflow())},
          {"idle", ToValue(pool.idle())},
          {"leased", ToValue(pool.leased())},
          {"waiting", ToValue(pool.waiting())},
          {"lanes", ToValue(pool.lanes_open())},
          {"on_lanes", ToValue(pool.lane_statements())},
          {"connects", ToValue(pool.connects())},
          {"failed", ToValue(pool.connects_failed())},
          {"breaker", ToValue(pool.breaker_open() ? pool.last_failure() : "")}};
}

Record HolderRecord(const v1::ConnectionPool& connection, const v1::PoolHolder& holder) {
  return {
      {"connection", ToValue(connection.name())}, {"transaction", ToValue(holder.transaction())},
      {"caller", ToValue(holder.caller())},       {"held_seconds", Seconds(holder.held_for())},
      {"busy", ToValue(holder.busy())},           {"statement", ToValue(holder.statement())}};
}

}  // namespace

ExitCode RunStats(Session& session) {
  const auto stats = session.client.GetPoolStats(session.options.connection_id, session.Call());
  if (!stats.ok()) return Fail(session, stats.status(), "", true);
  if (IsJsonForm(session.format)) {
    PrintMessage(session, *stats);
    return FinishOutput(session);
  }
  std::vector<Record> pools;
  std::vector<Record> holders;
  for (const v1::ConnectionPool& connection : stats->connections()) {
    if (!connection.has_pool()) continue;
    pools.push_back(PoolRecord(connection));
    for (const v1::PoolHolder& holder : connection.pool().holders()) {
      holders.push_back(HolderRecord(connection, holder));
    }
  }
  PrintRecords(session, pools, PoolRecord({}));
  const bool more = session.format == Format::kTable && !holders.empty();
  if (more) PrintRecords(session, holders, HolderRecord({}, {}));
  return FinishOutput(session);
}

}  // namespace sluice::cli
