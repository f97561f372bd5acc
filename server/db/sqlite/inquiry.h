// Inquiry: a question to the database about itself.
#ifndef SLUICE_SERVER_DB_SQLITE_INQUIRY_H_
#define SLUICE_SERVER_DB_SQLITE_INQUIRY_H_

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/database_file.h"
#include "server/db/sqlite/result.h"
#include "server/db/sqlite/schema.h"
#include "server/db/sqlite/work_queue.h"

namespace sluice::sqlite {

// Runs on a reader, in a read transaction of its own, so that all parts of the answer are of one
// moment.
template <class T>
class Inquiry final : public Work {
 public:
  using Result = absl::StatusOr<T>;
  using Ask = std::function<Result(Connection& connection, Watch& watch)>;

  Inquiry(const Context& ctx, DatabaseFile& file, const WorkQueue& queue, Ask ask)
      : ctx_(ctx), file_(file), queue_(queue), ask_(std::move(ask)) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& connection) override {
    MayInterrupt(connection);
    result_ = Find(connection);
    file_.Note(result_.status());
  }

  void Answer() override { done_->Resolve(std::move(result_)); }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  Result Find(Connection& connection) {
    if (DeadlinePassed(ctx_)) return errors::DeadlineExceeded(errors::Executed::kNo);
    TRY_STATUS(file_.Check());
    const absl::Duration limit = file_.settings().max_snapshot_age;
    watch_.deadline = std::min(SteadyDeadline(ctx_.deadline), Clock::System().Steady() + limit);
    Result found = InTransaction(connection);
    if (found.ok()) return found;
    return WhyEnded(found.status(), watch_, ctx_, limit, queue_.closed(), errors::Executed::kNo);
  }

  Result InTransaction(Connection& connection) {
    TRY_STATUS(connection.Run("BEGIN"));
    absl::Status seen = SchemaReader(connection, watch_).Refresh();
    Result found = seen.ok() ? ask_(connection, watch_) : Result(std::move(seen));
    if (!connection.Run("COMMIT").ok() && connection.InTransaction()) {
      connection.Run("ROLLBACK").IgnoreError();
    }
    return found;
  }

  const Context& ctx_;
  DatabaseFile& file_;
  const WorkQueue& queue_;
  const Ask ask_;
  std::optional<Completion<Result>> done_;
  Result result_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_INQUIRY_H_
