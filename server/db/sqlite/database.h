// Database: one SQLite file and everything that runs on it.
#ifndef SLUICE_SERVER_DB_SQLITE_DATABASE_H_
#define SLUICE_SERVER_DB_SQLITE_DATABASE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/sqlite/backup.h"
#include "server/db/sqlite/batch_write.h"
#include "server/db/sqlite/catalog.h"
#include "server/db/sqlite/cursor.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/file_lock.h"
#include "server/db/sqlite/load.h"
#include "server/db/sqlite/location.h"
#include "server/db/sqlite/loop_reader.h"
#include "server/db/sqlite/read_transaction.h"
#include "server/db/sqlite/readers.h"
#include "server/db/sqlite/writer.h"

namespace sluice::sqlite {

// Where each statement goes: short reads run on the executor that asks, other reads on the readers,
// writes on the writer. Shared by everyone whose target is this file; any executor.
class Database final : public db::Database, public std::enable_shared_from_this<Database> {
 public:
  Database(Location location, const FileOptions& options, const db::SqliteSettings& settings);
  ~Database() override;

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Opens the file, if nobody did yet, and answers how that went.
  Task<absl::Status> Opened();

  Task<absl::StatusOr<db::Rows>> Execute(const Context& ctx, db::Statement statement) override;
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Open(const Context& ctx,
                                                         db::Statement statement) override;
  Task<absl::StatusOr<db::BatchResults>> ExecuteBatch(const Context& ctx,
                                                      const db::Batch& batch) override;
  Task<absl::StatusOr<std::unique_ptr<db::Load>>> OpenLoad(const Context& ctx,
                                                           db::LoadTarget target) override;
  absl::StatusOr<std::unique_ptr<db::Transaction>> Begin(db::TransactionOptions options) override;
  Task<absl::StatusOr<std::optional<db::BatchResults>>> Recall(const Context& ctx,
                                                               const db::RequestKey& key) override;
  Task<absl::StatusOr<db::Outcome>> OutcomeOf(const Context& ctx,
                                              std::string token,
                                              std::string scope) override;
  Task<absl::Status> KeepRequests(const Context& ctx) override;
  Task<absl::StatusOr<db::DatabaseInfo>> Inspect(const Context& ctx) override;
  Task<absl::StatusOr<std::unique_ptr<db::Snapshot>>> Copy(const Context& ctx) override;
  // The next bytes of a finished copy.
  Task<absl::StatusOr<std::string>> ReadCopy(const Context& ctx,
                                             const ScratchFile& copy,
                                             int64_t offset,
                                             int64_t most);

  db::Catalog& catalog() override { return catalog_; }

  db::DatabaseLoad Load() const override;
  Task<absl::StatusOr<std::optional<db::PoolStats>>> InspectPool(const Context& ctx) override;
  void Close() override;

  const FileOptions& options() const { return file_.options(); }

  // Close has begun.
  bool closing() const { return closing_.load(std::memory_order_acquire); }

  // Close has ended: the file may be opened anew.
  bool closed() const { return closed_.load(std::memory_order_acquire); }

 private:
  friend class Catalog;  // which runs on the readers
  friend class ReadTransaction;
  friend class ReadTransactionCursor;

  enum class Phase { kNew, kOpening, kOpen, kFailed, kClosed };

  // Why nothing can be run now; OK if it can.
  absl::Status Usable(const Context& ctx);
  // This executor's side of the database.
  LoopSide& Side();
  LoopSide& FindSide(Executor& executor) ABSL_LOCKS_EXCLUDED(mu_);
  // The same, for what may outlive a call to Close.
  std::shared_ptr<LoopSide> SharedSide();
  std::shared_ptr<LoopSide> ShareSide(Executor& executor) ABSL_LOCKS_EXCLUDED(mu_);

  Task<absl::StatusOr<db::Rows>> ExecuteElsewhere(const Context& ctx,
                                                  const db::Statement& statement);
  Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> OpenSpool(const Context& ctx,
                                                              const db::Statement& statement);
  absl::Status MayWrite(bool read_only) const;
  // Whether every statement is known to read.
  bool MayOnlyRead(const db::Batch& batch);
  // Ends reads that keep the journal from starting over.
  void Relieve(int64_t journal_bytes);

  void BeginOpening(Completion<absl::Status> done) ABSL_LOCKS_EXCLUDED(mu_);
  void EndOpening(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

  const uint64_t serial_;  // never used twice in a process
  const std::string name_;
  std::unique_ptr<PrivateFolder> folder_;  // after the start, Close only
  DatabaseFile file_;
  std::unique_ptr<FileLock> lock_;  // writer's thread, then Close
  Readers readers_;
  Writer writer_;
  Cursors cursors_;
  ReadSnapshots snapshots_{cursors_};
  Copies copies_;
  Catalog catalog_{*this};
  std::atomic<bool> closing_{false};
  std::atomic<bool> closed_{false};

  Mutex close_mu_;  // held by the one that closes
  Mutex mu_;
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kNew;
  absl::Status open_failure_ ABSL_GUARDED_BY(mu_);
  std::vector<Completion<absl::Status>> opening_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<Executor*, std::shared_ptr<LoopSide>> sides_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_DATABASE_H_
