// DatabaseUses: closes each database behind the last one who uses it.
#ifndef SLUICE_SERVER_CORE_DATABASE_USES_H_
#define SLUICE_SERVER_CORE_DATABASE_USES_H_

#include <deque>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "server/base/mutex.h"
#include "server/core/ending.h"
#include "server/db/database.h"

namespace sluice::core {

class DatabaseUses;

// DatabaseUse: held by whoever uses a database, directly or through a connection that leads to it.
// Several connections may share one. The last to let go, on any thread, has it closed.
class DatabaseUse {
 public:
  DatabaseUse(std::shared_ptr<DatabaseUses> uses, std::shared_ptr<db::Database> database);
  ~DatabaseUse();

  DatabaseUse(const DatabaseUse&) = delete;
  DatabaseUse& operator=(const DatabaseUse&) = delete;

  // Comes when the database is closed, which may be after this is gone.
  const std::shared_ptr<Ending>& closed() const { return closed_; }

 private:
  const std::shared_ptr<DatabaseUses> uses_;
  std::shared_ptr<db::Database> database_;
  const std::shared_ptr<Ending> closed_ = std::make_shared<Ending>();
};

// Owned by the connections, and by every use until it ends; any thread. Closing a database joins
// its threads, so it happens on a thread of its own, which starts when it is first needed.
class DatabaseUses : public std::enable_shared_from_this<DatabaseUses> {
 public:
  DatabaseUses() = default;
  DatabaseUses(const DatabaseUses&) = delete;
  DatabaseUses& operator=(const DatabaseUses&) = delete;

  ~DatabaseUses() { Stop(); }

  // Error: CONNECTION_IN_USE, while it is being closed.
  absl::StatusOr<std::shared_ptr<const DatabaseUse>> Take(std::shared_ptr<db::Database> database)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until what is unused by now is closed; the uses that are left close nothing when they
  // end. May be repeated.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_, thread_mu_);

 private:
  friend class DatabaseUse;

  struct Unused {
    std::shared_ptr<db::Database> database;
    std::shared_ptr<Ending> closed;
  };

  void Close(Unused unused) ABSL_LOCKS_EXCLUDED(mu_);
  void Serve() ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::deque<Unused> unused_ ABSL_GUARDED_BY(mu_);
  // From the first use until it is closed; an expired one is being closed.
  absl::flat_hash_map<const db::Database*, std::weak_ptr<const DatabaseUse>> uses_
      ABSL_GUARDED_BY(mu_);

  Mutex thread_mu_ ABSL_ACQUIRED_AFTER(mu_);
  std::thread thread_ ABSL_GUARDED_BY(thread_mu_);
};

}  // namespace sluice::core

#endif  // SLUICE_SERVER_CORE_DATABASE_USES_H_
