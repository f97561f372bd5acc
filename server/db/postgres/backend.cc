#include "server/db/postgres/backend.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/db/postgres/request_log.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {
namespace {

constexpr absl::Duration kForgetEvery = absl::Hours(1);

Lanes::Options LaneOptionsOf(const ConnectTarget& target, const db::PostgresSettings& settings) {
  Lanes::Options options;
  options.count = target.pooler ? 0 : target.lanes.value_or(settings.lanes);
  // The last connection of a small pool is for those who need one for themselves.
  options.count = std::min(options.count, target.pool_max.value_or(settings.pool_max) - 1);
  options.allowance = settings.lane_allowance;
  return options;
}

PoolOptions PoolOptionsOf(const ConnectTarget& target, const db::PostgresSettings& settings) {
  PoolOptions options;
  options.min = target.pool_min.value_or(settings.pool_min);
  options.max = target.pool_max.value_or(settings.pool_max);
  options.overflow = target.pool_overflow.value_or(settings.pool_overflow);
  options.waiters = settings.pool_waiters;
  options.acquire_timeout = target.pool_acquire_timeout.value_or(settings.acquire_timeout);
  options.idle_timeout = target.pool_idle_timeout.value_or(settings.idle_timeout);
  options.recycle = target.pool_recycle.value_or(settings.recycle);
  options.pre_ping = settings.pre_ping;
  // A statement that was prepared before may be unknown to the session of the next transaction.
  options.statements = target.pooler ? 0 : static_cast<size_t>(settings.statement_cache);
  options.lanes = LaneOptionsOf(target, settings).count;
  return options;
}

db::PostgresSettings Adapted(const ConnectTarget& target, db::PostgresSettings settings) {
  settings.strict_hygiene = target.strict_hygiene.value_or(settings.strict_hygiene);
  return settings;
}

Tenant TenantOf(const Context* ctx) {
  if (ctx == nullptr) return {};
  return {"", ctx->CallerName(), std::string(ctx->request_id)};
}

}  // namespace

Backend::Backend(std::shared_ptr<const ConnectTarget> target,
                 const Egress& egress,
                 const db::PostgresSettings& settings)
    : target_(std::move(target)),
      settings_(Adapted(*target_, settings)),
      pool_(reactor_, target_, egress, PoolOptionsOf(*target_, settings)),
      lanes_(reactor_, pool_, runner_, LaneOptionsOf(*target_, settings)) {}

bool Backend::MayUseLanes(const Plan& plan, const db::Statement& statement) const {
  return plan.plain && !settings_.strict_hygiene && !statement.validate_only &&
         statement.max_affected_rows == 0 && statement.request == nullptr;
}

Hygiene Backend::HygieneOf(const Plan& plan) const {
  if (plan.leaves_seed) return Hygiene::kClose;
  return plan.plain && !settings_.strict_hygiene ? Hygiene::kClean : Hygiene::kReset;
}

Task<absl::StatusOr<db::Rows>> Backend::Execute(Caller& caller, const db::Statement& statement) {
  if (closing_) co_return errors::PoolClosed();
  const std::shared_ptr<Plan> plan = plans_.Find(statement);
  CO_CHECK(plan->refusal);
  if (statement.read_only && !plan->may_read_only) {
    co_return errors::ReadOnlyViolation("the call is read-only");
  }
  if (MayUseLanes(*plan, statement)) {
    std::optional<absl::StatusOr<db::Rows>> rows =
        co_await lanes_.TryExecute(caller, statement, plan);
    if (rows.has_value()) co_return *std::move(rows);
  }
  const bool guarded = statement.validate_only || statement.max_affected_rows > 0 ||
                       statement.request != nullptr || statement.read_only ||
                       (plan->reads && (plan->large || plan->speed.slow()));
  if (guarded) {
    absl::StatusOr<db::Rows> rows = co_await ExecuteInWork(*this, caller, statement);
    co_return rows;
  }
  CO_TRY(Lease lease, co_await pool_.Acquire(caller));
  lease.Leaves(HygieneOf(*plan));
  lease.Serves(TenantOf(caller.context()));
  lease.Runs(statement.sql());
  Runner::Report report;
  Around around;
  // The number that another caller took here is none of this one's business.
  if (plan->asks_number) around.before.emplace_back(kForgetNumbers);
  Setting setting;
  setting.may_commit = plan->may_commit;
  absl::StatusOr<db::Rows> rows =
      co_await runner_.Execute(lease, caller, statement, around, setting, report);
  if (report.ran && plan->speed.known()) plan->speed.Learn(report.took);
  co_return rows;
}

Task<absl::StatusOr<Answer>> Backend::Ask(Caller& caller,
                                          absl::string_view sql,
                                          ParameterValues values,
                                          Format results) {
  if (closing_) co_return errors::PoolClosed();
  const std::string text(sql);
  CO_TRY(Lease lease, co_await pool_.Acquire(caller));
  lease.connection().Run("BEGIN READ ONLY");
  lease.connection().Run(text, values, results);
  lease.connection().Run("ROLLBACK");
  Setting setting;
  setting.read_only = true;
  const Trial trial = co_await runner_.Go(lease, caller, nullptr, 1, setting);
  if (!trial.status.ok()) co_return trial.status;
  trial.trip->results.erase(trial.trip->results.begin());
  co_return Answer{trial.trip};
}

void Backend::RequestKept() {
  const absl::Duration now = reactor_.clock().Steady();
  if (closing_ || now - requests_forgotten_ < kForgetEvery) return;
  requests_forgotten_ = now;
  Spawn(ForgetRequests(*this));
}

Task<void> Backend::ForgetRequests(Backend& backend) {
  Caller nobody(backend.reactor_);
  const absl::Status forgotten =
      co_await Counted<absl::Status>(backend, nobody, backend.ForgetRequestsNow(nobody));
  if (!forgotten.ok()) {
    log::Debug("postgres", "old requests were not deleted", {{"why", forgotten.message()}});
  }
}

Task<absl::Status> Backend::ForgetRequestsNow(Caller& caller) {
  const std::string sql = ForgetSql();
  const db::Statement statement(sql);
  int64_t deleted = kMostForgotten;
  while (deleted == kMostForgotten) {
    CO_TRY(const db::Rows rows, co_await Execute(caller, statement));
    deleted = rows.rows_affected;
  }
  co_return absl::OkStatus();
}

Task<void> Backend::Close() {
  closing_ = true;
  const std::vector<Work*> works(works_.begin(), works_.end());
  for (Work* const work : works) work->End(errors::PoolClosed());
  const std::vector<Caller*> callers(callers_.begin(), callers_.end());
  for (Caller* const caller : callers) caller->Close();
  lanes_.Close();
  co_await pool_.Close();
  co_await lanes_.Idle();
  if (callers_.empty()) co_return;
  co_await Async<bool>([&](Completion<bool> done) { idle_.emplace(std::move(done)); });
}

void Backend::MayBeIdle() {
  if (!callers_.empty() || !idle_.has_value()) return;
  Completion<bool> idle = *std::move(idle_);
  idle_.reset();
  idle.Resolve(true);
}

}  // namespace sluice::postgres
