#include "server/core/database_uses.h"

#include <utility>

#include "server/base/errors.h"

namespace sluice::core {

DatabaseUse::DatabaseUse(std::shared_ptr<DatabaseUses> uses, std::shared_ptr<db::Database> database)
    : uses_(std::move(uses)), database_(std::move(database)) {}

DatabaseUse::~DatabaseUse() {
  uses_->Close(DatabaseUses::Unused{std::move(database_), closed_});
}

absl::StatusOr<std::shared_ptr<const DatabaseUse>> DatabaseUses::Take(
    std::shared_ptr<db::Database> database) {
  MutexLock lock(&mu_);
  const auto [known, is_new] = uses_.try_emplace(database.get());
  if (!is_new) {
    std::shared_ptr<const DatabaseUse> use = known->second.lock();
    if (use != nullptr) return use;
    return errors::ConnectionInUse("The database is being closed; try again in a moment.");
  }
  auto use = std::make_shared<const DatabaseUse>(shared_from_this(), std::move(database));
  known->second = use;
  return use;
}

void DatabaseUses::Close(Unused unused) {
  MutexLock lock(&mu_);
  if (stopped_) {
    uses_.erase(unused.database.get());
    return;  // whoever stopped us closes what is left
  }
  unused_.push_back(std::move(unused));
  changed_.Signal();
  MutexLock thread(&thread_mu_);
  if (!thread_.joinable()) thread_ = std::thread([this] { Serve(); });
}

void DatabaseUses::Serve() {
  while (true) {
    Unused next;
    {
      MutexLock lock(&mu_);
      while (unused_.empty() && !stopped_) changed_.Wait(&mu_);
      if (unused_.empty()) return;
      next = std::move(unused_.front());
      unused_.pop_front();
    }
    next.database->Close();
    {
      MutexLock lock(&mu_);
      uses_.erase(next.database.get());
    }
    next.database.reset();
    next.closed->Come();
  }
}

void DatabaseUses::Stop() {
  {
    MutexLock lock(&mu_);
    stopped_ = true;
    changed_.SignalAll();
  }
  std::thread thread;
  {
    MutexLock lock(&thread_mu_);
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

}  // namespace sluice::core
