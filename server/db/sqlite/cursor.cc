#include "server/db/sqlite/cursor.h"

#include <stop_token>
#include <utility>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

// Cursors that may be open at once; each has a connection of its own.
constexpr size_t kMostCursors = 64;
// Connections that are kept for the next cursor.
constexpr size_t kMostIdle = 4;

using Known = StatementBook::Known;

}  // namespace

absl::StatusOr<std::shared_ptr<Stream>> Cursors::Admit(const Context& ctx,
                                                       const db::Statement& statement) {
  auto stream = std::make_shared<Stream>(*this, ctx, statement);
  MutexLock lock(&mu_);
  if (closed_) return errors::PoolClosed();
  if (open_.size() >= kMostCursors) return errors::PoolExhausted("open cursors", kMostCursors);
  open_.emplace(stream.get(), stream);
  return stream;
}

void Cursors::Relieve(int64_t limit_bytes) {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    MutexLock lock(&mu_);
    streams = Alive();
  }
  for (const auto& stream : streams) stream->Relieve(limit_bytes);
}

std::vector<std::shared_ptr<Stream>> Cursors::Alive() {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [pointer, stream] : open_) {
    if (std::shared_ptr<Stream> alive = stream.lock()) streams.push_back(std::move(alive));
  }
  return streams;
}

void Cursors::Close() {
  std::vector<std::shared_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Connection>> idle;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    idle.swap(idle_);
    streams = Alive();
  }
  for (const std::shared_ptr<Stream>& stream : streams) stream->End(errors::PoolClosed());
}

