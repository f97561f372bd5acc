#include "server/db/sqlite/transaction_write.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/sqlite/limits.h"
#include "server/db/sqlite/request_log.h"

namespace sluice::sqlite {

bool LeavesTransaction(const absl::Status& failure) {
  const std::string reason = errors::ReasonOf(failure);
  if (reason == "REPLAY_TOO_LARGE") return true;
  if (errors::MetadataOf(failure, "executed") != "no") return false;
  if (reason == "VALUE_TOO_LARGE") return false;  // it ran
  return reason == "STATEMENT_REFUSED" || reason == "READ_ONLY_VIOLATION" ||
         errors::MetadataOf(failure, "sqlstate").empty();
}

TransactionWrite::TransactionWrite(std::string handle,
                                   std::string label,
                                   DatabaseFile& file,
                                   WorkQueue& queue)
    : Write(OwnContext::ctx, file, queue),
      handle_(std::move(handle)),
      label_(std::move(label)),
      writer_(queue) {}

absl::Status TransactionWrite::Enqueue() {
  absl::Status place = writer_.Reserve();
  if (!place.ok()) return place;
  kept_ = shared_from_this();
  phase_ = Phase::kQueued;
  queued_at_ = Clock::System().Steady();
  return absl::OkStatus();
}

void TransactionWrite::Submit(Write& command) {
  absl::Status refused;
  bool push = false;
  Connection* borrowed = nullptr;
  {
    MutexLock lock(&mu_);
    if (!why_.ok()) {
      refused = why_;
    } else if (phase_ == Phase::kGone) {
      refused = errors::Internal("A statement came after the end of its transaction.");
    } else {
      if (phase_ == Phase::kNew) {
        refused = Enqueue();
        push = refused.ok();
      }
      if (refused.ok()) borrowed = Borrow(command);
      if (refused.ok() && borrowed == nullptr) {
        command_ = &command;
        changed_.Signal();
      }
    }
  }
  if (!refused.ok()) {
    command.Refuse(refused);
  } else if (borrowed != nullptr) {
    RunBorrowed(*borrowed, command);
  } else if (push) {
    GetInLine();
  }
}

Connection* TransactionWrite::Borrow(Write& command) {
  if (idle_ == nullptr || HasWork()) return nullptr;
  running_ = &command;
  return std::exchange(idle_, nullptr);
}

void TransactionWrite::RunBorrowed(Connection& connection, Write& command) {
  After after = After::kOutgrown;
  const bool fits = !reading_.has_value() && !loading_ && command.FitsLoop(connection);
  if (fits) {
    connection.SetLongestValue(kMaxLoopValueBytes);
    after = RunCommand(connection, command, /*borrowed=*/true);
    connection.SetLongestValue(kMaxValueBytes);
  }
  GiveBack(connection, command, after);
  if (after == After::kGoesOn) command.Answer();
}

void TransactionWrite::GiveBack(Connection& connection, Write& command, After after) {
  MutexLock lock(&mu_);
  idle_ = &connection;
  running_ = nullptr;
  if (after == After::kOver) last_ = &command;
  if (after == After::kOutgrown) command_ = &command;
  if (HasWork()) changed_.Signal();
}

void TransactionWrite::GetInLine() {
  const std::shared_ptr<TransactionWrite> self = shared_from_this();
  WorkList works;
  works.PushBack(*this);
  writer_.Push(std::move(works));
  bool ended = false;
  {
    MutexLock lock(&mu_);
    ended = !why_.ok() && phase_ == Phase::kQueued;
  }
  if (ended) LeaveQueue();  // whoever ended it meanwhile did not find it there
}

void TransactionWrite::Commit(const db::RequestKey* key, Completion<absl::Status> done) {
  std::optional<absl::Status> now;
  bool push = false;
  {
    MutexLock lock(&mu_);
    if (!why_.ok()) {
      now = why_;
    } else if (phase_ == Phase::kNew && key == nullptr) {
      phase_ = Phase::kGone;  // nothing ran, so there is nothing to do
      now = absl::OkStatus();
    } else if (phase_ == Phase::kNew) {
      const absl::Status taken = Enqueue();
      push = taken.ok();
      if (!taken.ok()) now = taken;
    } else if (phase_ == Phase::kGone) {
      now = errors::Internal("COMMIT came after the end of its transaction.");
    }
    if (!now.has_value()) {
      ending_ = Ending::kCommit;
      key_ = key;
      ended_.emplace(std::move(done));
      changed_.Signal();
    }
  }
  if (now.has_value()) {
    done.Resolve(*std::move(now));
  } else if (push) {
    GetInLine();
  }
}

void TransactionWrite::Rollback(Completion<absl::Status> done) {
  bool queued = false;
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kHolding && ending_ == Ending::kNone) {
      ending_ = Ending::kRollback;
      ended_.emplace(std::move(done));
      changed_.Signal();
      return;
    }
    queued = phase_ == Phase::kQueued;
    if (queued) ending_ = Ending::kRollback;  // if it is begun before it has left the queue
    if (phase_ == Phase::kNew) phase_ = Phase::kGone;
  }
  if (queued) LeaveQueue();
  done.Resolve(absl::OkStatus());
}

