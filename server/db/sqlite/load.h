// Loads: rows on their way into one table, a chunk at a time.
#ifndef SLUICE_SERVER_DB_SQLITE_LOAD_H_
#define SLUICE_SERVER_DB_SQLITE_LOAD_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"

#include "server/async/completion.h"
#include "server/async/executor.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/load.h"
#include "server/db/sqlite/inserter.h"
#include "server/db/sqlite/loop_reader.h"
#include "server/db/sqlite/request_log.h"
#include "server/db/sqlite/write.h"

namespace sluice::sqlite {

// LoadWrite: an atomic load at the writer, which it has for itself while chunks come. Shared by the
// load and, from its submission to its answer, the queue.
class LoadWrite final : private OwnContext, public Write {
 public:
  LoadWrite(absl::Time deadline, db::LoadTarget target, DatabaseFile& file, WorkQueue& queue);

  // The load's side, on its executor.

  // Keeps it alive until it was answered.
  void Keep(std::shared_ptr<LoadWrite> self) { kept_ = std::move(self); }

  // Takes a chunk. `room` is resolved when there is room for the next, or with why there never is.
  void Put(db::LoadChunk chunk, Completion<absl::Status> room) ABSL_LOCKS_EXCLUDED(mu_);
  // No chunk follows. `done`: how it all went.
  void Complete(std::string content, Completion<absl::Status> done) ABSL_LOCKS_EXCLUDED(mu_);
  // `watcher` is resolved when it has ended, or is released.
  void Watch(Completion<bool> watcher) ABSL_LOCKS_EXCLUDED(mu_);
  void ReleaseWatcher() ABSL_LOCKS_EXCLUDED(mu_);
  // Why it will be interrupted; the first reason stands.
  void Blame(absl::Status why) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<db::ChunkOutcome> TakeOutcomes() ABSL_LOCKS_EXCLUDED(mu_);

  // The writer's side.
  void Answer() override;

  void Refuse(const absl::Status& why) override { End(why); }

  bool exclusive() const override { return true; }

  bool only_tries() const override { return target_.validate_only; }

 private:
  void OnInterrupt() override ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Apply(Connection& connection) override;
  absl::Status InsertAll(Connection& connection, db::BatchResults& results);
  // The next chunk, as soon as it is there; nothing after the last one.
  absl::StatusOr<std::optional<db::LoadChunk>> NextChunk() ABSL_LOCKS_EXCLUDED(mu_);
  void Report(db::ChunkOutcome outcome) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Reason(absl::Status failure) ABSL_LOCKS_EXCLUDED(mu_);
  void End(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

  const db::LoadTarget target_;
  WorkQueue& writer_;
  std::shared_ptr<LoadWrite> kept_;  // set before it is queued, dropped by its answer

  Mutex mu_;
  CondVar changed_;
  std::deque<db::LoadChunk> chunks_ ABSL_GUARDED_BY(mu_);
  bool complete_ ABSL_GUARDED_BY(mu_) = false;
  std::string content_ ABSL_GUARDED_BY(mu_);
  absl::Status reason_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
  std::vector<db::ChunkOutcome> outcomes_ ABSL_GUARDED_BY(mu_);
  std::optional<Completion<absl::Status>> waiter_ ABSL_GUARDED_BY(mu_);  // of Put or Complete
  std::optional<Completion<bool>> watcher_ ABSL_GUARDED_BY(mu_);
};

// AtomicLoad: all of it, or nothing.
class AtomicLoad final : public db::Load {
 public:
  // `database` lives as long as its loads do.
  AtomicLoad(std::shared_ptr<db::Database> database,
             std::shared_ptr<LoopSide> side,
             DatabaseFile& file,
             WorkQueue& queue,
             db::LoadTarget target);
  ~AtomicLoad() override;

  Task<absl::Status> Add(const Context& ctx, db::LoadChunk chunk, std::string content) override;

  void OnEnd(std::function<void()> told) override;

  bool stopped() const override { return false; }  // a failure is Add's

  std::vector<db::ChunkOutcome> TakeOutcomes() override { return write_->TakeOutcomes(); }

  Task<absl::Status> Finish(const Context& ctx, std::string content) override;

