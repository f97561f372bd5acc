#include "server/db/postgres/work.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/request_log.h"
#include "server/db/postgres/session_settings.h"

namespace sluice::postgres {
namespace {

using errors::Executed;

// And whatever else must not be cut short.
constexpr absl::Duration kRollbackLimit = absl::Seconds(5);
constexpr absl::Duration kStopLimit = absl::Seconds(5);

constexpr char kGuard[] = "SAVEPOINT sluice_guard";
constexpr char kUndo[] = "ROLLBACK TO SAVEPOINT sluice_guard";
constexpr char kForget[] = "RELEASE SAVEPOINT sluice_guard";
constexpr char kReadOnly[] = "SET LOCAL transaction_read_only = on";

std::string BeginSql(const db::TransactionOptions& options) {
  std::string sql = "BEGIN";
  switch (options.isolation) {
    case db::Isolation::kDefault:
      // Who only reads loses nothing by seeing one state of the database, as on SQLite.
      if (options.read_only) sql += " ISOLATION LEVEL REPEATABLE READ";
      break;
    case db::Isolation::kReadCommitted:
      sql += " ISOLATION LEVEL READ COMMITTED";
      break;
    case db::Isolation::kRepeatableRead:
      sql += " ISOLATION LEVEL REPEATABLE READ";
      break;
    case db::Isolation::kSerializable:
      sql += " ISOLATION LEVEL SERIALIZABLE";
      break;
  }
  if (options.read_only) sql += " READ ONLY";
  if (options.deferrable) sql += " DEFERRABLE";
  return sql;
}

std::string Name(int savepoint) {
  return absl::StrCat("sluice_", savepoint);
}

absl::Status CheckAffected(const db::Rows& rows, int64_t limit) {
  if (limit == 0 || rows.rows_affected <= limit) return absl::OkStatus();
  return errors::AffectedRowsExceeded(rows.rows_affected, limit);
}

}  // namespace

Work::Work(Backend& backend, const db::TransactionOptions& options, OnChange on_change)
    : backend_(backend), options_(options), on_change_(std::move(on_change)) {
  if (options_.session != nullptr && ChangesPlans(*options_.session)) {
    own_runner_.emplace(backend_.types(), own_plans_, backend_.habits());
  }
  backend_.Add(*this);
}

Work::~Work() {
  backend_.Remove(*this);
  lease_.Release();
}

absl::Status Work::Ready(Caller& caller) const {
  if (!why_.ok()) return why_;
  if (state_ != State::kOpen) return errors::TransactionFailed();
  if (caller.stopped()) return caller.Why(Executed::kNo);
  return absl::OkStatus();
}

void Work::Become(State state) {
  if (state_ == state) return;
  state_ = state;
  if (on_change_) on_change_({state_, why_, commits_on_, std::nullopt, durability_});
}

void Work::LetGo(absl::Status why) {
  why_.Update(std::move(why));
  pending_.clear();
  const bool ahead = lease_ && ahead_ != nullptr && !ahead_->ended();
  if (ahead) lease_.connection().Cancel();
  if (!settling_) lease_.Release();
  Become(State::kGone);
}

void Work::Lose() {
  pending_.clear();
  if (!settling_) lease_.Release();
  if (std::exchange(state_, State::kGone) == State::kGone || !on_change_) return;
  const bool revivable =
      std::any_of(savepoints_.begin(), savepoints_.end(), [](int number) { return number != 0; });
  absl::Status why = why_;
  if (revivable) why.Update(errors::BackendLost(Executed::kRolledBack, /*in_transaction=*/true));
  on_change_({state_, why, false, std::nullopt, durability_});
}

Task<absl::Status> Work::Settle() {
  if (!lease_ || !lease_.connection().cancelling()) co_return absl::OkStatus();
  const std::shared_ptr<Cancelling> cancelling = lease_.connection().TakeCancelling();
  settling_ = true;
  const bool acknowledged = co_await cancelling->Wait();
  bool over =
      acknowledged && !lease_.connection().stray_cancel() && lease_.connection().trips() == 0;
  if (over) over = co_await Conclude();  // what is on its way hits this
  settling_ = false;
  if (!over) lease_.Leaves(Hygiene::kClose);
  if (state_ == State::kGone) {
    lease_.Release();
    co_return why_.ok() ? errors::TransactionFailed() : why_;
  }
  if (over) co_return absl::OkStatus();
  Lose();
  co_return errors::BackendLost(Executed::kRolledBack, /*in_transaction=*/true);
}

Task<bool> Work::Conclude() {
  const std::shared_ptr<Trip> trip = lease_.connection().Sync();
  const Trip::End end = co_await lease_.AwaitAtMost(trip, kRollbackLimit);
  if (end != Trip::End::kDone) co_return false;
  co_return std::none_of(trip->results.begin(), trip->results.end(),
                         [](const Result& result) { return result.failed(); });
}

Setting Work::SettingOf() const {
  Setting setting;
  setting.in_transaction = true;
  setting.read_only_policy = options_.read_only;
  return setting;
}

Task<absl::Status> Work::Begin(Caller& caller) {
  CO_CHECK(Ready(caller));
  if (lease_) {
    if (!lease_.connection().cancelling()) co_return absl::OkStatus();
    CO_CHECK(co_await Settle());
    co_return Ready(caller);
  }
  if (backend_.closing()) co_return errors::PoolClosed();
  CO_TRY(lease_, co_await backend_.pool().Acquire(caller));
  if (!why_.ok()) {
    lease_.Release();
    co_return why_;
  }
  lease_.Serves({options_.handle, options_.holder, options_.request_id});
  pending_.push_back(BeginSql(options_));
  // Numbers that another caller took are none of this one's business.
  if (lease_.connection().counted()) {
    pending_.emplace_back(kForgetNumbers);
    lease_.connection().set_counted(false);
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Work::Enter(Caller& caller) {
  CO_CHECK(co_await Begin(caller));
  if (options_.session == nullptr || entered_) co_return absl::OkStatus();
  Connection& connection = lease_.connection();
  const int first = SendPending();
  connection.Run(EnterSql(*options_.session), EnterValues(*options_.session), Format::kText);
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, first, SettingOf());
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  const Result& before = trial.trip->results[static_cast<size_t>(first)];
  search_path_ = std::string(before.text(0, 0));
  role_ = std::string(before.text(0, 1));
  entered_ = true;
  co_return absl::OkStatus();
}

int Work::Leave() {
  if (!entered_ || !ChangesNames(*options_.session)) return 0;
  lease_.connection().Run(LeaveSql(), LeaveValues(search_path_, role_), Format::kText);
  entered_ = false;
  return 1;
}

int Work::SendPending() {
  for (const std::string& command : pending_) lease_.connection().Command(command);
  const auto count = static_cast<int>(pending_.size());
  pending_.clear();
  begun_ = true;
  return count;
}

Task<absl::Status> Work::Flush(Caller& caller) {
  if (pending_.empty()) co_return absl::OkStatus();
  SendPending();
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  if (trial.status.ok()) co_return absl::OkStatus();
  absl::Status failure = co_await AfterFailure(caller, trial.status);
  co_return failure;
}

Task<absl::Status> Work::AfterFailure(Caller& caller, absl::Status failure) {
  // A call that only reads, in a transaction of nobody's but its own, may be sent again as it is.
  const bool again = options_.read_only && !on_change_;
  if (again && errors::ReasonOf(failure) == "BACKEND_LOST") {
    failure = errors::BackendLost(Executed::kNo, /*in_transaction=*/false);
  }
  if (!why_.ok()) {
    LetGo(why_);
    co_return why_;
  }
  if (state_ == State::kGone) co_return failure;
  Connection& connection = lease_.connection();
  if (connection.lost() || connection.trips() > 0) {
    Lose();
    co_return failure;
  }
  co_await Fail(caller);
  co_return failure;
}

Task<void> Work::Fail(Caller& /*caller*/) {
  if (!savepoints_.empty()) {
    Become(State::kFailed);
    co_return;
  }
  Caller nobody(backend_.reactor());
  co_await Rollback(nobody);
}

Task<absl::StatusOr<db::Rows>> Work::Execute(Caller& caller, const db::Statement& statement) {
  CO_CHECK(Ready(caller));
  const Running running(*this, caller);
  const bool keyed = IsKeyed(statement);
  Runner::Report report;
  absl::StatusOr<db::Rows> rows{db::Rows()};
  if (keyed) {
    rows = co_await ExecuteKeyed(caller, statement);
  } else {
    rows = co_await ExecuteOnce(caller, statement, report);
  }
  if (!why_.ok()) {
    LetGo(why_);
    co_return why_;
  }
  co_return rows;
}

bool Work::IsKeyed(const db::Statement& statement) {
  return statement.request != nullptr && !statement.validate_only &&
         (statement.request->commits || !plans().Find(statement)->reads);
}

Task<absl::StatusOr<db::Rows>> Work::ExecuteKeyed(Caller& caller, const db::Statement& statement) {
  const std::shared_ptr<Plan> plan = plans().Find(statement);
  CO_CHECK(plan->refusal);
  CO_TRY(std::optional<db::BatchResults> replay, co_await Reserve(caller, *statement.request));
  if (replay.has_value()) {
    if (replay->empty()) co_return errors::Internal("A stored answer is empty.");
    co_return std::move(replay->front());
  }
  absl::StatusOr<db::Rows> rows = co_await ExecuteReserved(caller, statement);
  if (!rows.ok()) co_await Unreserve(caller, *statement.request);
  co_return rows;
}

Task<absl::StatusOr<db::Rows>> Work::ExecuteReserved(Caller& caller,
                                                     const db::Statement& statement) {
  Runner::Report report;
  CO_TRY(db::Rows rows, co_await ExecuteOnce(caller, statement, report));
  db::BatchResults results;
  results.emplace_back(rows);
  CO_CHECK(co_await Store(caller, *statement.request, results));
  co_return rows;
}

absl::Status Work::MayRun(const Plan& plan, bool read_only) const {
  TRY_STATUS(plan.refusal);
  if ((!read_only && !options_.read_only) || plan.may_read_only) return absl::OkStatus();
  return errors::ReadOnlyViolation(read_only ? "the call is read-only"
                                             : "the transaction is read-only");
}

Task<absl::StatusOr<db::Rows>> Work::ExecuteOnce(Caller& caller,
                                                 const db::Statement& statement,
                                                 Runner::Report& report) {
  const std::shared_ptr<Plan> plan = plans().Find(statement);
  CO_CHECK(MayRun(*plan, statement.read_only));
  CO_CHECK(co_await Enter(caller));
  lease_.Leaves(backend_.HygieneOf(*plan));
  lease_.Runs(statement.sql());
  // A statement that does not compile fails what it is in, so that has to be there.
  if (!plan->described) {
    CO_CHECK(co_await Flush(caller));
  }
  const bool undo = statement.validate_only || (statement.read_only && !options_.read_only);
  const bool guarded = undo || statement.max_affected_rows > 0;
  if (!undo && MayMark(*plan)) {
    CO_CHECK(co_await AwaitTimeline(caller));
  }
  Around around;
  around.before.assign(pending_.begin(), pending_.end());
  if (guarded) around.before.emplace_back(kGuard);
  if (statement.read_only && !options_.read_only) around.before.emplace_back(kReadOnly);
  if (undo) around.after = {kUndo, kForget};
  const bool marks = !undo && MayMark(*plan) && lease_.connection().timeline() != nullptr;
  if (marks) around.question = Question::kNumber;

  if (plan->reads && !guarded && !report.whole && (plan->large || plan->speed.slow())) {
    absl::StatusOr<db::Rows> rows = co_await ExecuteAsCursor(caller, statement, plan, report);
    co_return rows;
  }
  Setting setting = SettingOf();
  setting.read_only_policy = setting.read_only_policy || statement.read_only;
  absl::StatusOr<db::Rows> rows =
      co_await runner().Execute(lease_, caller, statement, around, setting, report);
  if (report.sent) {
    pending_.clear();
    begun_ = true;
  }
  if (rows.ok() && marks) Remember(report.trip->results.back());
  if (rows.ok() && !undo && guarded) {
    const absl::Status within = CheckAffected(*rows, statement.max_affected_rows);
    if (within.ok()) {
      pending_.emplace_back(kForget);
    } else {
      CO_CHECK(co_await Unguard(caller, /*keep=*/false));
      co_return within;
    }
  }
  if (rows.ok()) {
    const absl::Status within = CheckAffected(*rows, statement.max_affected_rows);
    if (!within.ok()) co_return within;  // of a trial, which is undone already
    co_return rows;
  }
  if (!report.failed) co_return rows.status();  // nothing was run
  const bool alive = !lease_.connection().lost() && lease_.connection().trips() == 0;
  if (undo && report.sent && alive && !caller.stopped() && why_.ok()) {
    // What was undone alone leaves the rest as it was.
    const absl::Status failure = rows.status();
    const absl::Status undone = co_await Unguard(caller, /*keep=*/false);
    if (!undone.ok()) co_return undone;
    co_return failure;
  }
  absl::Status failure = co_await AfterFailure(caller, rows.status());
  co_return failure;
}

Task<absl::Status> Work::Guard(Caller& caller) {
  CO_CHECK(co_await Enter(caller));
  pending_.emplace_back(kGuard);
  co_return absl::OkStatus();
}

Task<absl::Status> Work::Unguard(Caller& caller, bool keep) {
  if (state_ == State::kGone) co_return why_.ok() ? errors::TransactionFailed() : why_;
  // What was not sent need neither be undone nor forgotten.
  const auto guard = std::find(pending_.rbegin(), pending_.rend(), kGuard);
  if (guard != pending_.rend()) {
    pending_.erase(std::prev(guard.base()));
    co_return absl::OkStatus();
  }
  if (keep) {
    pending_.emplace_back(kForget);
    co_return absl::OkStatus();
  }
  CO_CHECK(co_await Settle());
  // Guards inside it that are not forgotten yet have the same name. After a failure there are none.
  if (state_ != State::kOpen) pending_.clear();
  SendPending();
  lease_.connection().Command(kUndo);
  lease_.connection().Command(kForget);
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  if (state_ == State::kGone) co_return why_.ok() ? errors::TransactionFailed() : why_;
  entered_ = options_.session != nullptr;  // as they were when it was set
  request_.clear();                        // its key may have gone with the rest
  Become(State::kOpen);
  co_return absl::OkStatus();
}

void Work::UndoGuard() {
  if (state_ != State::kOpen || !why_.ok()) return;
  const auto guard = std::find(pending_.rbegin(), pending_.rend(), kGuard);
  if (guard != pending_.rend()) {
    pending_.erase(std::prev(guard.base()));
    return;
  }
  pending_.emplace_back(kUndo);
  pending_.emplace_back(kForget);
  entered_ = options_.session != nullptr;  // as they were when it was set
  request_.clear();                        // its key may have gone with the rest
}

Task<absl::StatusOr<Answer>> Work::Ask(Caller& caller, std::string sql, ParameterValues values) {
  CO_CHECK(co_await Enter(caller));
  CO_CHECK(co_await Flush(caller));
  lease_.connection().Run(sql, values, Format::kText);
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  if (trial.status.ok()) co_return Answer{trial.trip};
  absl::Status failure = co_await AfterFailure(caller, trial.status);
  co_return failure;
}

Task<absl::Status> Work::Savepoint(Caller& caller, int number) {
  CO_CHECK(Ready(caller));
  const Running running(*this, caller);
  CO_CHECK(co_await Enter(caller));
  pending_.push_back(absl::StrCat("SAVEPOINT ", Name(number)));
  CO_CHECK(co_await Flush(caller));
  savepoints_.push_back(number);
  co_return absl::OkStatus();
}

Task<absl::Status> Work::RollbackTo(Caller& caller, int number) {
  if (!why_.ok()) co_return why_;
  if (state_ == State::kGone) co_return errors::TransactionFailed();
  if (caller.stopped()) co_return caller.Why(Executed::kNo);
  const Running running(*this, caller);
  const auto found = std::find(savepoints_.begin(), savepoints_.end(), number);
  if (found == savepoints_.end()) co_return errors::Internal("There is no such savepoint.");
  CO_CHECK(co_await Settle());
  pending_.clear();  // cursors, which go with what is undone, and guards that are forgotten
  lease_.connection().Command(absl::StrCat("ROLLBACK TO SAVEPOINT ", Name(number)));
  const Trial trial = co_await runner().Go(lease_, caller, nullptr, 0, SettingOf());
  if (!trial.status.ok()) {
    absl::Status failure = co_await AfterFailure(caller, trial.status);
    co_return failure;
  }
  if (state_ == State::kGone) co_return why_.ok() ? errors::TransactionFailed() : why_;
  savepoints_.erase(found + 1, savepoints_.end());
  entered_ = options_.session != nullptr;  // as they were when it was set
  request_.clear();                        // its key may have gone with the rest
  ++undone_;
  Become(State::kOpen);
  co_return absl::OkStatus();
}

Task<absl::Status> Work::Release(Caller& caller, int number) {
  CO_CHECK(Ready(caller));
  const Running running(*this, caller);
  const auto found = std::find(savepoints_.begin(), savepoints_.end(), number);
  if (found == savepoints_.end()) co_return errors::Internal("There is no such savepoint.");
  CO_CHECK(co_await Settle());
  pending_.push_back(absl::StrCat("RELEASE SAVEPOINT ", Name(number)));
  CO_CHECK(co_await Flush(caller));
  savepoints_.erase(found, savepoints_.end());
  co_return absl::OkStatus();
}

Task<void> Work::Stop(std::shared_ptr<Trip> trip) {
  if (!lease_ || trip->ended()) co_return;
  lease_.connection().Cancel();
  const Trip::End end = co_await lease_.AwaitAtMost(trip, kStopLimit);
  if (end != Trip::End::kDone) lease_.Leaves(Hygiene::kClose);
}

Task<void> Work::Rollback(Caller& /*caller*/) {
  ending_ = true;
  if (ahead_ != nullptr) {
    std::shared_ptr<Trip> ahead = std::exchange(ahead_, nullptr);
    co_await Stop(std::move(ahead));
  }
  if (lease_ && begun_) {
    const absl::Status settled = co_await Settle();
    settled.IgnoreError();  // then it is gone
  }
  if (lease_ && begun_ && !lease_.connection().lost() && lease_.connection().trips() == 0) {
    lease_.connection().Command("ROLLBACK");
    const bool rolled_back = co_await Conclude();
    if (!rolled_back) lease_.Leaves(Hygiene::kClose);
  }
  LetGo(absl::OkStatus());
}

void Work::End(const absl::Status& why) {
  if (state_ == State::kGone || !why_.ok() || ending_) return;
  why_ = why;
  if (running_ != nullptr) return running_->Stop();
  LetGo(why);
}

Task<absl::StatusOr<db::Rows>> ExecuteInWork(Backend& backend,
                                             Caller& caller,
                                             const db::Statement& statement) {
  db::TransactionOptions options;
  options.read_only = statement.read_only;
  options.session = statement.session;
  const auto work = std::make_shared<Work>(backend, options);
  CO_TRY(db::Rows rows, co_await work->Execute(caller, statement));
  if (statement.validate_only || statement.read_only) {
    co_await work->Rollback(caller);
    co_return rows;
  }
  CO_CHECK(co_await work->Commit(caller, nullptr));
  co_return rows;
}

}  // namespace sluice::postgres
