#include "server/db/postgres/database.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"
#include "server/db/postgres/connector.h"
#include "server/db/postgres/request_log.h"
#include "server/db/postgres/session_settings.h"
#include "server/db/postgres/sqlstate.h"
#include "server/db/postgres/transaction.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {
namespace {

constexpr absl::string_view kReadOnlyTransaction = "25006";
constexpr absl::string_view kInvalidParameter = "22023";
constexpr absl::string_view kNoPrivilege = "42501";

using RowsOr = absl::StatusOr<db::Rows>;
using CursorOr = absl::StatusOr<std::unique_ptr<db::Cursor>>;
using ResultsOr = absl::StatusOr<db::BatchResults>;

// How long an answer waits for what may still be committed: half of what the caller gives it.
constexpr absl::Duration kLongestLookout = absl::Seconds(1);
constexpr absl::Duration kShortestLookout = absl::Milliseconds(1);

// Closing is told of while it takes long, and given up in the end: each of its steps has a limit,
// and many of them one after the other are rare. A COMMIT by itself has its own.
constexpr absl::Duration kCloseLook = absl::Seconds(5);
constexpr absl::Duration kLongestClose = absl::Seconds(20);
// A server that has let us in has so long for its first answer.
constexpr absl::Duration kFirstAnswer = absl::Seconds(5);

// The operator's settings with what the target says otherwise.
db::PostgresSettings SettingsFor(const ConnectTarget& target, db::PostgresSettings settings) {
  settings.pool_min = target.pool_min.value_or(settings.pool_min);
  settings.pool_max = target.pool_max.value_or(settings.pool_max);
  settings.pool_overflow = target.pool_overflow.value_or(settings.pool_overflow);
  settings.pool_waiters = target.pool_waiters.value_or(settings.pool_waiters);
  settings.acquire_timeout = target.pool_acquire_timeout.value_or(settings.acquire_timeout);
  settings.idle_timeout = target.pool_idle_timeout.value_or(settings.idle_timeout);
  settings.recycle = target.pool_recycle.value_or(settings.recycle);
  settings.pre_ping = target.pool_pre_ping.value_or(settings.pre_ping);
  settings.statement_cache = target.statement_cache.value_or(settings.statement_cache);
  settings.lanes = target.pooler ? 0 : target.lanes.value_or(settings.lanes);
  // The last connection of a small pool is for those who need one for themselves.
  settings.lanes = std::min(settings.lanes, settings.pool_max - 1);
  settings.lane_allowance = target.lane_allowance.value_or(settings.lane_allowance);
  settings.commit_grace = target.commit_grace.value_or(settings.commit_grace);
  settings.strict_hygiene = target.strict_hygiene.value_or(settings.strict_hygiene);
  return settings;
}

// A cursor, with the transaction that is its own.
struct Opened {
  std::shared_ptr<Work> work;
  std::shared_ptr<Reading> reading;
};

// Of a transaction of a call's own.
db::TransactionOptions OptionsOf(const Context& ctx,
                                 bool read_only,
                                 const db::SessionOptionsPtr& session) {
  db::TransactionOptions options;
  options.read_only = read_only;
  options.session = session;
  options.holder = ctx.CallerName();
  options.request_id = std::string(ctx.request_id);
  return options;
}

Task<absl::StatusOr<Opened>> OpenAlone(Backend& backend,
                                       Caller& caller,
                                       const db::Statement& statement,
                                       const db::TransactionOptions& options) {
  Opened opened;
  opened.work = std::make_shared<Work>(backend, options);
  CO_TRY(opened.reading, co_await opened.work->Open(caller, statement));
  // What writes is committed before anybody reads of it.
  if (opened.reading->name.empty()) {
    if (statement.validate_only) {
      co_await opened.work->Rollback(caller);
    } else {
      CO_CHECK(co_await opened.work->Commit(caller, nullptr));
    }
  }
  co_return opened;
}

Task<ResultsOr> BatchInOne(Backend& backend,
                           Caller& caller,
                           const db::Batch& batch,
                           const db::TransactionOptions& options) {
  const auto work = std::make_shared<Work>(backend, options);
  CO_TRY(db::BatchResults results, co_await work->ExecuteBatch(caller, batch, /*commits=*/true));
  if (work->committed()) co_return results;
  if (batch.validate_only) {
    co_await work->Rollback(caller);
    co_return results;
  }
  CO_CHECK(co_await work->Commit(caller, nullptr));
  co_return results;
}

// What has a session of its own needs a transaction for it.
Task<RowsOr> ExecuteAlone(Backend& backend, Caller& caller, const db::Statement& statement) {
  if (statement.session == nullptr) return backend.Execute(caller, statement);
  return ExecuteInWork(backend, caller, statement);
}

// Each by itself.
Task<ResultsOr> BatchOneByOne(Backend& backend, Caller& caller, const db::Batch& batch) {
  db::BatchResults results;
  BatchRoom room{batch.max_bytes};
  for (const db::Execution& each : batch.executions) {
    if (caller.stopped()) co_return caller.Why(errors::Executed::kUnknown);
    db::Statement statement = each.statement;
    statement.read_only = statement.read_only || batch.read_only;
    statement.validate_only = batch.validate_only;
    statement.max_bytes = std::max<int64_t>(room.bytes, 0);
    statement.session = batch.session;
    RowsOr rows = co_await ExecuteAlone(backend, caller, statement);
    const bool failed = !rows.ok();
    if (!failed) room.Take(each, *rows);
    results.push_back(std::move(rows));
    if (failed && batch.mode == db::BatchMode::kStopOnError) break;
  }
  co_return results;
}

Task<absl::StatusOr<std::optional<db::BatchResults>>> RecallNow(Backend& backend,
                                                                Caller& caller,
                                                                const db::RequestKey& key) {
  absl::StatusOr<Answer> answer =
      co_await backend.Ask(caller, FindSql(), FindValues(key), Format::kBinary);
  if (!answer.ok()) {
    const bool missing = errors::MetadataOf(answer.status(), "sqlstate") == "42P01";
    if (missing) co_return std::optional<db::BatchResults>();
    co_return answer.status();
  }
  absl::StatusOr<std::optional<db::BatchResults>> found = Found(answer->result(), key);
  co_return found;
}

// It may be committed at any moment.
absl::Status StillRuns() {
  errors::SqlFailure failure;
  failure.code = absl::StatusCode::kUnknown;
  failure.reason = "COMMIT_OUTCOME_UNKNOWN";
  failure.executed = errors::Executed::kUnknown;
  failure.message =
      "The request was sent before and still runs. Send it again, or ask for its outcome, in a "
      "moment.";
  failure.engine = "postgresql";
  return errors::Sql(failure);
}

// The same for certain, where nothing is committed yet: whoever runs with the key has it reserved
// until his transaction ends, which is waited for.
Task<absl::StatusOr<std::optional<db::BatchResults>>> RecallCertainly(Backend& backend,
                                                                      Caller& caller,
                                                                      const db::RequestKey& key,
                                                                      absl::Duration lookout) {
  db::TransactionOptions options;
  options.isolation = db::Isolation::kReadCommitted;
  const auto work = std::make_shared<Work>(backend, options);
  ParameterValues values;
  values.Add(absl::StrCat(std::max<int64_t>(absl::ToInt64Milliseconds(lookout), 1), "ms"),
             Format::kText);
  absl::StatusOr<Answer> limited = co_await work->Ask(
      caller, "SELECT pg_catalog.set_config('lock_timeout', $1::text, true)", std::move(values));
  CO_CHECK(limited.status());
  absl::StatusOr<std::optional<db::BatchResults>> found = co_await work->Reserve(caller, key);
  co_await work->Rollback(caller);
  if (found.ok()) co_return found;
  if (errors::ReasonOf(found.status()) == "LOCK_TIMEOUT") co_return StillRuns();
  // Where nobody may write, nobody does.
  const std::string sqlstate = errors::MetadataOf(found.status(), "sqlstate");
  if (sqlstate == kReadOnlyTransaction || sqlstate == kNoPrivilege) {
    co_return std::optional<db::BatchResults>();
  }
  co_return found;
}

Task<absl::StatusOr<std::optional<db::BatchResults>>> Recall(Backend& backend,
                                                             Caller& caller,
                                                             const RunningRequests& requests,
                                                             const db::RequestKey& key,
                                                             absl::Duration lookout) {
  absl::StatusOr<std::optional<db::BatchResults>> found = co_await RecallNow(backend, caller, key);
  if (!found.ok() || found->has_value()) co_return found;
  if (requests.Has(key)) co_return StillRuns();
  found = co_await RecallCertainly(backend, caller, key, lookout);
  if (errors::ReasonOf(found.status()) == "REQUEST_LOG_MISSING") {
    co_return std::optional<db::BatchResults>();
  }
  co_return found;
}

Task<absl::StatusOr<db::Outcome>> OutcomeNow(Backend& backend,
                                             Caller& caller,
                                             const OutcomeToken& token) {
  ParameterValues values;
  values.Add(token.number, Format::kText);
  values.Add(token.timeline.system, Format::kText);
  values.Add(token.timeline.number, Format::kText);
  const absl::StatusOr<Answer> answer =
      co_await backend.Ask(caller, kOutcomeSql, std::move(values));
  // The number was never given, as far as this server knows.
  if (errors::MetadataOf(answer.status(), "sqlstate") == kInvalidParameter) {
    co_return db::Outcome::kUnknown;
  }
  if (!answer.ok()) co_return answer.status();
  co_return OutcomeIn(answer->result(), token.timeline.start);
}

Task<absl::StatusOr<db::DatabaseInfo>> InspectNow(Backend& backend, Caller& caller) {
  CO_TRY(const Answer answer,
         co_await backend.Ask(caller,
                              "SELECT pg_catalog.current_setting('server_version'), "
                              "pg_catalog.current_database(), "
                              "pg_catalog.pg_database_size(pg_catalog.current_database())"));
  const Result& result = answer.result();
  if (result.rows() != 1) co_return errors::Internal("The database gave an odd answer.");
  db::DatabaseInfo info;
  info.server_version = std::string(result.text(0, 0));
  info.database_name = std::string(result.text(0, 1));
  if (!absl::SimpleAtoi(result.text(0, 2), &info.size_bytes)) info.size_bytes = 0;
  co_return info;
}

Task<absl::StatusOr<std::optional<db::PoolStats>>> StatsNow(Backend& backend,
                                                            const db::PostgresSettings& settings) {
  db::PoolStats stats = backend.pool().Stats();
  stats.lane_statements = backend.lanes().in_flight();
  stats.limits.lanes = settings.lanes;
  stats.limits.lane_allowance = settings.lane_allowance;
  stats.limits.commit_grace = settings.commit_grace;
  stats.limits.strict_hygiene = settings.strict_hygiene;
  co_return std::optional<db::PoolStats>(std::move(stats));
}

Task<void> CloseLater(std::shared_ptr<Backend> backend) {
  co_await backend->Close();
}

Task<void> CloseAndTell(std::shared_ptr<Backend> backend, std::shared_ptr<Notification> closed) {
  co_await backend->Close();
  closed->Notify();
}

}  // namespace

