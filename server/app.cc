#include "server/app.h"

#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

#include "server/async/manual_executor.h"
#include "server/base/ids.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/db/driver.h"
#include "server/rpc/routes.h"
#include "server/services/protobuf_time.h"

namespace sluice {
namespace {

constexpr char kDefaultConnection[] = "default";

db::DriverSettings DriverSettingsOf(const Settings& settings) {
  db::DriverSettings out;
  out.sqlite.readers = static_cast<int>(settings.sqlite.readers);
  out.sqlite.queue_limit = static_cast<int>(settings.sqlite.queue);
  out.sqlite.busy_timeout = settings.sqlite.busy_timeout;
  out.sqlite.max_snapshot_age = settings.sqlite.max_snapshot_age;
  out.sqlite.statement_cache = static_cast<int>(settings.sqlite.statement_cache);
  out.sqlite.loop_budget = settings.sqlite.loop_budget;
  out.log_sql = settings.log.sql;
  return out;
}

rpc::ServerOptions ServerOptionsOf(const Settings& settings) {
  rpc::ServerOptions out;
  out.listen = settings.listen;
  out.max_request_bytes = settings.limits.request_bytes;
  out.max_metadata_bytes = settings.limits.metadata_bytes;
  out.max_calls = settings.limits.max_calls;
  out.max_streams_per_connection = settings.limits.max_streams_per_connection;
  out.reflection = settings.reflection_on();
  return out;
}

services::ServerFacts FactsOf(const Settings& settings) {
  services::ServerFacts facts;
  facts.version = SLUICE_VERSION;
  facts.grpc_version = rpc::GrpcVersion();
  facts.start_time = Clock::System().Now();
  facts.start_steady = Clock::System().Steady();
  for (const db::Driver& driver : db::Drivers())
    facts.engines.push_back({driver.engine, driver.library_version()});
  facts.limits.set_max_request_bytes(settings.limits.request_bytes);
  facts.limits.set_max_metadata_bytes(settings.limits.metadata_bytes);
  facts.limits.set_default_max_rows(settings.limits.max_rows);
  facts.limits.set_default_max_bytes(settings.limits.max_bytes);
  facts.limits.set_chunk_bytes(settings.limits.chunk_bytes);
  services::SetDuration(settings.limits.stream_stall, *facts.limits.mutable_stream_stall_timeout());
  facts.limits.set_max_calls(settings.limits.max_calls);
  facts.limits.set_max_streams_per_connection(settings.limits.max_streams_per_connection);
  services::SetDuration(settings.command_timeout, *facts.limits.mutable_command_timeout());
  return facts;
}

}  // namespace

class App::Counters final : public services::CallCounters {
 public:
  explicit Counters(const rpc::Calls& calls) : calls_(calls) {}

  int64_t in_flight() const override { return calls_.in_flight(); }

  int64_t shed() const override { return calls_.shed(); }

  bool draining() const override { return calls_.draining(); }

 private:
  const rpc::Calls& calls_;
};

App::App(const Settings& settings) : settings_(settings) {}

App::~App() = default;

absl::Status App::Start() {
  TRY_STATUS(PrepareDataDir());
  server_ = std::make_unique<rpc::Server>(ServerOptionsOf(settings_));
  TRY_STATUS(OpenDefaultDatabase());
  StartServices();
  const absl::Status started = server_->Start();
  if (!started.ok()) {
    connections_.CloseAll();
    return started;
  }
  health_monitor_ = std::make_unique<core::HealthMonitor>(
      connections_, [this](const core::ConnectionHealth& health) {
        server_->health().Set(absl::StrCat("connections/", health.name),
                              health.state != core::HealthState::kUnhealthy);
      });
  health_monitor_->Start(server_->executor());
  return absl::OkStatus();
}

const std::string& App::address() const {
  return server_->address();
}

// Only this user may enter: the folder holds databases and locks.
absl::Status App::PrepareDataDir() {
  std::error_code error;
  const bool existed = std::filesystem::exists(settings_.data_dir, error);
  std::filesystem::create_directories(settings_.data_dir, error);
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the data folder ", settings_.data_dir, ": ", error.message()));
  }
  if (!existed && chmod(settings_.data_dir.c_str(), 0700) != 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("cannot restrict the data folder ", settings_.data_dir));
  }
  auto lock = FileLock::Acquire(absl::StrCat(settings_.data_dir, "/sluiced.lock"));
  if (absl::IsAlreadyExists(lock.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the data folder ", settings_.data_dir, " is in use: ", lock.status().message(),
        "; give this server its own with --data-dir"));
  }
  TRY(data_lock_, std::move(lock));
  return absl::OkStatus();
}

absl::Status App::OpenDefaultDatabase() {
  TRY(const DatabaseUrl url, DefaultDatabase(settings_));
  for (const db::Driver& driver : db::Drivers()) {
    if (driver.scheme != url.scheme) continue;
    db::Target target;
    target.engine = driver.engine;
    target.path = url.in_memory ? ":memory:" : url.path;
    target.options = {{"foreign_keys", url.foreign_keys ? "on" : "off"},
                      {"readonly", url.read_only ? "on" : "off"}};
    core::Connections::Entry entry;
    entry.target = target.path;
    entry.engine = driver.engine;
    entry.read_only = url.read_only;
    ManualExecutor executor;
    TRY(entry.database,
        executor.Run(driver.open(Context(), std::move(target), DriverSettingsOf(settings_))));
    entry.id = kDefaultConnection;
    entry.handle = ids::Handle(entry.id);
    entry.name = kDefaultConnection;
    entry.created = Clock::System().Now();
    return connections_.Add(std::move(entry));
  }
  return absl::UnimplementedError(
      absl::StrCat("there is no driver for ", url.scheme, " databases in this server"));
}

void App::StartServices() {
  services::QueryOptions options;
  options.default_max_rows = settings_.limits.max_rows;
  options.default_max_bytes = settings_.limits.max_bytes;
  options.chunk_bytes = settings_.limits.chunk_bytes;
  options.value_depth = static_cast<int>(settings_.limits.value_depth);
  options.command_timeout = settings_.command_timeout;
  options.log_sql = settings_.log.sql;
  query_ = std::make_unique<services::QueryService>(connections_, options, Clock::System());
  connection_ = std::make_unique<services::ConnectionService>(connections_, Clock::System());
  counters_ = std::make_unique<Counters>(server_->calls());
  monitoring_ = std::make_unique<services::MonitoringService>(connections_, FactsOf(settings_),
                                                              *counters_, Clock::System());
  rpc::RouteOptions routes;
  routes.command_timeout = settings_.command_timeout;
  routes.stream_stall = settings_.limits.stream_stall;
  routes.names_every_call = settings_.log.sql;
  rpc::AddRoutes(*server_, *query_, *connection_, *monitoring_, routes);
}

void App::Shutdown() {
  health_monitor_->Stop();
  server_->Drain(settings_.shutdown.grace);
  health_monitor_->Join();
  server_->Shutdown();
  connections_.CloseAll();
  server_->Stop();
}

void App::Hurry() {
  server_->Hurry();
}

}  // namespace sluice
