// StatementCache: which plans a session has prepared, and under which names.
#ifndef SLUICE_SERVER_DB_POSTGRES_STATEMENT_CACHE_H_
#define SLUICE_SERVER_DB_POSTGRES_STATEMENT_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

namespace sluice::postgres {

// Least recently used goes first. A name is never used twice in a session, so one that the server
// was not told to forget is in nobody's way. With a limit of zero nothing is kept: each statement
// is prepared anew without a name, for a session that may be another one after each transaction.
class StatementCache {
 public:
  explicit StatementCache(size_t limit) : limit_(limit) {}

  // The name of a plan's statement; null if it is not prepared.
  const std::string* Find(uint64_t plan) {
    const auto found = by_plan_.find(plan);
    if (found == by_plan_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return &found->second->second;
  }

  // A new name for a plan that is not there.
  const std::string& Add(uint64_t plan) {
    static const std::string* const unnamed = new std::string;
    if (limit_ == 0) return *unnamed;
    order_.emplace_front(plan, absl::StrCat("sluice_", ++last_));
    by_plan_[plan] = order_.begin();
    return order_.front().second;
  }

  void Remove(uint64_t plan) {
    const auto found = by_plan_.find(plan);
    if (found == by_plan_.end()) return;
    order_.erase(found->second);
    by_plan_.erase(found);
  }

  // What is one too many, and is no longer here; nothing if all is well.
  std::optional<std::string> Evict() {
    if (order_.size() <= limit_) return std::nullopt;
    std::string name = std::move(order_.back().second);
    by_plan_.erase(order_.back().first);
    order_.pop_back();
    return name;
  }

  void Clear() {
    order_.clear();
    by_plan_.clear();
  }

  bool over_limit() const { return order_.size() > limit_; }

 private:
  using Order = std::list<std::pair<uint64_t, std::string>>;

  const size_t limit_;
  int64_t last_ = 0;
  Order order_;  // most recent first
  absl::flat_hash_map<uint64_t, Order::iterator> by_plan_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_STATEMENT_CACHE_H_