Database::Database(ConnectTarget target, const Egress& egress, const db::PostgresSettings& settings)
    : session_settings_(target.session_settings),
      open_limit_(ConnectLimit(target) + kFirstAnswer),
      settings_(SettingsFor(target, settings)),
      backend_(std::make_shared<Backend>(
          std::make_shared<const ConnectTarget>(std::move(target)), egress, settings_)) {}

// What it leaves behind closes by itself: whoever lets go of it last must not wait.
Database::~Database() {
  MutexLock lock(&close_mu_);
  if (std::exchange(closed_, true)) return;
  backend_->reactor().PostFunction([backend = backend_] { Spawn(CloseLater(backend)); });
}

Task<absl::Status> Database::Opened(const Context& ctx) {
  Context limited = ctx;
  limited.deadline = std::min(ctx.deadline, absl::Now() + open_limit_);
  const absl::StatusOr<db::DatabaseInfo> info = co_await Inspect(limited);
  // It let us in, and said nothing more.
  const bool silent = absl::IsDeadlineExceeded(info.status()) && absl::Now() < ctx.deadline;
  co_return silent ? ConnectFailed("") : info.status();
}

absl::Status Database::Usable(const Context& ctx) const {
  if (closing_.load(std::memory_order_acquire)) return errors::PoolClosed();
  if (ctx.stop.stop_requested()) return ctx.Stopped(errors::Executed::kNo);
  if (ctx.deadline != absl::InfiniteFuture() && ctx.deadline <= absl::Now()) {
    return errors::DeadlineExceeded(errors::Executed::kNo);
  }
  return absl::OkStatus();
}

