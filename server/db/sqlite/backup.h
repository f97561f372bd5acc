// Backup: copies of a whole database, made on the readers, a step at a time, so that other reads
// take turns with them.
#ifndef SLUICE_SERVER_DB_SQLITE_BACKUP_H_
#define SLUICE_SERVER_DB_SQLITE_BACKUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/sqlite/copy.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/work_queue.h"

namespace sluice::sqlite {

class Database;

// ScratchFile: a file that goes with this. Blocks, so reader threads only.
class ScratchFile {
 public:
  // An empty file with a name of its own. `folder`: empty = the system's for temporary files.
  static absl::StatusOr<std::unique_ptr<ScratchFile>> Make(const std::string& folder);
  ~ScratchFile();

  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }

  // Takes its name away, when nobody has to open it any more: then not even a crash leaves it.
  absl::Status Seal();

  // Known once it is sealed; any thread.
  int64_t size() const { return size_; }

  // Fewer bytes than `most` at the end only.
  absl::StatusOr<std::string> Read(int64_t offset, int64_t most) const;

 private:
  ScratchFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
  bool sealed_ = false;
  int64_t size_ = 0;
};

// Copying: a copy that is being made, with a connection and a snapshot of its own. Used by one
// reader at a time.
class Copying {
 public:
  explicit Copying(DatabaseFile& file) : file_(file) {}

  // A step further; answers the copy once it is complete, null before.
  absl::StatusOr<std::unique_ptr<ScratchFile>> Advance();

 private:
  absl::Status Begin();

  DatabaseFile& file_;
  // In this order: each is used by the next.
  std::unique_ptr<ScratchFile> copy_;
  std::unique_ptr<Connection> source_;
  std::unique_ptr<PageCopy> pages_;
};

// Copies: the copies of one Database. Owned by it; any thread.
class Copies {
 public:
  Copies(DatabaseFile& file, WorkQueue& readers) : file_(file), readers_(readers) {}

  // Turn: the right to make a copy. What is left of one that was not finished goes with it.
  class Turn {
   public:
    explicit Turn(Copies& copies) : copies_(copies) {}

    ~Turn() { copies_.EndTurn(); }

    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Copies& copies_;
  };

  // Errors: POOL_EXHAUSTED, POOL_CLOSED.
  absl::StatusOr<std::unique_ptr<Turn>> Begin() ABSL_LOCKS_EXCLUDED(mu_);

  // A finished copy is kept, and is thrown away later, on a reader.
  void Keep() ABSL_LOCKS_EXCLUDED(mu_);
  void Discard(std::unique_ptr<ScratchFile> copy) ABSL_LOCKS_EXCLUDED(mu_);

  // Closes what is open. The readers have ended, so nothing is being copied.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class CopyStep;

  // The copy that is being made; null once all is being closed.
  std::unique_ptr<Copying> Take() ABSL_LOCKS_EXCLUDED(mu_);
  void Put(std::unique_ptr<Copying> copying) ABSL_LOCKS_EXCLUDED(mu_);
  void EndTurn() ABSL_LOCKS_EXCLUDED(mu_);

  DatabaseFile& file_;
  WorkQueue& readers_;

  Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  bool making_ ABSL_GUARDED_BY(mu_) = false;
  int kept_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<Copying> current_ ABSL_GUARDED_BY(mu_);  // not while a reader is at it
};

// CopyStep: one step of the copy whose turn it is.
class CopyStep final : public Work {
 public:
  using Result = absl::StatusOr<std::unique_ptr<ScratchFile>>;

  CopyStep(const Context& ctx, Copies& copies) : ctx_(ctx), copies_(copies) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& connection) override;

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  Result Advance();

  const Context& ctx_;
  Copies& copies_;
  std::optional<Completion<Result>> done_;
  Result result_;
};

// CopyRead: the next bytes of a finished copy.
class CopyRead final : public Work {
 public:
  using Result = absl::StatusOr<std::string>;

  CopyRead(const ScratchFile& copy, int64_t offset, int64_t most)
      : copy_(copy), offset_(offset), most_(most) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& /*connection*/) override { result_ = copy_.Read(offset_, most_); }

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  const ScratchFile& copy_;
  const int64_t offset_;
  const int64_t most_;
  std::optional<Completion<Result>> done_;
  Result result_;
};

// CopySnapshot: a finished copy in the hands of a call. Used on that call's executor.
class CopySnapshot final : public db::Snapshot {
 public:
  // `copies` belongs to the database.
  CopySnapshot(std::shared_ptr<Database> database,
               Copies& copies,
               std::unique_ptr<ScratchFile> copy);
  ~CopySnapshot() override;

  CopySnapshot(const CopySnapshot&) = delete;
  CopySnapshot& operator=(const CopySnapshot&) = delete;

  int64_t size() const override { return copy_->size(); }

  Task<absl::StatusOr<std::string>> Read(const Context& ctx, int64_t most) override;

 private:
  const std::shared_ptr<Database> database_;
  Copies& copies_;
  std::unique_ptr<ScratchFile> copy_;
  int64_t offset_ = 0;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_BACKUP_H_
