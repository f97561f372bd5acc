#include "server/db/sqlite/database.h"

#include <array>
#include <atomic>
#include <optional>
#include <stop_token>
#include <utility>

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

using Known = StatementBook::Known;

uint64_t NextSerial() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// The sides that this thread used last, by database.
struct RecentSide {
  uint64_t serial = 0;
  Executor* executor = nullptr;
  LoopSide* side = nullptr;
};

// Out of line: a coroutine that resumes on another thread must not keep the address.
__attribute__((noinline)) RecentSide& RecentSideOf(uint64_t serial) {
  thread_local std::array<RecentSide, 4> recent;
  return recent[serial % recent.size()];
}

// Hands the work to a queue, and waits for its result. A stopped call takes it out again while it
// waits, and asks it to end once it runs.
template <class W>
Task<typename W::Result> Await(const Context& ctx, LoopSide& side, WorkQueue& queue, W& work) {
  const std::stop_callback on_stop(ctx.stop, [&] {
    if (side.Cancel(queue, work)) work.Refuse(ctx.Stopped(errors::Executed::kNo));
  });
  typename W::Result result =
      co_await Async<typename W::Result>([&](Completion<typename W::Result> done) {
        work.WaitFor(std::move(done));
        const absl::Status taken = ctx.stop.stop_requested() ? ctx.Stopped(errors::Executed::kNo)
                                                             : side.Submit(queue, work);
        if (!taken.ok()) work.Refuse(taken);
      });
  co_return result;
}

}  // namespace

Database::Database(Location location,
                   const FileOptions& options,
                   const db::SqliteSettings& settings)
    : serial_(NextSerial()),
      name_(std::move(location.name)),
      folder_(std::move(location.folder)),
      file_(std::move(location.path), location.id, options, settings),
      readers_(file_),
      writer_(file_),
      cursors_(file_, readers_.queue()) {}

Database::~Database() {
  Close();
}

Task<absl::Status> Database::Opened() {
  const absl::Status status = co_await Async<absl::Status>(
      [&](Completion<absl::Status> done) { BeginOpening(std::move(done)); });
  co_return status;
}

void Database::BeginOpening(Completion<absl::Status> done) {
  absl::Status known;
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kNew || phase_ == Phase::kOpening) {
      opening_.push_back(std::move(done));
      if (std::exchange(phase_, Phase::kOpening) == Phase::kOpening) return;
    } else {
      known = phase_ == Phase::kClosed ? errors::PoolClosed() : open_failure_;
    }
  }
  if (done.pending()) {
    done.Resolve(std::move(known));
    return;
  }
  writer_.Start(
      [this]() -> absl::Status {
        if (file_.options().read_only) return absl::OkStatus();  // others may write then
        TRY(lock_, FileLock::Acquire(file_.path()));
        return absl::OkStatus();
      },
      [this](const absl::Status& status) { EndOpening(status); });
}

void Database::EndOpening(const absl::Status& status) {
  if (status.ok()) readers_.Start();
  std::vector<Completion<absl::Status>> waiting;
  {
    MutexLock lock(&mu_);
    open_failure_ = status;
    if (phase_ == Phase::kOpening) phase_ = status.ok() ? Phase::kOpen : Phase::kFailed;
    waiting.swap(opening_);
  }
  for (Completion<absl::Status>& done : waiting) done.Resolve(status);
}

absl::Status Database::Usable(const Context& ctx) {
  if (closing()) return errors::PoolClosed();
  if (ctx.stop.stop_requested()) return ctx.Stopped(errors::Executed::kNo);
  return file_.Check();
}

Task<absl::StatusOr<db::Rows>> Database::Execute(const Context& ctx, db::Statement statement) {
  CO_CHECK(Usable(ctx));
  if (file_.book().Find(statement.sql()) == Known::kFast && file_.settings().loop_budget > 0) {
    std::optional<absl::StatusOr<db::Rows>> rows = Side().TryRead(statement);
    if (rows.has_value()) co_return *std::move(rows);
  }
  absl::StatusOr<db::Rows> rows = co_await ExecuteElsewhere(ctx, statement);
  co_return rows;
}

