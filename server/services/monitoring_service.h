// MonitoringService: what the server is and how it does.
#ifndef SLUICE_SERVER_SERVICES_MONITORING_SERVICE_H_
#define SLUICE_SERVER_SERVICES_MONITORING_SERVICE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/clock.h"
#include "server/core/connections.h"
#include "server/core/transactions.h"
#include "server/db/driver.h"
#include "sluice/v1/monitoring.pb.h"

namespace sluice::services {

namespace pb = ::sluice::v1;

// What is known of the process once it is set up; the app fills it in.
struct ServerFacts {
  struct Engine {
    db::EngineKind kind = db::EngineKind::kSqlite;
    std::string library_version;
  };

  std::string version;
  std::string grpc_version;
  absl::Time start_time;        // wall time at which it began to serve
  absl::Duration start_steady;  // the same moment on the steady clock
  std::vector<Engine> engines;  // that it can open
  pb::ServerLimits limits;      // in force
};

// CallCounters: what rpc counts. Any thread.
class CallCounters {
 public:
  virtual ~CallCounters() = default;

  virtual int64_t in_flight() const = 0;
  virtual int64_t shed() const = 0;

  // The server goes down and takes no new calls.
  virtual bool draining() const { return false; }
};

// Owned by the app, which outlives every call; constant, so any executor.
class MonitoringService {
 public:
  MonitoringService(core::Connections& connections,
                    const core::Transactions& transactions,
                    ServerFacts facts,
                    const CallCounters& counters,
                    const Clock& clock)
      : connections_(connections),
        transactions_(transactions),
        facts_(std::move(facts)),
        counters_(counters),
        clock_(clock) {}

  Task<absl::StatusOr<pb::GetServerInfoResponse>> GetServerInfo(
      const Context& ctx, const pb::GetServerInfoRequest& request);

  Task<absl::StatusOr<pb::GetHealthResponse>> GetHealth(const Context& ctx,
                                                        const pb::GetHealthRequest& request);

  Task<absl::StatusOr<pb::GetPoolStatsResponse>> GetPoolStats(
      const Context& ctx, const pb::GetPoolStatsRequest& request);

 private:
  // One connection, or all of them if the id is empty.
  absl::StatusOr<std::vector<core::Connections::EntryPtr>> EntriesOf(
      const Context& ctx, const std::string& connection_id) const;

  core::Connections& connections_;
  const core::Transactions& transactions_;
  const ServerFacts facts_;
  const CallCounters& counters_;
  const Clock& clock_;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_MONITORING_SERVICE_H_
