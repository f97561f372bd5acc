// How the databases do: asked on request, and every ten seconds in the background.
#ifndef SLUICE_SERVER_CORE_HEALTH_H_
#define SLUICE_SERVER_CORE_HEALTH_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/executor.h"
#include "server/async/inbox.h"
#include "server/async/task.h"
#include "server/base/mutex.h"
#include "server/core/connections.h"
#include "server/db/database.h"

namespace sluice::core {

// From best to worst.
enum class HealthState {
  kHealthy,    // answers, and in time
  kDegraded,   // answers, but took more than kSlowAnswer
  kUnhealthy,  // does not answer, or with an error
};

inline constexpr absl::Duration kSlowAnswer = absl::Seconds(1);
inline constexpr absl::Duration kHealthCheckLimit = absl::Seconds(2);
inline constexpr size_t kHealthMessageCharacters = 100;

// How one database did when it was asked.
struct ConnectionHealth {
  std::string handle;
  std::string name;
  HealthState state = HealthState::kUnhealthy;
  std::string message;  // what is wrong, cut at kHealthMessageCharacters; empty if nothing is
  absl::Duration response_time;
  db::DatabaseInfo info;  // empty if there was no answer
  db::DatabaseLoad load;

  // 1 = healthy, 0.5 = degraded, 0 = unhealthy.
  double score() const;
};

// Asks one database, which it opens if need be, for at most kHealthCheckLimit. Never fails: a
// failure is the answer.
Task<ConnectionHealth> Check(const Context& ctx,
                             Connections& connections,
                             Connections::EntryPtr entry);

// Asks all of them side by side; the answers come in the entries' order.
Task<std::vector<ConnectionHealth>> CheckAll(const Context& ctx,
                                             Connections& connections,
                                             std::vector<Connections::EntryPtr> entries);

// HealthMonitor: checks all connections from time to time and tells of each whose state changed,
// first of all of each that it sees for the first time, and of each that is gone. Owned by the app;
// the checks and the callbacks run on the executor that it is started on.
class HealthMonitor {
 public:
  using OnChange = absl::AnyInvocable<void(const ConnectionHealth&)>;
  using OnGone = absl::AnyInvocable<void(absl::string_view name)>;

  HealthMonitor(Connections& connections,
                OnChange on_change,
                OnGone on_gone,
                absl::Duration interval = absl::Seconds(10));
  ~HealthMonitor();  // not before Join returned, if it was started
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  // Once. Any thread.
  void Start(Executor& executor);

  // Asks the checks to end, and never waits. Any thread.
  void Stop();

  // Waits until they ended. After Stop, on any thread but the executor's, which must still run.
  void Join();

 private:
  struct MonitorJob : Job {
    MonitorJob(Run run_function, HealthMonitor* its_monitor)
        : Job(run_function), monitor(its_monitor) {}

    HealthMonitor* const monitor;
  };

  Task<void> Run();
  void Report(const ConnectionHealth& health);
  // Whatever was reported last, for its connection may have been closed during a round.
  void ForgetAllBut(const std::vector<Connections::EntryPtr>& entries);

  struct Reported {
    std::string name;
    HealthState state;
  };

  Connections& connections_;
  const absl::Duration interval_;

  Executor* executor_ = nullptr;  // set by Start
  MonitorJob start_;
  MonitorJob stop_;
  std::atomic<bool> stopping_{false};  // any thread
  Notification ended_;

  // The executor's thread.
  OnChange on_change_;
  OnGone on_gone_;
  CallScope scope_;
  absl::flat_hash_map<std::string, Reported> reported_;  // by handle
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_HEALTH_H_
