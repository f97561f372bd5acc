// WriterCounters: what the writer did, for whoever asks.
#ifndef SLUICE_SERVER_DB_SQLITE_WRITER_COUNTERS_H_
#define SLUICE_SERVER_DB_SQLITE_WRITER_COUNTERS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

#include "server/db/database.h"

namespace sluice::sqlite {

// Written by the writer's thread alone; read by any, each number by itself.
class WriterCounters {
 public:
  // Durations as a sum and the longest.
  struct Spell {
    std::atomic<int64_t> total{0};  // nanoseconds
    std::atomic<int64_t> longest{0};

    void Add(absl::Duration duration) {
      const int64_t nanos = absl::ToInt64Nanoseconds(duration);
      total.store(total.load(std::memory_order_relaxed) + nanos, std::memory_order_relaxed);
      if (nanos > longest.load(std::memory_order_relaxed)) {
        longest.store(nanos, std::memory_order_relaxed);
      }
    }
  };

  void Committed(int64_t writes, absl::Duration commit, int64_t journal_bytes) {
    Add(groups_, 1);
    Add(writes_, writes);
    largest_.store(std::max(largest_.load(std::memory_order_relaxed), writes),
                   std::memory_order_relaxed);
    journal_.store(journal_bytes, std::memory_order_relaxed);
    commit_.Add(commit);
  }

  void Waited(absl::Duration wait) { wait_.Add(wait); }

  void RanAgain() { Add(reruns_, 1); }

  void Copied(absl::Duration checkpoint, int64_t journal_bytes) {
    Add(checkpoints_, 1);
    journal_.store(journal_bytes, std::memory_order_relaxed);
    checkpoint_.Add(checkpoint);
  }

  void Relieved() { Add(reliefs_, 1); }

  db::WriterStats Read() const {
    db::WriterStats stats;
    stats.groups = groups_.load(std::memory_order_relaxed);
    stats.writes = writes_.load(std::memory_order_relaxed);
    stats.largest_group = largest_.load(std::memory_order_relaxed);
    stats.reruns = reruns_.load(std::memory_order_relaxed);
    stats.wait_total = Total(wait_);
    stats.wait_longest = Longest(wait_);
    stats.commit_total = Total(commit_);
    stats.commit_longest = Longest(commit_);
    stats.checkpoints = checkpoints_.load(std::memory_order_relaxed);
    stats.checkpoint_total = Total(checkpoint_);
    stats.checkpoint_longest = Longest(checkpoint_);
    stats.journal_bytes = journal_.load(std::memory_order_relaxed);
    stats.journal_reliefs = reliefs_.load(std::memory_order_relaxed);
    return stats;
  }

 private:
  // One writer: no read-modify-write is needed.
  static void Add(std::atomic<int64_t>& counter, int64_t count) {
    counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }

  static absl::Duration Total(const Spell& spell) {
    return absl::Nanoseconds(spell.total.load(std::memory_order_relaxed));
  }

  static absl::Duration Longest(const Spell& spell) {
    return absl::Nanoseconds(spell.longest.load(std::memory_order_relaxed));
  }

  std::atomic<int64_t> groups_{0};
  std::atomic<int64_t> writes_{0};
  std::atomic<int64_t> largest_{0};
  std::atomic<int64_t> reruns_{0};
  std::atomic<int64_t> checkpoints_{0};
  std::atomic<int64_t> reliefs_{0};
  std::atomic<int64_t> journal_{0};  // bytes
  Spell wait_;
  Spell commit_;
  Spell checkpoint_;
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_WRITER_COUNTERS_H_