Task<RowsOr> Database::Execute(const Context& ctx, db::Statement statement) {
  CO_CHECK(Usable(ctx));
  CO_CHECK(CheckSessionOf(statement.session));
  const RunningRequests::Mark runs = requests_->Add(statement.request);
  RowsOr rows = co_await backend_->Run<RowsOr>(
      ctx, [&](Caller& caller) { return ExecuteAlone(*backend_, caller, statement); });
  co_return rows;
}

Task<CursorOr> Database::Open(const Context& ctx, db::Statement statement) {
  CO_CHECK(Usable(ctx));
  CO_CHECK(CheckSessionOf(statement.session));
  const RunningRequests::Mark runs = requests_->Add(statement.request);
  const db::TransactionOptions options = OptionsOf(ctx, statement.read_only, statement.session);
  CO_TRY(postgres::Opened opened,
         co_await backend_->Run<absl::StatusOr<postgres::Opened>>(ctx, [&](Caller& caller) {
           return OpenAlone(*backend_, caller, statement, options);
         }));
  Owner owner{shared_from_this(), backend_, requests_};
  co_return std::make_unique<WorkCursor>(std::move(owner), std::move(opened.work),
                                         std::move(opened.reading), /*own=*/true);
}

Task<ResultsOr> Database::ExecuteBatch(const Context& ctx, const db::Batch& batch) {
  CO_CHECK(Usable(ctx));
  const bool in_one = batch.mode == db::BatchMode::kAtomic || batch.request != nullptr ||
                      batch.validate_only || batch.max_affected_rows > 0;
  CO_CHECK(CheckSessionOf(batch.session));
  const RunningRequests::Mark runs = requests_->Add(batch.request);
  const db::TransactionOptions options = OptionsOf(ctx, batch.read_only, batch.session);
  ResultsOr results = co_await backend_->Run<ResultsOr>(ctx, [&](Caller& caller) {
    return in_one ? BatchInOne(*backend_, caller, batch, options)
                  : BatchOneByOne(*backend_, caller, batch);
  });
  co_return results;
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> Database::OpenLoad(const Context& ctx,
                                                                   db::LoadTarget target) {
  CO_CHECK(Usable(ctx));
  CO_CHECK(CheckSessionOf(target.session));
  Owner owner{shared_from_this(), backend_, requests_};
  co_return std::make_unique<WorkLoad>(std::move(owner), nullptr, std::move(target));
}

absl::StatusOr<std::unique_ptr<db::Transaction>> Database::Begin(db::TransactionOptions options) {
  if (closing_.load(std::memory_order_acquire)) return errors::PoolClosed();
  TRY_STATUS(CheckSessionOf(options.session));
  Owner owner{shared_from_this(), backend_, requests_};
  return std::make_unique<Transaction>(std::move(owner), std::move(options));
}

Task<absl::StatusOr<std::optional<db::BatchResults>>> Database::Recall(const Context& ctx,
                                                                       const db::RequestKey& key) {
  using Found = absl::StatusOr<std::optional<db::BatchResults>>;
  CO_CHECK(Usable(ctx));
  const absl::Duration lookout =
      std::clamp((ctx.deadline - absl::Now()) / 2, kShortestLookout, kLongestLookout);
  Found found = co_await backend_->Run<Found>(ctx, [&](Caller& caller) {
    return postgres::Recall(*backend_, caller, *requests_, key, lookout);
  });
  co_return found;
}

// The key that was stored with it is the better witness: a server that has it has all of the rest.
Task<absl::StatusOr<db::Outcome>> Database::OutcomeOf(const Context& ctx,
                                                      std::string token,
                                                      std::string scope) {
  CO_TRY(const OutcomeToken known, Unpack(token));
  if (!known.request.empty()) {
    db::RequestKey key;
    key.scope = std::move(scope);
    key.id = known.request;
    const auto found = co_await Recall(ctx, key);
    const std::string reason = errors::ReasonOf(found.status());
    if (reason == "COMMIT_OUTCOME_UNKNOWN") co_return db::Outcome::kPending;
    const bool there = reason == "REPLAY_TOO_LARGE" || (found.ok() && found->has_value());
    if (there) co_return db::Outcome::kCommitted;
    if (!found.ok()) co_return found.status();
    // It may have been deleted since, or this may be another server.
    if (known.number.empty()) co_return db::Outcome::kUnknown;
  }
  absl::StatusOr<db::Outcome> outcome = co_await backend_->Run<absl::StatusOr<db::Outcome>>(
      ctx, [&](Caller& caller) { return OutcomeNow(*backend_, caller, known); });
  co_return outcome;
}

Task<absl::Status> Database::KeepRequests(const Context& ctx) {
  db::Batch batch;
  for (const std::string& sql : RequestLogSchema()) {
    batch.executions.emplace_back(db::Statement(sql), static_cast<int>(batch.executions.size()), 0);
  }
  const ResultsOr made = co_await ExecuteBatch(ctx, batch);
  co_return made.status();
}

Task<absl::StatusOr<db::DatabaseInfo>> Database::Inspect(const Context& ctx) {
  using Info = absl::StatusOr<db::DatabaseInfo>;
  CO_CHECK(Usable(ctx));
  Info info = co_await backend_->Run<Info>(
      ctx, [&](Caller& caller) { return InspectNow(*backend_, caller); });
  co_return info;
}

Task<absl::StatusOr<std::unique_ptr<db::Snapshot>>> Database::Copy(const Context& ctx) {
  CO_CHECK(Usable(ctx));
  co_return errors::BackupNotOffered();
}

absl::Status Database::CheckSessionOf(const db::SessionOptionsPtr& session) const {
  return session == nullptr ? absl::OkStatus() : CheckSession(*session, session_settings_);
}

Task<absl::StatusOr<std::optional<db::PoolStats>>> Database::InspectPool(const Context& ctx) {
  using Stats = absl::StatusOr<std::optional<db::PoolStats>>;
  CO_CHECK(Usable(ctx));
  Stats stats = co_await backend_->Run<Stats>(
      ctx, [&](Caller& /*caller*/) { return StatsNow(*backend_, settings_); });
  co_return stats;
}

db::DatabaseLoad Database::Load() const {
  db::DatabaseLoad load;
  load.active = backend_->pool().leased() + backend_->lanes().in_flight();
  load.queued = backend_->pool().waiting();
  load.queue_limit = backend_->pool().options().waiters;
  return load;
}

void Database::Close() {
  MutexLock lock(&close_mu_);
  if (std::exchange(closed_, true)) return;
  closing_.store(true, std::memory_order_release);
  const auto closed = std::make_shared<Notification>();
  backend_->reactor().PostFunction(
      [backend = backend_, closed] { Spawn(CloseAndTell(backend, closed)); });
  const Clock& clock = backend_->reactor().clock();
  const absl::Duration end = clock.Steady() + kLongestClose;
  while (!closed->WaitForNotificationWithTimeout(kCloseLook)) {
    const bool late = clock.Steady() >= end && backend_->commits() == 0;
    (late ? log::Error : log::Warning)("postgres", "connections are still being closed",
                                       {{"open", backend_->pool().open()},
                                        {"leased", backend_->pool().leased()},
                                        {"waiting", backend_->pool().waiting()},
                                        {"on_lanes", backend_->lanes().in_flight()},
                                        {"committing", backend_->commits()},
                                        {"given_up", late}});
    if (late) return;
  }
}

}  // namespace sluice::postgres
