// Load: rows on their way into one table.
#ifndef SLUICE_SERVER_DB_LOAD_H_
#define SLUICE_SERVER_DB_LOAD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/repeated_ptr_field.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/batch.h"
#include "server/db/request_key.h"
#include "server/db/session_options.h"
#include "sluice/v1/value.pb.h"

namespace sluice::db {

enum class ConflictAction { kFail, kSkip, kUpdate };

// Where rows go, and how.
struct LoadTarget {
  LoadTarget() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  std::string schema;  // empty: the engine's own choice
  std::string table;
  std::vector<std::string> columns;  // empty: all that can be written
  ConflictAction on_conflict = ConflictAction::kFail;
  std::vector<std::string> conflict_columns;  // empty: the primary key
  BatchMode mode = BatchMode::kAtomic;        // chunks are its parts
  int64_t max_affected_rows = 0;  // of the load, or of a chunk in the other modes; 0 = no bound
  bool validate_only = false;
  // Without its content, which is known when all has arrived. In the modes other than kAtomic,
  // `part` counts the chunks from 1.
  std::optional<RequestKey> key;
  SessionOptionsPtr session;  // as a statement has them
};

// Rows that arrived together.
struct LoadChunk {
  using Rows = google::protobuf::RepeatedPtrField<pb::Row>;

  LoadChunk() : rows(std::make_shared<Rows>()) {}

  std::shared_ptr<const Rows> rows;  // null only in one that was moved from
  int64_t first_row = 0;             // position of the first in the whole load
};

// What became of a chunk.
struct ChunkOutcome {
  absl::Status status;
  int64_t rows_affected = 0;
  bool replayed = false;  // an earlier load with the same key had it
};

// Load: used by one call at a time, on its executor. Destroying one that was not finished rolls
// back what is not committed.
class Load {
 public:
  virtual ~Load() = default;

  // Hands a chunk over and waits until there is room for the next, so that one is written while the
  // next arrives. `content`: hash of the chunk; used in the modes in which it is a transaction of
  // its own, if the load has a key. Error: why the load has failed, in kAtomic; then nothing more
  // is taken.
  virtual Task<absl::Status> Add(const Context& ctx, LoadChunk chunk, std::string content) = 0;

  // `told` is run, on the load's executor and at most once, when an atomic load ends while none of
  // its calls waits: because no chunk came in time, or one of those before has failed. Finish then
  // says why at once. Called before the first Add; not run any more once the load is destroyed.
  virtual void OnEnd(std::function<void()> told) = 0;

  // A chunk has failed, and kStopOnError takes no more.
  virtual bool stopped() const = 0;

  // The outcomes of chunks that ended since they were asked for last, in order. Never waits.
  virtual std::vector<ChunkOutcome> TakeOutcomes() = 0;

  // Waits for all chunks and commits an atomic load. `content`: hash of all that it had; used if it
  // has a key. Error: why it failed, in kAtomic.
  virtual Task<absl::Status> Finish(const Context& ctx, std::string content) = 0;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_LOAD_H_
