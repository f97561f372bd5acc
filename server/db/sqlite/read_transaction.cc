#include "server/db/sqlite/read_transaction.h"

#include <algorithm>
#include <utility>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/await.h"
#include "server/db/sqlite/batch_write.h"
#include "server/db/sqlite/database.h"
#include "server/db/sqlite/readers.h"
#include "server/db/sqlite/transaction_write.h"

namespace sluice::sqlite {
namespace {

using Known = StatementBook::Known;

// Each has a connection of its own.
constexpr size_t kMostSnapshots = 64;

// Whether a statement that ended like this ends the transaction, given whether it ran at all.
bool Fails(const absl::Status& status, bool ran) {
  if (status.ok() || !ran) return false;
  const bool ended =
      absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status);
  return ended || !LeavesTransaction(status);
}

// A read that runs in a snapshot, on its connection instead of the reader's own.
template <class Read>
class OnSnapshot final : public Read {
 public:
  template <class... Arguments>
  OnSnapshot(ReadSnapshot& snapshot, const Context& ctx, Arguments&&... arguments)
      : Read(ctx, std::forward<Arguments>(arguments)...), snapshot_(snapshot), call_(ctx) {}

  void Run(Connection& /*own*/) override {
    const absl::StatusOr<Connection*> connection = snapshot_.Enter(*this, /*continues=*/false);
    entered_ = connection.ok();
    if (!entered_) return this->Fail(connection.status());
    ran_ = !DeadlinePassed(call_);
    Read::Run(**connection);
  }

  void Answer() override {
    const auto& result = this->result();
    const absl::Status status = result.has_value() ? result->status() : absl::OkStatus();
    if (entered_) {
      const absl::Status why = snapshot_.Leave(Fails(status, ran_));
      if (!why.ok()) this->Fail(why);
    }
    Read::Answer();
  }

 private:
  ReadSnapshot& snapshot_;
  const Context& call_;
  bool entered_ = false;
  bool ran_ = false;
};

// The next chunk of a statement in a snapshot; the first step begins it.
class ChunkRead final : public Work {
 public:
  using Result = absl::StatusOr<db::Rows>;

  // `statement`: of the first step, else null.
  ChunkRead(ReadSnapshot& snapshot,
            const Context& ctx,
            const db::Statement* statement,
            DatabaseFile& file,
            const WorkQueue& queue)
      : snapshot_(snapshot), ctx_(ctx), statement_(statement), file_(file), queue_(queue) {}

  void WaitFor(Completion<Result> done) { done_.emplace(std::move(done)); }

  void Run(Connection& /*own*/) override {
    absl::StatusOr<Connection*> connection = snapshot_.Enter(*this, statement_ == nullptr);
    entered_ = connection.ok();
    if (!entered_) {
      result_ = connection.status();
      return;
    }
    MayInterrupt(**connection);
    ran_ = !DeadlinePassed(ctx_);
    result_ = ran_ ? Read(**connection) : errors::DeadlineExceeded(errors::Executed::kNo);
    if (!result_.ok() || result_->end) snapshot_.reading().reset();
    file_.Note(result_.status());
  }

  void Answer() override {
    if (entered_) {
      absl::Status why = snapshot_.Leave(Fails(result_.status(), ran_));
      if (!why.ok()) result_ = std::move(why);
    }
    done_->Resolve(std::move(result_));
  }

  void Refuse(const absl::Status& why) override { done_->Resolve(why); }

 private:
  absl::Status Begin(Connection& connection) {
    TRY(Prepared* const prepared, connection.Prepare(statement_->sql()));
    if (prepared->writes) {
      file_.book().Learn(statement_->sql(), Known::kWrites);
      return errors::ReadOnlyViolation("the transaction is read-only");
    }
    TRY_STATUS(connection.Bind(*prepared, statement_->params(), statement_->named_params()));
    snapshot_.reading().emplace(connection, *prepared, statement_->chunk_bytes);
    return absl::OkStatus();
  }

  Result Read(Connection& connection) {
    const absl::Duration longest = file_.settings().max_snapshot_age;
    watch_.deadline = std::min(SteadyDeadline(ctx_.deadline), Clock::System().Steady() + longest);
    if (statement_ != nullptr) {
      TRY_STATUS(Begin(connection));
    }
    if (!snapshot_.reading().has_value()) {
      return errors::Internal("A cursor was read on after its end.");
    }
    absl::StatusOr<db::Rows> chunk = snapshot_.reading()->Next(&watch_);
    if (!chunk.ok()) {
      return WhyEnded(chunk.status(), watch_, ctx_, longest, queue_.closed(),
                      errors::Executed::kNo);
    }
    return chunk;
  }

  ReadSnapshot& snapshot_;
  const Context& ctx_;
  const db::Statement* const statement_;
  DatabaseFile& file_;
  const WorkQueue& queue_;
  std::optional<Completion<Result>> done_;
  bool entered_ = false;
  bool ran_ = false;
  Result result_ = db::Rows();
};

}  // namespace

