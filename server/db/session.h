// Session: anything that runs SQL.
#ifndef SLUICE_SERVER_DB_SESSION_H_
#define SLUICE_SERVER_DB_SESSION_H_

#include <memory>

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/batch.h"
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

// A database, or a transaction in one.
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

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_SESSION_H_
