#include "server/db/sqlite/driver.h"

#include <optional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

#include "server/async/completion.h"
#include "server/base/errors.h"
#include "server/base/mutex.h"
#include "server/base/status.h"
#include "server/db/sqlite/connection.h"
#include "server/db/sqlite/database.h"
#include "server/db/sqlite/location.h"

namespace sluice::sqlite {
namespace {

absl::StatusOr<bool> ParseSwitch(absl::string_view name, absl::string_view value) {
  if (value == "on") return true;
  if (value == "off") return false;
  return errors::ConnectionInvalidTarget(
      absl::StrCat("The option ", name, " of a SQLite database is `on` or `off`."));
}

absl::StatusOr<FileOptions> ParseOptions(const db::Target& target) {
  FileOptions options;
  options.own = target.own;
  for (const auto& [name, value] : target.options) {
    if (name == "foreign_keys") {
      TRY(options.foreign_keys, ParseSwitch(name, value));
    } else if (name == "readonly") {
      TRY(options.read_only, ParseSwitch(name, value));
    } else {
      return errors::ConnectionInvalidTarget(
          "A SQLite database has the options `foreign_keys` and `readonly`, and no other.");
    }
  }
  return options;
}

// Registry: every open file of the process, each once. A second Database on one file would be a
// second writer.
class Registry {
 public:
  static Registry& Get() {
    static auto* const registry = new Registry();
    return *registry;
  }

  // The Database that has the file, or a new one.
  absl::StatusOr<std::shared_ptr<Database>> FindOrMake(Location location,
                                                       const FileOptions& options,
                                                       const db::SqliteSettings& settings)
      ABSL_LOCKS_EXCLUDED(mu_) {
    std::shared_ptr<Database> known;  // outlives the lock: destroying one may take long
    MutexLock lock(&mu_);
    const auto found = open_.find(location.id);
    if (found != open_.end()) known = found->second.lock();
    if (known != nullptr && !known->closed()) {
      if (known->closing()) {
        return errors::ConnectionInUse("The database is being closed; try again in a moment.");
      }
      if (known->options().own) {
        return errors::ConnectionForbidden("That file is the server's own.");
      }
      if (known->options() != options) {
        return errors::ConnectionInvalidTarget(
            "The database is open already with other options; use the same, or close it first.");
      }
      return known;
    }
    absl::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
    const FileId id = location.id;
    auto database = std::make_shared<Database>(std::move(location), options, settings);
    open_[id] = database;
    return database;
  }

 private:
  Mutex mu_;
  absl::flat_hash_map<FileId, std::weak_ptr<Database>> open_ ABSL_GUARDED_BY(mu_);
};

// Runs what may block on a thread of its own.
template <class T, class F>
Task<T> OnThread(F blocking) {
  std::thread thread;
  T result = co_await Async<T>([&](Completion<T> done) {
    thread =
        std::thread([&blocking, done = std::move(done)]() mutable { done.Resolve(blocking()); });
  });
  thread.join();
  co_return result;
}

}  // namespace

Task<absl::StatusOr<std::shared_ptr<db::Database>>> Open(const Context& ctx,
                                                         db::Target target,
                                                         db::DriverSettings settings) {
  CO_TRY(const FileOptions options, ParseOptions(target));
  CO_CHECK(InitializeLibrary());
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kNo);
  auto locate = [&]() -> absl::StatusOr<Location> {
    if (target.path == ":memory:") return LocateMemory();
    if (target.root.empty()) return LocateFile(target.path, options, target.must_exist);
    return LocateBeneath(target.root, target.path, options, target.must_exist);
  };
  CO_TRY(Location location, co_await OnThread<absl::StatusOr<Location>>(std::move(locate)));
  CO_TRY(std::shared_ptr<Database> database,
         Registry::Get().FindOrMake(std::move(location), options, settings.sqlite));
  CO_CHECK(co_await database->Opened());
  co_return database;
}

}  // namespace sluice::sqlite
