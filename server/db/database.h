// The interface behind which every database engine stands.
#ifndef SLUICE_SERVER_DB_DATABASE_H_
#define SLUICE_SERVER_DB_DATABASE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/batch.h"
#include "server/db/catalog.h"
#include "server/db/load.h"
#include "server/db/rows.h"
#include "server/db/statement.h"

namespace sluice::db {

// Cursor: a result that is read piece by piece. Used by one call at a time; destroying it abandons
// the rest and frees what it holds, without waiting.
class Cursor {
 public:
  virtual ~Cursor() = default;

  // The next piece, at most a chunk. The first one carries the columns (and may have no rows); the
  // one with `end` set has no rows and carries the closing facts. Not to be called again after
  // that, or after an error.
  virtual Task<absl::StatusOr<Rows>> Next(const Context& ctx) = 0;
};

// Session: anything that runs SQL.
class Session {
 public:
  virtual ~Session() = default;

  // Runs a statement and answers its whole result, within its limits.
  virtual Task<absl::StatusOr<Rows>> Execute(const Context& ctx, Statement statement) = 0;

  // Runs a statement whose result is read piece by piece. One that writes has run to its end, and
  // is committed, when the cursor is there.
  virtual Task<absl::StatusOr<std::unique_ptr<Cursor>>> Open(const Context& ctx,
                                                             Statement statement) = 0;

  // Runs a batch. Its error is the failure of an atomic one, with `step` and `parameter_set` in the
  // metadata where one of them is to blame, or of the whole in the other modes.
  virtual Task<absl::StatusOr<BatchResults>> ExecuteBatch(const Context& ctx,
                                                          const Batch& batch) = 0;

  // Begins a load.
  virtual Task<absl::StatusOr<std::unique_ptr<Load>>> OpenLoad(const Context& ctx,
                                                               LoadTarget target) = 0;
};

// What a database says of itself.
struct DatabaseInfo {
  std::string server_version;
  std::string database_name;
  int64_t size_bytes = 0;
};

// What the one writer of an embedded database did since it was opened.
struct WriterStats {
  int64_t groups = 0;  // commits
  int64_t writes = 0;  // in them
  int64_t largest_group = 0;
  int64_t reruns = 0;         // groups that ran again without the member that had undone them
  absl::Duration wait_total;  // of writes, from the queue to their turn
  absl::Duration wait_longest;
  absl::Duration commit_total;
  absl::Duration commit_longest;
  int64_t checkpoints = 0;
  absl::Duration checkpoint_total;
  absl::Duration checkpoint_longest;
  int64_t journal_bytes = 0;
  int64_t journal_reliefs = 0;  // times that long reads were ended for the journal's sake
};

// How busy a database's own connections are.
struct DatabaseLoad {
  int64_t active = 0;
  int64_t queued = 0;
  int64_t queue_limit = 0;
  std::optional<WriterStats> writer = std::nullopt;
};

// A copy of a whole database, finished, on the server's disk. Used by one call at a time;
// destroying it removes it.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  virtual int64_t size() const = 0;

  // The next bytes, at most `most`; none at the end.
  virtual Task<absl::StatusOr<std::string>> Read(const Context& ctx, int64_t most) = 0;
};

// Database: one target with the connections to it. Shared by every call that names it; any
// executor.
class Database : public Session {
 public:
  // Asks the database a trivial question.
  virtual Task<absl::StatusOr<DatabaseInfo>> Inspect(const Context& ctx) = 0;

  // Copies the database as it is at one moment, while others go on. Errors: POOL_EXHAUSTED (a copy
  // is being made already), DISK_FULL, UNIMPLEMENTED.
  virtual Task<absl::StatusOr<std::unique_ptr<Snapshot>>> Copy(const Context& ctx) = 0;

  // Lives as long as the database.
  virtual Catalog& catalog() = 0;

  // Any thread, never waits.
  virtual DatabaseLoad Load() const = 0;

  // Refuses new work, answers everything that waits, ends what runs, then joins its threads. Never
  // on an executor that still has calls to this database.
  virtual void Close() = 0;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_DATABASE_H_