void TransactionWrite::End(const absl::Status& why) {
  bool queued = false;
  {
    MutexLock lock(&mu_);
    if (phase_ == Phase::kGone || ending_ != Ending::kNone || !why_.ok()) return;
    why_ = why;
    if (phase_ == Phase::kNew) phase_ = Phase::kGone;
    queued = phase_ == Phase::kQueued;
    if (running_ != nullptr) running_->Interrupt();
    changed_.Signal();
  }
  if (queued) LeaveQueue();
}

// One that was begun meanwhile finds out by itself.
void TransactionWrite::LeaveQueue() {
  if (!writer_.Withdraw(*this)) return;
  absl::Status why;
  {
    MutexLock lock(&mu_);
    why = why_.ok() ? errors::Cancelled(errors::Executed::kNo) : why_;
  }
  Refuse(why);
}

bool TransactionWrite::Cancel(Write& command) {
  if (Withdraw(command)) return true;
  MutexLock lock(&mu_);
  if (running_ == &command) running_->Interrupt();
  return false;
}

bool TransactionWrite::Withdraw(Write& command) {
  {
    MutexLock lock(&mu_);
    if (command_ != &command) return false;
    command_ = nullptr;
    if (phase_ != Phase::kQueued) return true;
  }
  // The next statement gets in line anew.
  if (!writer_.Withdraw(*this)) return true;
  std::shared_ptr<TransactionWrite> kept;
  MutexLock lock(&mu_);
  phase_ = why_.ok() ? Phase::kNew : Phase::kGone;
  kept = std::move(kept_);
  return true;
}

db::TransactionStanding TransactionWrite::standing() const {
  db::TransactionStanding standing;
  standing.durability = db::Durability::kLocal;  // every COMMIT waits for the disk
  {
    MutexLock lock(&mu_);
    if (failed_) standing.state = db::TransactionStanding::State::kFailed;
    const bool gone = phase_ == Phase::kGone || !why_.ok();
    if (gone) standing.state = db::TransactionStanding::State::kGone;
    standing.why = why_;
    if (phase_ == Phase::kQueued) standing.waiting_since = queued_at_;
    if (phase_ == Phase::kHolding) {
      standing.writer_since = held_since_;
      standing.idle_limit = file_.settings().writer_idle;
      standing.end = held_since_ + file_.settings().writer_limit;
    }
  }
  if (standing.waiting_since.has_value()) standing.waits_for = writer_.hold();
  return standing;
}

void TransactionWrite::OnInterrupt() {
  MutexLock lock(&mu_);
  if (running_ != nullptr) running_->Interrupt();
  changed_.Signal();
}

absl::Status TransactionWrite::Apply(Connection& connection) {
  auto hold = std::make_shared<db::WriterHold>();
  hold->handle = handle_;
  hold->label = label_;
  hold->since = Clock::System().Steady();
  {
    MutexLock lock(&mu_);
    phase_ = Phase::kHolding;
    held_since_ = hold->since;
  }
  writer_.SetHold(std::move(hold));
  absl::Status status = Serve(connection);
  reading_.reset();  // whatever happened: it would keep COMMIT and ROLLBACK from working
  return status;
}

absl::Status TransactionWrite::Serve(Connection& connection) {
  while (Write* const command = NextCommand(connection)) {
    if (RunCommand(connection, *command, /*borrowed=*/false) == After::kOver) {
      MutexLock lock(&mu_);
      last_ = command;
      break;
    }
    if (command->status().ok()) command->LearnForLoop(connection);
    command->Answer();
  }
  Write* last = nullptr;
  {
    MutexLock lock(&mu_);
    last = last_;
  }
  if (last == nullptr) return Conclude(connection);
  if (last->status().ok()) last->Fail(errors::Cancelled(errors::Executed::kRolledBack));
  return last->status();
}

bool TransactionWrite::HasWork() const {
  return command_ != nullptr || last_ != nullptr || ending_ != Ending::kNone || !why_.ok() ||
         watch_.stop.load(std::memory_order_relaxed);
}

Write* TransactionWrite::NextCommand(Connection& connection) {
  MutexLock lock(&mu_);
  running_ = nullptr;
  idle_ = &connection;
  while (idle_ == nullptr || !HasWork()) changed_.Wait(&mu_);
  idle_ = nullptr;
  if (last_ != nullptr) return nullptr;
  // Also before a command that came at the same time: nobody would interrupt it any more.
  const bool stopped = watch_.stop.load(std::memory_order_relaxed);
  if (stopped && ending_ == Ending::kNone && why_.ok()) {
    why_ = errors::ServerDraining(errors::Executed::kRolledBack);
  }
  if (!why_.ok()) return nullptr;
  running_ = std::exchange(command_, nullptr);
  return running_;
}

