#include "server/db/sqlite/writer.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

using Known = StatementBook::Known;

// SQLite waits for another process's lock in pieces this long, so that whoever waits here can be
// cancelled in between.
constexpr absl::Duration kBusySlice = absl::Milliseconds(20);

// Rows that a streamed write may give, in bytes.
constexpr int64_t kMostSpooled = 64 << 20;

void RollBack(Connection& connection) {
  if (connection.InTransaction()) connection.Run("ROLLBACK").IgnoreError();
}

}  // namespace

void Writer::Start(absl::AnyInvocable<absl::Status()> prepare,
                   absl::AnyInvocable<void(absl::Status)> opened) {
  MutexLock lock(&mu_);
  thread_ = std::thread([this, prepare = std::move(prepare), opened = std::move(opened)]() mutable {
    absl::Status prepared = prepare();
    if (!prepared.ok()) {
      opened(std::move(prepared));
      return;
    }
    const absl::StatusOr<std::unique_ptr<Connection>> connection = Open();
    opened(connection.status());
    if (connection.ok()) Serve(**connection);
  });
}

absl::StatusOr<std::unique_ptr<Connection>> Writer::Open() {
  const absl::Duration until = Clock::System().Steady() + file_.settings().busy_timeout;
  while (true) {
    auto connection = file_.OpenWriter(std::min(kBusySlice, file_.settings().busy_timeout));
    const bool again = absl::IsUnavailable(connection.status()) && !queue_.closed() &&
                       Clock::System().Steady() < until;
    if (!again) return connection;
  }
}

void Writer::Close() {
  queue_.Close();
  MutexLock lock(&mu_);
  if (thread_.joinable()) thread_.join();
}

void Writer::Serve(Connection& connection) {
  constexpr int kBatch = 1;  // each write is a transaction of its own
  WorkList batch;
  while (queue_.Take(batch, kBatch) > 0) RunBatch(batch, connection);

  if (file_.options().read_only || !file_.CheckNow().ok()) return;
  const absl::Status emptied = connection.Run("PRAGMA wal_checkpoint(TRUNCATE)");
  if (!emptied.ok()) {
    log::Warning("sqlite", "the journal could not be emptied at close",
                 {{"error", emptied.message()}});
  }
}

void Writer::RunBatch(WorkList& batch, Connection& connection) {
  while (Work* const work = queue_.Begin(batch)) {
    work->Run(connection);
    queue_.Finish(*work);
    work->Answer();
  }
}

void Write::Run(Connection& connection) {
  status_ = RunAlone(connection);
  file_.Note(status_);
}

absl::Status Write::RunAlone(Connection& connection) {
  if (DeadlinePassed(ctx_)) return errors::DeadlineExceeded(errors::Executed::kNo);
  TRY_STATUS(file_.CheckNow());
  TRY(Prepared* const prepared, connection.Prepare(statement_.sql()));
  TRY_STATUS(connection.Bind(*prepared, statement_.params(), statement_.named_params()));
  const absl::Cleanup reset = [&] { connection.Reset(*prepared); };
  watch_.deadline = SteadyDeadline(ctx_.deadline);

  file_.book().Learn(statement_.sql(), prepared->writes ? Known::kWrites : Known::kReads);
  if (!prepared->writes) {
    absl::Status read = Apply(connection, *prepared);
    return read.ok() ? read
                     : WhyEnded(std::move(read), watch_, ctx_, absl::InfiniteDuration(),
                                queue_.closed(), errors::Executed::kNo);
  }
  TRY_STATUS(Begin(connection));
  absl::Status applied = Apply(connection, *prepared);
  if (!applied.ok()) {
    connection.Reset(*prepared);
    RollBack(connection);
    return WhyEnded(std::move(applied), watch_, ctx_, absl::InfiniteDuration(), queue_.closed(),
                    errors::Executed::kRolledBack);
  }
  return Commit(connection);
}

absl::Status Write::Begin(Connection& connection) {
  const Clock& clock = Clock::System();
  const absl::Duration until = clock.Steady() + file_.settings().busy_timeout;
  while (true) {
    absl::Status begun = connection.Run("BEGIN IMMEDIATE");
    if (begun.ok()) return begun;
    if (!absl::IsUnavailable(begun)) return errors::WithExecuted(begun, errors::Executed::kNo);
    if (watch_.stop.load(std::memory_order_relaxed)) {
      return ctx_.stop.stop_requested() ? ctx_.Stopped(errors::Executed::kNo)
                                        : errors::PoolClosed();
    }
    if (DeadlinePassed(ctx_)) return errors::DeadlineExceeded(errors::Executed::kNo);
    if (clock.Steady() >= until) return errors::WithExecuted(begun, errors::Executed::kNo);
  }
}

absl::Status Write::Commit(Connection& connection) {
  absl::Status committed = connection.Run("COMMIT");
  if (committed.ok()) {
    file_.Committed();  // before anyone is told
    return committed;
  }
  RollBack(connection);
  // Where the device failed, the next recovery may still find the commit whole in the journal.
  const bool device = absl::IsInternal(committed) || absl::IsDataLoss(committed);
  if (device) return errors::CommitOutcomeUnknown(committed);
  return errors::WithExecuted(std::move(committed), errors::Executed::kRolledBack);
}

void UnaryWrite::Answer() {
  if (status_.ok()) {
    done_->Resolve(std::move(rows_));
  } else {
    done_->Resolve(std::move(status_));
  }
}

absl::Status UnaryWrite::Apply(Connection& connection, Prepared& prepared) {
  RowLimits limits;
  limits.max_rows = statement_.max_rows;
  limits.max_bytes = statement_.max_bytes;
  limits.run_to_end = prepared.writes;
  absl::StatusOr<db::Rows> rows = CollectRows(connection, prepared, limits, &watch_);
  if (!rows.ok()) return errors::WithExecuted(rows.status(), errors::Executed::kRolledBack);
  rows_ = *std::move(rows);
  return absl::OkStatus();
}

void SpooledWrite::Answer() {
  if (status_.ok()) {
    done_->Resolve(Spool(file_, std::move(chunks_), spooled_));
  } else {
    file_.GiveSpool(spooled_);
    done_->Resolve(std::move(status_));
  }
}

absl::Status SpooledWrite::Apply(Connection& connection, Prepared& prepared) {
  ChunkMaker maker(connection, prepared, statement_.chunk_bytes);
  while (true) {
    absl::StatusOr<std::optional<db::Rows>> chunk = maker.Next(&watch_);
    if (!chunk.ok()) return errors::WithExecuted(chunk.status(), errors::Executed::kRolledBack);
    if (!chunk->has_value()) break;
    const auto size = static_cast<int64_t>((*chunk)->wire.size());
    if (spooled_ + size > kMostSpooled) {
      return errors::WithExecuted(
          errors::ValueTooLarge("The result of a statement that writes", kMostSpooled, ""),
          errors::Executed::kRolledBack);
    }
    if (!file_.TakeSpool(size)) {
      return errors::WithExecuted(
          errors::PoolExhausted("rows of writes that wait for their callers", kMostSpooled),
          errors::Executed::kRolledBack);
    }
    spooled_ += size;
    chunks_.push_back(*std::move(*chunk));
  }
  db::Rows end;
  end.count = maker.rows();
  AddFacts(connection, prepared, end);
  end.count = 0;
  end.end = true;
  chunks_.push_back(std::move(end));
  return absl::OkStatus();
}

}  // namespace sluice::sqlite
