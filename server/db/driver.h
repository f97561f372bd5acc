// Driver: how an engine is opened. server/db/drivers.cc lists them, a line each.
#ifndef SLUICE_SERVER_DB_DRIVER_H_
#define SLUICE_SERVER_DB_DRIVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/base/url.h"
#include "server/db/database.h"

namespace sluice::db {

// The stack of every thread on which a driver may compile a statement: SQLite descends into it.
// Only what is used is taken from the machine.
inline constexpr int64_t kStackBytes = 256 << 20;

enum class EngineKind { kSqlite, kPostgresql };

// What a target from a caller may lead to.
struct Egress {
  bool loopback = true;
  bool private_networks = true;
  std::vector<int> ports;  // empty: any
};

// Where a database is, and how the server treats it.
struct Target {
  EngineKind engine = EngineKind::kSqlite;
  std::string path;                            // SQLite: file, or ":memory:" for a private one
  std::map<std::string, std::string> options;  // from the URL, checked by the driver
  std::string root;         // SQLite: the folder that the file must lie beneath; empty: anywhere
  bool must_exist = false;  // do not make the file
  bool own = false;         // the server's own state: no other target may lead to it

  // PostgreSQL.
  std::vector<DatabaseHost> hosts;
  std::string database;
  std::string user;
  std::string password;
  bool trusted = false;  // from the operator, not from a caller: no egress rules
  Egress egress;
};

// The server's settings that concern SQLite.
struct SqliteSettings {
  int readers = 4;         // threads for reads that are not short
  int queue_limit = 1024;  // statements that may wait, for readers and writer each
  absl::Duration busy_timeout = absl::Seconds(5);       // wait for another process's lock
  absl::Duration max_snapshot_age = absl::Seconds(60);  // a read that lasts longer is ended
  int statement_cache = 256;                            // prepared statements per connection
  int64_t loop_budget = 5000;  // VM steps a read may take on a loop; 0 = never there
  // Long reads are ended once the journal that they pin is longer, in bytes.
  int64_t journal_limit = 256 << 20;
  absl::Duration load_idle = absl::Seconds(5);      // an atomic load may hold the writer, idle
  absl::Duration load_limit = absl::Seconds(60);    // and in all
  absl::Duration writer_idle = absl::Seconds(5);    // a transaction may keep the writer, idle
  absl::Duration writer_limit = absl::Seconds(60);  // and in all
  std::string scratch;  // folder for copies in the making; empty = the system's
};

// The server's settings that concern PostgreSQL; a target may say otherwise.
struct PostgresSettings {
  int pool_min = 0;         // connections that are kept open
  int pool_max = 10;        // that are kept at most, lanes among them
  int pool_overflow = 20;   // beyond that, for a short time
  int pool_waiters = 1024;  // callers that may wait for one
  absl::Duration acquire_timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Minutes(10);
  absl::Duration recycle = absl::Hours(1);  // zero: never
  absl::Duration pre_ping =
      absl::Seconds(5);       // a connection idle for longer is tried first; zero: none
  int statement_cache = 200;  // prepared statements per connection
  int lanes = 2;              // connections that short statements share; 0 = none
  absl::Duration lane_allowance = absl::Milliseconds(250);  // of a statement on one
  bool strict_hygiene = false;                      // whoever uses a connection finds it as new
  absl::Duration commit_grace = absl::Seconds(30);  // COMMIT is waited for so long
};

struct DriverSettings {
  SqliteSettings sqlite;
  PostgresSettings postgres;
  bool log_sql = false;
};

// A kind of database. `open` answers once the target proved usable; what blocks in it runs on a
// thread of its own.
struct Driver {
  absl::string_view scheme;
  EngineKind engine;
  std::string (*library_version)();
  Task<absl::StatusOr<std::shared_ptr<Database>>> (*open)(const Context& ctx,
                                                          Target target,
                                                          DriverSettings settings);
};

absl::Span<const Driver> Drivers();

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_DRIVER_H_
