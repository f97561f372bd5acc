#include "server/app.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/async/join.h"
#include "server/base/address.h"
#include "server/base/errors.h"
#include "server/base/ids.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/db/driver.h"
#include "server/rpc/routes.h"
#include "server/services/protobuf_time.h"

namespace sluice {
namespace {

// For copies of databases in the making.
std::string ScratchFolder(const Settings& settings) {
  return absl::StrCat(settings.data_dir, "/tmp");
}

db::DriverSettings DriverSettingsOf(const Settings& settings) {
  db::DriverSettings out;
  out.sqlite.readers = static_cast<int>(settings.sqlite.readers);
  out.sqlite.queue_limit = static_cast<int>(settings.sqlite.queue);
  out.sqlite.busy_timeout = settings.sqlite.busy_timeout;
  out.sqlite.max_snapshot_age = settings.sqlite.max_snapshot_age;
  out.sqlite.statement_cache = static_cast<int>(settings.sqlite.statement_cache);
  out.sqlite.loop_budget = settings.sqlite.loop_budget;
  out.sqlite.journal_limit = settings.sqlite.journal_limit;
  out.sqlite.load_idle = settings.sqlite.load_idle;
  out.sqlite.load_limit = settings.sqlite.load_limit;
  out.sqlite.writer_idle = settings.sqlite.writer_idle;
  out.sqlite.writer_limit = settings.sqlite.writer_limit;
  out.sqlite.scratch = ScratchFolder(settings);
  out.postgres.pool_min = static_cast<int>(settings.pool.min);
  out.postgres.pool_max = static_cast<int>(settings.pool.max);
  out.postgres.pool_overflow = static_cast<int>(settings.pool.overflow);
  out.postgres.pool_waiters = static_cast<int>(settings.pool.waiters);
  out.postgres.acquire_timeout = settings.pool.acquire_timeout;
  out.postgres.idle_timeout = settings.pool.idle_timeout;
  out.postgres.recycle = settings.pool.recycle;
  out.postgres.pre_ping = settings.pool.pre_ping;
  out.postgres.statement_cache = static_cast<int>(settings.pool.statement_cache);
  out.postgres.lanes = static_cast<int>(settings.pool.lanes);
  out.postgres.lane_allowance = settings.pool.lane_allowance;
  out.postgres.commit_grace = settings.pool.commit_grace;
  out.postgres.strict_hygiene = settings.pool.session_hygiene == "strict";
  out.log_sql = settings.log.sql;
  return out;
}

core::TransactionLimits TransactionLimitsOf(const Settings& settings) {
  core::TransactionLimits limits;
  limits.idle_timeout = settings.transactions.idle_timeout;
  limits.max_life = settings.transactions.max_life;
  limits.per_connection = settings.transactions.per_connection;
  limits.per_caller = settings.transactions.per_caller;
  return limits;
}

using OpenedDatabase = absl::StatusOr<std::shared_ptr<db::Database>>;

Task<OpenedDatabase> NoDriver(db::EngineKind engine) {
  co_return errors::EngineNotBuilt(engine == db::EngineKind::kSqlite ? "sqlite" : "postgresql");
}

// Through the driver for the target's engine.
Task<OpenedDatabase> OpenTarget(const Context& ctx,
                                db::Target target,
                                const db::DriverSettings& settings) {
  for (const db::Driver& driver : db::Drivers()) {
    if (driver.engine == target.engine) return driver.open(ctx, std::move(target), settings);
  }
  return NoDriver(target.engine);
}

// The operator's own: it may lead anywhere.
db::Target DefaultTarget(const DatabaseUrl& url) {
  if (url.scheme != "sqlite") {
    db::Target target = core::PostgresTarget(url);
    target.trusted = true;
    return target;
  }
  db::Target target;
  target.path = url.in_memory ? ":memory:" : url.path;
  target.options = {{"foreign_keys", url.foreign_keys ? "on" : "off"},
                    {"readonly", url.read_only ? "on" : "off"}};
  return target;
}

// A few statements now and then: one reader will do.
db::DriverSettings RegistrySettingsOf(const Settings& settings) {
  db::DriverSettings out = DriverSettingsOf(settings);
  out.sqlite.readers = 1;
  out.sqlite.statement_cache = 16;
  out.sqlite.loop_budget = 0;
  return out;
}

// Absolute, and without links as far as it exists.
absl::StatusOr<std::string> SqliteRoot(const Settings& settings) {
  std::string root = settings.sqlite.root;
  if (root.empty()) root = absl::StrCat(settings.data_dir, "/databases");
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(root, error);
  const std::filesystem::path resolved = std::filesystem::weakly_canonical(absolute, error);
  if (error || resolved.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the folder for databases ", root, " cannot be found: ", error.message()));
  }
  return resolved.string();
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

void App::GiveStacks() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, db::kStackBytes);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

App::App(const Settings& settings)
    : settings_(settings),
      connections_([drivers = DriverSettingsOf(settings)](const Context& ctx, db::Target target) {
        return OpenTarget(ctx, std::move(target), drivers);
      }),
      transactions_(TransactionLimitsOf(settings), Clock::System()) {}

App::~App() = default;

absl::Status App::Start() {
  TRY_STATUS(PrepareDataDir());
  server_ = std::make_unique<rpc::Server>(ServerOptionsOf(settings_));
  server_->SetOpenWork([this] { return transactions_.Unended(); });
  const auto [database, registry] = start_.Run(Join(OpenDefaultDatabase(), OpenRegistry()));
  TRY_STATUS(database);
  TRY_STATUS(registry);
  StartServices();
  const absl::Status started = server_->Start();
  if (!started.ok()) {
    connections_.CloseAll();
    registry_->Close();
    return started;
  }
  health_monitor_ = std::make_unique<core::HealthMonitor>(
      connections_,
      [this](const core::ConnectionHealth& health) {
        server_->health().Set(absl::StrCat("connections/", health.name),
                              health.state != core::HealthState::kUnhealthy);
      },
      [this](absl::string_view name) {
        server_->health().Forget(absl::StrCat("connections/", name));
      });
  health_monitor_->Start(server_->executor());
  transactions_.Start(server_->executor());
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
  return PrepareScratchFolder();
}

// What a server left there that was killed is of no use to anyone. Only files that carry our name,
// for the operator may have given us a folder with more in it.
absl::Status App::PrepareScratchFolder() {
  const std::string folder = ScratchFolder(settings_);
  std::error_code error;
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make the folder ", folder));
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const bool ours = absl::StartsWith(entry.path().filename().string(), "copy-");
    if (ours && entry.is_regular_file(error)) std::filesystem::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

Task<absl::Status> App::OpenDefaultDatabase() {
  CO_TRY(const DatabaseUrl url, DefaultDatabase(settings_));
  const absl::Span<const db::Driver> drivers = db::Drivers();
  const auto driver = std::find_if(drivers.begin(), drivers.end(),
                                   [&](const db::Driver& d) { return d.scheme == url.scheme; });
  if (driver == drivers.end()) {
    co_return absl::UnimplementedError(
        absl::StrCat("there is no driver for ", url.scheme, " databases in this server"));
  }
  core::Connections::Entry entry;
  entry.where = DefaultTarget(url);
  entry.target = core::ShowTarget(entry.where);
  entry.engine = driver->engine;
  entry.read_only = url.read_only;
  const Context ctx;
  const db::DriverSettings settings = DriverSettingsOf(settings_);
  absl::StatusOr<std::shared_ptr<db::Database>> opened =
      co_await driver->open(ctx, entry.where, settings);
  if (opened.ok()) {
    entry.database = *std::move(opened);
  } else if (errors::IsTransient(opened.status())) {
    // A server elsewhere may come up later than we: whoever asks for it then opens it.
    log::Warning("main", "the default database is not there yet",
                 {{"target", entry.target}, {"reason", errors::ReasonOf(opened.status())}});
  } else {
    co_return opened.status();
  }
  entry.key = ids::HashOf({core::kDefaultConnection.data(), core::kDefaultConnection.size()});
  entry.handle = ids::Handle(entry.key);
  entry.name = std::string(core::kDefaultConnection);
  entry.created = Clock::System().Now();
  co_return connections_.Add(std::move(entry));
}

Task<absl::Status> App::OpenRegistry() {
  db::Target target;
  target.path = absl::StrCat(settings_.data_dir, "/registry.db");
  target.own = true;
  const Context ctx;
  const db::DriverSettings drivers = RegistrySettingsOf(settings_);
  CO_TRY(auto database, co_await OpenTarget(ctx, std::move(target), drivers));
  CO_TRY(registry_, co_await core::Registry::Open(std::move(database)));

  core::RegistrarOptions options;
  CO_TRY(options.sqlite_root, SqliteRoot(settings_));
  options.egress.loopback = settings_.egress.loopback;
  options.egress.private_networks = settings_.egress.private_networks;
  CO_TRY(options.egress.ports, ParsePorts(settings_.egress.ports));
  options.max_connections = settings_.limits.connections;
  options.opened = [this](absl::string_view name) {
    server_->health().Set(absl::StrCat("connections/", name), true);
  };
  options.closed = [this](absl::string_view name) {
    server_->health().Forget(absl::StrCat("connections/", name));
  };
  options.end = [this](const ids::Hash& key) { transactions_.EndConnection(key); };
  registrar_ = std::make_unique<core::Registrar>(connections_, *registry_, std::move(options),
                                                 Clock::System());
  CO_CHECK(co_await registrar_->Restore());
  co_return absl::OkStatus();
}

void App::StartServices() {
  services::QueryOptions options;
  options.default_max_rows = settings_.limits.max_rows;
  options.default_max_bytes = settings_.limits.max_bytes;
  options.chunk_bytes = settings_.limits.chunk_bytes;
  options.value_depth = static_cast<int>(settings_.limits.value_depth);
  options.command_timeout = settings_.command_timeout;
  options.log_sql = settings_.log.sql;
  page_tokens_ = std::make_unique<services::PageTokens>(registry_->page_token_key());
  venues_ = std::make_unique<services::Venues>(connections_, transactions_);
  query_ = std::make_unique<services::QueryService>(*venues_, options, Clock::System());
  batch_ = std::make_unique<services::BatchService>(*venues_, options, Clock::System());
  bulk_ = std::make_unique<services::BulkService>(*venues_, options, Clock::System());
  transaction_ =
      std::make_unique<services::TransactionService>(*venues_, *page_tokens_, Clock::System());
  interact_ = std::make_unique<services::InteractService>(
      *venues_, *query_, *batch_, settings_.command_timeout, settings_.limits.stream_idle,
      Clock::System());
  plan_ = std::make_unique<services::PlanService>(connections_, options.value_depth);
  schema_ = std::make_unique<services::SchemaService>(connections_, *page_tokens_);
  backup_ = std::make_unique<services::BackupService>(connections_);
  connection_ = std::make_unique<services::ConnectionService>(connections_, *registrar_,
                                                              Clock::System(), *page_tokens_);
  counters_ = std::make_unique<Counters>(server_->calls());
  monitoring_ = std::make_unique<services::MonitoringService>(
      connections_, transactions_, FactsOf(settings_), *counters_, Clock::System());
  rpc::RouteOptions routes;
  routes.command_timeout = settings_.command_timeout;
  routes.stream_stall = settings_.limits.stream_stall;
  routes.stream_idle = settings_.limits.stream_idle;
  routes.names_every_call = settings_.log.sql;
  const rpc::Services services{.query = *query_,
                               .batch = *batch_,
                               .bulk = *bulk_,
                               .plan = *plan_,
                               .schema = *schema_,
                               .connection = *connection_,
                               .backup = *backup_,
                               .monitoring = *monitoring_,
                               .transaction = *transaction_,
                               .interact = *interact_};
  rpc::AddRoutes(*server_, services, routes);
}

void App::Shutdown() {
  health_monitor_->Stop();
  transactions_.Drain();
  awaits_ = "calls";
  server_->Drain(settings_.shutdown.grace);
  transactions_.EndAll();
  transactions_.Stop();
  awaits_ = "health checks";
  health_monitor_->Join();
  awaits_ = "transactions";
  transactions_.Join();
  awaits_ = "clients";
  server_->Shutdown();
  awaits_ = "databases";
  connections_.CloseAll();
  awaits_ = "registry";
  registry_->Close();
  awaits_ = "loops";
  server_->Stop();
  awaits_ = "nothing";
}

void App::Hurry() {
  server_->Hurry();
}

}  // namespace sluice
