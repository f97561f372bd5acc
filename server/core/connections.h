// Connections: what the ids of requests mean.
#ifndef SLUICE_SERVER_CORE_CONNECTIONS_H_
#define SLUICE_SERVER_CORE_CONNECTIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/driver.h"

namespace sluice::core {

// The registry of connections: id → database. Owned by the app, which outlives every call; any
// thread.
class Connections {
 public:
  // Constant once it is added. A call that found one keeps it, whatever happens to the registry.
  struct Entry {
    std::string id;      // what requests name; never shown
    std::string handle;  // what lists, health and logs show
    std::string name;
    std::string target;  // where it leads, without user, password or options
    db::EngineKind engine = db::EngineKind::kSqlite;
    bool read_only = false;
    absl::Time created;
    std::shared_ptr<db::Database> database;
  };

  using EntryPtr = std::shared_ptr<const Entry>;

  // REQUIRES: a database. Error: the id is taken.
  absl::Status Add(Entry entry);

  // What every database request asks first. Errors: PARAMETER_INVALID (no id),
  // CONNECTION_NOT_FOUND.
  absl::StatusOr<EntryPtr> Find(const Context& ctx, absl::string_view id) const;

  // All, ordered by name, then handle.
  std::vector<EntryPtr> List() const;

  // Closes every database, which answers what waits in it. The entries stay: a late call is told
  // that its connection closes, not that it never was. Never on an executor with calls in flight.
  void CloseAll();

 private:
  mutable Mutex mu_;
  absl::flat_hash_map<std::string, EntryPtr> by_id_ ABSL_GUARDED_BY(mu_);
};

// The order of lists.
bool ListedBefore(absl::string_view name,
                  absl::string_view handle,
                  const Connections::Entry& entry);

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_CONNECTIONS_H_
