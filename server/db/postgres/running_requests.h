// RunningRequests: the keys of requests that were asked for and are not answered yet.
#ifndef SLUICE_SERVER_DB_POSTGRES_RUNNING_REQUESTS_H_
#define SLUICE_SERVER_DB_POSTGRES_RUNNING_REQUESTS_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"

#include "server/base/mutex.h"
#include "server/db/request_key.h"

namespace sluice::postgres {

// What is on its way through the gateway is not in the database's table yet. Any thread.
class RunningRequests : public std::enable_shared_from_this<RunningRequests> {
 public:
  // Mark: a request runs while it lives.
  class Mark {
   public:
    Mark() = default;

    Mark(std::shared_ptr<RunningRequests> requests, std::string key)
        : requests_(std::move(requests)), key_(std::move(key)) {}

    Mark(Mark&&) = default;
    Mark& operator=(Mark&&) = delete;

    ~Mark() {
      if (requests_ != nullptr) requests_->Remove(key_);
    }

   private:
    std::shared_ptr<RunningRequests> requests_;
    std::string key_;
  };

  // `key` may be null: then there is nothing to remember.
  Mark Add(const db::RequestKey* key) ABSL_LOCKS_EXCLUDED(mu_) {
    if (key == nullptr) return {};
    std::string name = NameOf(*key);
    MutexLock lock(&mu_);
    ++running_[name];
    return {shared_from_this(), std::move(name)};
  }

  bool Has(const db::RequestKey& key) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    return running_.contains(NameOf(key));
  }

 private:
  static std::string NameOf(const db::RequestKey& key) { return absl::StrCat(key.scope, key.id); }

  void Remove(const std::string& name) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    const auto found = running_.find(name);
    if (--found->second == 0) running_.erase(found);
  }

  mutable Mutex mu_;
  absl::flat_hash_map<std::string, int> running_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_RUNNING_REQUESTS_H_
