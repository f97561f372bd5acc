#include "server/db/sqlite/write.h"

#include <utility>

#include "absl/cleanup/cleanup.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/brief.h"
#include "server/db/sqlite/request_log.h"
#include "server/db/sqlite/result.h"

namespace sluice::sqlite {
namespace {

using Known = StatementBook::Known;

// Rows that a streamed write may give, in bytes.
constexpr int64_t kMostSpooled = 64 << 20;

}  // namespace

void Write::Run(Connection& connection) {
  status_ = Attempt(connection);
  Note();
  file_.Note(status_);
}

absl::Status Write::Attempt(Connection& connection) {
  if (DeadlinePassed(ctx_)) return errors::DeadlineExceeded(errors::Executed::kNo);
  watch_.ended = Watch::Ended::kNo;
  watch_.deadline = SteadyDeadline(ctx_.deadline);
  return Apply(connection);
}

absl::Status Write::Why(absl::Status failure) const {
  return WhyEnded(std::move(failure), watch_, ctx_, absl::InfiniteDuration(), queue_.closed(),
                  errors::Executed::kRolledBack);
}

int64_t StatementWrite::bytes() const {
  return BytesOf(statement_);
}

absl::Status StatementWrite::Apply(Connection& connection) {
  Forget();
  const bool keyed = statement_.request != nullptr && !statement_.validate_only;
  if (!keyed) return Execute(connection);
  RequestLog log(connection);
  TRY(const std::optional<RequestLog::Record> record, log.Find(*statement_.request));
  if (!record.has_value()) return Execute(connection);
  TRY(db::BatchResults answered, AnswerOf(*record, statement_.request->content));
  return Repeat(std::move(answered));
}

absl::Status StatementWrite::Execute(Connection& connection) {
  TRY(Prepared* const prepared, connection.Prepare(statement_.sql()));
  const bool writes = prepared->writes;
  file_.book().LearnWhether(writes, statement_.sql());
  if (writes && statement_.read_only) return errors::ReadOnlyViolation("the call is read-only");
  TRY_STATUS(connection.Bind(*prepared, statement_.params(), statement_.named_params()));
  absl::Status collected = Collect(connection, *prepared);
  if (!collected.ok()) return Why(std::move(collected));
  const bool keyed = statement_.request != nullptr && !statement_.validate_only &&
                     (writes || statement_.request->commits);
  return keyed ? RequestLog(connection).Store(*statement_.request, Answered()) : absl::OkStatus();
}

void UnaryWrite::Answer() {
  if (status().ok()) {
    done_->Resolve(std::move(rows_));
  } else {
    done_->Resolve(status());
  }
}

bool UnaryWrite::FitsLoop(Connection& connection) {
  return file_.settings().loop_budget > 0 && statement_.request == nullptr && !may_be_undone() &&
         IsKnownBrief(connection, statement_.sql());
}

bool UnaryWrite::OutgrewLoop() const {
  return errors::ReasonOf(status()) == "VALUE_TOO_LARGE";
}

void UnaryWrite::LearnForLoop(Connection& connection) {
  if (file_.settings().loop_budget > 0) Examine(connection, statement_.sql());
}

absl::Status UnaryWrite::Collect(Connection& connection, Prepared& prepared) {
  RowLimits limits;
  limits.max_rows = statement_.max_rows;
  limits.max_bytes = statement_.max_bytes;
  limits.run_to_end = prepared.writes;
  absl::StatusOr<db::Rows> rows = CollectRows(connection, prepared, limits, &watch_);
  if (!rows.ok()) return errors::WithExecuted(rows.status(), errors::Executed::kRolledBack);
  rows_ = *std::move(rows);
  return CheckAffected(rows_, statement_.max_affected_rows);
}

db::BatchResults UnaryWrite::Answered() const {
  db::BatchResults answered;
  answered.emplace_back(rows_);
  return answered;
}

absl::Status UnaryWrite::Repeat(db::BatchResults answered) {
  if (answered.size() != 1) return errors::RequestIdReused();
  TRY(rows_, std::move(answered.front()));
  return absl::OkStatus();
}

void SpooledWrite::Answer() {
  if (status().ok()) {
    done_->Resolve(Spool(file_, std::move(chunks_), std::exchange(spooled_, 0)));
  } else {
    Forget();
    done_->Resolve(status());
  }
}

void SpooledWrite::Forget() {
  file_.GiveSpool(std::exchange(spooled_, 0));
  chunks_.clear();
}

absl::Status SpooledWrite::Keep(db::Rows chunk) {
  const auto size = static_cast<int64_t>(chunk.wire.size());
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
  chunks_.push_back(std::move(chunk));
  return absl::OkStatus();
}

absl::Status SpooledWrite::Collect(Connection& connection, Prepared& prepared) {
  const absl::Cleanup reset = [&] { connection.Reset(prepared); };
  ChunkMaker maker(connection, prepared, statement_.chunk_bytes);
  while (true) {
    absl::StatusOr<std::optional<db::Rows>> chunk = maker.Next(&watch_);
    if (!chunk.ok()) return errors::WithExecuted(chunk.status(), errors::Executed::kRolledBack);
    if (!chunk->has_value()) break;
    TRY_STATUS(Keep(*std::move(*chunk)));
  }
  db::Rows end = EndOf(connection, prepared, maker);
  TRY_STATUS(CheckAffected(end, statement_.max_affected_rows));
  return Keep(std::move(end));
}

db::BatchResults SpooledWrite::Answered() const {
  db::BatchResults answered;
  for (const db::Rows& chunk : chunks_) answered.emplace_back(chunk);
  return answered;
}

absl::Status SpooledWrite::Repeat(db::BatchResults answered) {
  for (absl::StatusOr<db::Rows>& each : answered) {
    TRY(db::Rows chunk, std::move(each));
    TRY_STATUS(Keep(std::move(chunk)));
  }
  if (chunks_.empty() || !chunks_.back().end) return errors::RequestIdReused();
  return absl::OkStatus();
}

}  // namespace sluice::sqlite
