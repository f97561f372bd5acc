#include "server/db/sqlite/statement_cache.h"

#include <utility>

#include <sqlite3.h>

#include "server/db/sqlite/parameter_plan.h"

namespace sluice::sqlite {
namespace {

// A few statements of a megabyte would otherwise hold as much as many ordinary ones never do.
constexpr int64_t kMaxMemory = 16 << 20;

}  // namespace

Prepared::Prepared() = default;

Prepared::~Prepared() {
  sqlite3_finalize(stmt);
}

Prepared* StatementCache::Find(absl::string_view sql) {
  const auto found = by_sql_.find(sql);
  if (found == by_sql_.end()) return nullptr;
  const List::iterator at = found->second;
  if ((*at)->in_use) return nullptr;
  if (at != all_.begin()) all_.splice(all_.begin(), all_, at);
  return at->get();
}

bool StatementCache::Contains(absl::string_view sql) const {
  const auto found = by_sql_.find(sql);
  return found != by_sql_.end() && !(*found->second)->in_use;
}

Prepared* StatementCache::Insert(std::unique_ptr<Prepared> prepared) {
  memory_ += prepared->memory;
  all_.push_front(std::move(prepared));
  Prepared* const inserted = all_.front().get();
  // The key must point into the newest one: an older one with the same text may be dropped first.
  by_sql_.erase(inserted->sql);
  by_sql_.emplace(inserted->sql, all_.begin());
  Evict();
  return inserted;
}

void StatementCache::Clear() {
  by_sql_.clear();
  all_.clear();
  memory_ = 0;
}

void StatementCache::Evict() {
  for (auto at = all_.end();
       (all_.size() > limit_ || memory_ > kMaxMemory) && at != all_.begin();) {
    --at;
    if (at == all_.begin()) return;  // the newest stays
    if ((*at)->in_use) continue;
    const auto named = by_sql_.find((*at)->sql);
    if (named != by_sql_.end() && named->second == at) by_sql_.erase(named);
    memory_ -= (*at)->memory;
    at = all_.erase(at);
  }
}

}  // namespace sluice::sqlite
