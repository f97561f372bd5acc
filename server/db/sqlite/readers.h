// Readers: the threads that run what reads and may take its time.
#ifndef SLUICE_SERVER_DB_SQLITE_READERS_H_
#define SLUICE_SERVER_DB_SQLITE_READERS_H_

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/base/mutex.h"
#include "server/db/database.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/result.h"
#include "server/db/sqlite/work_queue.h"
#include "server/db/statement.h"

namespace sluice::sqlite {

// Owned by the Database. Each thread has a read-only connection of its own; all serve one queue.
class Readers {
 public:
  explicit Readers(DatabaseFile& file)
      : file_(file), queue_("the readers", file.settings().queue_limit) {}

  ~Readers() { Close(); }

  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void Start() ABSL_LOCKS_EXCLUDED(mu_);

  WorkQueue& queue() { return queue_; }

  const WorkQueue& queue() const { return queue_; }

  // Refuses what waits, ends what runs, joins. Any thread but the readers' own; may be repeated.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Serve();
  void RunTogether(WorkList& taken, int count, Connection& connection);

  DatabaseFile& file_;
  WorkQueue queue_;

  Mutex mu_;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mu_);
};

// UnaryRead: one statement that is believed to read, and its whole result.
class UnaryRead : public Work {
 public:
  // Nothing if it turned out that the statement writes; then it did not run.
  using Result = std::optional<absl::StatusOr<db::Rows>>;

  UnaryRead(const Context& ctx,
            const db::Statement& statement,
            DatabaseFile& file,
            const WorkQueue& queue,
            bool short_read)
      : ctx_(ctx), statement_(statement), file_(file), queue_(queue), short_(short_read) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& connection) override;

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(Result(why)); }

  bool short_read() const override { return short_; }

 protected:
  void Fail(const absl::Status& why) { result_ = Result(why); }

  const Result& result() const { return result_; }

 private:
  Result Read(Connection& connection);
  absl::Status Why(const absl::Status& failure) const;

  const Context& ctx_;
  const db::Statement& statement_;
  DatabaseFile& file_;
  const WorkQueue& queue_;
  const bool short_;
  std::optional<Completion<Result>> done_;
  Result result_;
};

// Inspection: what a database says of itself.
class Inspection final : public Work {
 public:
  using Result = absl::StatusOr<db::DatabaseInfo>;

  Inspection(const Context& ctx, DatabaseFile& file, const WorkQueue& queue)
      : ctx_(ctx), file_(file), queue_(queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& connection) override;

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  Result Ask(Connection& connection);

  const Context& ctx_;
  DatabaseFile& file_;
  const WorkQueue& queue_;
  std::optional<Completion<Result>> done_;
  Result result_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_READERS_H_
