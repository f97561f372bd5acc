#include "server/db/sqlite/loop_reader.h"

#include <algorithm>
#include <utility>

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/db/sqlite/limits.h"
#include "server/db/sqlite/result.h"

namespace sluice::sqlite {
namespace {

// A larger result leaves the loop: writing it out would keep others waiting.
constexpr int64_t kMostBytes = 64 << 10;
constexpr size_t kLongestToCompile = 4 << 10;
constexpr absl::Duration kLongestRead = absl::Milliseconds(2);
// Collected work is handed over at this many, even if the drain goes on.
constexpr int kHandOver = 64;
// A connection that could not be opened is not tried again at once.
constexpr absl::Duration kTryAgainAfter = absl::Seconds(1);

using Known = StatementBook::Known;

// Opening a connection blocks, so a reader does it. Owns itself.
class LoopReaderOpening final : public Work {
 public:
  LoopReaderOpening(std::shared_ptr<LoopSide> side, DatabaseFile& file)
      : side_(std::move(side)), file_(file) {}

  void Run(Connection&) override {
    // Never waits for a lock: on a loop, a busy database is left to the readers.
    auto connection = file_.OpenReader(absl::ZeroDuration(), kMaxLoopValueBytes);
    if (connection.ok()) connection_ = *std::move(connection);
  }

  void Answer() override {
    side_->Adopt(std::move(connection_));
    delete this;
  }

  void Refuse(const absl::Status&) override { Answer(); }

