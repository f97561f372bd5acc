// StatementCache: which plans a session has prepared, and under which names.
#ifndef SLUICE_SERVER_DB_POSTGRES_STATEMENT_CACHE_H_
#define SLUICE_SERVER_DB_POSTGRES_STATEMENT_CACHE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

#include "server/db/postgres/protocol.h"
#include "server/db/postgres/timeline.h"

namespace sluice::postgres {

// Least recently used goes first. A name is never used twice in a session, so one that the server
// was not told to forget is in nobody's way. With a limit of zero nothing is kept: each statement
// is prepared anew without a name, for a session that may be another one after each transaction.
class StatementCache {
 public:
  explicit StatementCache(size_t limit) : limit_(limit) {}

  struct Prepared {
    uint64_t plan = 0;
    std::string name;
    // What it gives, if it is a query: that does not change while it is prepared, the server
    // refuses to run it then. Null: not known.
    std::shared_ptr<const Columns> columns;
  };

  // A plan's statement; null if it is not prepared.
  Prepared* Find(uint64_t plan) {
    const auto found = by_plan_.find(plan);
    if (found == by_plan_.end()) return nullptr;
    order_.splice(order_.begin(), order_, found->second);
    return &*found->second;
  }

  // A new name for a plan that is not there.
  const Prepared& Add(uint64_t plan) {
    static const auto* const unnamed = new Prepared;
    if (limit_ == 0) return *unnamed;
    order_.push_front({plan, NewName(), nullptr});
    by_plan_[plan] = order_.begin();
    return order_.front();
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
    std::string name = std::move(order_.back().name);
    by_plan_.erase(order_.back().plan);
    order_.pop_back();
    return name;
  }

  void Clear() {
    order_.clear();
    by_plan_.clear();
    questions_ = {};
  }

  // Whether statements are kept at all.
  bool keeps() const { return limit_ > 0; }

  // The name of a question of our own, which the limit does not count; empty: it is not prepared.
  const std::string& NameOf(Question question) const {
    return questions_[static_cast<size_t>(question)];
  }

  void SetName(Question question, std::string name) {
    questions_[static_cast<size_t>(question)] = std::move(name);
  }

  std::string NewName() { return absl::StrCat("sluice_", ++last_); }

  bool over_limit() const { return order_.size() > limit_; }

 private:
  using Order = std::list<Prepared>;

  const size_t limit_;
  int64_t last_ = 0;
  std::array<std::string, 2> questions_;
  Order order_;  // most recent first
  absl::flat_hash_map<uint64_t, Order::iterator> by_plan_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_STATEMENT_CACHE_H_
