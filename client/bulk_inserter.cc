#include "client/bulk_inserter.h"

#include <utility>

namespace sluice::client {
namespace {

// Chunks between the caller's thread and the one that sends.
constexpr size_t kMaxWaiting = 4;

}  // namespace

BulkInserter::BulkInserter(std::unique_ptr<ChunkSink> sink, const v1::BulkInsertRequest& header)
    : sink_(std::move(sink)), result_(absl::InternalError("not finished")) {
  // Messages that follow each other in wire form are one: the first chunk completes the header.
  waiting_.push_back(header.SerializeAsString());
  thread_ = std::thread([this] { Send(); });
}

BulkInserter::~BulkInserter() {
  if (!thread_.joinable()) return;
  sink_->Cancel();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    complete_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool BulkInserter::Write(RowBuffer* rows) {
  if (rows->Empty()) return true;
  std::string chunk = rows->Take();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return broken_ || waiting_.size() < kMaxWaiting; });
  if (broken_) return false;
  waiting_.push_back(std::move(chunk));
  lock.unlock();
  changed_.notify_all();
  return true;
}

absl::StatusOr<v1::BulkInsertResponse> BulkInserter::Finish() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    complete_ = true;
  }
  changed_.notify_all();
  thread_.join();
  return std::move(result_);
}

void BulkInserter::Send() {
  std::string head;  // the header, until rows follow it
  std::unique_lock<std::mutex> lock(mutex_);
  head = std::move(waiting_.front());
  waiting_.pop_front();
  bool open = true;
  while (open) {
    changed_.wait(lock, [this] { return complete_ || !waiting_.empty(); });
    if (waiting_.empty()) break;
    std::string message = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    changed_.notify_all();
    if (!head.empty()) message.insert(0, std::exchange(head, std::string()));
    open = sink_->Write(std::move(message));
    lock.lock();
  }
  broken_ = !open;
  lock.unlock();
  changed_.notify_all();
  if (open && !head.empty()) sink_->Write(std::move(head));
  result_ = sink_->Finish();
}

}  // namespace sluice::client
