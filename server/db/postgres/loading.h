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
  // A chunk that the server copies; its rows are kept for the case that it cannot.
  struct Flight {
    db::LoadChunk chunk;
    std::shared_ptr<Trip> copy;
  };

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
  // Row by row, but in few round trips.
  Task<absl::Status> InsertRows(Caller& caller,
                                Work& work,
                                const db::LoadChunk& chunk,
                                db::ChunkOutcome& outcome);
  // Prepares, and encodes a chunk for COPY. False: it cannot be copied.
  Task<absl::StatusOr<bool>> MayCopy(Caller& caller,
                                     Work& work,
                                     const db::LoadChunk& chunk,
                                     std::string& data);
  // Learns the types of the columns, and whether COPY does to the table what INSERT does.
  Task<absl::Status> Hold(Caller& caller, Work& work);
  bool Encode(const db::LoadChunk& chunk, std::string& data);
  // With a guard around it.
  Task<absl::StatusOr<std::shared_ptr<Trip>>> SendCopy(Caller& caller,
                                                       Work& work,
                                                       std::string data);
  // Nothing: it has to be done row by row, and nothing remains of this.
  Task<std::optional<absl::Status>> EndCopy(Caller& caller,
                                            Work& work,
                                            std::shared_ptr<Trip> copy,
                                            const db::LoadChunk& chunk,
                                            int64_t& affected);
  // In a transaction of its own: the server copies it while the next arrives.
  Task<absl::Status> InsertAhead(Caller& caller, db::LoadChunk& chunk);
  // The end of the chunk that was sent last.
  Task<absl::Status> Land(Caller& caller);
  Task<absl::Status> EndAtomic(Caller& caller, absl::Status inserted, db::ChunkOutcome outcome);
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
  std::string name_;  // of the table, as SQL has it
  std::string sql_;
  std::vector<std::string> columns_;
  std::string list_;        // the same, as SQL has it
  bool copies_ = true;      // COPY will do
  std::vector<Oid> types_;  // of the columns, while the table is held
  Format format_ = Format::kBinary;
  std::optional<Flight> flight_;
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

// The caller did not want to wait for it.
bool WasEnded(const absl::Status& status);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_LOADING_H_