absl::Status ReadSnapshots::Add(const std::shared_ptr<ReadSnapshot>& snapshot) {
  MutexLock lock(&mu_);
  if (closed_) return errors::PoolClosed();
  open_.emplace(snapshot.get(), snapshot);
  return absl::OkStatus();
}

absl::Status ReadSnapshots::TakePlace() {
  MutexLock lock(&mu_);
  if (taken_ >= kMostSnapshots) {
    return errors::PoolExhausted("read-only transactions", kMostSnapshots);
  }
  ++taken_;
  return absl::OkStatus();
}

void ReadSnapshots::GivePlace() {
  MutexLock lock(&mu_);
  --taken_;
}

void ReadSnapshots::Remove(const ReadSnapshot& snapshot) {
  MutexLock lock(&mu_);
  open_.erase(&snapshot);
}

void ReadSnapshots::Relieve(int64_t limit_bytes) {
  for (const auto& snapshot : Alive()) snapshot->Relieve(limit_bytes);
}

void ReadSnapshots::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
  }
  const absl::Status why = errors::ServerDraining(errors::Executed::kRolledBack);
  for (const auto& snapshot : Alive()) snapshot->End(why);
}

std::vector<std::shared_ptr<ReadSnapshot>> ReadSnapshots::Alive() {
  std::vector<std::shared_ptr<ReadSnapshot>> snapshots;
  MutexLock lock(&mu_);
  for (const auto& [pointer, snapshot] : open_) {
    if (std::shared_ptr<ReadSnapshot> alive = snapshot.lock())
      snapshots.push_back(std::move(alive));
  }
  return snapshots;
}

ReadSnapshot::~ReadSnapshot() {
  snapshots_.Remove(*this);
}

absl::StatusOr<Connection*> ReadSnapshot::Enter(Work& work, bool continues) {
  {
    MutexLock lock(&mu_);
    if (!why_.ok()) return why_;
    if (gone_) return errors::Internal("A statement came after the end of its transaction.");
    running_ = &work;
  }
  if (!continues) reading_.reset();
  absl::Status open = connection_ == nullptr ? Open() : absl::OkStatus();
  if (open.ok()) return connection_.get();
  MutexLock lock(&mu_);
  running_ = nullptr;
  return why_.ok() ? open : why_;
}

absl::Status ReadSnapshot::Open() {
  TRY_STATUS(file_.Check());
  TRY_STATUS(snapshots_.TakePlace());
  absl::Status opened = OpenConnection();
  if (!opened.ok()) snapshots_.GivePlace();
  return opened;
}

absl::Status ReadSnapshot::OpenConnection() {
  TRY(auto connection, snapshots_.cursors().TakeConnection());
  TRY_STATUS(connection->Run("BEGIN"));
  connection_ = std::move(connection);
  MutexLock lock(&mu_);
  end_ = Clock::System().Steady() + file_.settings().max_snapshot_age;
  return absl::OkStatus();
}

absl::Status ReadSnapshot::Leave(bool fails) {
  std::unique_ptr<Connection> connection;
  absl::Status why;
  {
    MutexLock lock(&mu_);
    running_ = nullptr;
    failed_ = failed_ || fails;
    // Where memory runs out, the engine ends the transaction by itself.
    const bool lost = connection_ != nullptr && !connection_->InTransaction();
    if (lost || (failed_ && savepoints_.empty())) gone_ = true;
    if (gone_) connection = TakeOut();
    why = why_;
  }
  Free(std::move(connection));
  return why;
}

void ReadSnapshot::ChangeSavepoint(SavepointAction action, int number) {
  MutexLock lock(&mu_);
  savepoints_.Change(action, number);
  if (action == SavepointAction::kRollBackTo) failed_ = false;
}

void ReadSnapshot::End(const absl::Status& why) {
  std::unique_ptr<Connection> connection;
  {
    MutexLock lock(&mu_);
    if (gone_) return;
    gone_ = true;
    why_ = why;
    // Under the lock, which Leave takes too: until then the work is there.
    if (running_ != nullptr) {
      readers_.Cancel(*running_);
    } else {
      connection = TakeOut();
    }
  }
  Free(std::move(connection));
}

void ReadSnapshot::Relieve(int64_t journal_bytes) {
  {
    MutexLock lock(&mu_);
    if (end_ == absl::InfiniteDuration()) return;  // it has read nothing yet
  }
  End(errors::SnapshotInTheWay(journal_bytes));
}

std::unique_ptr<Connection> ReadSnapshot::TakeOut() {
  reading_.reset();
  return std::move(connection_);
}

