// Inbox: how work enters a thread. A lock-free list in which only the push that finds it empty has
// to wake the owner, so wake-ups grow rarer as load grows.
#ifndef SLUICE_SERVER_ASYNC_INBOX_H_
#define SLUICE_SERVER_ASYNC_INBOX_H_

#include <atomic>
#include <cstddef>

namespace sluice {

// Job: something to run once on another thread. Lives inside whatever it is about, so a push never
// allocates.
struct Job {
  using Run = void (*)(Job*);

  explicit Job(Run run_function) : run(run_function) {}

  const Run run;
  Job* next = nullptr;
};

// Many threads push, one takes.
class Inbox {
 public:
  // Any thread. True if the inbox was empty: the caller must then wake the owner.
  bool Push(Job* job) { return PushChain(job, job); }

  // Pushes a chain that is linked through `next` from its newest (`head`) to its oldest (`tail`).
  bool PushChain(Job* head, Job* tail) {
    Job* seen = head_.load(std::memory_order_relaxed);
    do {
      tail->next = seen;
    } while (!head_.compare_exchange_weak(seen, head, std::memory_order_release,
                                          std::memory_order_relaxed));
    return seen == nullptr;
  }

  // Owner only. All that is there, oldest first, linked through `next`; null if there is nothing.
  Job* Take() {
    Job* newest = head_.exchange(nullptr, std::memory_order_acquire);
    Job* oldest = nullptr;
    while (newest != nullptr) {
      Job* const older = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = older;
    }
    return oldest;
  }

  // Owner only.
  bool HoldsAtLeast(size_t jobs) const {
    const Job* job = head_.load(std::memory_order_acquire);
    while (job != nullptr && jobs > 0) {
      job = job->next;
      --jobs;
    }
    return jobs == 0;
  }

  bool empty() const { return head_.load(std::memory_order_acquire) == nullptr; }

 private:
  std::atomic<Job*> head_{nullptr};
};

}  // namespace sluice

#endif  // SLUICE_SERVER_ASYNC_INBOX_H_
