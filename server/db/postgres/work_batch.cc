// Batches, and what is stored of requests.
#include <algorithm>
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
  if (reserved.trip->results[static_cast<size_t>(left)].rows() == 1) {
    request_ = key.id;
    co_return std::nullopt;
  }
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
  request_.clear();
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
  if (stored.status.ok()) {
    backend_.RequestKept();
    co_return absl::OkStatus();
  }
  absl::Status failure = co_await AfterFailure(caller, stored.status);
  co_return failure;
}

Task<absl::StatusOr<db::BatchResults>> Work::ExecuteBatch(Caller& caller,
                                                          const db::Batch& batch,
                                                          bool commits) {
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
  absl::StatusOr<db::BatchResults> results = co_await RunWithin(caller, batch, keyed, commits);
  if (!results.ok() && keyed) co_await Unreserve(caller, *batch.request);
  // What has become of a COMMIT is told as it is.
  if (!why_.ok() && !commit_sent_) {
    LetGo(why_);
    co_return why_;
  }
  co_return results;
}

Task<absl::StatusOr<db::BatchResults>> Work::RunWithin(Caller& caller,
                                                       const db::Batch& batch,
                                                       bool keyed,
                                                       bool commits) {
  const bool undo = batch.validate_only || batch.max_affected_rows > 0;
  if (undo) {
    CO_CHECK(co_await Guard(caller));
  }
  absl::StatusOr<db::BatchResults> results =
      co_await RunBatch(caller, batch, commits && !undo && !keyed);
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

Task<absl::StatusOr<db::BatchResults>> Work::RunBatch(Caller& caller,
                                                      const db::Batch& batch,
                                                      bool commits) {
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
      CO_CHECK(co_await RunTogether(caller, batch, i, commits, room, results));
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

Together Work::Gather(const db::Batch& batch, size_t begin) {
  Together together;
  for (size_t i = begin; i < batch.executions.size() && together.plans.size() < kMostInTrip; ++i) {
    const db::Statement& statement = batch.executions[i].statement;
    std::shared_ptr<Plan> plan = plans().Find(statement);
    const bool plain = plan->described &&
                       MayRun(*plan, batch.read_only || statement.read_only).ok() &&
                       statement.max_affected_rows == 0 && !statement.read_only;
    if (!plain) break;
    ParameterValues values;
    if (!runner().Bind(*plan, statement, values).ok()) break;
    together.plans.push_back(std::move(plan));
    together.values.push_back(std::move(values));
  }
  return together;
}

void Work::Send(Together& together) {
  Connection& connection = lease_.connection();
  int place = SendPending();
  for (size_t i = 0; i < together.plans.size(); ++i) {
    const Plan& plan = *together.plans[i];
    lease_.Leaves(backend_.HygieneOf(plan));
    if (connection.statements().Find(plan.id) == nullptr) {
      together.fresh.push_back(i);
      ++place;
    }
    together.places.push_back(place++);
    runner().Send(connection, plan, together.values[i]);
  }
}

absl::Status Work::Tell(const Together& together,
                        absl::Span<const db::Execution> executions,
                        const Trial& trial,
                        BatchRoom& room,
                        db::BatchResults& results) {
  Connection& connection = lease_.connection();
  for (size_t i = 0; i < together.plans.size(); ++i) {
    Plan& plan = *together.plans[i];
    const Result& result = trial.trip->results[static_cast<size_t>(together.places[i])];
    if (result.failed()) {
      if (IsStalePlan(trial.error)) {
        runner().Outdate(connection, plan);
        plans().Forget(plan);
      }
      return trial.status;
    }
    runner().Remember(connection, plan, result);
    const db::Execution& execution = executions[i];
    TRY(db::Rows rows, runner().Collect(result, plan,
                                        {execution.statement.max_rows, room.bytes, /*shared=*/true,
                                         /*cuts=*/true, /*columns=*/execution.step != room.told}));
    room.Take(execution, rows);
    results.push_back(std::move(rows));
  }
  return absl::OkStatus();
}

// The whole transaction was in the trip: what is lost with it may have been done.
absl::Status Work::WhyLost(const Trial& trial, Caller& caller) {
  const bool seen = trial.end == Trip::End::kLost && !trial.trip->unsent && !trial.trip->flooded;
  if (seen && !options_.read_only) return OutcomeLost();
  Setting alone;
  alone.read_only = options_.read_only;
  return runner().WhyLost(trial, caller, alone);
}

// Executions from `begin` on whose plans are known and that need nothing in between go in one trip,
// and COMMIT with the last of them: their locks are not held for the time of another.
Task<absl::Status> Work::RunTogether(Caller& caller,
                                     const db::Batch& batch,
                                     size_t begin,
                                     bool commits,
                                     BatchRoom& room,
                                     db::BatchResults& results) {
  Together together = Gather(batch, begin);
  if (together.plans.size() < 2) co_return absl::OkStatus();
  CO_CHECK(co_await Enter(caller));
  const auto may_mark = [&](const auto& plan) { return MayMark(*plan); };
  const bool marks_if_known = std::any_of(together.plans.begin(), together.plans.end(), may_mark);
  if (marks_if_known) {
    CO_CHECK(co_await AwaitTimeline(caller));
  }
  const absl::Span<const db::Execution> executions =
      absl::MakeSpan(batch.executions).subspan(begin, together.plans.size());
  lease_.Runs(executions.front().statement.sql());
  Send(together);
  const bool marks = marks_if_known && lease_.connection().timeline() != nullptr;
  if (marks) runner().Ask(lease_.connection(), Question::kNumber);
  if (commits && begin + executions.size() == batch.executions.size()) {
    lease_.connection().Command("COMMIT");
    commit_sent_ = true;
  }
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  for (const size_t i : together.fresh) {
    runner().Keep(lease_.connection(), *together.plans[i], trial, together.places[i] - 1);
  }
  const bool done = trial.end == Trip::End::kDone;
  if (commit_sent_ && !done) {
    Lose();
    co_return WhyLost(trial, caller);
  }
  const size_t before = results.size();
  absl::Status failure = trial.status;
  if (marks && trial.status.ok()) Remember(trial.trip->results.back());
  if (done) failure = Tell(together, executions, trial, room, results);
  if (commit_sent_ && trial.trip->results.back().tag() == "COMMIT") {
    committed_ = true;
    LetGo(absl::OkStatus());
    if (failure.ok()) co_return trial.status;  // it may not be confirmed by a standby
    co_return At(executions[results.size() - before],
                 errors::WithExecuted(failure, Executed::kUnknown));
  }
  if (failure.ok() && trial.status.ok() && !commit_sent_) co_return failure;
  // Where no statement failed it is COMMIT that did, or a question of our own.
  const bool refused = failure.ok();
  if (refused) failure = trial.status.ok() ? errors::TransactionFailed() : trial.status;
  failure = co_await AfterFailure(caller, std::move(failure));
  if (refused) co_return failure;
  if (done && !WasEnded(failure)) failure = errors::WithExecuted(failure, Executed::kRolledBack);
  co_return At(executions[results.size() - before], failure);
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
    auto place = static_cast<size_t>(SendPending());
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
