#include "server/db/postgres/database.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/request_log.h"
#include "server/db/postgres/transaction.h"
#include "server/db/postgres/work.h"

namespace sluice::postgres {
namespace {

using RowsOr = absl::StatusOr<db::Rows>;
using CursorOr = absl::StatusOr<std::unique_ptr<db::Cursor>>;
using ResultsOr = absl::StatusOr<db::BatchResults>;

// A cursor, with the transaction that is its own.
struct Opened {
  std::shared_ptr<Work> work;
  std::shared_ptr<Reading> reading;
};

Task<absl::StatusOr<Opened>> OpenAlone(Backend& backend,
                                       Caller& caller,
                                       const db::Statement& statement) {
  db::TransactionOptions options;
  options.read_only = statement.read_only;
  Opened opened;
  opened.work = std::make_shared<Work>(backend, options);
  CO_TRY(opened.reading, co_await opened.work->Open(caller, statement));
  // What writes is committed before anybody reads of it.
  if (opened.reading->name.empty()) {
    Caller nobody(backend.reactor());
    if (statement.validate_only) {
      co_await opened.work->Rollback(nobody);
    } else {
      CO_CHECK(co_await opened.work->Commit(nobody, nullptr));
    }
  }
  co_return opened;
}

Task<ResultsOr> BatchInOne(Backend& backend, Caller& caller, const db::Batch& batch) {
  db::TransactionOptions options;
  options.read_only = batch.read_only;
  const auto work = std::make_shared<Work>(backend, options);
  CO_TRY(db::BatchResults results, co_await work->ExecuteBatch(caller, batch));
  Caller nobody(backend.reactor());
  if (batch.validate_only) {
    co_await work->Rollback(nobody);
    co_return results;
  }
  CO_CHECK(co_await work->Commit(nobody, nullptr));
  co_return results;
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
    RowsOr rows = co_await backend.Execute(caller, statement);
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

Task<void> CloseLater(std::shared_ptr<Backend> backend) {
  co_await backend->Close();
}

Task<bool> CloseNow(std::shared_ptr<Backend> backend, Notification& closed) {
  co_await backend->Close();
  closed.Notify();
  co_return true;
}

Task<void> CloseInBackground(std::shared_ptr<Backend> backend, Notification& closed) {
  const bool done = co_await CloseNow(std::move(backend), closed);
  static_cast<void>(done);
}

}  // namespace

Database::Database(ConnectTarget target, const Egress& egress, const db::PostgresSettings& settings)
    : backend_(std::make_shared<Backend>(
          std::make_shared<const ConnectTarget>(std::move(target)), egress, settings)) {}

// What it leaves behind closes by itself: whoever lets go of it last must not wait.
Database::~Database() {
  MutexLock lock(&close_mu_);
  if (std::exchange(closed_, true)) return;
  backend_->reactor().PostFunction([backend = backend_] { Spawn(CloseLater(backend)); });
}

Task<absl::Status> Database::Opened(const Context& ctx) {
  CO_TRY(const db::DatabaseInfo info, co_await Inspect(ctx));
  co_return absl::OkStatus();
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
  RowsOr rows = co_await backend_->Run<RowsOr>(
      ctx, [&](Caller& caller) { return backend_->Execute(caller, statement); });
  co_return rows;
}

Task<CursorOr> Database::Open(const Context& ctx, db::Statement statement) {
  CO_CHECK(Usable(ctx));
  CO_TRY(postgres::Opened opened,
         co_await backend_->Run<absl::StatusOr<postgres::Opened>>(
             ctx, [&](Caller& caller) { return OpenAlone(*backend_, caller, statement); }));
  Owner owner{shared_from_this(), backend_};
  co_return std::make_unique<WorkCursor>(std::move(owner), std::move(opened.work),
                                         std::move(opened.reading), /*own=*/true);
}

Task<ResultsOr> Database::ExecuteBatch(const Context& ctx, const db::Batch& batch) {
  CO_CHECK(Usable(ctx));
  const bool in_one = batch.mode == db::BatchMode::kAtomic || batch.request != nullptr ||
                      batch.validate_only || batch.max_affected_rows > 0;
  ResultsOr results = co_await backend_->Run<ResultsOr>(ctx, [&](Caller& caller) {
    return in_one ? BatchInOne(*backend_, caller, batch) : BatchOneByOne(*backend_, caller, batch);
  });
  co_return results;
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> Database::OpenLoad(const Context& ctx,
                                                                   db::LoadTarget target) {
  CO_CHECK(Usable(ctx));
  Owner owner{shared_from_this(), backend_};
  co_return std::make_unique<WorkLoad>(std::move(owner), nullptr, std::move(target));
}

absl::StatusOr<std::unique_ptr<db::Transaction>> Database::Begin(db::TransactionOptions options) {
  if (closing_.load(std::memory_order_acquire)) return errors::PoolClosed();
  Owner owner{shared_from_this(), backend_};
  return std::make_unique<Transaction>(std::move(owner), std::move(options));
}

Task<absl::StatusOr<std::optional<db::BatchResults>>> Database::Recall(const Context& ctx,
                                                                       const db::RequestKey& key) {
  using Found = absl::StatusOr<std::optional<db::BatchResults>>;
  CO_CHECK(Usable(ctx));
  Found found = co_await backend_->Run<Found>(
      ctx, [&](Caller& caller) { return RecallNow(*backend_, caller, key); });
  co_return found;
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
  Notification closed;
  backend_->reactor().PostFunction(
      [backend = backend_, &closed] { Spawn(CloseInBackground(backend, closed)); });
  closed.WaitForNotification();
}

}  // namespace sluice::postgres
