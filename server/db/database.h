// The interface behind which every database engine stands.
#ifndef SLUICE_SERVER_DB_DATABASE_H_
#define SLUICE_SERVER_DB_DATABASE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/async/context.h"
#include "server/async/task.h"
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
};

// What a database says of itself.
struct DatabaseInfo {
  std::string server_version;
  std::string database_name;
  int64_t size_bytes = 0;
};

// How busy a database's own connections are.
struct DatabaseLoad {
  int64_t active = 0;
  int64_t queued = 0;
  int64_t queue_limit = 0;
};

// Database: one target with the connections to it. Shared by every call that names it; any
// executor.
class Database : public Session {
 public:
  // Asks the database a trivial question.
  virtual Task<absl::StatusOr<DatabaseInfo>> Inspect(const Context& ctx) = 0;

  // Any thread, never waits.
  virtual DatabaseLoad Load() const = 0;

  // Refuses new work, answers everything that waits, ends what runs, then joins its threads. Never
  // on an executor that still has calls to this database.
  virtual void Close() = 0;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_DATABASE_H_
