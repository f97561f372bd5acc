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

// A fixed table that forgets what collides. It only gives advice: whether a statement writes is
// decided by SQLite when it is compiled, and a read that proves slow on a loop leaves it.
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
    const uint64_t entry = Slot(hash).load(std::memory_order_relaxed);
    return (entry & ~kKnownMask) == (hash & ~kKnownMask) ? static_cast<Known>(entry & kKnownMask)
                                                         : Known::kNothing;
  }

  void Learn(absl::string_view sql, Known known) {
    const uint64_t hash = Hash(sql);
    Slot(hash).store((hash & ~kKnownMask) | static_cast<uint64_t>(known),
                     std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t kKnownMask = 7;
  static constexpr size_t kSlots = 4096;

  static uint64_t Hash(absl::string_view sql) { return absl::Hash<absl::string_view>()(sql); }

  std::atomic<uint64_t>& Slot(uint64_t hash) { return slots_[(hash >> 3) % kSlots]; }

  const std::atomic<uint64_t>& Slot(uint64_t hash) const { return slots_[(hash >> 3) % kSlots]; }

  std::array<std::atomic<uint64_t>, kSlots> slots_ = {};
};

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_STATEMENT_BOOK_H_
