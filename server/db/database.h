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
#include "server/db/pool_stats.h"
#include "server/db/request_key.h"
#include "server/db/session.h"
#include "server/db/transaction.h"

namespace sluice::db {

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
  std::shared_ptr<const WriterHold> hold;  // null: nobody has it for itself
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
  // Begins a transaction; the database is not asked yet. Errors: POOL_CLOSED, READ_ONLY_VIOLATION.
  virtual absl::StatusOr<std::unique_ptr<Transaction>> Begin(TransactionOptions options) = 0;

  // What was stored with a key within the last 24 h; nothing, if nothing was by then, whatever was
  // asked before this. A key without content fits any. Errors: REQUEST_ID_REUSED, REPLAY_TOO_LARGE,
  // COMMIT_OUTCOME_UNKNOWN (it still runs, or is not committed yet).
  virtual Task<absl::StatusOr<std::optional<BatchResults>>> Recall(const Context& ctx,
                                                                   const RequestKey& key) = 0;

  // What became of a transaction, by the `outcome_token` of the error that its COMMIT was answered
  // with; `scope`: of the keys of whoever asks. Errors: PARAMETER_INVALID, FIELD_NOT_IMPLEMENTED.
  virtual Task<absl::StatusOr<Outcome>> OutcomeOf(const Context& ctx,
                                                  std::string token,
                                                  std::string scope) = 0;

  // Makes the database able to keep answers of requests with a key, where it is not. An embedded
  // one always is. Errors: what the database says of it; READ_ONLY_VIOLATION.
  virtual Task<absl::Status> KeepRequests(const Context& ctx) = 0;

  // Asks the database a trivial question.
  virtual Task<absl::StatusOr<DatabaseInfo>> Inspect(const Context& ctx) = 0;

  // Copies the database as it is at one moment, while others go on. Errors: POOL_EXHAUSTED (a copy
  // is being made already), DISK_FULL, UNIMPLEMENTED.
  virtual Task<absl::StatusOr<std::unique_ptr<Snapshot>>> Copy(const Context& ctx) = 0;

  // Lives as long as the database.
  virtual Catalog& catalog() = 0;

  // Any thread, never waits.
  virtual DatabaseLoad Load() const = 0;

  // Its connections and who has them; nothing, if the engine has no pool of them. The database is
  // not asked.
  virtual Task<absl::StatusOr<std::optional<PoolStats>>> InspectPool(const Context& ctx) = 0;

  // Refuses new work, answers everything that waits, ends what runs, then joins its threads. Never
  // on an executor that still has calls to this database.
  virtual void Close() = 0;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_DATABASE_H_
