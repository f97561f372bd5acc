#include <algorithm>
#include <stop_token>
#include <utility>
#include <vector>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/held_wait.h"
#include "server/db/sqlite/load.h"
#include "server/db/sqlite/request_log.h"

namespace sluice::sqlite {
namespace {

// Chunks on their way at once: one is written while the next arrives.
constexpr size_t kAhead = 2;

// What a request of which only the chunks have content has for its own.
constexpr char kInChunks[] = "in chunks";

constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

}  // namespace

ChunkWrite::ChunkWrite(absl::Time deadline,
                       std::shared_ptr<LoadPlan> plan,
                       int64_t index,
                       db::LoadChunk chunk,
                       std::string content,
                       DatabaseFile& file,
                       const WorkQueue& queue)
    : Write(OwnContext::ctx, file, queue),
      plan_(std::move(plan)),
      index_(index),
      chunk_(std::move(chunk)),
      content_(std::move(content)),
      bytes_(static_cast<int64_t>(chunk_.rows->SpaceUsedExcludingSelfLong())) {
  OwnContext::ctx.deadline = deadline;
}

void ChunkWrite::WaitFor(Completion<bool> done) {
  {
    MutexLock lock(&mu_);
    if (!answered_) {
      waiter_.emplace(std::move(done));
      return;
    }
  }
  done.Resolve(true);
}

std::optional<db::ChunkOutcome> ChunkWrite::Outcome() const {
  if (!reached_) return std::nullopt;
  return outcome_;
}

// The chunks of a load pass here in their order, also when a group runs again.
absl::Status ChunkWrite::Apply(Connection& connection) {
  outcome_ = db::ChunkOutcome();
  const bool stops = plan_->target.mode == db::BatchMode::kStopOnError;
  reached_ = !stops || plan_->failed.load(std::memory_order_relaxed) >= index_;
  if (!reached_) return absl::OkStatus();
  return Insert(connection);
}

void ChunkWrite::Note() {
  if (!status().ok()) reached_ = true;
  if (reached_) plan_->failed.store(status().ok() ? kNone : index_, std::memory_order_relaxed);
}

absl::Status ChunkWrite::Insert(Connection& connection) {
  const db::LoadTarget& target = plan_->target;
  RequestLog log(connection);
  std::optional<db::RequestKey> key;
  if (target.key.has_value() && !target.validate_only) {
    key = target.key;
    key->part = index_ + 1;
    key->content = content_;
    TRY_STATUS(Claim(log));
    TRY(const std::optional<RequestLog::Record> record, log.Find(*key));
    if (record.has_value()) {
      TRY(const db::BatchResults results, AnswerOf(*record, content_));
      outcome_.replayed = true;
      if (results.size() == 1 && results[0].ok())
        outcome_.rows_affected = results[0]->rows_affected;
      return absl::OkStatus();
    }
  }
  Inserter inserter(connection, target, watch_);
  absl::Status inserted = inserter.Insert(*chunk_.rows, chunk_.first_row, outcome_.rows_affected);
  if (!inserted.ok()) {
    return Why(errors::WithExecuted(std::move(inserted), errors::Executed::kRolledBack));
  }
  db::Rows facts;
  facts.rows_affected = outcome_.rows_affected;
  if (target.max_affected_rows > 0 && facts.rows_affected > target.max_affected_rows) {
    return errors::AffectedRowsExceeded(facts.rows_affected, target.max_affected_rows);
  }
  if (!key.has_value()) return absl::OkStatus();
  db::BatchResults results;
  results.emplace_back(std::move(facts));
  return log.Store(*key, results);
}

// The id is taken also for those who use it for something whole.
absl::Status ChunkWrite::Claim(RequestLog& log) const {
  db::RequestKey whole = *plan_->target.key;
  whole.part = 0;
  whole.content = kInChunks;
  TRY(const std::optional<RequestLog::Record> record, log.Find(whole));
  if (!record.has_value()) return log.Store(whole, {});
  return record->content == whole.content ? absl::OkStatus() : errors::RequestIdReused();
}

void ChunkWrite::End(absl::Status status) {
  if (!status.ok()) {
    // Also a failure that came after it had run, with its group's.
    if (plan_->failed.load(std::memory_order_relaxed) > index_) {
      plan_->failed.store(index_, std::memory_order_relaxed);
    }
    outcome_ = db::ChunkOutcome();
    outcome_.status = std::move(status);
  }
  const std::shared_ptr<ChunkWrite> kept = std::move(kept_);
  std::optional<Completion<bool>> waiter;
  {
    MutexLock lock(&mu_);
    answered_ = true;
    waiter.swap(waiter_);
  }
  if (waiter.has_value()) waiter->Resolve(true);
}

ChunkedLoad::ChunkedLoad(std::shared_ptr<db::Database> database,
                         std::shared_ptr<LoopSide> side,
                         DatabaseFile& file,
                         WorkQueue& queue,
                         db::LoadTarget target)
    : database_(std::move(database)),
      side_(std::move(side)),
      file_(file),
      queue_(queue),
      plan_(std::make_shared<LoadPlan>()) {
  plan_->target = std::move(target);
}

ChunkedLoad::~ChunkedLoad() {
  CancelAll(errors::Cancelled(errors::Executed::kNo));
}

void ChunkedLoad::CancelAll(const absl::Status& why) {
  for (const std::shared_ptr<ChunkWrite>& write : running_) {
    if (side_->Cancel(queue_, *write)) write->Refuse(why);
  }
}

void ChunkedLoad::GiveUp() {
  std::vector<ChunkWrite*> waiting;
  for (const std::shared_ptr<ChunkWrite>& write : running_) {
    if (side_->Withdraw(queue_, *write)) waiting.push_back(write.get());
  }
  if (waiting.empty()) return;
  // What was inserted before stays.
  const bool all = static_cast<int64_t>(waiting.size()) == next_;
  given_up_ = errors::WithExecuted(WriterHeldTooLong(queue_),
                                   all ? errors::Executed::kNo : errors::Executed::kUnknown);
  for (ChunkWrite* const write : waiting) write->Refuse(given_up_);
}

bool ChunkedLoad::stopped() const {
  return plan_->target.mode == db::BatchMode::kStopOnError &&
         plan_->failed.load(std::memory_order_relaxed) != kNone;
}

Task<absl::Status> ChunkedLoad::Add(const Context& ctx, db::LoadChunk chunk, std::string content) {
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kUnknown);
  const absl::Time deadline =
      std::min(ctx.deadline, Clock::System().Unset() + file_.settings().load_limit);
  auto write = std::make_shared<ChunkWrite>(deadline, plan_, next_++, std::move(chunk),
                                            std::move(content), file_, queue_);
  write->Keep(write);
  running_.push_back(write);
  const absl::Status taken = side_->Submit(queue_, *write);
  if (!taken.ok()) write->Refuse(taken);
  while (running_.size() >= kAhead) co_await Reap(ctx);
  co_return given_up_;
}

Task<void> ChunkedLoad::Reap(const Context& ctx) {
  const std::stop_callback on_stop(ctx.stop,
                                   [&] { CancelAll(ctx.Stopped(errors::Executed::kNo)); });
  HeldWait limit(ctx, queue_, [this] { GiveUp(); });
  const std::shared_ptr<ChunkWrite> oldest = running_.front();
  co_await Async<bool>([&](Completion<bool> done) { oldest->WaitFor(std::move(done)); });
  running_.pop_front();
  std::optional<db::ChunkOutcome> outcome = oldest->Outcome();
  if (outcome.has_value()) outcomes_.push_back(*std::move(outcome));
}

std::vector<db::ChunkOutcome> ChunkedLoad::TakeOutcomes() {
  return std::exchange(outcomes_, {});
}

Task<absl::Status> ChunkedLoad::Finish(const Context& ctx, std::string /*content*/) {
  while (!running_.empty()) co_await Reap(ctx);
  co_return given_up_;
}

}  // namespace sluice::sqlite
