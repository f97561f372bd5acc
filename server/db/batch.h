// Batch: statements to run in one go.
#ifndef SLUICE_SERVER_DB_BATCH_H_
#define SLUICE_SERVER_DB_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

#include "server/db/request_key.h"
#include "server/db/rows.h"
#include "server/db/session_options.h"
#include "server/db/statement.h"

namespace sluice::db {

// What a failure does to the rest.
enum class BatchMode {
  kAtomic,       // all or nothing
  kStopOnError,  // each by itself; nothing runs after the first failure
  kContinue,     // each by itself
};

// One statement of a batch, with its place in the request. Constructed, not an aggregate, for the
// reason that Statement gives.
struct Execution {
  Execution(Statement its_statement, int its_step, int its_set)
      : statement(its_statement), step(its_step), set(its_set) {}

  Statement statement;
  int step;
  int set;
};

struct Batch {
  Batch() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  std::vector<Execution> executions;
  BatchMode mode = BatchMode::kAtomic;
  int64_t max_bytes = 4 << 20;    // of the rows of all results together
  int64_t max_affected_rows = 0;  // of all executions of an atomic batch; 0 = no bound
  bool read_only = false;
  bool validate_only = false;
  const RequestKey* request = nullptr;  // outlives the batch
  SessionOptionsPtr session;            // as a statement has them
};

// One outcome per execution, in order; fewer if kStopOnError stopped.
using BatchResults = std::vector<absl::StatusOr<Rows>>;

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_BATCH_H_
