// App: the server as a whole. Builds every layer in order and takes them down in reverse; the only
// place that knows all of them.
#ifndef SLUICE_SERVER_APP_H_
#define SLUICE_SERVER_APP_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/async/manual_executor.h"
#include "server/async/task.h"
#include "server/base/config.h"
#include "server/base/file_lock.h"
#include "server/core/connections.h"
#include "server/core/health.h"
#include "server/core/registrar.h"
#include "server/core/registry.h"
#include "server/core/transactions.h"
#include "server/rpc/server.h"
#include "server/services/backup_service.h"
#include "server/services/batch_service.h"
#include "server/services/bulk_service.h"
#include "server/services/connection_service.h"
#include "server/services/interact_service.h"
#include "server/services/monitoring_service.h"
#include "server/services/page_token.h"
#include "server/services/plan_service.h"
#include "server/services/query_service.h"
#include "server/services/schema_service.h"
#include "server/services/transaction_service.h"
#include "server/services/venue.h"

namespace sluice {

// Owned by main, on whose thread Start and Shutdown run.
class App {
 public:
  explicit App(const Settings& settings);
  ~App();

  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // Gives each thread from now on the stack that a statement may need. Before the first thread.
  static void GiveStacks();

  // Opens the default database and serves. An error is one line for the terminal.
  absl::Status Start();

  // Where it listens, with the real port.
  const std::string& address() const;

  // Answers every call in flight honestly, within the grace period or sooner if hurried, then takes
  // everything down.
  void Shutdown();
  // Cuts the grace short. Any thread, while Shutdown runs.
  void Hurry();

  // What Shutdown waits for, for the log. Any thread.
  absl::string_view awaits() const { return awaits_.load(std::memory_order_relaxed); }

 private:
  // What MonitoringService tells of the process.
  class Counters;

  absl::Status PrepareDataDir();
  absl::Status PrepareScratchFolder();
  Task<absl::Status> OpenDefaultDatabase();
  Task<absl::Status> OpenRegistry();
  void StartServices();

  const Settings settings_;  // constant after construction
  std::atomic<const char*> awaits_{"nothing"};
  ManualExecutor start_;  // of Start; who posts to it may look at it a little longer
  std::unique_ptr<FileLock> data_lock_;
  core::Connections connections_;
  core::Transactions transactions_;
  std::unique_ptr<core::Registry> registry_;
  std::unique_ptr<core::Registrar> registrar_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<Counters> counters_;
  std::unique_ptr<services::PageTokens> page_tokens_;
  std::unique_ptr<services::Venues> venues_;
  std::unique_ptr<services::QueryService> query_;
  std::unique_ptr<services::BatchService> batch_;
  std::unique_ptr<services::BulkService> bulk_;
  std::unique_ptr<services::PlanService> plan_;
  std::unique_ptr<services::SchemaService> schema_;
  std::unique_ptr<services::ConnectionService> connection_;
  std::unique_ptr<services::BackupService> backup_;
  std::unique_ptr<services::MonitoringService> monitoring_;
  std::unique_ptr<services::TransactionService> transaction_;
  std::unique_ptr<services::InteractService> interact_;
  std::unique_ptr<core::HealthMonitor> health_monitor_;
};

}  // namespace sluice

#endif  // SLUICE_SERVER_APP_H_
