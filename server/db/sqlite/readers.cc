#include "server/db/sqlite/readers.h"

#include <algorithm>
#include <utility>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

// Short reads that a reader runs inside one transaction, at most.
constexpr int kTogether = 16;

// A read this quick, with a result this small, may run on a loop the next time.
constexpr absl::Duration kShort = absl::Microseconds(500);
constexpr size_t kSmall = 64 << 10;

using Known = StatementBook::Known;

}  // namespace

void Readers::Start() {
  MutexLock lock(&mu_);
  if (queue_.closed()) return;
  for (int i = 0; i < std::max(file_.settings().readers, 1); ++i) {
    threads_.emplace_back([this] { Serve(); });
  }
}

void Readers::Close() {
  queue_.Close();
  MutexLock lock(&mu_);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void Readers::Serve() {
  std::unique_ptr<Connection> connection;
  WorkList taken;
  while (const int count = queue_.Take(taken, kTogether)) {
    absl::Status opened;
    if (connection == nullptr) {
      auto reader = file_.OpenReader(file_.settings().busy_timeout);
      opened = reader.status();
      if (reader.ok()) connection = *std::move(reader);
    }
    if (opened.ok()) {
      RunTogether(taken, count, *connection);
      continue;
    }
    while (Work* const work = queue_.Begin(taken)) {
      queue_.Finish(*work);
      work->Refuse(opened);
    }
  }
}

void Readers::RunTogether(WorkList& taken, int count, Connection& connection) {
  // One snapshot for all of them is fresh enough for each: all were queued before it begins, so it
  // holds whatever their callers had been told by then.
  const bool shared = count > 1 && connection.Run("BEGIN").ok();
  while (Work* const work = queue_.Begin(taken)) {
    work->Run(connection);
    queue_.Finish(*work);
    work->Answer();
  }
  if (shared && !connection.Run("COMMIT").ok() && connection.InTransaction()) {
    connection.Run("ROLLBACK").IgnoreError();
  }
}

void UnaryRead::Run(Connection& connection) {
  MayInterrupt(connection);
  result_ = Read(connection);
  if (result_.has_value()) file_.Note(result_->status());
}

UnaryRead::Result UnaryRead::Read(Connection& connection) {
  if (DeadlinePassed(ctx_)) return Result(errors::DeadlineExceeded(errors::Executed::kNo));
  const absl::Status usable = file_.Check();
  if (!usable.ok()) return Result(usable);

  const absl::StatusOr<Prepared*> prepared = connection.Prepare(statement_.sql());
  if (!prepared.ok()) return Result(Why(prepared.status()));
  if ((*prepared)->writes) {
    file_.book().Learn(statement_.sql(), Known::kWrites);
    return std::nullopt;
  }
  const absl::Status bound =
      connection.Bind(**prepared, statement_.params(), statement_.named_params());
  if (!bound.ok()) return Result(bound);

  const absl::Duration begin = Clock::System().Steady();
  watch_.deadline =
      std::min(SteadyDeadline(ctx_.deadline), begin + file_.settings().max_snapshot_age);
  RowLimits limits;
  limits.max_rows = statement_.max_rows;
  limits.max_bytes = statement_.max_bytes;
  absl::StatusOr<db::Rows> rows = CollectRows(connection, **prepared, limits, &watch_);
  if (!rows.ok()) return Result(Why(rows.status()));
  StatementBook& book = file_.book();
  if (book.Find(statement_.sql()) != Known::kSlow) {
    const bool quick = Clock::System().Steady() - begin < kShort && rows->wire.size() <= kSmall;
    book.Learn(statement_.sql(), quick ? Known::kFast : Known::kReads);
  }
  return Result(std::move(rows));
}

absl::Status UnaryRead::Why(const absl::Status& failure) const {
  return WhyEnded(failure, watch_, ctx_, file_.settings().max_snapshot_age, queue_.closed(),
                  errors::Executed::kNo);
}

void Inspection::Run(Connection& connection) {
  MayInterrupt(connection);
  result_ = Ask(connection);
  file_.Note(result_.status());
}

Inspection::Result Inspection::Ask(Connection& connection) {
  if (DeadlinePassed(ctx_)) return errors::DeadlineExceeded(errors::Executed::kNo);
  TRY_STATUS(file_.CheckNow());
  // The first page has to be read for this one, unlike for SELECT 1.
  TRY(Prepared* const prepared, connection.Prepare("SELECT count(*) FROM sqlite_schema"));
  watch_.deadline = SteadyDeadline(ctx_.deadline);
  RowLimits limits;
  limits.max_rows = 1;
  limits.max_bytes = 1 << 10;
  const absl::StatusOr<db::Rows> rows = CollectRows(connection, *prepared, limits, &watch_);
  if (!rows.ok()) {
    return WhyEnded(rows.status(), watch_, ctx_, absl::InfiniteDuration(), queue_.closed(),
                    errors::Executed::kNo);
  }
  if (rows->count != 1) return errors::Internal("The database gave an odd answer to a question.");
  db::DatabaseInfo info;
  info.server_version = LibraryVersion();
  TRY(info.size_bytes, connection.DatabaseSize());
  return info;
}

}  // namespace sluice::sqlite
