#include "server/db/postgres/transaction.h"

#include <algorithm>
#include <stop_token>
#include <utility>

#include "absl/time/clock.h"

#include "server/async/executor.h"
#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::postgres {
namespace {

constexpr absl::Duration kEarly = absl::Milliseconds(20);
// How long a server that goes down waits for a COMMIT before its caller is told that it may have
// been applied; less than calls have in the end to answer at all.
constexpr absl::Duration kDownLimit = absl::Seconds(3);

// Stops what it is given to, a while after it was started. The call's own thread.
class Patience final : Timer {
 public:
  Patience() : Timer([](Timer* timer) { static_cast<Patience*>(timer)->over_.request_stop(); }) {}

  ~Patience() {
    if (executor_ != nullptr) executor_->CancelTimer(*this);
  }

  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

  void Start() {
    executor_ = Executor::Current();
    executor_->StartTimer(*this, kDownLimit);
  }

  std::stop_token over() const { return over_.get_token(); }

 private:
  std::stop_source over_;
  Executor* executor_ = nullptr;
};

using CursorOr = absl::StatusOr<std::unique_ptr<db::Cursor>>;
using ReadingOr = absl::StatusOr<std::shared_ptr<Reading>>;

// What the engine gives where nothing is asked for.
db::Isolation IsolationOf(const db::TransactionOptions& options) {
  if (options.isolation != db::Isolation::kDefault) return options.isolation;
  return options.read_only ? db::Isolation::kRepeatableRead : db::Isolation::kReadCommitted;
}

Task<void> DropSlot(std::shared_ptr<WorkSlot> slot) {
  co_await slot->Drop();
}

Task<void> DropReading(std::shared_ptr<Backend> backend,
                       std::shared_ptr<Work> work,
                       std::shared_ptr<Reading> reading,
                       bool own) {
  if (!own) {
    work->Abandon(*reading);
    co_return;
  }
  Caller nobody(backend->reactor());
  co_await work->Rollback(nobody);
}

// A transaction that reads to its end commits: what functions wrote stays.
Task<absl::StatusOr<db::Rows>> NextOf(Caller& caller,
                                      std::shared_ptr<Backend> backend,
                                      std::shared_ptr<Work> work,
                                      std::shared_ptr<Reading> reading,
                                      bool own) {
  absl::StatusOr<db::Rows> rows = co_await work->Next(caller, reading);
  if (own && rows.ok() && rows->end && work->state() == Work::State::kOpen) {
    Caller nobody(backend->reactor());
    CO_CHECK(co_await work->Commit(nobody, nullptr));
  }
  co_return rows;
}

}  // namespace

std::shared_ptr<Work> WorkSlot::Get() {
  if (work_ == nullptr) {
    work_ = std::make_shared<Work>(*backend_, options_,
                                   [slot = weak_from_this()](const Work::Change& change) {
                                     if (const std::shared_ptr<WorkSlot> alive = slot.lock())
                                       alive->Set(change);
                                   });
  }
  return work_;
}

void WorkSlot::Set(const Work::Change& change) {
  MutexLock lock(&mu_);
  standing_.state = change.state;
  standing_.why = change.why;
  standing_.commits_on = change.commits_on;
  standing_.committed = change.committed;
  standing_.durability = change.durability;
}

void WorkSlot::End(const absl::Status& why) {
  Get()->End(why);
}

Task<void> WorkSlot::Drop() {
  if (work_ == nullptr) co_return;
  const std::shared_ptr<Work> work = work_;
  Caller nobody(backend_->reactor());
  co_await work->Rollback(nobody);
  work_.reset();
}

db::TransactionStanding WorkSlot::standing() const {
  MutexLock lock(&mu_);
  return standing_;
}

Transaction::Transaction(Owner owner, db::TransactionOptions options)
    : owner_(std::move(owner)),
      isolation_(IsolationOf(options)),
      slot_(std::make_shared<WorkSlot>(owner_.backend, std::move(options))) {}

Transaction::~Transaction() {
  owner_.backend->reactor().PostFunction([slot = slot_] { Spawn(DropSlot(slot)); });
}

Task<absl::StatusOr<db::Rows>> Transaction::Execute(const Context& ctx, db::Statement statement) {
  const RunningRequests::Mark runs = owner_.requests->Add(statement.request);
  absl::StatusOr<db::Rows> rows = co_await owner_.backend->Run<absl::StatusOr<db::Rows>>(
      ctx, [&](Caller& caller) { return slot_->Get()->Execute(caller, statement); });
  co_return rows;
}

Task<CursorOr> Transaction::Open(const Context& ctx, db::Statement statement) {
  const RunningRequests::Mark runs = owner_.requests->Add(statement.request);
  std::shared_ptr<Work> work;
  CO_TRY(std::shared_ptr<Reading> reading,
         co_await owner_.backend->Run<ReadingOr>(ctx, [&](Caller& caller) {
           work = slot_->Get();
           return work->Open(caller, statement);
         }));
  co_return std::make_unique<WorkCursor>(owner_, std::move(work), std::move(reading),
                                         /*own=*/false);
}

Task<absl::StatusOr<db::BatchResults>> Transaction::ExecuteBatch(const Context& ctx,
                                                                 const db::Batch& batch) {
  const RunningRequests::Mark runs = owner_.requests->Add(batch.request);
  absl::StatusOr<db::BatchResults> results =
      co_await owner_.backend->Run<absl::StatusOr<db::BatchResults>>(ctx, [&](Caller& caller) {
        return slot_->Get()->ExecuteBatch(caller, batch, /*commits=*/false);
      });
  co_return results;
}