 private:
  const std::shared_ptr<LoopSide> side_;
  DatabaseFile& file_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace

std::optional<absl::StatusOr<db::Rows>> LoopReader::Read(const db::Statement& statement) {
  // A long text takes too long to compile here.
  if (statement.sql().size() > kLongestToCompile && !connection_->Cached(statement.sql()))
    return std::nullopt;
  const absl::StatusOr<Prepared*> prepared = connection_->Prepare(statement.sql());
  if (!prepared.ok() || (*prepared)->writes) return std::nullopt;
  const absl::Status bound =
      connection_->Bind(**prepared, statement.params(), statement.named_params());
  if (!bound.ok()) return std::nullopt;  // a reader says what is wrong, and takes larger values

  BeginRead();
  Watch watch;
  watch.budget = file_.settings().loop_budget;
  watch.deadline = Clock::System().Steady() + kLongestRead;
  RowLimits limits;
  limits.max_rows = statement.max_rows;
  limits.max_bytes = std::min(statement.max_bytes, kMostBytes);
  absl::StatusOr<db::Rows> rows = CollectRows(*connection_, **prepared, limits, &watch);
  const bool cut_here = statement.max_bytes > kMostBytes &&
                        (rows.ok() ? rows->truncated && rows->count < limits.max_rows
                                   : absl::IsResourceExhausted(rows.status()));
  if (watch.ended != Watch::Ended::kNo || cut_here) {
    file_.book().Learn(statement.sql(), Known::kSlow);
    return std::nullopt;
  }
  // A reader says what is wrong, if it meets the same.
  if (!rows.ok()) return std::nullopt;
  return rows;
}

// Reads of one drain share a transaction, which saves each of them its own; the first one goes
// without if it was alone in the drain before, since it may stay alone.
//
// A transaction that is held across reads may be older than a commit that was acknowledged in the
// meantime, and whoever was told of that commit must see it in the next read. So the transaction is
// renewed when the count of commits has moved: the writer counts after COMMIT and before it
// answers, so a caller that knows of a commit finds it counted here. The count is taken before
// BEGIN; a commit between the two makes us renew once too often, never too rarely.
void LoopReader::BeginRead() {
  const uint64_t commits = file_.commits();
  if (connection_->InTransaction() && commits != begun_with_) EndTransaction();
  const bool alone = reads_++ == 0 && !company_;
  if (alone || connection_->InTransaction()) return;
  begun_with_ = commits;
  connection_->Run("BEGIN").IgnoreError();  // without it, the read is a transaction of its own
}

void LoopReader::EndDrain() {
  company_ = reads_ > 1;
  reads_ = 0;
  if (connection_->InTransaction()) EndTransaction();
}

void LoopReader::EndTransaction() {
  if (!connection_->Run("COMMIT").ok()) connection_->Run("ROLLBACK").IgnoreError();
}

std::optional<absl::StatusOr<db::Rows>> LoopSide::TryRead(const db::Statement& statement) {
  {
    MutexLock lock(&mu_);
    if (reader_.has_value()) {
      RequestHook();
      return reader_->Read(statement);
    }
    if (!WantsReader()) return std::nullopt;
  }
  readers_.PushOwn(*new LoopReaderOpening(shared_from_this(), file_));
  return std::nullopt;
}

absl::Status LoopSide::Submit(WorkQueue& queue, Work& work) {
  absl::Status place = queue.Reserve();
  if (!place.ok()) return place;
  WorkList full;
  {
    MutexLock lock(&mu_);
    if (closed_) {
      queue.Unreserve();
      return errors::PoolClosed();
    }
    WorkList& list = &queue == &writer_ ? for_writer_ : for_readers_;
    list.PushBack(work);
    work.collected_ = true;
    RequestHook();
    if (++collected_ < kHandOver) return absl::OkStatus();
  }
  HandOver();
  return absl::OkStatus();
}

bool LoopSide::Cancel(WorkQueue& queue, Work& work) {
  return TakeBack(queue, work) || queue.Cancel(work) == WorkQueue::Cancelled::kRemoved;
}

bool LoopSide::Withdraw(WorkQueue& queue, Work& work) {
  return TakeBack(queue, work) || queue.Withdraw(work);
}

// While it is collected here.
bool LoopSide::TakeBack(WorkQueue& queue, Work& work) {
  MutexLock lock(&mu_);
  if (!work.collected_) return false;
  work.Unlink();
  work.collected_ = false;
  --collected_;
  queue.Unreserve();
  return true;
}

void LoopSide::Adopt(std::unique_ptr<Connection> connection) {
  MutexLock lock(&mu_);
  opening_ = false;
  if (connection == nullptr) next_try_ = Clock::System().Steady() + kTryAgainAfter;
  if (connection != nullptr && !closed_) reader_.emplace(std::move(connection), file_);
}

void LoopSide::Close() {
  WorkList refused;
  {
    MutexLock lock(&mu_);
    closed_ = true;
    reader_.reset();
    for (const auto& [list, queue] :
         {std::pair(&for_readers_, &readers_), {&for_writer_, &writer_}}) {
      list->ForEach([queue = queue](Work& work) {
        work.collected_ = false;
        queue->Unreserve();
      });
      refused.Append(*list);
    }
  }
  while (Work* const work = refused.PopFront()) work->Refuse(errors::PoolClosed());
}

void LoopSide::OnDrained() {
  const std::shared_ptr<LoopSide> kept = std::move(kept_);
  {
    MutexLock lock(&mu_);
    if (reader_.has_value()) reader_->EndDrain();
  }
  HandOver();
}

void LoopSide::HandOver() {
  WorkList for_readers;
  WorkList for_writer;
  {
    MutexLock lock(&mu_);
    if (collected_ == 0) return;
    collected_ = 0;
    for (WorkList* const list : {&for_readers_, &for_writer_}) {
      list->ForEach([](Work& work) { work.collected_ = false; });
    }
    for_readers.Append(for_readers_);
    for_writer.Append(for_writer_);
  }
  if (!for_readers.empty()) readers_.Push(std::move(for_readers));
  if (!for_writer.empty()) writer_.Push(std::move(for_writer));
}

void LoopSide::RequestHook() {
  if (kept_ != nullptr) return;
  kept_ = shared_from_this();
  executor_.AtDrained(*this);
}

bool LoopSide::WantsReader() {
  if (closed_ || opening_ || Clock::System().Steady() < next_try_) return false;
  opening_ = true;
  return true;
}

}  // namespace sluice::sqlite
