#include "server/core/connections.h"

#include <algorithm>
#include <optional>
#include <stop_token>
#include <tuple>

#include "absl/container/flat_hash_set.h"

#include "server/base/clock.h"
#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::core {
namespace {

// Openings of a server's database are apart by a random time up to these.
constexpr absl::Duration kFirstRest = absl::Milliseconds(50);
constexpr absl::Duration kLongestRest = absl::Seconds(1);
constexpr absl::Duration kLongestRestAfterRefusal = absl::Seconds(30);
constexpr int kMostDoublings = 16;

ids::Hash KeyOf(absl::string_view id) {
  return ids::HashOf({id.data(), id.size()});
}

}  // namespace

Connections::Connections(OpenDatabase open)
    : open_(std::move(open)), random_(std::random_device()()) {}

Connections::~Connections() {
  uses_->Stop();
}

// Whoever drops the last reference to an entry ends the use of its database, then the connection.
Connections::Slot Connections::MakeSlot(Entry entry, std::shared_ptr<const DatabaseUse> use) const {
  Slot slot;
  if (use == nullptr) {
    slot.entry = std::make_shared<const Entry>(std::move(entry));
    return slot;
  }
  slot.rest.drained = std::make_shared<Ending>();
  slot.rest.use = use;
  slot.rest.closed = use->closed();
  slot.entry =
      EntryPtr(new Entry(std::move(entry)),
               [use = std::move(use), drained = slot.rest.drained](const Entry* e) mutable {
                 delete e;
                 use.reset();
                 drained->Come();
               });
  return slot;
}

absl::Status Connections::Add(Entry entry) {
  std::shared_ptr<const DatabaseUse> use;
  if (entry.database != nullptr) {
    TRY(use, uses_->Take(entry.database));
  }
  Slot slot = MakeSlot(std::move(entry), std::move(use));
  const EntryPtr added = slot.entry;
  MutexLock lock(&mu_);
  const bool is_new = by_key_.emplace(added->key, std::move(slot)).second;
  if (!is_new) return errors::Internal("A connection's id was taken already.");
  ++names_[added->name];
  if (added->key == KeyOf(kDefaultConnection)) default_ = added;
  return absl::OkStatus();
}

Connections::Outcome Connections::Find(const Context& /*ctx*/, absl::string_view id) const {
  if (id == kDefaultConnection) [[likely]] {
    MutexLock lock(&mu_);
    if (default_ == nullptr) return errors::ConnectionNotFound(id);
    return default_;
  }
  if (id.empty()) {
    return errors::ParameterInvalid("connection_id",
                                    "names no connection; `default` is the server's own");
  }
  return FindKey(KeyOf(id));
}

Connections::Outcome Connections::FindKey(const ids::Hash& key) const {
  MutexLock lock(&mu_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return errors::ConnectionNotFound("");
  return found->second.entry;
}

Task<Connections::Outcome> Connections::Open(const Context& ctx, std::string id) {
  CO_TRY(EntryPtr found, Find(ctx, id));
  Outcome opened = co_await Open(ctx, std::move(found));
  co_return opened;
}

Task<Connections::Outcome> Connections::Open(const Context& ctx, EntryPtr entry) {
  if (entry->database != nullptr) co_return entry;
  const ids::Hash key = std::exchange(entry, nullptr)->key;
  const int ticket = 0;  // its address names this waiter
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  Outcome outcome = co_await Async<Outcome>([&](Completion<Outcome> done) {
    BeginOpening(key, Waiter{&ticket, std::move(done)});
    on_stop.emplace(ctx.stop,
                    [&] { LeaveOpening(key, &ticket, ctx.Stopped(errors::Executed::kNo)); });
  });
  co_return outcome;
}

void Connections::BeginOpening(const ids::Hash& key, Waiter waiter) {
  EntryPtr entry;
  bool is_first = false;
  absl::Status resting;
  {
    MutexLock lock(&mu_);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) entry = found->second.entry;
    resting = Resting(key);
    if (entry != nullptr && entry->database == nullptr && resting.ok()) {
      const auto [waiting, is_new] = opening_.try_emplace(key);
      waiting->second.push_back(std::move(waiter));
      is_first = is_new;
    }
  }
  if (waiter.done.pending()) {
    if (entry == nullptr) {
      waiter.done.Resolve(errors::ConnectionNotFound(""));
    } else {
      waiter.done.Resolve(resting.ok() ? Outcome(entry) : resting);
    }
  }
  // By itself: nobody's cancellation ends it, for others may wait for it too.
  if (is_first) Spawn(RunOpening(std::move(entry)));
}

Task<void> Connections::RunOpening(EntryPtr entry) {
  absl::StatusOr<Opened> opened = co_await OpenTarget(entry->where);
  const Outcome outcome = Publish(entry, std::move(opened));
  EndOpening(entry->key, outcome);
}

Task<absl::StatusOr<Connections::Opened>> Connections::OpenTarget(db::Target target) {
  if (open_ == nullptr) co_return errors::Internal("Nothing here opens databases.");
  const Context unhurried;
  Opened opened;
  CO_TRY(opened.database, co_await open_(unhurried, std::move(target)));
  CO_TRY(opened.use, uses_->Take(opened.database));
  co_return opened;
}

