// Loading: rows on their way into a table.
#ifndef SLUICE_SERVER_DB_POSTGRES_LOADING_H_
#define SLUICE_SERVER_DB_POSTGRES_LOADING_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/task.h"
#include "server/db/load.h"
#include "server/db/postgres/backend.h"
#include "server/db/postgres/caller.h"
#include "server/db/postgres/plan.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {

// One load, in a transaction of the caller's or in its own: one of the whole in kAtomic, else one a
// chunk. The reactor's thread only.
class Loading {
 public:
  // `work`: the caller's transaction; null: there is none.
  Loading(Backend& backend, std::shared_ptr<Work> work, db::LoadTarget target);

  // Inserts a chunk. `content`: hash of it. Error: why the load has failed, which it then says for
  // ever.
  Task<absl::Status> Add(Caller& caller, db::LoadChunk chunk, std::string content);

  Task<absl::Status> Finish(Caller& caller, std::string content);

  // It is not finished, and nobody goes on with it.
  Task<void> Abandon(Caller& caller);

  bool stopped() const { return stopped_; }

  std::vector<db::ChunkOutcome> TakeOutcomes() { return std::exchange(outcomes_, {}); }

 private:
  bool keyed() const { return target_.key.has_value() && !target_.validate_only; }

  bool atomic() const { return target_.mode == db::BatchMode::kAtomic; }

  Task<absl::Status> Proceed(Caller& caller, db::LoadChunk& chunk, const std::string& content);
  // Finds the table and its columns, and writes the statement.
  Task<absl::Status> Prepare(Caller& caller, Work& work);
  absl::StatusOr<std::string> InsertSql(const Result& columns, bool& keys_matter);
  Task<absl::Status> Insert(Caller& caller,
                            Work& work,
                            const db::LoadChunk& chunk,
                            db::ChunkOutcome& outcome);
  Task<absl::Status> InsertAtomic(Caller& caller, const db::LoadChunk& chunk);
  Task<absl::Status> InsertApart(Caller& caller,
                                 const db::LoadChunk& chunk,
                                 const std::string& content);
  Task<absl::Status> InsertNested(Caller& caller, const db::LoadChunk& chunk);
  Task<absl::Status> Complete(Caller& caller, const std::string& content);
  absl::Status Repeat();
  void Report(db::ChunkOutcome outcome);

  Backend& backend_;
  std::shared_ptr<Work> work_;
  const db::LoadTarget target_;
  const bool nested_;
  std::string sql_;
  std::vector<std::string> columns_;
  absl::Status failure_;
  bool begun_ = false;
  bool stopped_ = false;
  bool finished_ = false;
  int64_t affected_ = 0;
  int64_t chunks_ = 0;
  std::optional<db::BatchResults> replay_;
  db::BatchResults results_;  // to be stored
  std::vector<db::ChunkOutcome> outcomes_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_LOADING_H_