 private:
  // Ends a load that lasts too long.
  struct Expiry : Timer {
    explicit Expiry(AtomicLoad& owner)
        : Timer([](Timer* timer) { static_cast<Expiry*>(timer)->load.Expire(); }), load(owner) {}

    AtomicLoad& load;
  };

  // What OnEnd was given; emptied when the load goes away before the coroutine that runs it.
  using Hook = std::shared_ptr<std::function<void()>>;

  static Task<void> TellOfEnd(std::shared_ptr<LoadWrite> write, Hook hook);
  absl::Status Submit();
  void Expire();
  // Takes it out of the queue, or asks it to end.
  void Cancel(const absl::Status& why);
  // Takes it out of the queue, if the writer has not come to it.
  void GiveUp();

  const std::shared_ptr<db::Database> database_;
  const std::shared_ptr<LoopSide> side_;
  WorkQueue& queue_;
  Executor& executor_;
  const absl::Duration limit_;
  const std::shared_ptr<LoadWrite> write_;
  Expiry expiry_;
  Hook hook_;
  bool submitted_ = false;
};

// What the chunks of a load have in common.
struct LoadPlan {
  LoadPlan() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  db::LoadTarget target;
  // kStopOnError: the first chunk that failed, as far as is known.
  std::atomic<int64_t> failed{std::numeric_limits<int64_t>::max()};
};

// ChunkWrite: one chunk of a load in which each is a transaction of its own.
class ChunkWrite final : private OwnContext, public Write {
 public:
  ChunkWrite(absl::Time deadline,
             std::shared_ptr<LoadPlan> plan,
             int64_t index,
             db::LoadChunk chunk,
             std::string content,
             DatabaseFile& file,
             const WorkQueue& queue);

  void Keep(std::shared_ptr<ChunkWrite> self) { kept_ = std::move(self); }

  // Resolved once it was answered.
  void WaitFor(Completion<bool> done) ABSL_LOCKS_EXCLUDED(mu_);
  // After that: its outcome; nothing if an earlier chunk stopped the load.
  std::optional<db::ChunkOutcome> Outcome() const;

  void Answer() override { End(status()); }

  void Refuse(const absl::Status& why) override { End(why); }

  bool only_tries() const override { return plan_->target.validate_only; }

  int64_t bytes() const override { return bytes_; }

 private:
  absl::Status Apply(Connection& connection) override;
  void Note() override;
  absl::Status Insert(Connection& connection);
  absl::Status Claim(RequestLog& log) const;
  void End(absl::Status status) ABSL_LOCKS_EXCLUDED(mu_);

  const std::shared_ptr<LoadPlan> plan_;
  const int64_t index_;
  const db::LoadChunk chunk_;
  const std::string content_;
  const int64_t bytes_;
  std::shared_ptr<ChunkWrite> kept_;
  db::ChunkOutcome outcome_;
  bool reached_ = true;

  Mutex mu_;
  bool answered_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<Completion<bool>> waiter_ ABSL_GUARDED_BY(mu_);
};

// ChunkedLoad: each chunk by itself.
class ChunkedLoad final : public db::Load {
 public:
  ChunkedLoad(std::shared_ptr<db::Database> database,
              std::shared_ptr<LoopSide> side,
              DatabaseFile& file,
              WorkQueue& queue,
              db::LoadTarget target);
  ~ChunkedLoad() override;

  Task<absl::Status> Add(const Context& ctx, db::LoadChunk chunk, std::string content) override;

  void OnEnd(std::function<void()> /*told*/) override {}  // a chunk's failure is an outcome

  bool stopped() const override;
  std::vector<db::ChunkOutcome> TakeOutcomes() override;
  Task<absl::Status> Finish(const Context& ctx, std::string content) override;

 private:
  // Waits for the oldest chunk.
  Task<void> Reap(const Context& ctx);
  void CancelAll(const absl::Status& why);
  // Takes what waits out of the queue: the writer is somebody else's.
  void GiveUp();

  const std::shared_ptr<db::Database> database_;
  const std::shared_ptr<LoopSide> side_;
  DatabaseFile& file_;
  WorkQueue& queue_;
  const std::shared_ptr<LoadPlan> plan_;
  int64_t next_ = 0;
  std::deque<std::shared_ptr<ChunkWrite>> running_;
  absl::Status given_up_;
  std::vector<db::ChunkOutcome> outcomes_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_LOAD_H_
