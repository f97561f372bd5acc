// A registry on disk, with the connections and the registrar that belong to it, for tests of core
// and services.
#ifndef SLUICE_TESTS_UNIT_CORE_REGISTRY_FIXTURE_H_
#define SLUICE_TESTS_UNIT_CORE_REGISTRY_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"

#include "server/async/manual_executor.h"
#include "server/base/errors.h"
#include "server/core/connections.h"
#include "server/core/registrar.h"
#include "server/core/registry.h"
#include "server/db/driver.h"
#include "tests/support/temp_dir.h"

namespace sluice::core {

// Opens through the SQLite driver, or not at all.
inline Task<absl::StatusOr<std::shared_ptr<db::Database>>> OpenWithDriver(const Context& ctx,
                                                                          db::Target target) {
  if (target.engine != db::EngineKind::kSqlite) co_return errors::EngineNotBuilt("postgresql");
  const db::DriverSettings settings;
  auto opened = co_await db::Drivers()[0].open(ctx, std::move(target), settings);
  co_return opened;
}

inline absl::StatusOr<std::unique_ptr<Registry>> OpenRegistry(ManualExecutor& executor,
                                                              const std::string& path) {
  db::Target target;
  target.path = path;
  target.own = true;
  const Context ctx;
  auto database = executor.Run(OpenWithDriver(ctx, std::move(target)));
  if (!database.ok()) return database.status();
  return executor.Run(Registry::Open(*std::move(database)));
}

// Life: what a server has of all this between a start and an end.
class Life {
 public:
  explicit Life(const test::TempDir& folder, int64_t max_connections = 100)
      : root_(folder.File("databases")) {
    auto opened = OpenRegistry(executor, folder.File("registry.db"));
    if (!opened.ok()) {
      ADD_FAILURE() << opened.status();
      std::abort();
    }
    registry = *std::move(opened);
    RegistrarOptions options;
    options.sqlite_root = root_;
    options.max_connections = max_connections;
    options.opened = [this](absl::string_view name) { opened_names.emplace_back(name); };
    options.closed = [this](absl::string_view name) { closed_names.emplace_back(name); };
    registrar =
        std::make_unique<Registrar>(connections, *registry, std::move(options), Clock::System());
    const absl::Status restored = executor.Run(registrar->Restore());
    EXPECT_TRUE(restored.ok()) << restored;
  }

  ~Life() {
    executor.RunUntilIdle();
    connections.CloseAll();
    registry->Close();
  }

  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;

  absl::StatusOr<Registrar::Registered> Register(const std::string& url,
                                                 const std::string& name = "",
                                                 const Context& ctx = {}) {
    Registrar::Request request;
    auto parsed = ParseDatabaseUrl(url);
    if (!parsed.ok()) return parsed.status();
    request.url = *std::move(parsed);
    request.name = name;
    return executor.Run(registrar->Register(ctx, std::move(request)));
  }

  absl::StatusOr<Registrar::Closed> Close(const std::string& id,
                                          absl::Duration drain = absl::Seconds(10)) {
    const Context ctx;
    return executor.Run(registrar->Close(ctx, id, drain));
  }

  Connections::Outcome Open(const std::string& id) {
    const Context ctx;
    return executor.Run(connections.Open(ctx, id));
  }

  const std::string& root() const { return root_; }

  ManualExecutor executor;
  Connections connections{OpenWithDriver};
  std::unique_ptr<Registry> registry;
  std::unique_ptr<Registrar> registrar;
  std::vector<std::string> opened_names;
  std::vector<std::string> closed_names;

 private:
  const std::string root_;
};

}  // namespace sluice::core

#endif  // SLUICE_TESTS_UNIT_CORE_REGISTRY_FIXTURE_H_
