// Connections: what the ids of requests mean.
#ifndef SLUICE_SERVER_CORE_CONNECTIONS_H_
#define SLUICE_SERVER_CORE_CONNECTIONS_H_

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/ids.h"
#include "server/base/mutex.h"
#include "server/core/database_uses.h"
#include "server/core/ending.h"
#include "server/db/database.h"
#include "server/db/driver.h"

namespace sluice::core {

// The id of the connection that the server was started with.
inline constexpr absl::string_view kDefaultConnection = "default";

// Opens what a target means, through the driver for its engine.
using OpenDatabase = std::function<Task<absl::StatusOr<std::shared_ptr<db::Database>>>(
    const Context& ctx, db::Target target)>;

// The connections: id → database. Owned by the app, which outlives every call; any thread. Ids are
// known by their SHA-256 only.
class Connections {
 public:
  // Constant once it is added. A call that found one keeps it, whatever happens to the connection.
  struct Entry {
    ids::Hash key{};     // of what requests name
    std::string handle;  // what lists, health and logs show
    std::string name;
    std::string target;  // where it leads, without user, password or options
    db::EngineKind engine = db::EngineKind::kSqlite;
    bool read_only = false;
    absl::Time created;
    db::Target where;                        // how to open it
    std::shared_ptr<db::Database> database;  // null until someone opened it
  };

  using EntryPtr = std::shared_ptr<const Entry>;
  using Outcome = absl::StatusOr<EntryPtr>;

  // `open` is asked for the databases of entries that come without one.
  explicit Connections(OpenDatabase open = nullptr);
  ~Connections();

  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // Error: the id is taken; CONNECTION_IN_USE (its database is being closed).
  absl::Status Add(Entry entry) ABSL_LOCKS_EXCLUDED(mu_);

  // What every database request asks first. The database is null if nobody opened it yet. Errors:
  // PARAMETER_INVALID (no id), CONNECTION_NOT_FOUND.
  Outcome Find(const Context& ctx, absl::string_view id) const ABSL_LOCKS_EXCLUDED(mu_);

  // The same by its key. Error: CONNECTION_NOT_FOUND.
  Outcome FindKey(const ids::Hash& key) const ABSL_LOCKS_EXCLUDED(mu_);

  // The same, and opens the database if it is not open yet: once, whoever asks meanwhile, and again
  // after a failure. Where a server refused or did not answer, it has a rest first, of a random
  // length that grows; who asks meanwhile is told the same. Errors: what opening it brought, too.
  Task<Outcome> Open(const Context& ctx, std::string id);
  Task<Outcome> Open(const Context& ctx, EntryPtr entry);

  // All, ordered by name, then handle.
  std::vector<EntryPtr> List() const ABSL_LOCKS_EXCLUDED(mu_);

  // For those that come and go.

  // Place: a name, and room, kept for a connection that is about to be added.
  class Place {
   public:
    Place(Connections* connections, std::string name)
        : connections_(connections), name_(std::move(name)) {}

    Place(Place&& other) noexcept
        : connections_(std::exchange(other.connections_, nullptr)), name_(std::move(other.name_)) {}

    Place& operator=(Place&&) = delete;

    ~Place() {
      if (connections_ != nullptr) connections_->Unreserve(name_);
    }

   private:
    Connections* connections_;
    const std::string name_;
  };

  // `limit` counts all but the default connection. Errors: CONNECTION_EXISTS, CONNECTION_LIMIT.
  absl::StatusOr<Place> Reserve(const std::string& name, int64_t limit) ABSL_LOCKS_EXCLUDED(mu_);

  // Opens a database, and keeps it from being closed while the use lives. Takes its time, whatever
  // becomes of the caller.
  struct Opened {
    std::shared_ptr<db::Database> database;
    std::shared_ptr<const DatabaseUse> use;
  };

  Task<absl::StatusOr<Opened>> OpenTarget(db::Target target);

  // What is left of a connection that was removed.
  struct Removed {
    std::shared_ptr<Ending> drained;       // no call has it any more; null: it was never open
    std::weak_ptr<const DatabaseUse> use;  // expired: nobody uses its database any more
    std::shared_ptr<Ending> closed;        // its database is closed
    bool opening = false;  // its database was about to be opened, and will be closed
  };

  // Its id leads nowhere from now on. Its database closes behind the last one who uses it. Error:
  // CONNECTION_NOT_FOUND.
  absl::StatusOr<Removed> Remove(const ids::Hash& key) ABSL_LOCKS_EXCLUDED(mu_);

  // Closes every database, which answers what waits in it; those that are being opened or closed
  // first come to an end. The entries stay: a late call is told that its connection closes, not
  // that it never was. Never on an executor with calls in flight.
  void CloseAll() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // One connection. The entry is replaced by one with a database once that is open.
  struct Slot {
    EntryPtr entry;
    Removed rest;
  };

  struct Waiter {
    const void* ticket;
    Completion<Outcome> done;
  };

  // After the failure of an opening.
  struct Rest {
    int failures = 0;  // in a row
    absl::Status failure;
    absl::Duration until;  // on the steady clock
  };

  Slot MakeSlot(Entry entry, std::shared_ptr<const DatabaseUse> use) const;

  void BeginOpening(const ids::Hash& key, Waiter waiter) ABSL_LOCKS_EXCLUDED(mu_);
  Task<void> RunOpening(EntryPtr entry);
  // What opening brought, for everyone who waits.
  Outcome Publish(const EntryPtr& entry, absl::StatusOr<Opened> opened) ABSL_LOCKS_EXCLUDED(mu_);
  void EndOpening(const ids::Hash& key, const Outcome& outcome) ABSL_LOCKS_EXCLUDED(mu_);
  // Why nothing is opened now; OK if it may be.
  absl::Status Resting(const ids::Hash& key) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LearnOutcome(const ids::Hash& key, const absl::Status& outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LeaveOpening(const ids::Hash& key, const void* ticket, const absl::Status& why)
      ABSL_LOCKS_EXCLUDED(mu_);

  void Unreserve(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);

  const OpenDatabase open_;
  const std::shared_ptr<DatabaseUses> uses_ = std::make_shared<DatabaseUses>();

  mutable Mutex mu_;
  CondVar opening_ended_;
  EntryPtr default_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<ids::Hash, Slot> by_key_ ABSL_GUARDED_BY(mu_);  // the default one, too
  absl::flat_hash_map<ids::Hash, std::list<Waiter>> opening_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<ids::Hash, Rest> resting_ ABSL_GUARDED_BY(mu_);
  std::minstd_rand random_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, int> names_ ABSL_GUARDED_BY(mu_);  // in use or reserved
  int64_t reserved_ ABSL_GUARDED_BY(mu_) = 0;
};

// The order of lists.
bool ListedBefore(absl::string_view name,
                  absl::string_view handle,
                  const Connections::Entry& entry);

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_CONNECTIONS_H_
