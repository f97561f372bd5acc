#include "server/db/sqlite/database.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/strings/match.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/lexer.h"
#include "server/db/sqlite/await.h"
#include "server/db/sqlite/recall.h"
#include "server/db/sqlite/write_transaction.h"

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

// By its first word.
bool MayRead(absl::string_view sql) {
  db::Lexer lexer(sql, db::Dialect::kSqlite);
  db::Token token = lexer.Next();
  while (token.kind == db::TokenKind::kSpace || token.kind == db::TokenKind::kComment) {
    token = lexer.Next();
  }
  constexpr absl::string_view kVerbs[] = {"SELECT", "WITH", "VALUES", "EXPLAIN", "PRAGMA"};
  return std::any_of(std::begin(kVerbs), std::end(kVerbs), [&](absl::string_view verb) {
    return absl::EqualsIgnoreCase(token.text, verb);
  });
}

// What has a request id may compile no longer, and still has its answer, which the writer knows.
bool MayBeRecorded(const db::Statement& statement, const absl::Status& failure) {
  if (statement.request == nullptr) return false;
  return absl::IsInvalidArgument(failure) || absl::IsNotFound(failure) ||
         absl::IsAlreadyExists(failure) || absl::IsFailedPrecondition(failure);
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
      writer_(file_, [this](int64_t bytes) { Relieve(bytes); }),
      cursors_(file_, readers_.queue()),
      copies_(file_, readers_.queue()) {}

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
      [this](absl::Status status) { EndOpening(std::move(status)); });
}