TransactionWrite::After TransactionWrite::RunCommand(Connection& connection,
                                                     Write& command,
                                                     bool borrowed) {
  const bool guarded = command.may_be_undone();
  absl::Status ready = command.continues() ? absl::OkStatus() : TidyUp(connection);
  if (ready.ok() && guarded) ready = connection.Run("SAVEPOINT guard");
  if (!ready.ok()) {
    command.Fail(std::move(ready));
    return After::kOver;
  }
  command.Run(connection);
  absl::Status why;
  {
    MutexLock lock(&mu_);
    running_ = nullptr;
    why = why_;
  }
  if (!why.ok() && !command.status().ok()) command.Fail(std::move(why));
  if (connection.device_failed() || !connection.InTransaction()) return After::kOver;
  if (borrowed && command.OutgrewLoop()) return After::kOutgrown;
  // Who exceeded a bound undid what he did, or is undone now.
  const bool stands = command.status().ok() || LeavesTransaction(command.status()) ||
                      command.only_tries() ||
                      errors::ReasonOf(command.status()) == "AFFECTED_ROWS_EXCEEDED";
  if (guarded) {
    const absl::Status undone = UndoAlone(connection, command);
    if (!undone.ok()) {
      command.Fail(undone);
      return After::kOver;
    }
  }
  if (stands) return After::kGoesOn;
  MutexLock lock(&mu_);
  failed_ = true;
  return savepoints_.empty() ? After::kOver : After::kGoesOn;
}

absl::Status TransactionWrite::UndoAlone(Connection& connection, const Write& command) {
  if (command.only_tries() || !command.status().ok()) {
    TRY_STATUS(connection.Run("ROLLBACK TO guard"));
  }
  return connection.Run("RELEASE guard");
}

absl::Status TransactionWrite::Conclude(Connection& connection) {
  const db::RequestKey* key = nullptr;
  {
    MutexLock lock(&mu_);
    if (!why_.ok()) return why_;
    if (ending_ == Ending::kRollback) return errors::Cancelled(errors::Executed::kRolledBack);
    key = key_;
  }
  TRY_STATUS(TidyUp(connection));
  if (key == nullptr) return absl::OkStatus();
  RequestLog log(connection);
  TRY(const std::optional<RequestLog::Record> record, log.Find(*key));
  if (record.has_value()) {
    return errors::WithExecuted(errors::RequestIdReused(), errors::Executed::kRolledBack);
  }
  return log.Store(*key, {});
}

absl::Status TransactionWrite::ChangeSavepoint(Connection& connection,
                                               SavepointAction action,
                                               int number) {
  constexpr absl::string_view kVerbs[] = {"SAVEPOINT", "ROLLBACK TO", "RELEASE"};
  const absl::string_view verb = kVerbs[static_cast<int>(action)];
  TRY_STATUS(connection.Run(absl::StrCat(verb, " s", number).c_str()));
  MutexLock lock(&mu_);
  savepoints_.Change(action, number);
  if (action == SavepointAction::kRollBackTo) failed_ = false;
  return absl::OkStatus();
}

absl::Status TransactionWrite::TidyUp(Connection& connection) {
  reading_.reset();
  return loading_ ? FinishLoad(connection, /*keep=*/false) : absl::OkStatus();
}

absl::Status TransactionWrite::BeginLoad(Connection& connection) {
  TRY_STATUS(connection.Run("SAVEPOINT load"));
  loading_ = true;
  return absl::OkStatus();
}

absl::Status TransactionWrite::FinishLoad(Connection& connection, bool keep) {
  loading_ = false;
  if (!keep) {
    TRY_STATUS(connection.Run("ROLLBACK TO load"));
  }
  return connection.Run("RELEASE load");
}

void TransactionWrite::Answer() {
  writer_.SetHold(nullptr);
  std::shared_ptr<TransactionWrite> kept;
  std::optional<Completion<absl::Status>> ended;
  Write* last = nullptr;
  Write* late = nullptr;
  absl::Status outcome = status();
  {
    MutexLock lock(&mu_);
    phase_ = Phase::kGone;
    kept = std::move(kept_);
    ended.swap(ended_);
    last = last_;
    late = std::exchange(command_, nullptr);
    if (ending_ == Ending::kRollback) outcome = absl::OkStatus();
  }
  if (last != nullptr) last->Answer();
  if (late != nullptr) late->Refuse(outcome);
  if (ended.has_value()) ended->Resolve(std::move(outcome));
}

// It never had the writer. What could not be begun may be tried again, unless it was ended.
void TransactionWrite::Refuse(const absl::Status& why) {
  std::shared_ptr<TransactionWrite> kept;
  std::optional<Completion<absl::Status>> ended;
  Write* command = nullptr;
  {
    MutexLock lock(&mu_);
    phase_ = why_.ok() && ending_ == Ending::kNone ? Phase::kNew : Phase::kGone;
    kept = std::move(kept_);
    ended.swap(ended_);
    command = std::exchange(command_, nullptr);
  }
  if (command != nullptr) command->Refuse(why);
  if (ended.has_value()) ended->Resolve(why);
}

}  // namespace sluice::sqlite
