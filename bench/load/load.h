// What a load generator is asked for, and what it measured.
#ifndef SLUICE_BENCH_LOAD_LOAD_H_
#define SLUICE_BENCH_LOAD_LOAD_H_

#include <chrono>
#include <cstdint>
#include <string>

#include <sys/types.h>

#include "bench/load/histogram.h"
#include "bench/load/request.h"

namespace sluice::bench {

// How long a connect may take, and an answer after the end of the run, before it counts as an
// error.
inline constexpr auto kPatience = std::chrono::seconds(10);
// At the end of the run, calls that take longer than this are cancelled.
inline constexpr auto kGrace = std::chrono::seconds(1);

struct LoadOptions {
  std::string server;
  RequestOptions request;
  int concurrency = 32;         // calls in flight
  int channels = 4;             // each has a connection of its own
  uint64_t calls = 0;           // end after so many instead of after `duration`
  double calls_per_second = 0;  // 0: a finished call is followed by the next at once
  std::chrono::nanoseconds warm_up = std::chrono::seconds(1);
  std::chrono::nanoseconds duration = std::chrono::seconds(5);
  pid_t server_pid = 0;  // 0: the server's CPU is not measured
};

// What was counted between the end of the warm-up and the end of the run. A transaction of pgbench
// is one call here, of however many it is made.
struct LoadResult {
  uint64_t calls = 0;  // that succeeded
  uint64_t errors = 0;
  std::string first_error;    // of any call, warm-up included
  uint64_t acknowledged = 0;  // calls that succeeded, from the first to the last of the run
  uint64_t unanswered = 0;    // that were cancelled at its end
  uint64_t rows = 0;
  uint64_t bytes = 0;
  double seconds = 0;
  Histogram latency;             // from when a call was due, even if all were then in flight
  int64_t server_cpu_nanos = 0;  // -1: not known
  int64_t client_cpu_nanos = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_LOAD_H_
