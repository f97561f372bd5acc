#include "server/db/sqlite/batch_write.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/request_log.h"
#include "server/db/sqlite/result.h"

namespace sluice::sqlite {
namespace {

using Known = StatementBook::Known;

// Whose fault it was, as far as the request knows.
absl::Status At(const db::Execution& execution, absl::Status failure) {
  failure = errors::WithMetadata(std::move(failure), "step", absl::StrCat(execution.step));
  return errors::WithMetadata(std::move(failure), "parameter_set", absl::StrCat(execution.set));
}

// Ended from outside: no single execution is to blame.
bool WasEnded(const absl::Status& failure) {
  return absl::IsCancelled(failure);
}

// Executions of a batch that may end the whole transaction: each time its neighbours run again.
constexpr int kMostLosses = 32;

}  // namespace

absl::StatusOr<Prepared*> BatchRunner::Prepare(absl::string_view sql) {
  if (prepared_ != nullptr && sql_.data() == sql.data() && sql_.size() == sql.size()) {
    return prepared_;
  }
  prepared_ = nullptr;
  TRY(Prepared* const prepared, connection_.Prepare(sql));
  file_.book().LearnWhether(prepared->writes, sql);
  sql_ = sql;
  prepared_ = prepared;
  return prepared;
}

absl::Status BatchRunner::Compile(const db::Execution& execution) {
  TRY(const Prepared* const prepared, Prepare(execution.statement.sql()));
  writes_ = writes_ || prepared->writes;
  return absl::OkStatus();
}

absl::StatusOr<db::Rows> BatchRunner::Run(const db::Execution& execution, bool may_write) {
  if (watch_.Over()) return absl::CancelledError();
  const db::Statement& statement = execution.statement;
  TRY(Prepared* const prepared, Prepare(statement.sql()));
  writes_ = writes_ || prepared->writes;
  if (prepared->writes && !may_write) {
    return errors::ReadOnlyViolation("the batch is read-only");
  }
  TRY_STATUS(connection_.Bind(*prepared, statement.params(), statement.named_params()));
  RowLimits limits;
  limits.max_rows = statement.max_rows;
  limits.max_bytes = batch_.max_bytes - bytes_;
  limits.run_to_end = prepared->writes;
  limits.shares = true;
  limits.columns = execution.step != told_;
  absl::StatusOr<db::Rows> rows = CollectRows(connection_, *prepared, limits, &watch_);
  if (!rows.ok()) return errors::WithExecuted(rows.status(), errors::Executed::kRolledBack);
  TRY_STATUS(CheckAffected(*rows, statement.max_affected_rows));
  bytes_ += static_cast<int64_t>(rows->wire.size());
  if (!rows->wire.empty()) told_ = execution.step;
  return rows;
}

int64_t BatchWrite::bytes() const {
  int64_t bytes = 0;
  for (const db::Execution& each : batch_.executions) bytes += BytesOf(each.statement);
  return bytes;
}

bool BatchWrite::may_be_undone() const {
  if (only_tries() || batch_.max_affected_rows > 0) return true;
  return batch_.mode == db::BatchMode::kAtomic &&
         std::any_of(batch_.executions.begin(), batch_.executions.end(),
                     [](const auto& each) { return each.statement.max_affected_rows > 0; });
}

void BatchWrite::Answer() {
  if (status().ok()) {
    done_->Resolve(std::move(results_));
  } else {
    done_->Resolve(status());
  }
}

absl::Status BatchWrite::Apply(Connection& connection) {
  results_.clear();
  runs_again_ = false;
  const bool keyed = batch_.request != nullptr && !batch_.validate_only;
  if (!keyed) return RunAll(connection);
  RequestLog log(connection);
  TRY(const std::optional<RequestLog::Record> record, log.Find(*batch_.request));
  if (record.has_value()) {
    TRY(results_, AnswerOf(*record, batch_.request->content));
    return absl::OkStatus();
  }
  TRY_STATUS(RunAll(connection));
  const bool stored = !only_read_ || batch_.request->commits;
  return stored ? log.Store(*batch_.request, results_) : absl::OkStatus();
}

absl::Status BatchWrite::RunAll(Connection& connection) {
  BatchRunner runner(connection, file_, batch_, watch_);
  const bool atomic = batch_.mode == db::BatchMode::kAtomic;
  TRY_STATUS(atomic ? RunAtomic(runner) : RunEach(connection, runner));
  // A failure may be that of a statement that would have written.
  only_read_ = !runner.writes() && std::all_of(results_.begin(), results_.end(),
                                               [](const auto& each) { return each.ok(); });
  return absl::OkStatus();
}

absl::Status BatchWrite::RunAtomic(BatchRunner& runner) {
  db::Rows all;
  for (const db::Execution& each : batch_.executions) {
    absl::StatusOr<db::Rows> rows = runner.Run(each, !batch_.read_only);
    if (!rows.ok()) {
      // Whatever the step itself did, the steps before it are undone with it.
      return Why(At(each, errors::WithExecuted(rows.status(), errors::Executed::kRolledBack)));
    }
    all.rows_affected += rows->rows_affected;
    results_.push_back(std::move(rows));
  }
  return CheckAffected(all, batch_.max_affected_rows);
}

absl::Status BatchWrite::RunEach(Connection& connection, BatchRunner& runner) {
  for (size_t i = 0; i < batch_.executions.size(); ++i) {
    if (failures_[i].ok()) {
      TRY_STATUS(RunApart(connection, runner, i));
    } else {
      results_.emplace_back(failures_[i]);
    }
    const bool stops = !results_.back().ok() && batch_.mode == db::BatchMode::kStopOnError;
    if (stops) break;
  }
  return absl::OkStatus();
}

// An error is that of the whole batch.
absl::Status BatchWrite::RunApart(Connection& connection, BatchRunner& runner, size_t index) {
  TRY_STATUS(connection.Run("SAVEPOINT step"));
  absl::StatusOr<db::Rows> rows = runner.Run(batch_.executions[index], !batch_.read_only);
  if (!rows.ok() && WasEnded(rows.status())) return Why(rows.status());
  if (rows.ok() && !nested_) {
    absl::Status keys = connection.CheckDeferredKeys();
    if (!keys.ok()) {
      rows = std::move(keys);
      runner.Drop();
    }
  }
  if (connection.device_failed()) return rows.status();
  if (!connection.InTransaction()) {
    failures_[index] = rows.status();
    runs_again_ = !nested_ && ++losses_ <= kMostLosses;
    return At(batch_.executions[index], rows.status());
  }
  if (!rows.ok()) {
    TRY_STATUS(connection.Run("ROLLBACK TO step"));
  }
  TRY_STATUS(connection.Run("RELEASE step"));
  results_.push_back(std::move(rows));
  return absl::OkStatus();
}

void BatchRead::Run(Connection& connection) {
  MayInterrupt(connection);
  result_ = Read(connection);
  if (result_.has_value()) file_.Note(result_->status());
}

BatchRead::Result BatchRead::Read(Connection& connection) {
  if (DeadlinePassed(ctx_)) return Result(errors::DeadlineExceeded(errors::Executed::kNo));
  const absl::Status usable = file_.Check();
  if (!usable.ok()) return Result(usable);
  const absl::Duration longest = file_.settings().max_snapshot_age;
  watch_.deadline = std::min(SteadyDeadline(ctx_.deadline), Clock::System().Steady() + longest);
  if (!nested_) {
    const absl::Status begun = connection.Run("BEGIN");
    if (!begun.ok()) return Result(begun);
  }
  BatchRunner runner(connection, file_, batch_, watch_);
  Result result;
  if (!may_write_ || OnlyReads(runner)) result = RunAll(runner);
  if (!nested_ && connection.InTransaction()) connection.Run("ROLLBACK").IgnoreError();
  return result;
}

// Looked at before anything runs, so that nothing runs twice. What does not compile may do so once
// what is before it has run.
bool BatchRead::OnlyReads(BatchRunner& runner) const {
  return std::all_of(
      batch_.executions.begin(), batch_.executions.end(),
      [&](const db::Execution& each) { return runner.Compile(each).ok() && !runner.writes(); });
}

BatchRead::Result BatchRead::RunAll(BatchRunner& runner) {
  const bool atomic = batch_.mode == db::BatchMode::kAtomic;
  db::BatchResults results;
  for (const db::Execution& each : batch_.executions) {
    absl::StatusOr<db::Rows> rows = runner.Run(each, /*may_write=*/false);
    if (runner.writes()) return std::nullopt;
    if (!rows.ok() && (atomic || WasEnded(rows.status()))) {
      return Result(WhyEnded(atomic ? At(each, rows.status()) : rows.status(), watch_, ctx_,
                             file_.settings().max_snapshot_age, queue_.closed(),
                             errors::Executed::kNo));
    }
    const bool failed = !rows.ok();
    // Its repeat has to tell the same failure, so the writer keeps it.
    if (failed && may_write_ && batch_.request != nullptr) return std::nullopt;
    results.push_back(std::move(rows));
    if (failed && batch_.mode == db::BatchMode::kStopOnError) break;
  }
  return Result(std::move(results));
}

}  // namespace sluice::sqlite