void Database::EndOpening(absl::Status status) {
  if (status.ok()) readers_.Start();
  std::vector<Completion<absl::Status>> waiting;
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kClosed && status.ok()) status = errors::PoolClosed();
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
  const absl::Status may_write = MayWrite(statement.read_only);
  if (known != Known::kWrites || !may_write.ok()) {
    UnaryRead read(ctx, statement, file_, readers_.queue(), known == Known::kFast);
    UnaryRead::Result rows = co_await Await(ctx, side, readers_.queue(), read);
    const bool look =
        rows.has_value() && may_write.ok() && MayBeRecorded(statement, rows->status());
    if (rows.has_value() && !look) co_return *std::move(rows);
    CO_CHECK(may_write);
  }
  UnaryWrite write(ctx, statement, file_, writer_.queue());
  absl::StatusOr<db::Rows> rows = co_await Await(ctx, side, writer_.queue(), write);
  co_return rows;
}

Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> Database::Open(const Context& ctx,
                                                                 db::Statement statement) {
  CO_CHECK(Usable(ctx));
  const Known known = file_.book().Find(statement.sql());
  const absl::Status may_write = MayWrite(statement.read_only);
  if (known != Known::kWrites || !may_write.ok()) {
    CO_TRY(const std::shared_ptr<Stream> stream, cursors_.Admit(ctx, statement));
    const std::stop_callback on_stop(ctx.stop,
                                     [&] { stream->End(ctx.Stopped(errors::Executed::kNo)); });
    Stream::Result first = co_await Async<Stream::Result>(
        [&](Completion<Stream::Result> done) { stream->Take(std::move(done)); });
    if (first.ok()) {
      co_return std::make_unique<StreamCursor>(shared_from_this(), stream, *std::move(first));
    }
    const bool look = may_write.ok() && MayBeRecorded(statement, first.status());
    if (!stream->writes() && !look) co_return first.status();
    CO_CHECK(may_write);
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

absl::Status Database::MayWrite(bool read_only) const {
  if (read_only) return errors::ReadOnlyViolation("the call is read-only");
  if (file_.options().read_only) return errors::ReadOnlyViolation("the connection is read-only");
  return absl::OkStatus();
}

Task<absl::Status> Database::KeepRequests(const Context& ctx) {
  CO_CHECK(Usable(ctx));
  co_return MayWrite(/*read_only=*/false);  // the table is made with its first row
}

Task<absl::StatusOr<std::optional<db::PoolStats>>> Database::InspectPool(const Context& /*ctx*/) {
  co_return std::nullopt;
}

Task<absl::StatusOr<db::DatabaseInfo>> Database::Inspect(const Context& ctx) {
  CO_CHECK(Usable(ctx));
  Inspection inspection(ctx, file_, readers_.queue());
  CO_TRY(db::DatabaseInfo info, co_await Await(ctx, Side(), readers_.queue(), inspection));
  info.database_name = name_;
  co_return info;
}

Task<absl::StatusOr<db::BatchResults>> Database::ExecuteBatch(const Context& ctx,
                                                              const db::Batch& batch) {
  CO_CHECK(Usable(ctx));
  const absl::Status may_write = MayWrite(batch.read_only);
  if (!may_write.ok() || MayOnlyRead(batch)) {
    BatchRead read(ctx, batch, may_write.ok(), file_, readers_.queue());
    BatchRead::Result results = co_await Await(ctx, Side(), readers_.queue(), read);
    if (results.has_value()) co_return *std::move(results);
    CO_CHECK(may_write);
  }
  BatchWrite write(ctx, batch, file_, writer_.queue());
  BatchWrite::Result results = co_await Await(ctx, Side(), writer_.queue(), write);
  co_return results;
}

bool Database::MayOnlyRead(const db::Batch& batch) {
  return std::all_of(batch.executions.begin(), batch.executions.end(), [&](const auto& each) {
    const Known known = file_.book().Find(each.statement.sql());
    return known == Known::kNothing ? MayRead(each.statement.sql()) : known != Known::kWrites;
  });
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> Database::OpenLoad(const Context& ctx,
                                                                   db::LoadTarget target) {
  CO_CHECK(Usable(ctx));
  CO_CHECK(MayWrite(/*read_only=*/false));
  std::shared_ptr<Database> self = shared_from_this();
  if (target.mode == db::BatchMode::kAtomic) {
    co_return std::make_unique<AtomicLoad>(std::move(self), SharedSide(), file_, writer_.queue(),
                                           std::move(target));
  }
  co_return std::make_unique<ChunkedLoad>(std::move(self), SharedSide(), file_, writer_.queue(),
                                          std::move(target));
}

absl::StatusOr<std::unique_ptr<db::Transaction>> Database::Begin(db::TransactionOptions options) {
  if (closing()) return errors::PoolClosed();
  if (!options.read_only) {
    TRY_STATUS(MayWrite(/*read_only=*/false));
    return std::make_unique<WriteTransaction>(shared_from_this(), std::move(options), file_,
                                              writer_.queue());
  }
  auto snapshot = std::make_shared<ReadSnapshot>(snapshots_, file_, readers_.queue());
  TRY_STATUS(snapshots_.Add(snapshot));
  return std::make_unique<ReadTransaction>(shared_from_this(), std::move(snapshot));
}

// What a reader finds is there. What it does not find may be on its way: the writer's turn comes
// when everything that was asked before is decided.
Task<absl::StatusOr<std::optional<db::BatchResults>>> Database::Recall(const Context& ctx,
                                                                       const db::RequestKey& key) {
  CO_CHECK(Usable(ctx));
  RecallRead read(ctx, key, file_);
  RecallRead::Result found = co_await Await(ctx, Side(), readers_.queue(), read);
  if (!found.ok() || found->has_value() || file_.options().read_only) co_return found;
  RecallWrite last(ctx, key, file_, writer_.queue());
  RecallWrite::Result certain = co_await Await(ctx, Side(), writer_.queue(), last);
  co_return certain;
}

// Where a COMMIT of its own is lost, what is on the disk is not known either.
Task<absl::StatusOr<db::Outcome>> Database::OutcomeOf(const Context& /*ctx*/,
                                                      std::string /*token*/,
                                                      std::string /*scope*/) {
  co_return errors::FieldNotImplemented("outcome_token");
}

Task<absl::StatusOr<std::unique_ptr<db::Snapshot>>> Database::Copy(const Context& ctx) {
  CO_CHECK(Usable(ctx));
  CO_TRY(const std::unique_ptr<Copies::Turn> turn, copies_.Begin());
  std::unique_ptr<ScratchFile> copy;
  while (copy == nullptr) {
    CopyStep step(ctx, copies_);
    CO_TRY(copy, co_await Await(ctx, Side(), readers_.queue(), step));
  }
  co_return std::make_unique<CopySnapshot>(shared_from_this(), copies_, std::move(copy));
}

Task<absl::StatusOr<std::string>> Database::ReadCopy(const Context& ctx,
                                                     const ScratchFile& copy,
                                                     int64_t offset,
                                                     int64_t most) {
  CopyRead read(copy, offset, most);
  absl::StatusOr<std::string> bytes = co_await Await(ctx, Side(), readers_.queue(), read);
  co_return bytes;
}

void Database::Relieve(int64_t journal_bytes) {
  cursors_.Relieve(journal_bytes);
  snapshots_.Relieve(journal_bytes);
  readers_.queue().Relieve(journal_bytes);
}

db::DatabaseLoad Database::Load() const {
  db::DatabaseLoad load;
  load.active = readers_.queue().running() + writer_.queue().running();
  load.queued = readers_.queue().waiting() + writer_.queue().waiting();
  load.queue_limit = readers_.queue().limit() + writer_.queue().limit();
  load.writer = writer_.stats();
  load.writer->hold = writer_.queue().hold();
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
  snapshots_.Close();
  cursors_.Close();
  readers_.Close();
  copies_.Close();
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
  return *ShareSide(executor);
}

std::shared_ptr<LoopSide> Database::SharedSide() {
  return ShareSide(*Executor::Current());
}

std::shared_ptr<LoopSide> Database::ShareSide(Executor& executor) {
  MutexLock lock(&mu_);
  std::shared_ptr<LoopSide>& side = sides_[&executor];
  if (side == nullptr) {
    side = std::make_shared<LoopSide>(executor, file_, readers_.queue(), writer_.queue());
    if (phase_ == Phase::kClosed) side->Close();
  }
  return side;
}

}  // namespace sluice::sqlite
