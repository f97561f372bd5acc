// Work and WorkQueue: how statements get from executors to the driver's own threads.
#ifndef SLUICE_SERVER_DB_SQLITE_WORK_QUEUE_H_
#define SLUICE_SERVER_DB_SQLITE_WORK_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/base/mutex.h"
#include "server/db/sqlite/connection.h"
#include "server/db/transaction.h"

namespace sluice::sqlite {

// WorkLink: what makes a Work a member of a WorkList.
struct WorkLink {
  WorkLink* previous = nullptr;
  WorkLink* next = nullptr;

  void Unlink();
};

// Work: one thing for a reader or the writer to do. Lives in whatever waits for it, so queueing
// allocates nothing. It is Run and then Answered on a thread, or Refused by anyone, never both;
// after the answer or the refusal it may be gone.
class Work : private WorkLink {
 public:
  Work() = default;
  virtual ~Work() = default;

  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  // Does it, and keeps the outcome. `connection` is the thread's own.
  virtual void Run(Connection& connection) = 0;
  // Gives the outcome to whoever waits.
  virtual void Answer() = 0;
  // Gives `why` to whoever waits, instead of running.
  virtual void Refuse(const absl::Status& why) = 0;

  // A reader may run it together with others of the kind, inside one read transaction.
  virtual bool short_read() const { return false; }

  // The writer runs it in a transaction without others.
  virtual bool exclusive() const { return false; }

  // Bytes that it brings, about; what bounds a group of writes beside their number.
  virtual int64_t bytes() const { return 0; }

  // When it came into its queue, on the steady clock.
  absl::Duration queued() const { return queued_; }

  // Asks it to end. Under the lock of whoever runs it.
  void Interrupt();

 protected:
  // Something asked it to end. Called under that lock.
  virtual void OnInterrupt() {}

  // From here until the work is finished, a cancellation interrupts what runs on `connection`.
  void MayInterrupt(Connection& connection) {
    interruptible_.store(&connection, std::memory_order_release);
  }

  Watch watch_;

 private:
  friend class LoopSide;
  friend class WorkList;
  friend class WorkQueue;

  enum class Place { kElsewhere, kWaiting, kTaken, kRunning };

  std::atomic<Connection*> interruptible_{nullptr};
  Place place_ = Place::kElsewhere;  // guarded by the queue
  absl::Duration queued_;            // set by the queue, before a thread has it
  bool collected_ = false;           // guarded by its LoopSide
};

// WorkList: a list through the works themselves, so that each can leave it at once. Owns nothing;
// guarded by whoever has it.
class WorkList {
 public:
  WorkList();
  WorkList(WorkList&& other) noexcept;
  WorkList& operator=(WorkList&&) = delete;

  bool empty() const { return root_.next == &root_; }

  void PushBack(Work& work);
  // Null if the list is empty.
  Work* Front();
  Work* PopFront();
  // Moves everything of `other` to the end.
  void Append(WorkList& other);

  template <class F>
  void ForEach(F f) {
    for (WorkLink* link = root_.next; link != &root_; link = link->next) {
      f(static_cast<Work&>(*link));
    }
  }

 private:
  WorkLink root_;
};

// What one group of writes may be.
struct GroupLimits {
  int most = 1;
  int64_t most_bytes = 0;
  // Worth waiting for, up to `patience`: as many as the group before had.
  int expected = 1;
  absl::Duration patience;
};

// WorkQueue: a FIFO queue with a limit, shared by the threads that serve it. Readers have one, and
// the writer another.
class WorkQueue {
 public:
  WorkQueue(absl::string_view name, int64_t limit) : name_(name), limit_(limit) {}

  // Any thread, all of these.

  // A place for work that will be pushed, or given back. Errors: POOL_EXHAUSTED, POOL_CLOSED.
  absl::Status Reserve();
  void Unreserve();
  // Each of the works has its reserved place. One lock and one wake-up, however many there are.
  void Push(WorkList works);
  // The driver's own work, whatever the limit.
  void PushOwn(Work& work);

  enum class Cancelled {
    kRemoved,      // it waited; it is the caller's again
    kInterrupted,  // it runs and was asked to end; it will be answered
    kElsewhere,    // neither
  };
  Cancelled Cancel(Work& work);
  // Takes it back if it waits: true, it is the caller's again. What runs runs on.
  bool Withdraw(Work& work);

  // Who has the queue's only thread for itself; null: nobody.
  void SetHold(std::shared_ptr<const db::WriterHold> hold);
  std::shared_ptr<const db::WriterHold> hold() const;

  bool held() const { return held_.load(std::memory_order_relaxed); }

  // Somebody has the thread for itself, or is in line for that.
  bool may_be_held() const { return held() || exclusive_.load(std::memory_order_relaxed) > 0; }

  int64_t waiting() const { return waiting_.load(std::memory_order_relaxed); }

  int64_t running() const { return running_.load(std::memory_order_relaxed); }

  int64_t limit() const { return limit_; }

  // Asks what runs to end, for the sake of a journal that has grown to `limit_bytes`.
  void Relieve(int64_t limit_bytes);

  // Refuses what waits and what comes, asks what runs to end, and lets the threads go.
  void Close();

  bool closed() const { return closed_.load(std::memory_order_acquire); }

  // The threads that serve the queue.

  // Waits for work and moves the first to `taken`; if that is a short read, also those that follow
  // at once, `most` in all. How many it took; 0: the queue is closed.
  int Take(WorkList& taken, int most);
  // The same for writes: the first of what waits, as many as may be committed together.
  int TakeGroup(WorkList& taken, const GroupLimits& limits);
  // The next of what was taken, now running; null after the last. Until then it can be cancelled.
  Work* Begin(WorkList& taken);
  // From here on nothing reaches into the work. It is answered next.
  void Finish(Work& work);

 private:
  bool Remove(Work& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WaitForWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WaitForMore(const GroupLimits& limits) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Work& MoveFront(WorkList& taken) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const absl::string_view name_;
  const int64_t limit_;
  std::atomic<int64_t> waiting_{0};
  std::atomic<int64_t> running_{0};
  std::atomic<bool> closed_{false};
  std::atomic<bool> held_{false};
  std::atomic<int64_t> exclusive_{0};  // works that wait and are exclusive

  mutable Mutex mu_;
  std::shared_ptr<const db::WriterHold> hold_ ABSL_GUARDED_BY(mu_);
  CondVar arrived_;
  int idle_ ABSL_GUARDED_BY(mu_) = 0;  // threads that wait
  WorkList list_ ABSL_GUARDED_BY(mu_);
  int listed_ ABSL_GUARDED_BY(mu_) = 0;       // how many there are in it
  WorkList on_threads_ ABSL_GUARDED_BY(mu_);  // running
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_WORK_QUEUE_H_
