// PoolStats: a pool of connections to a server, as those who look at it see it.
#ifndef SLUICE_SERVER_DB_POOL_STATS_H_
#define SLUICE_SERVER_DB_POOL_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace sluice::db {

// What is counted is counted since the pool was opened.
struct PoolStats {
  PoolStats() {}  // NOLINT(modernize-use-equals-default): not an aggregate

  struct Limits {
    int64_t min = 0;
    int64_t max = 0;
    int64_t overflow = 0;
    int64_t waiters = 0;
    int64_t lanes = 0;
    absl::Duration acquire_timeout;
    absl::Duration idle_timeout;
    absl::Duration recycle;   // zero: never
    absl::Duration pre_ping;  // zero: never
    absl::Duration lane_allowance;
    absl::Duration commit_grace;
    bool strict_hygiene = false;
  };

  // Who has a connection for himself.
  struct Holder {
    std::string transaction;  // its handle; empty: a statement by itself
    std::string caller;       // empty: not known
    std::string request_id;   // empty: the call has none
    std::string statement;    // its fingerprint's text
    absl::Duration held_for;
    bool busy = false;  // the server works on it
  };

  Limits limits;
  int64_t open = 0;
  int64_t idle = 0;
  int64_t leased = 0;
  int64_t waiting = 0;
  int64_t connecting = 0;
  int64_t lane_statements = 0;
  int64_t lanes_open = 0;
  int64_t lanes_condemned = 0;
  int64_t connects = 0;
  int64_t connects_failed = 0;
  int64_t acquire_timeouts = 0;
  int64_t timeline = 0;  // of the server that was connected to last; 0: not known, or a standby
  int64_t timeline_changes = 0;
  bool breaker_open = false;
  std::string last_failure;  // reason; empty: the last attempt went well
  absl::Duration retry_in;   // zero: there is nothing to wait for
  std::vector<Holder> holders;
};

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_POOL_STATS_H_
