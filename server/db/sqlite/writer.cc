#include "server/db/sqlite/writer.h"

#include <algorithm>
#include <utility>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/log.h"
#include "server/base/status.h"

namespace sluice::sqlite {
namespace {

// SQLite waits for another process's lock in pieces this long, so that the writer can be closed in
// between.
constexpr absl::Duration kBusySlice = absl::Milliseconds(20);

// A group: few enough members that the first does not wait long for the last.
constexpr int kMostMembers = 256;
constexpr int64_t kMostBytes = 4 << 20;
// Callers that were answered together come back together, in about this time; waiting for them
// saves a commit. Beyond so many, what is there already is worth one.
constexpr absl::Duration kPatience = absl::Microseconds(30);
constexpr int kWorthWaitingFor = 64;

// Pages in the journal from which on they are copied into the database; and from which on it is
// worth a short wait for readers, so that the journal can start over.
constexpr int64_t kCopyPages = 1000;
constexpr int64_t kRestartPages = 4000;

absl::Duration Now() {
  return Clock::System().Steady();
}

}  // namespace

void Writer::Start(absl::AnyInvocable<absl::Status()> prepare,
                   absl::AnyInvocable<void(absl::Status)> opened) {
  MutexLock lock(&mu_);
  if (queue_.closed()) {
    opened(errors::PoolClosed());
    return;
  }
  thread_ = std::thread([this, prepare = std::move(prepare), opened = std::move(opened)]() mutable {
    absl::Status status = prepare();
    if (status.ok()) {
      absl::StatusOr<std::unique_ptr<Connection>> connection = Open();
      status = connection.status();
      if (status.ok()) connection_ = *std::move(connection);
    }
    const bool serves = status.ok();
    opened(std::move(status));
    if (serves) Serve();
    connection_.reset();
  });
}

absl::StatusOr<std::unique_ptr<Connection>> Writer::Open() {
  const absl::Duration until = Now() + file_.settings().busy_timeout;
  while (true) {
    auto connection = file_.OpenWriter(std::min(kBusySlice, file_.settings().busy_timeout));
    const bool again =
        absl::IsUnavailable(connection.status()) && !queue_.closed() && Now() < until;
    if (again) continue;
    if (connection.ok()) {
      TRY(page_bytes_, (*connection)->PageSize());
    }
    return connection;
  }
}

void Writer::Close() {
  queue_.Close();
  MutexLock lock(&mu_);
  if (thread_.joinable()) thread_.join();
}

void Writer::Serve() {
  restart_at_ = kRestartPages;
  GroupLimits limits;
  limits.most = kMostMembers;
  limits.most_bytes = kMostBytes;
  limits.patience = kPatience;
  WorkList taken;
  while (const int count = queue_.TakeGroup(taken, limits)) {
    RunGroup(taken, count);
    // One that came alone is likely to do so again, and must not wait.
    limits.expected = count <= kWorthWaitingFor ? count : 1;
    if (connection_ != nullptr) LookAfterJournal();
  }
  EmptyJournal();
}

void Writer::RunGroup(WorkList& taken, int count) {
  members_.clear();
  const absl::Status begun = BeginGroup();
  if (!begun.ok()) {
    RefuseTaken(taken, begun);
    return;
  }
  absl::Status status = RunMembers(taken, count == 1);
  if (status.ok()) status = Commit();
  if (!status.ok()) {
    if (connection_ != nullptr && connection_->InTransaction()) {
      connection_->Run("ROLLBACK").IgnoreError();
    }
    for (const Member& member : members_) {
      if (member.write->status().ok() && !member.write->only_tries()) member.write->Fail(status);
    }
    file_.Note(status);
  }
  AnswerMembers();
  RefuseTaken(taken, status);  // those that a fault of the device kept from their turn
}

absl::Status Writer::BeginGroup() {
  TRY_STATUS(file_.CheckNow());
  if (connection_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Connection>> connection = Open();
    if (!connection.ok()) return errors::WithExecuted(connection.status(), errors::Executed::kNo);
    connection_ = *std::move(connection);
  }
  const absl::Duration until = Now() + file_.settings().busy_timeout;
  while (true) {
    absl::Status begun = connection_->Run("BEGIN IMMEDIATE");
    if (begun.ok()) return begun;
    const bool again = absl::IsUnavailable(begun) && !queue_.closed() && Now() < until;
    if (!again) return errors::WithExecuted(std::move(begun), errors::Executed::kNo);
  }
}

// An error is a fault of the device, or of beginning anew: it is that of every member that has no
// failure of its own.
absl::Status Writer::RunMembers(WorkList& taken, bool alone) {
  for (size_t next = 0;;) {
    if (next == members_.size()) {
      Work* const work = queue_.Begin(taken);
      if (work == nullptr) return absl::OkStatus();
      counters_.Waited(Now() - work->queued());
      members_.push_back({.write = static_cast<Write*>(work), .answered = false});
    }
    Member& member = members_[next];
    if (member.answered) {
      ++next;
      continue;
    }
    const Left left = RunMember(*member.write, alone);
    if (left == Left::kBroken) return errors::WithoutDetails(member.write->status());
    if (left == Left::kWhole) {
      ++next;
      continue;
    }
    member.answered = !member.write->runs_again();
    if (alone && member.answered) return absl::OkStatus();
    counters_.RanAgain();
    const absl::Status begun = BeginGroup();
    if (!begun.ok()) {
      // Also those that failed: it may have been for what is gone now.
      for (Member& each : members_) {
        if (!each.answered) each.write->Fail(begun);
      }
      return begun;
    }
    next = 0;  // also those that failed: it may have been for what is gone now
  }
}

// A member that is alone needs no savepoint: what it did is all that the transaction holds.
Writer::Left Writer::RunMember(Write& write, bool alone) {
  Connection& connection = *connection_;
  if (!alone) {
    absl::Status begun = connection.Run("SAVEPOINT member");
    if (!begun.ok()) {
      write.Fail(std::move(begun));
      return connection.device_failed() ? Left::kBroken : Left::kLost;
    }
  }
  write.Run(connection);
  if (connection.device_failed()) return Left::kBroken;
  if (!connection.InTransaction()) return Left::kLost;
  if (write.status().ok()) {
    absl::Status keys = connection.CheckDeferredKeys();
    if (!keys.ok()) write.Fail(std::move(keys));
  }
  const bool keep = write.status().ok() && !write.only_tries();
  absl::Status ended;
  if (!keep) ended = connection.Run(alone ? "ROLLBACK" : "ROLLBACK TO member");
  if (ended.ok() && !alone) ended = connection.Run("RELEASE member");
  if (ended.ok()) return Left::kWhole;
  write.Fail(std::move(ended));
  if (connection.InTransaction()) connection.Run("ROLLBACK").IgnoreError();
  return connection.device_failed() ? Left::kBroken : Left::kLost;
}

absl::Status Writer::Commit() {
  const auto kept = std::count_if(members_.begin(), members_.end(), [](const Member& member) {
    return !member.answered && member.write->status().ok() && !member.write->only_tries();
  });
  if (kept == 0) {
    if (connection_->InTransaction()) connection_->Run("ROLLBACK").IgnoreError();
    return absl::OkStatus();
  }
  const absl::Duration begin = Now();
  const absl::Status committed = connection_->Run("COMMIT");
  if (!committed.ok()) return Recover(committed);
  file_.Committed();  // before anyone is told
  counters_.Committed(kept, Now() - begin, connection_->journal_pages() * page_bytes_);
  return absl::OkStatus();
}

// What to say of a COMMIT that failed. Where the device failed, its frames may be in the journal
// nevertheless, and the next recovery would find them whole. A commit that goes well afterwards
// stands in their place; then, and only then, they are certainly gone.
absl::Status Writer::Recover(const absl::Status& failure) {
  if (connection_->InTransaction()) connection_->Run("ROLLBACK").IgnoreError();
  // Memory may run out when the frames are there already.
  const bool no_memory =
      absl::IsResourceExhausted(failure) && errors::ReasonOf(failure) != "DISK_FULL";
  if (!connection_->device_failed() && !no_memory) {
    return errors::WithExecuted(failure, errors::Executed::kRolledBack);
  }
  log::Error("sqlite", "a commit failed", {{"path", file_.path()}, {"error", failure.message()}});
  connection_.reset();  // with whatever it believes to know of the file
  auto opened = Open();
  absl::Status proven = opened.status();
  if (opened.ok()) {
    connection_ = *std::move(opened);
    proven = connection_->Touch();
  }
  if (!proven.ok()) return errors::CommitOutcomeUnknown(failure);
  return no_memory ? errors::WithExecuted(failure, errors::Executed::kRolledBack)
                   : errors::DeviceFault(failure);
}

void Writer::AnswerMembers() {
  for (const Member& member : members_) {
    queue_.Finish(*member.write);
    member.write->Answer();
  }
}

void Writer::RefuseTaken(WorkList& taken, const absl::Status& why) {
  while (Work* const work = queue_.Begin(taken)) {
    queue_.Finish(*work);
    work->Refuse(why);
  }
}

// Between two groups, so that no caller waits for it whose write is done.
void Writer::LookAfterJournal() {
  const int64_t pages = connection_->journal_pages();
  if (pages < copied_at_) {  // it has started over
    copied_at_ = 0;
    restart_at_ = kRestartPages;
    relieve_at_ = 0;
  }
  if (pages - copied_at_ < kCopyPages) return;
  const bool restarts = pages >= restart_at_;
  CopyJournal(restarts ? Connection::Checkpoint::kRestart : Connection::Checkpoint::kPassive);
  copied_at_ = connection_->journal_pages();
  if (restarts && copied_at_ > 0) restart_at_ *= 2;  // a reader stays: do not wait for it each time
  const int64_t bytes = copied_at_ * page_bytes_;
  if (bytes < std::max(relieve_at_, file_.settings().journal_limit)) return;
  counters_.Relieved();
  log::Warning("sqlite", "long reads are ended, since the journal has grown to its limit",
               {{"path", file_.path()}, {"journal_bytes", bytes}});
  relieve_(bytes);
  CopyJournal(Connection::Checkpoint::kRestart);
  copied_at_ = connection_->journal_pages();
  // What stays is no read of ours that could be ended: a copy, or another process.
  relieve_at_ = copied_at_ > 0 ? 2 * bytes : 0;
}

void Writer::CopyJournal(Connection::Checkpoint how) {
  const absl::Duration begin = Now();
  const absl::Status copied = connection_->CopyJournal(how);
  // A reader that is in the way is nothing to tell of: there is a next time.
  if (!copied.ok() && !absl::IsUnavailable(copied)) {
    log::Error("sqlite", "the journal could not be copied into the database",
               {{"path", file_.path()}, {"error", copied.message()}});
  }
  counters_.Copied(Now() - begin, connection_->journal_pages() * page_bytes_);
}

void Writer::EmptyJournal() {
  if (connection_ == nullptr || file_.options().read_only || !file_.CheckNow().ok()) return;
  const absl::Status emptied = connection_->CopyJournal(Connection::Checkpoint::kTruncate);
  if (!emptied.ok()) {
    log::Warning("sqlite", "the journal could not be emptied at close",
                 {{"error", emptied.message()}});
  }
}

}  // namespace sluice::sqlite
