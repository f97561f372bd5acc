// StatementBook: what has been learnt about SQL texts, so that the next time each goes straight to
// where it runs best.
#ifndef SLUICE_SERVER_DB_SQLITE_STATEMENT_BOOK_H_
#define SLUICE_SERVER_DB_SQLITE_STATEMENT_BOOK_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"

namespace sluice::sqlite {

// A fixed table that forgets what there is no room for. It only gives advice: whether a statement
// writes is decided by SQLite when it is compiled, and a read that proves slow on a loop leaves it.
// Owned by the DatabaseFile; any thread, without a lock.
class StatementBook {
 public:
  enum class Known : uint64_t {
    kNothing,
    kReads,  // and was not short
    kFast,   // reads, and was short when it ran last
    kSlow,   // reads, and once was too slow for a loop: never there again
    kWrites,
  };

  Known Find(absl::string_view sql) const {
    const uint64_t hash = Hash(sql);
    for (const std::atomic<uint64_t>& slot : buckets_[Bucket(hash)]) {
      const uint64_t entry = slot.load(std::memory_order_relaxed);
      if (IsFor(entry, hash)) return static_cast<Known>(entry & kKnownMask);
    }
    return Known::kNothing;
  }

  // Whether it writes; what else is known of one that reads stays.
  void LearnWhether(bool writes, absl::string_view sql) {
    const Known known = Find(sql);
    if (writes) {
      Learn(sql, Known::kWrites);
    } else if (known == Known::kNothing || known == Known::kWrites) {
      Learn(sql, Known::kReads);
    }
  }

  void Learn(absl::string_view sql, Known known) {
    const uint64_t hash = Hash(sql);
    auto& bucket = buckets_[Bucket(hash)];
    const uint64_t learnt = (hash & ~kKnownMask) | static_cast<uint64_t>(known);
    for (std::atomic<uint64_t>& slot : bucket) {
      const uint64_t entry = slot.load(std::memory_order_relaxed);
      if (entry == learnt) return;
      if (entry != 0 && !IsFor(entry, hash)) continue;
      slot.store(learnt, std::memory_order_relaxed);
      return;
    }
    bucket[turn_.fetch_add(1, std::memory_order_relaxed) % kWays].store(learnt,
                                                                        std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t kKnownMask = 7;
  static constexpr size_t kWays = 4;  // statements in use at once hardly ever push each other out
  static constexpr size_t kBuckets = 1024;

  static uint64_t Hash(absl::string_view sql) { return absl::Hash<absl::string_view>()(sql); }

  static size_t Bucket(uint64_t hash) { return (hash >> 3) % kBuckets; }

  static bool IsFor(uint64_t entry, uint64_t hash) {
    return (entry & ~kKnownMask) == (hash & ~kKnownMask) && (entry & kKnownMask) != 0;
  }

  std::array<std::array<std::atomic<uint64_t>, kWays>, kBuckets> buckets_ = {};
  std::atomic<uint32_t> turn_{0};
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_STATEMENT_BOOK_H_