void ReadSnapshot::Free(std::unique_ptr<Connection> connection) {
  if (connection == nullptr) return;
  const bool ended = !connection->InTransaction() || connection->Run("ROLLBACK").ok();
  if (ended) snapshots_.cursors().ReturnConnection(std::move(connection));
  snapshots_.GivePlace();
}

db::TransactionStanding ReadSnapshot::standing() const {
  db::TransactionStanding standing;
  MutexLock lock(&mu_);
  if (failed_) standing.state = db::TransactionStanding::State::kFailed;
  if (gone_) standing.state = db::TransactionStanding::State::kGone;
  standing.why = why_;
  standing.end = end_;
  return standing;
}

// A statement in a snapshot, in the hands of a call.
class ReadTransactionCursor final : public db::Cursor {
 public:
  ReadTransactionCursor(std::shared_ptr<Database> database,
                        std::shared_ptr<ReadSnapshot> snapshot,
                        db::Rows first)
      : database_(std::move(database)), snapshot_(std::move(snapshot)), first_(std::move(first)) {}

  Task<absl::StatusOr<db::Rows>> Next(const Context& ctx) override {
    if (first_.has_value()) {
      db::Rows first = *std::move(first_);
      first_.reset();
      co_return first;
    }
    WorkQueue& readers = database_->readers_.queue();
    ChunkRead read(*snapshot_, ctx, nullptr, database_->file_, readers);
    absl::StatusOr<db::Rows> chunk = co_await Await(ctx, database_->Side(), readers, read);
    co_return chunk;
  }

 private:
  const std::shared_ptr<Database> database_;
  const std::shared_ptr<ReadSnapshot> snapshot_;
  std::optional<db::Rows> first_;
};

ReadTransaction::ReadTransaction(std::shared_ptr<Database> database,
                                 std::shared_ptr<ReadSnapshot> snapshot)
    : database_(std::move(database)), snapshot_(std::move(snapshot)) {}

ReadTransaction::~ReadTransaction() {
  snapshot_->End(absl::OkStatus());
}

Task<absl::StatusOr<db::Rows>> ReadTransaction::Execute(const Context& ctx,
                                                        db::Statement statement) {
  WorkQueue& readers = database_->readers_.queue();
  OnSnapshot<UnaryRead> read(*snapshot_, ctx, statement, database_->file_, readers,
                             /*short_read=*/false);
  UnaryRead::Result rows = co_await Await(ctx, database_->Side(), readers, read);
  if (rows.has_value()) co_return *std::move(rows);
  co_return errors::ReadOnlyViolation("the transaction is read-only");
}

Task<absl::StatusOr<std::unique_ptr<db::Cursor>>> ReadTransaction::Open(const Context& ctx,
                                                                        db::Statement statement) {
  WorkQueue& readers = database_->readers_.queue();
  ChunkRead read(*snapshot_, ctx, &statement, database_->file_, readers);
  CO_TRY(db::Rows first, co_await Await(ctx, database_->Side(), readers, read));
  co_return std::make_unique<ReadTransactionCursor>(database_, snapshot_, std::move(first));
}

Task<absl::StatusOr<db::BatchResults>> ReadTransaction::ExecuteBatch(const Context& ctx,
                                                                     const db::Batch& batch) {
  WorkQueue& readers = database_->readers_.queue();
  OnSnapshot<BatchRead> read(*snapshot_, ctx, batch, /*may_write=*/false, database_->file_, readers,
                             /*nested=*/true);
  BatchRead::Result results = co_await Await(ctx, database_->Side(), readers, read);
  if (results.has_value()) co_return *std::move(results);
  co_return errors::ReadOnlyViolation("the transaction is read-only");
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> ReadTransaction::OpenLoad(
    const Context& /*ctx*/, db::LoadTarget /*target*/) {
  co_return errors::ReadOnlyViolation("the transaction is read-only");
}

Task<absl::Status> ReadTransaction::Commit(const db::RequestKey* /*key*/) {
  absl::Status why = snapshot_->standing().why;
  snapshot_->End(absl::OkStatus());
  co_return why;
}

Task<void> ReadTransaction::Rollback() {
  snapshot_->End(absl::OkStatus());
  co_return;
}

Task<absl::Status> ReadTransaction::Savepoint(const Context& /*ctx*/, int number) {
  return ChangeSavepoint(SavepointAction::kSet, number);
}

Task<absl::Status> ReadTransaction::RollbackTo(const Context& /*ctx*/, int number) {
  return ChangeSavepoint(SavepointAction::kRollBackTo, number);
}

Task<absl::Status> ReadTransaction::Release(const Context& /*ctx*/, int number) {
  return ChangeSavepoint(SavepointAction::kRelease, number);
}

Task<absl::Status> ReadTransaction::ChangeSavepoint(SavepointAction action, int number) {
  absl::Status why = snapshot_->standing().why;
  if (why.ok()) snapshot_->ChangeSavepoint(action, number);
  co_return why;
}

}  // namespace sluice::sqlite