Task<absl::StatusOr<db::Rows>> Database::ExecuteElsewhere(const Context& ctx,
                                                          const db::Statement& statement) {
  LoopSide& side = Side();
  const Known known = file_.book().Find(statement.sql());
  // What must not write is looked at by a reader in any case.
  if (known != Known::kWrites || !MayWrite(statement).ok()) {
    UnaryRead read(ctx, statement, file_, readers_.queue(), known == Known::kFast);
    UnaryRead::Result rows = co_await Await(ctx, side, readers_.queue(), read);
    if (rows.has_value()) co_return *std::move(rows);
    CO_CHECK(MayWrite(statement));
  }
  UnaryWrite write(ctx, statement, file_, writer_.queue());
  absl::StatusOr<db::Rows> rows = co_await Await(ctx, side, writer_.queue(), write);
  co_return rows;
}

Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Database::Open(const Context& ctx,
                                                                 db::Statement statement) {
  CO_CHECK(Usable(ctx));
  if (file_.book().Find(statement.sql()) != Known::kWrites || !MayWrite(statement).ok()) {
    CO_TRY(const std::shared_ptr<Stream> stream, cursors_.Admit(ctx, statement));
    const std::stop_callback on_stop(ctx.stop,
                                     [&] { stream->End(ctx.Stopped(errors::Executed::kNo)); });
    Stream::Result first = co_await Async<Stream::Result>(
        [&](Completion<Stream::Result> done) { stream->Take(std::move(done)); });
    if (first.ok()) {
      co_return std::make_unique<StreamCursor>(shared_from_this(), stream, *std::move(first));
    }
    if (!stream->writes()) co_return first.status();
    CO_CHECK(MayWrite(statement));
  }
  absl::StatusOr<std::unique_ptr<db::Cursor>> cursor = co_await OpenSpool(ctx, statement);
  co_return cursor;
}

Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Database::OpenSpool(
    const Context& ctx, const db::Statement& statement) {
  SpooledWrite write(ctx, statement, file_, writer_.queue());
  SpooledWrite::Result chunks = co_await Await(ctx, Side(), writer_.queue(), write);
  if (!chunks.ok()) co_return chunks.status();
  co_return std::make_unique<SpoolCursor>(shared_from_this(), *std::move(chunks));
}

absl::Status Database::MayWrite(const db::Statement& statement) const {
  if (statement.read_only) return errors::ReadOnlyViolation("the call is read-only");
  if (file_.options().read_only) return errors::ReadOnlyViolation("the connection is read-only");
  return absl::OkStatus();
}

Task<absl::StatusOr<db::DatabaseInfo>> Database::Inspect(const Context& ctx) {
  CO_CHECK(Usable(ctx));
  Inspection inspection(ctx, file_, readers_.queue());
  CO_TRY(db::DatabaseInfo info, co_await Await(ctx, Side(), readers_.queue(), inspection));
  info.database_name = name_;
  co_return info;
}

db::DatabaseLoad Database::Load() const {
  db::DatabaseLoad load;
  load.active = readers_.queue().running() + writer_.queue().running();
  load.queued = readers_.queue().waiting() + writer_.queue().waiting();
  load.queue_limit = readers_.queue().limit() + writer_.queue().limit();
  return load;
}

void Database::Close() {
  closing_.store(true, std::memory_order_release);
  MutexLock closer(&close_mu_);  // whoever comes second waits until it is done
  std::vector<std::shared_ptr<LoopSide>> sides;
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kClosed) return;
    if (phase_ == Phase::kNew) open_failure_ = errors::PoolClosed();
    phase_ = Phase::kClosed;
    for (const auto& [executor, side] : sides_) sides.push_back(side);
  }
  for (const std::shared_ptr<LoopSide>& side : sides) side->Close();
  cursors_.Close();
  readers_.Close();
  writer_.Close();  // last: with no reader left, it can empty the journal
  lock_.reset();
  folder_.reset();
  closed_.store(true, std::memory_order_release);
}

LoopSide& Database::Side() {
  Executor* const executor = Executor::Current();
  RecentSide& recent = RecentSideOf(serial_);
  if (recent.serial != serial_ || recent.executor != executor) [[unlikely]] {
    recent = RecentSide{.serial = serial_, .executor = executor, .side = &FindSide(*executor)};
  }
  return *recent.side;
}

LoopSide& Database::FindSide(Executor& executor) {
  MutexLock lock(&mu_);
  std::shared_ptr<LoopSide>& side = sides_[&executor];
  if (side == nullptr) {
    side = std::make_shared<LoopSide>(executor, file_, readers_.queue(), writer_.queue());
    if (phase_ == Phase::kClosed) side->Close();
  }
  return *side;
}

}  // namespace sluice::sqlite
