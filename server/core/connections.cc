#include "server/core/connections.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"

#include "server/base/errors.h"

namespace sluice::core {

absl::Status Connections::Add(Entry entry) {
  std::string id = entry.id;
  auto shared = std::make_shared<const Entry>(std::move(entry));
  MutexLock lock(&mu_);
  const bool added = by_id_.emplace(std::move(id), std::move(shared)).second;
  return added ? absl::OkStatus() : errors::Internal("A connection's id was taken already.");
}

absl::StatusOr<Connections::EntryPtr> Connections::Find(const Context& /*ctx*/,
                                                        absl::string_view id) const {
  if (id.empty()) {
    return errors::ParameterInvalid("connection_id",
                                    "names no connection; `default` is the server's own");
  }
  MutexLock lock(&mu_);
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return errors::ConnectionNotFound(id);
  return found->second;
}

std::vector<Connections::EntryPtr> Connections::List() const {
  std::vector<EntryPtr> entries;
  {
    MutexLock lock(&mu_);
    entries.reserve(by_id_.size());
    for (const auto& [id, entry] : by_id_) entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(), [](const EntryPtr& one, const EntryPtr& other) {
    return ListedBefore(one->name, one->handle, *other);
  });
  return entries;
}

void Connections::CloseAll() {
  absl::flat_hash_set<std::shared_ptr<db::Database>> databases;  // two ids may lead to one
  for (const EntryPtr& entry : List()) databases.insert(entry->database);
  for (const auto& database : databases) database->Close();
}

bool ListedBefore(absl::string_view name,
                  absl::string_view handle,
                  const Connections::Entry& entry) {
  return std::make_tuple(name, handle) <
         std::make_tuple(absl::string_view(entry.name), absl::string_view(entry.handle));
}

}  // namespace sluice::core
