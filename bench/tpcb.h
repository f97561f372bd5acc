// The transaction of pgbench's "TPC-B (sort of)": the same statements and values for all who run
// it.
#ifndef SLUICE_BENCH_TPCB_H_
#define SLUICE_BENCH_TPCB_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "bench/random.h"

namespace sluice::bench {

// How large the database is.
struct TpcbSize {
  uint64_t branches = 10;
  uint64_t accounts = 1'000'000;

  uint64_t tellers() const { return 10 * branches; }
};

// The values of one transaction.
struct TpcbValues {
  int64_t aid = 0;
  int64_t tid = 0;
  int64_t bid = 0;
  int64_t delta = 0;
};

struct TpcbStatement {
  const char* sql;
  std::array<int64_t TpcbValues::*, 4> params;  // $1 and on; nullptr beyond the last
  bool reads;                                   // answers one row; the others change one
};

inline constexpr TpcbStatement kTpcbStatements[] = {
    {"UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
     {&TpcbValues::delta, &TpcbValues::aid},
     false},
    {"SELECT abalance FROM pgbench_accounts WHERE aid = $1", {&TpcbValues::aid}, true},
    {"UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
     {&TpcbValues::delta, &TpcbValues::tid},
     false},
    {"UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2",
     {&TpcbValues::delta, &TpcbValues::bid},
     false},
    {"INSERT INTO pgbench_history(tid, bid, aid, delta, mtime)"
     " VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
     {&TpcbValues::tid, &TpcbValues::bid, &TpcbValues::aid, &TpcbValues::delta},
     false},
};

inline TpcbValues RandomTpcb(const TpcbSize& size, Random& random) {
  constexpr int64_t kMostDelta = 5000;
  TpcbValues values;
  values.aid = static_cast<int64_t>(random.UpTo(size.accounts));
  values.tid = static_cast<int64_t>(random.UpTo(size.tellers()));
  values.bid = static_cast<int64_t>(random.UpTo(size.branches));
  values.delta = static_cast<int64_t>(random.UpTo(2 * kMostDelta + 1)) - kMostDelta - 1;
  return values;
}

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_TPCB_H_