absl::StatusOr<std::unique_ptr<Connection>> Cursors::TakeConnection() {
  {
    MutexLock lock(&mu_);
    if (closed_) return errors::PoolClosed();
    if (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  return file_.OpenReader(file_.settings().busy_timeout);
}

void Cursors::ReturnConnection(std::unique_ptr<Connection> connection) {
  MutexLock lock(&mu_);
  if (!closed_ && idle_.size() < kMostIdle) idle_.push_back(std::move(connection));
}

void Cursors::Remove(Stream& stream) {
  MutexLock lock(&mu_);
  open_.erase(&stream);
}

Stream::Stream(Cursors& cursors, const Context& ctx, const db::Statement& statement)
    : cursors_(cursors),
      sql_(statement.sql()),
      params_(statement.params()),
      named_params_(statement.named_params()),
      chunk_bytes_(statement.chunk_bytes),
      deadline_(ctx.deadline) {}

Stream::~Stream() {
  cursors_.Remove(*this);
}

void Stream::Take(Completion<Result> done) {
  std::optional<Result> result;
  bool read_on = false;
  {
    MutexLock lock(&mu_);
    if (!ended_.ok()) {
      result.emplace(ended_);
    } else if (ready_.has_value()) {
      result.emplace(*std::move(ready_));
      ready_.reset();
    } else if (facts_.has_value()) {
      result.emplace(*facts_);
    } else {
      waiter_.emplace(std::move(done));
    }
    read_on = ended_.ok() && !facts_.has_value() && !scheduled_;
    if (read_on) Schedule();
  }
  if (read_on) cursors_.readers_.PushOwn(*this);
  if (result.has_value()) done.Resolve(*std::move(result));
}

bool Stream::writes() const {
  MutexLock lock(&mu_);
  return writes_;
}

absl::Duration Stream::expiry() const {
  MutexLock lock(&mu_);
  return expiry_;
}

void Stream::Run(Connection&) {
  produced_ = Produced();
  {
    MutexLock lock(&mu_);
    if (!ended_.ok()) return;
  }
  produced_ = Produce();
  cursors_.file_.Note(produced_.status);
}

Stream::Produced Stream::Produce() {
  Produced produced;
  if (!maker_.has_value()) {
    const absl::Status begun = Begin(produced.writes);
    produced.status = Why(begun);
    if (!begun.ok() || produced.writes) return produced;
  }
  MayInterrupt(*held_.connection);
  absl::StatusOr<std::optional<db::Rows>> chunk = maker_->Next(&watch_);
  if (!chunk.ok()) {
    produced.status = Why(chunk.status());
    return produced;
  }
  produced.chunk = *std::move(chunk);
  if (maker_->done() || !produced.chunk.has_value()) {
    produced.facts = EndOf(*held_.connection, *held_.prepared, *maker_);
  }
  return produced;
}

absl::Status Stream::Why(const absl::Status& failure) const {
  const absl::Duration max_age = cursors_.file_.settings().max_snapshot_age;
  if (watch_.ended == Watch::Ended::kDeadline) return errors::SnapshotTooOld(max_age);
  // Whoever stops a stream says why through End; else it is the readers that are being closed.
  const Context nobody{};
  return WhyEnded(failure, watch_, nobody, max_age, /*closing=*/true, errors::Executed::kNo);
}

absl::Status Stream::Begin(bool& writes) {
  if (deadline_ <= Clock::System().Unset()) return errors::DeadlineExceeded(errors::Executed::kNo);
  DatabaseFile& file = cursors_.file_;
  TRY_STATUS(file.Check());
  TRY(held_.connection, cursors_.TakeConnection());
  MayInterrupt(*held_.connection);
  TRY(Prepared* const prepared, held_.connection->Prepare(sql_));
  writes = prepared->writes;
  if (writes) {
    file.book().Learn(sql_, Known::kWrites);
    return absl::OkStatus();
  }
  TRY_STATUS(held_.connection->Bind(*prepared, params_, named_params_));
  held_.prepared = prepared;
  maker_.emplace(*held_.connection, *prepared, chunk_bytes_);
  watch_.deadline = Clock::System().Steady() + file.settings().max_snapshot_age;
  MutexLock lock(&mu_);
  expiry_ = watch_.deadline;
  return absl::OkStatus();
}

void Stream::Answer() {
  std::shared_ptr<Stream> kept;
  Held held;
  std::optional<Completion<Result>> waiter;
  std::optional<Result> result;
  bool read_on = false;
  {
    MutexLock lock(&mu_);
    kept = std::move(kept_);
    scheduled_ = false;
    Produced produced = std::move(produced_);
    writes_ = produced.writes;
    if (writes_) produced.status = errors::Internal("A statement that writes was to be streamed.");
    if (ended_.ok()) ended_ = produced.status;
    if (ended_.ok()) {
      facts_ = std::move(produced.facts);
      ready_ = std::move(produced.chunk);
    }
    if (!ended_.ok() || facts_.has_value()) held = TakeOut();

    waiter.swap(waiter_);
    if (waiter.has_value() && !ended_.ok()) {
      result.emplace(ended_);
    } else if (waiter.has_value() && ready_.has_value()) {
      result.emplace(*std::move(ready_));
      ready_.reset();
      read_on = !facts_.has_value();
      if (read_on) Schedule();
    } else if (waiter.has_value()) {
      result.emplace(*facts_);
    }
  }
  Free(std::move(held));
  if (read_on) cursors_.readers_.PushOwn(*this);
  if (waiter.has_value()) waiter->Resolve(*std::move(result));
}

bool Stream::Expire() {
  return LetGo(errors::SnapshotTooOld(cursors_.file_.settings().max_snapshot_age));
}

void Stream::Relieve(int64_t journal_bytes) {
  if (expiry() == absl::InfiniteDuration()) return;  // it has no snapshot yet
  LetGo(errors::SnapshotInTheWay(journal_bytes));
}

bool Stream::LetGo(const absl::Status& why) {
  {
    MutexLock lock(&mu_);
    if (!ended_.ok() || facts_.has_value()) return false;
  }
  End(why);
  return true;
}

void Stream::End(const absl::Status& why, bool removed) {
  std::shared_ptr<Stream> kept;
  Held held;
  std::optional<Completion<Result>> waiter;
  bool busy = false;
  {
    MutexLock lock(&mu_);
    if (ended_.ok()) ended_ = why;
    ready_.reset();
    waiter.swap(waiter_);
    if (removed) {
      scheduled_ = false;
      kept = std::move(kept_);
    }
    busy = scheduled_;
    if (!busy) held = TakeOut();
  }
  // One that runs is interrupted, and its reader frees it, as it does with one that is about to be
  // queued or answered. Nobody schedules it again.
  if (busy && cursors_.readers_.Cancel(*this) == WorkQueue::Cancelled::kRemoved) {
    MutexLock lock(&mu_);
    scheduled_ = false;
    kept = std::move(kept_);
    held = TakeOut();
  }
  Free(std::move(held));
  if (waiter.has_value()) waiter->Resolve(Result(why));
}

void Stream::Schedule() {
  scheduled_ = true;
  kept_ = shared_from_this();
}

Stream::Held Stream::TakeOut() {
  maker_.reset();
  return std::exchange(held_, Held());
}

void Stream::Free(Held held) {
  if (held.connection == nullptr) return;
  // Until its statement is reset, the snapshot keeps the journal from being emptied.
  if (held.prepared != nullptr) held.connection->Reset(*held.prepared);
  cursors_.ReturnConnection(std::move(held.connection));
}

StreamCursor::StreamCursor(std::shared_ptr<const db::Database> database,
                           std::shared_ptr<Stream> stream,
                           db::Rows first)
    : database_(std::move(database)),
      stream_(std::move(stream)),
      executor_(*Executor::Current()),
      expiry_(*this),
      first_(std::move(first)) {
  executor_.StartTimer(expiry_, stream_->expiry() - Clock::System().Steady());
}

StreamCursor::~StreamCursor() {
  executor_.CancelTimer(expiry_);
  stream_->End(errors::Cancelled(errors::Executed::kNo));
}

void StreamCursor::Expire() {
  if (stream_->Expire()) first_.reset();
}

Task<absl::StatusOr<db::Rows>> StreamCursor::Next(const Context& ctx) {
  if (first_.has_value()) {
    db::Rows first = *std::move(first_);
    first_.reset();
    co_return first;
  }
  if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kNo);
  const std::stop_callback on_stop(ctx.stop,
                                   [&] { stream_->End(ctx.Stopped(errors::Executed::kNo)); });
  absl::StatusOr<db::Rows> chunk = co_await Async<Stream::Result>(
      [&](Completion<Stream::Result> done) { stream_->Take(std::move(done)); });
  co_return chunk;
}

Task<absl::StatusOr<db::Rows>> SpoolCursor::Next(const Context&) {
  co_return spool_.Take();
}

}  // namespace sluice::sqlite
