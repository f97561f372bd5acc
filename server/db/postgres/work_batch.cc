// Batches, and what is stored of requests.
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/request_log.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {
namespace {

using errors::Executed;

// More in one trip would keep its results for too long.
constexpr int kMostInTrip = 256;

// Whose fault it was, as far as the request knows.
absl::Status At(const db::Execution& execution, absl::Status failure) {
  failure = errors::WithMetadata(std::move(failure), "step", absl::StrCat(execution.step));
  return errors::WithMetadata(std::move(failure), "parameter_set", absl::StrCat(execution.set));
}

absl::Status CheckAffected(int64_t affected, int64_t limit) {
  if (limit == 0 || affected <= limit) return absl::OkStatus();
  return errors::AffectedRowsExceeded(affected, limit);
}

bool WasEnded(const absl::Status& status) {
  return absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

Task<absl::Status> Work::Learn(Caller& caller, std::shared_ptr<Plan> plan) {
  CO_CHECK(co_await Enter(caller));
  const absl::Status known = co_await runner().Learn(lease_, caller, plan, SettingOf());
  if (known.ok()) co_return absl::OkStatus();
  absl::Status failure = co_await AfterFailure(caller, known);
  co_return failure;
}

Task<absl::StatusOr<std::optional<db::BatchResults>>> Work::Reserve(Caller& caller,
                                                                    const db::RequestKey& key) {
  CO_CHECK(co_await Begin(caller));
  CO_CHECK(co_await Flush(caller));
  const int left = Leave();
  lease_.connection().Run(ReserveSql(), ReserveValues(key), Format::kText);
  const Trial reserved = co_await runner().Go(lease_, caller, nullptr, left, SettingOf());
  if (!reserved.status.ok()) {
    absl::Status failure = co_await AfterFailure(
        caller, reserved.sqlstate == "42P01" ? errors::RequestLogMissing() : reserved.status);
    co_return failure;
  }
  if (reserved.trip->results[static_cast<size_t>(left)].rows() == 1) co_return std::nullopt;
  lease_.connection().Run(FindSql(), FindValues(key), Format::kBinary);
  const Trial found = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  if (!found.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, found.status);
    co_return failure;
  }
  CO_TRY(std::optional<db::BatchResults> results, Found(found.trip->results[0], key));
  if (!results.has_value()) results.emplace();
  co_return std::move(results);
}

Task<void> Work::Unreserve(Caller& caller, const db::RequestKey& key) {
  // What is nobody's but a call's own ends with the call.
  if (!on_change_ || state_ != State::kOpen || !why_.ok()) co_return;
  if (caller.stopped()) {
    co_await Fail(caller);
    co_return;
  }
  const absl::Status settled = co_await Settle();
  if (!settled.ok()) co_return;
  Leave();
  lease_.connection().Run(UnreserveSql(), FindValues(key), Format::kText);
  const bool done = co_await Conclude();
  if (done) co_return;
  lease_.Leaves(Hygiene::kClose);
  Lose();
}

Task<absl::Status> Work::Store(Caller& caller,
                               const db::RequestKey& key,
                               const db::BatchResults& results) {
  if (caller.stopped() && state_ == State::kOpen && why_.ok()) {
    // What has run must not stay without its answer.
    absl::Status stopped = caller.Why(Executed::kRolledBack);
    co_await Fail(caller);
    co_return stopped;
  }
  CO_CHECK(Ready(caller));
  const int left = Leave();
  lease_.connection().Run(StoreSql(), StoreValues(key, results), Format::kText);
  const Trial stored = co_await runner().Go(lease_, caller, nullptr, left, SettingOf());
  if (stored.status.ok()) co_return absl::OkStatus();
  absl::Status failure = co_await AfterFailure(caller, stored.status);
  co_return failure;
}

Task<absl::StatusOr<db::BatchResults>> Work::ExecuteBatch(Caller& caller, const db::Batch& batch) {
  CO_CHECK(Ready(caller));
  const Running running(*this, caller);
  bool reads = true;
  for (const db::Execution& each : batch.executions) {
    const std::shared_ptr<Plan> plan = plans().Find(each.statement);
    reads = reads && plan->reads;
    // Before anything runs.
    const bool together = options_.read_only || batch.mode == db::BatchMode::kAtomic;
    if (!together || !plan->refusal.ok()) continue;
    const absl::Status may_run = MayRun(*plan, batch.read_only);
    if (!may_run.ok()) co_return At(each, may_run);
  }
  const bool keyed =
      batch.request != nullptr && !batch.validate_only && (batch.request->commits || !reads);
  if (keyed) {
    CO_TRY(std::optional<db::BatchResults> replay, co_await Reserve(caller, *batch.request));
    if (replay.has_value()) {
      if (replay->empty()) co_return errors::Internal("A stored answer is empty.");
      co_return *std::move(replay);
    }
  }
  absl::StatusOr<db::BatchResults> results = co_await RunWithin(caller, batch, keyed);
  if (!results.ok() && keyed) co_await Unreserve(caller, *batch.request);
  if (!why_.ok()) {
    LetGo(why_);
    co_return why_;
  }
  co_return results;
}

Task<absl::StatusOr<db::BatchResults>> Work::RunWithin(Caller& caller,
                                                       const db::Batch& batch,
                                                       bool keyed) {
  const bool undo = batch.validate_only || batch.max_affected_rows > 0;
  if (undo) {
    CO_CHECK(co_await Guard(caller));
  }
  absl::StatusOr<db::BatchResults> results = co_await RunBatch(caller, batch);
  if (!results.ok()) {
    // A part of it must not stay.
    if (state_ != State::kGone && why_.ok()) co_await Fail(caller);
    co_return results;
  }
  int64_t affected = 0;
  for (const absl::StatusOr<db::Rows>& each : *results) {
    if (each.ok()) affected += each->rows_affected;
  }
  const absl::Status within = CheckAffected(affected, batch.max_affected_rows);
  if (undo) {
    CO_CHECK(co_await Unguard(caller, within.ok() && !batch.validate_only));
  }
  CO_CHECK(within);
  if (keyed) {
    CO_CHECK(co_await Store(caller, *batch.request, *results));
  }
  co_return results;
}

Task<absl::StatusOr<db::Rows>> Work::RunStep(Caller& caller,
                                             const db::Execution& execution,
                                             BatchRoom& room) {
  db::Statement statement = execution.statement;
  statement.max_bytes = room.bytes;
  Runner::Report report;
  report.shares = true;
  report.columns = execution.step != room.told;
  absl::StatusOr<db::Rows> rows = co_await ExecuteOnce(caller, statement, report);
  if (rows.ok()) room.Take(execution, *rows);
  co_return rows;
}

Task<absl::StatusOr<db::BatchResults>> Work::RunBatch(Caller& caller, const db::Batch& batch) {
  db::BatchResults results;
  BatchRoom room{batch.max_bytes};
  const bool atomic = batch.mode == db::BatchMode::kAtomic;
  for (size_t i = 0; i < batch.executions.size();) {
    const db::Execution& each = batch.executions[i];
    const std::shared_ptr<Plan> plan = plans().Find(each.statement);
    if (batch.read_only && plan->refusal.ok() && !plan->may_read_only) {
      results.emplace_back(errors::ReadOnlyViolation("the batch is read-only"));
      if (batch.mode == db::BatchMode::kStopOnError) break;
      ++i;
      continue;
    }
    if (atomic) {
      const size_t before = results.size();
      CO_CHECK(co_await RunTogether(caller, batch, i, room, results));
      i += results.size() - before;
      if (results.size() > before) continue;
      absl::StatusOr<db::Rows> rows = co_await RunStep(caller, each, room);
      if (!rows.ok()) {
        const absl::Status failure = rows.status();
        if (state_ == State::kOpen && why_.ok()) co_await Fail(caller);
        co_return At(each, WasEnded(failure)
                               ? failure
                               : errors::WithExecuted(failure, Executed::kRolledBack));
      }
      results.push_back(std::move(rows));
      ++i;
      continue;
    }
    const Kept kept(*this);
    CO_CHECK(co_await Guard(caller));
    absl::StatusOr<db::Rows> rows = co_await RunStep(caller, each, room);
    if (state_ == State::kGone || !why_.ok()) co_return At(each, rows.status());
    const bool ok = rows.ok();
    if (!ok && WasEnded(rows.status())) co_return rows.status();
    CO_CHECK(co_await Unguard(caller, ok));
    results.push_back(std::move(rows));
    ++i;
    if (!ok && batch.mode == db::BatchMode::kStopOnError) break;
  }
  co_return results;
}

// Executions from `begin` on whose plans are known and that need nothing in between go in one trip.
Task<absl::Status> Work::RunTogether(Caller& caller,
                                     const db::Batch& batch,
                                     size_t begin,
                                     BatchRoom& room,
                                     db::BatchResults& results) {
  Runner& run = runner();
  std::vector<std::shared_ptr<Plan>> together;
  std::vector<ParameterValues> values;
  for (size_t i = begin; i < batch.executions.size() && together.size() < kMostInTrip; ++i) {
    const db::Statement& statement = batch.executions[i].statement;
    std::shared_ptr<Plan> plan = plans().Find(statement);
    const bool plain = plan->described &&
                       MayRun(*plan, batch.read_only || statement.read_only).ok() &&
                       statement.max_affected_rows == 0 && !statement.read_only;
    if (!plain) break;
    ParameterValues bound;
    if (!run.Bind(*plan, statement, bound).ok()) break;
    together.push_back(std::move(plan));
    values.push_back(std::move(bound));
  }
  if (together.size() < 2) co_return absl::OkStatus();
  CO_CHECK(co_await Enter(caller));
  Connection& connection = lease_.connection();
  lease_.Runs(batch.executions[begin].statement.sql());
  std::vector<int> places;
  std::vector<size_t> fresh;  // prepared in this trip
  for (const std::string& command : pending_) connection.Run(command);
  int place = static_cast<int>(pending_.size());
  pending_.clear();
  begun_ = true;
  for (size_t i = 0; i < together.size(); ++i) {
    lease_.Leaves(backend_.HygieneOf(*together[i]));
    if (connection.statements().Find(together[i]->id) == nullptr) {
      fresh.push_back(i);
      ++place;
    }
    places.push_back(place++);
    run.Send(connection, *together[i], values[i]);
  }
  const Trial trial = co_await run.Go(lease_, caller, nullptr, 0, SettingOf());
  for (const size_t i : fresh) run.Keep(connection, *together[i], trial, places[i] - 1);
  for (size_t i = 0; i < together.size(); ++i) {
    const db::Execution& execution = batch.executions[begin + i];
    absl::Status failure;
    if (trial.end != Trip::End::kDone) {
      failure = trial.status;
    } else {
      const Result& result = trial.trip->results[static_cast<size_t>(places[i])];
      if (!result.failed()) {
        absl::StatusOr<db::Rows> rows =
            run.Collect(result, *together[i],
                        {execution.statement.max_rows, room.bytes, /*shared=*/true, /*cuts=*/true,
                         /*columns=*/execution.step != room.told});
        failure = rows.status();
        if (rows.ok()) {
          room.Take(execution, *rows);
          results.push_back(std::move(rows));
          continue;
        }
      } else {
        failure = trial.status;
        if (IsStalePlan(trial.error)) {
          connection.statements().Remove(together[i]->id);
          plans().Forget(*together[i]);
        }
      }
    }
    const absl::Status ended = co_await AfterFailure(caller, failure);
    co_return At(execution, WasEnded(ended) || trial.end != Trip::End::kDone
                                ? ended
                                : errors::WithExecuted(ended, Executed::kRolledBack));
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Work::RunAll(Caller& caller,
                                std::shared_ptr<Plan> plan,
                                const std::vector<ParameterValues>& values,
                                int64_t& affected,
                                int& failed) {
  Runner& run = runner();
  CO_CHECK(co_await Enter(caller));
  for (size_t begin = 0; begin < values.size(); begin += kMostInTrip) {
    CO_CHECK(Ready(caller));
    Connection& connection = lease_.connection();
    for (const std::string& command : pending_) connection.Run(command);
    size_t place = pending_.size();
    pending_.clear();
    begun_ = true;
    const bool fresh = connection.statements().Find(plan->id) == nullptr;
    if (fresh) ++place;
    const size_t end = std::min(values.size(), begin + kMostInTrip);
    for (size_t i = begin; i < end; ++i) run.Send(connection, *plan, values[i], i > begin);
    const Trial trial = co_await run.Go(lease_, caller, plan.get(), 0, SettingOf());
    if (fresh) run.Keep(connection, *plan, trial, static_cast<int>(place) - 1);
    if (trial.end != Trip::End::kDone) {
      absl::Status failure = co_await AfterFailure(caller, trial.status);
      co_return failure;
    }
    for (size_t i = begin; i < end; ++i) {
      const Result& result = trial.trip->results[place + i - begin];
      if (result.failed()) {
        failed = static_cast<int>(i);
        absl::Status failure = co_await AfterFailure(caller, trial.status);
        co_return failure;
      }
      affected += result.affected();
    }
  }
  co_return absl::OkStatus();
}

}  // namespace sluice::postgres