Connections::Outcome Connections::Publish(const EntryPtr& entry, absl::StatusOr<Opened> opened) {
  if (!opened.ok()) return opened.status();
  Entry with_database = *entry;
  with_database.database = opened->database;
  Slot slot = MakeSlot(std::move(with_database), std::move(opened->use));
  MutexLock lock(&mu_);
  const auto found = by_key_.find(entry->key);
  if (found == by_key_.end()) return errors::ConnectionNotFound("");  // it was closed meanwhile
  std::swap(found->second, slot);
  return found->second.entry;
}

void Connections::EndOpening(const ids::Hash& key, const Outcome& outcome) {
  std::list<Waiter> waiting;
  MutexLock lock(&mu_);
  const auto found = opening_.find(key);
  waiting.swap(found->second);
  opening_.erase(found);
  LearnOutcome(key, outcome.status());
  for (Waiter& waiter : waiting) waiter.done.Resolve(outcome);
  opening_ended_.SignalAll();  // under the lock: we may be destroyed as soon as it is free
}

absl::Status Connections::Resting(const ids::Hash& key) const {
  const auto found = resting_.find(key);
  if (found == resting_.end()) return absl::OkStatus();
  const Rest& rest = found->second;
  const absl::Duration left = rest.until - Clock::System().Steady();
  if (left <= absl::ZeroDuration()) return absl::OkStatus();
  return errors::IsTransient(rest.failure) ? errors::WithRetryDelay(rest.failure, left)
                                           : rest.failure;
}

void Connections::LearnOutcome(const ids::Hash& key, const absl::Status& outcome) {
  const auto found = by_key_.find(key);
  // What is a file's fault costs nobody else anything.
  const bool rests = !outcome.ok() && found != by_key_.end() &&
                     found->second.entry->engine != db::EngineKind::kSqlite;
  if (!rests) {
    resting_.erase(key);
    return;
  }
  Rest& rest = resting_[key];
  rest.failures = std::min(rest.failures + 1, kMostDoublings);
  rest.failure = outcome;
  const absl::Duration longest =
      errors::IsTransient(outcome) ? kLongestRest : kLongestRestAfterRefusal;
  const double part = std::uniform_real_distribution<double>(0, 1)(random_);
  rest.until =
      Clock::System().Steady() + std::min(kFirstRest * (1 << rest.failures), longest) * part;
}

void Connections::LeaveOpening(const ids::Hash& key, const void* ticket, const absl::Status& why) {
  std::list<Waiter> leaving;
  {
    MutexLock lock(&mu_);
    const auto found = opening_.find(key);
    if (found == opening_.end()) return;
    std::list<Waiter>& waiting = found->second;
    for (auto waiter = waiting.begin(); waiter != waiting.end(); ++waiter) {
      if (waiter->ticket != ticket) continue;
      leaving.splice(leaving.end(), waiting, waiter);
      break;
    }
  }
  for (Waiter& waiter : leaving) waiter.done.Resolve(why);
}

std::vector<Connections::EntryPtr> Connections::List() const {
  std::vector<EntryPtr> entries;
  {
    MutexLock lock(&mu_);
    entries.reserve(by_key_.size());
    for (const auto& [key, slot] : by_key_) entries.push_back(slot.entry);
  }
  std::sort(entries.begin(), entries.end(), [](const EntryPtr& one, const EntryPtr& other) {
    return ListedBefore(one->name, one->handle, *other);
  });
  return entries;
}

absl::StatusOr<Connections::Place> Connections::Reserve(const std::string& name, int64_t limit) {
  MutexLock lock(&mu_);
  if (names_.contains(name)) return errors::ConnectionExists(name);
  const auto registered = static_cast<int64_t>(by_key_.size()) - (default_ == nullptr ? 0 : 1);
  if (registered + reserved_ >= limit) return errors::ConnectionLimit(limit);
  ++names_[name];
  ++reserved_;
  return Place(this, name);
}

void Connections::Unreserve(const std::string& name) {
  MutexLock lock(&mu_);
  --reserved_;
  if (--names_[name] == 0) names_.erase(name);
}

absl::StatusOr<Connections::Removed> Connections::Remove(const ids::Hash& key) {
  Slot slot;  // outlives the lock: to drop an entry may start a close
  {
    MutexLock lock(&mu_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return errors::ConnectionNotFound("");
    slot = std::move(found->second);
    by_key_.erase(found);
    slot.rest.opening = opening_.contains(key);
    resting_.erase(key);
    if (--names_[slot.entry->name] == 0) names_.erase(slot.entry->name);
  }
  slot.entry.reset();
  return std::move(slot.rest);
}

void Connections::CloseAll() {
  {
    MutexLock lock(&mu_);
    while (!opening_.empty()) opening_ended_.Wait(&mu_);
  }
  uses_->Stop();
  absl::flat_hash_set<std::shared_ptr<db::Database>> databases;  // two ids may lead to one
  for (const EntryPtr& entry : List()) {
    if (entry->database != nullptr) databases.insert(entry->database);
  }
  for (const auto& database : databases) database->Close();
}

bool ListedBefore(absl::string_view name,
                  absl::string_view handle,
                  const Connections::Entry& entry) {
  return std::make_tuple(name, handle) <
         std::make_tuple(absl::string_view(entry.name), absl::string_view(entry.handle));
}

}  // namespace sluice::core
