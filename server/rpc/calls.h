// Calls: what the whole server knows of the calls in flight: how many, how many at most, and
// whether new ones are still begun.
#ifndef SLUICE_SERVER_RPC_CALLS_H_
#define SLUICE_SERVER_RPC_CALLS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

#include "server/base/mutex.h"

namespace sluice::rpc {

// Owned by the Server; any thread.
class Calls {
 public:
  explicit Calls(int64_t limit) : limit_(limit) {}

  // How much there is that outlives its calls, transactions: a drain waits for it, too. Before the
  // first call.
  void SetOpenWork(std::function<int64_t()> open_work) { open_work_ = std::move(open_work); }

  // Counts a call in. Not ok: answer it with this, it is not to be begun (but was counted all the
  // same). Exempt calls, health checks, are begun even when the server is full or drains.
  // `reserved`: begun beyond the limit, too, up to an eighth of it: what waits for a transaction
  // must not keep it from its end.
  absl::Status Enter(bool exempt, bool reserved = false);

  // Of a call that was refused: the server drains, but transactions are open that it may bring to
  // an end.
  bool MayFinish() const { return draining() && open_work_() > 0; }

  // Counts a call out, after its last operation.
  void Leave();
  // From now on Enter refuses with SERVER_DRAINING.
  void StartDraining();
  // True once no call is in flight and no work is open, false if that takes longer than `limit` or
  // Hurry cuts it short.
  bool AwaitNone(absl::Duration limit);
  // Ends AwaitNone, now and in future waits that heed it. Any thread.
  void Hurry();
  // As AwaitNone, whether or not there is a hurry.
  bool AwaitNoneStubbornly(absl::Duration limit);

  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

  int64_t shed() const { return shed_.load(std::memory_order_relaxed); }

  int64_t limit() const { return limit_; }

  bool draining() const { return draining_.load(std::memory_order_acquire); }

 private:
  const int64_t limit_;
  std::function<int64_t()> open_work_ = [] { return int64_t{0}; };
  std::atomic<int64_t> in_flight_{0};
  std::atomic<int64_t> shed_{0};
  std::atomic<bool> draining_{false};
  // Waits until no call is in flight, or `interruptible` and hurried.
  bool Await(absl::Duration limit, bool interruptible);

  Mutex mu_;
  CondVar changed_;
  bool hurried_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_CALLS_H_
