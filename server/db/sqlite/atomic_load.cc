#include <algorithm>
#include <stop_token>
#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/held_wait.h"
#include "server/db/sqlite/load.h"
#include "server/db/sqlite/request_log.h"

namespace sluice::sqlite {
namespace {

// Chunks that may wait beside the one that is being inserted.
constexpr size_t kAhead = 2;

// Outcomes of chunks. In the answer that is kept, none takes less than six bytes.
constexpr size_t kMostKept = db::kMostReplayBytes / 6;

db::Rows Packed(const db::ChunkOutcome& outcome) {
  db::Rows rows;
  rows.rows_affected = outcome.rows_affected;
  return rows;
}

}  // namespace

LoadWrite::LoadWrite(absl::Time deadline,
                     db::LoadTarget target,
                     DatabaseFile& file,
                     WorkQueue& queue)
    : Write(OwnContext::ctx, file, queue), target_(std::move(target)), writer_(queue) {
  OwnContext::ctx.deadline = deadline;
}

void LoadWrite::Put(db::LoadChunk chunk, Completion<absl::Status> room) {
  absl::Status now;
  {
    MutexLock lock(&mu_);
    if (ended_.has_value()) {
      now = *ended_;
    } else {
      chunks_.push_back(std::move(chunk));
      changed_.Signal();
      if (chunks_.size() >= kAhead) {
        waiter_.emplace(std::move(room));
        return;
      }
    }
  }
  room.Resolve(std::move(now));
}

void LoadWrite::Complete(std::string content, Completion<absl::Status> done) {
  absl::Status ended;
  {
    MutexLock lock(&mu_);
    complete_ = true;
    content_ = std::move(content);
    if (!ended_.has_value()) {
      changed_.Signal();
      waiter_.emplace(std::move(done));
      return;
    }
    ended = *ended_;
  }
  done.Resolve(std::move(ended));
}

void LoadWrite::Watch(Completion<bool> watcher) {
  {
    MutexLock lock(&mu_);
    if (!ended_.has_value()) {
      watcher_.emplace(std::move(watcher));
      return;
    }
  }
  watcher.Resolve(true);
}

void LoadWrite::ReleaseWatcher() {
  std::optional<Completion<bool>> watcher;
  {
    MutexLock lock(&mu_);
    watcher.swap(watcher_);
  }
  if (watcher.has_value()) watcher->Resolve(true);
}

void LoadWrite::Blame(absl::Status why) {
  MutexLock lock(&mu_);
  if (reason_.ok()) reason_ = std::move(why);
}

std::vector<db::ChunkOutcome> LoadWrite::TakeOutcomes() {
  MutexLock lock(&mu_);
  return std::exchange(outcomes_, {});
}

void LoadWrite::OnInterrupt() {
  MutexLock lock(&mu_);
  changed_.Signal();
}

void LoadWrite::Answer() {
  writer_.SetHold(nullptr);
  End(status());
}

absl::Status LoadWrite::Apply(Connection& connection) {
  auto hold = std::make_shared<db::WriterHold>();
  hold->handle = "load";
  hold->since = Clock::System().Steady();
  writer_.SetHold(std::move(hold));
  db::BatchResults results;
  const bool keyed = target_.key.has_value() && !target_.validate_only;
  if (!keyed) return InsertAll(connection, results);

  RequestLog log(connection);
  TRY(const std::optional<RequestLog::Record> record, log.Find(*target_.key));
  if (!record.has_value()) {
    TRY_STATUS(InsertAll(connection, results));
    db::RequestKey key = *target_.key;
    {
      MutexLock lock(&mu_);
      key.content = content_;
    }
    return log.Store(key, results);
  }
  // It has been done. What it was is known when all has come again.
  while (true) {
    TRY(const std::optional<db::LoadChunk> chunk, NextChunk());
    if (!chunk.has_value()) break;
  }
  std::string content;
  {
    MutexLock lock(&mu_);
    content = content_;
  }
  TRY(results, AnswerOf(*record, content));
  for (const absl::StatusOr<db::Rows>& each : results) {
    db::ChunkOutcome outcome;
    outcome.rows_affected = each.ok() ? each->rows_affected : 0;
    outcome.replayed = true;
    Report(std::move(outcome));
  }
  return absl::OkStatus();
}

absl::Status LoadWrite::InsertAll(Connection& connection, db::BatchResults& results) {
  Inserter inserter(connection, target_, watch_);
  int64_t affected = 0;
  const int64_t most = target_.max_affected_rows;
  while (true) {
    TRY(const std::optional<db::LoadChunk> chunk, NextChunk());
    if (!chunk.has_value()) break;
    db::ChunkOutcome outcome;
    absl::Status inserted = inserter.Insert(*chunk->rows, chunk->first_row, outcome.rows_affected);
    if (!inserted.ok()) {
      return Reason(errors::WithExecuted(std::move(inserted), errors::Executed::kRolledBack));
    }
    affected += outcome.rows_affected;
    if (most > 0 && affected > most) return errors::AffectedRowsExceeded(affected, most);
    // One more than can be kept, so that nothing is.
    if (target_.key.has_value() && results.size() <= kMostKept)
      results.emplace_back(Packed(outcome));
    Report(std::move(outcome));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<db::LoadChunk>> LoadWrite::NextChunk() {
  const absl::Duration idle = file_.settings().load_idle;
  const absl::Duration until = Clock::System().Steady() + idle;
  std::optional<db::LoadChunk> chunk;
  std::optional<Completion<absl::Status>> room;
  absl::Status failure;
  {
    MutexLock lock(&mu_);
    while (chunks_.empty() && !complete_ && failure.ok()) {
      const absl::Duration left = until - Clock::System().Steady();
      if (watch_.stop.load(std::memory_order_relaxed)) {
        failure = absl::CancelledError();
      } else if (left <= absl::ZeroDuration()) {
        failure = errors::TransactionExpired(
            absl::StrCat("No chunk came for ", absl::FormatDuration(idle)));
      } else {
        changed_.WaitWithTimeout(&mu_, left);
      }
    }
    if (failure.ok() && !chunks_.empty()) {
      chunk = std::move(chunks_.front());
      chunks_.pop_front();
      if (!complete_) room.swap(waiter_);
    }
  }
  if (room.has_value()) room->Resolve(absl::OkStatus());
  if (!failure.ok()) return Reason(std::move(failure));
  return chunk;
}

void LoadWrite::Report(db::ChunkOutcome outcome) {
  MutexLock lock(&mu_);
  outcomes_.push_back(std::move(outcome));
}

absl::Status LoadWrite::Reason(absl::Status failure) {
  if (!absl::IsCancelled(failure)) return failure;
  {
    MutexLock lock(&mu_);
    if (!reason_.ok()) return errors::WithExecuted(reason_, errors::Executed::kRolledBack);
  }
  return Why(std::move(failure));
}

void LoadWrite::End(absl::Status status) {
  std::optional<Completion<absl::Status>> waiter;
  const std::shared_ptr<LoadWrite> kept = std::move(kept_);
  {
    MutexLock lock(&mu_);
    ended_ = status;
    chunks_.clear();
    waiter.swap(waiter_);
  }
  if (waiter.has_value()) waiter->Resolve(std::move(status));
  ReleaseWatcher();
}

AtomicLoad::AtomicLoad(std::shared_ptr<db::Database> database,
                       std::shared_ptr<LoopSide> side,
                       DatabaseFile& file,
                       WorkQueue& queue,
                       db::LoadTarget target)
    : database_(std::move(database)),
      side_(std::move(side)),
      queue_(queue),
      executor_(*Executor::Current()),
      limit_(file.settings().load_limit),
      write_(std::make_shared<LoadWrite>(absl::InfiniteFuture(), std::move(target), file, queue)),
      expiry_(*this) {}

AtomicLoad::~AtomicLoad() {
  executor_.CancelTimer(expiry_);
  if (hook_ != nullptr) {
    *hook_ = nullptr;
    write_->ReleaseWatcher();
  }
  if (submitted_) Cancel(errors::Cancelled(errors::Executed::kRolledBack));
}

void AtomicLoad::OnEnd(std::function<void()> told) {
  hook_ = std::make_shared<std::function<void()>>(std::move(told));
  Spawn(TellOfEnd(write_, hook_));
}

Task<void> AtomicLoad::TellOfEnd(std::shared_ptr<LoadWrite> write, Hook hook) {
  co_await Async<bool>([&](Completion<bool> ended) { write->Watch(std::move(ended)); });
  if (*hook != nullptr) (*hook)();
}

absl::Status AtomicLoad::Submit() {
  if (std::exchange(submitted_, true)) return absl::OkStatus();
  executor_.StartTimer(expiry_, limit_);
  write_->Keep(write_);
  absl::Status taken = side_->Submit(queue_, *write_);
  if (!taken.ok()) write_->Refuse(taken);
  return taken;
}

void AtomicLoad::Expire() {
  Cancel(errors::TransactionExpired(
      absl::StrCat("The load lasted longer than ", absl::FormatDuration(limit_))));
}

void AtomicLoad::Cancel(const absl::Status& why) {
  write_->Blame(why);
  if (side_->Cancel(queue_, *write_))
    write_->Refuse(errors::WithExecuted(why, errors::Executed::kNo));
}

void AtomicLoad::GiveUp() {
  if (side_->Withdraw(queue_, *write_)) write_->Refuse(WriterHeldTooLong(queue_));
}

Task<absl::Status> AtomicLoad::Add(const Context& ctx,
                                   db::LoadChunk chunk,
                                   std::string /*content*/) {
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kRolledBack);
  CO_CHECK(Submit());
  const std::stop_callback on_stop(ctx.stop,
                                   [&] { Cancel(ctx.Stopped(errors::Executed::kRolledBack)); });
  HeldWait limit(ctx, queue_, [this] { GiveUp(); });
  absl::Status status = co_await Async<absl::Status>(
      [&](Completion<absl::Status> room) { write_->Put(std::move(chunk), std::move(room)); });
  co_return status;
}

Task<absl::Status> AtomicLoad::Finish(const Context& ctx, std::string content) {
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kRolledBack);
  CO_CHECK(Submit());
  const std::stop_callback on_stop(ctx.stop,
                                   [&] { Cancel(ctx.Stopped(errors::Executed::kRolledBack)); });
  HeldWait limit(ctx, queue_, [this] { GiveUp(); });
  absl::Status status = co_await Async<absl::Status>([&](Completion<absl::Status> done) {
    write_->Complete(std::move(content), std::move(done));
  });
  co_return status;
}

}  // namespace sluice::sqlite