Task<absl::StatusOr<std::unique_ptr<db::Load>>> Transaction::OpenLoad(const Context& /*ctx*/,
                                                                      db::LoadTarget target) {
  co_return std::make_unique<WorkLoad>(owner_, slot_, std::move(target));
}

Task<absl::Status> Transaction::Commit(const db::RequestKey* key) {
  const Context nobody;
  absl::Status status = co_await CommitFor(nobody, key);
  co_return status;
}

Task<absl::Status> Transaction::CommitFor(const Context& ctx, const db::RequestKey* key) {
  const RunningRequests::Mark runs = owner_.requests->Add(key);
  // Who goes away does not end it.
  Patience patience;
  const std::stop_callback on_stop(ctx.stop, [&] {
    if (ctx.cause != nullptr && *ctx.cause == StopCause::kDraining) patience.Start();
  });
  Context listens;
  listens.stop = patience.over();
  listens.cause = ctx.cause;
  // He is told a little earlier, while he still listens.
  listens.deadline =
      ctx.deadline - std::clamp((ctx.deadline - absl::Now()) / 10, absl::ZeroDuration(), kEarly);
  absl::Status status = co_await owner_.backend->Run<absl::Status>(
      listens, [&](Caller& caller) { return slot_->Get()->Commit(caller, key); });
  co_return status;
}

Task<void> Transaction::Rollback() {
  const Context nobody;
  const bool done = co_await owner_.backend->Run<bool>(
      nobody, [&](Caller& caller) { return RollbackOf(slot_->Get(), caller); });
  static_cast<void>(done);
}

Task<bool> Transaction::RollbackOf(std::shared_ptr<Work> work, Caller& caller) {
  co_await work->Rollback(caller);
  co_return true;
}

Task<absl::Status> Transaction::Savepoint(const Context& ctx, int number) {
  absl::Status status = co_await owner_.backend->Run<absl::Status>(
      ctx, [&](Caller& caller) { return slot_->Get()->Savepoint(caller, number); });
  co_return status;
}

Task<absl::Status> Transaction::RollbackTo(const Context& ctx, int number) {
  absl::Status status = co_await owner_.backend->Run<absl::Status>(
      ctx, [&](Caller& caller) { return slot_->Get()->RollbackTo(caller, number); });
  co_return status;
}

Task<absl::Status> Transaction::Release(const Context& ctx, int number) {
  absl::Status status = co_await owner_.backend->Run<absl::Status>(
      ctx, [&](Caller& caller) { return slot_->Get()->Release(caller, number); });
  co_return status;
}

void Transaction::End(const absl::Status& why) {
  owner_.backend->reactor().PostFunction([slot = slot_, why] { slot->End(why); });
}

WorkCursor::~WorkCursor() {
  owner_.backend->reactor().PostFunction(
      [backend = owner_.backend, work = std::move(work_), reading = std::move(reading_),
       own = own_] { Spawn(DropReading(backend, work, reading, own)); });
}

Task<absl::StatusOr<db::Rows>> WorkCursor::Next(const Context& ctx) {
  absl::StatusOr<db::Rows> rows = co_await owner_.backend->Run<absl::StatusOr<db::Rows>>(
      ctx, [&](Caller& caller) { return NextOf(caller, owner_.backend, work_, reading_, own_); });
  co_return rows;
}

WorkLoad::WorkLoad(Owner owner, std::shared_ptr<WorkSlot> slot, db::LoadTarget target)
    : owner_(std::move(owner)),
      work_(std::move(slot)),
      target_(std::move(target)),
      runs_(owner_.requests->Add(target_.key.has_value() ? &*target_.key : nullptr)) {}

WorkLoad::~WorkLoad() {
  owner_.backend->reactor().PostFunction(
      [backend = owner_.backend, slot = slot_] { Spawn(DropLoading(backend, slot)); });
}

Task<void> WorkLoad::DropLoading(std::shared_ptr<Backend> backend, std::shared_ptr<Slot> slot) {
  if (!slot->loading.has_value()) co_return;
  Caller nobody(backend->reactor());
  co_await slot->loading->Abandon(nobody);
  slot->loading.reset();
}

Loading& WorkLoad::LoadingOf(Slot& slot) {
  if (!slot.loading.has_value()) {
    slot.loading.emplace(*owner_.backend, work_ == nullptr ? nullptr : work_->Get(), target_);
  }
  return *slot.loading;
}

// Between two calls the reactor does not touch it.
void WorkLoad::TakeOver() {
  if (!slot_->loading.has_value()) return;
  stopped_ = slot_->loading->stopped();
  for (db::ChunkOutcome& outcome : slot_->loading->TakeOutcomes()) {
    outcomes_.push_back(std::move(outcome));
  }
}

Task<absl::Status> WorkLoad::Add(const Context& ctx, db::LoadChunk chunk, std::string content) {
  absl::Status status = co_await owner_.backend->Run<absl::Status>(ctx, [&](Caller& caller) {
    return LoadingOf(*slot_).Add(caller, std::move(chunk), std::move(content));
  });
  TakeOver();
  co_return status;
}

Task<absl::Status> WorkLoad::Finish(const Context& ctx, std::string content) {
  absl::Status status = co_await owner_.backend->Run<absl::Status>(
      ctx, [&](Caller& caller) { return LoadingOf(*slot_).Finish(caller, std::move(content)); });
  TakeOver();
  co_return status;
}

}  // namespace sluice::postgres
