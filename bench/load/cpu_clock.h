#ifndef SLUICE_BENCH_LOAD_CPU_CLOCK_H_
#define SLUICE_BENCH_LOAD_CPU_CLOCK_H_

#include <cstdint>
#include <ctime>

#include <sys/types.h>

namespace sluice::bench {

// CPU time, user and system, that all threads of a process have used so far, in nanoseconds; -1
// when there is no such process. Pid 0 is this process. The kernel counts it in nanoseconds, where
// /proc/PID/stat rounds the same number to ticks of 10 ms.
inline int64_t ProcessCpuNanos(pid_t pid) {
  clockid_t clock;
  timespec time;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return -1;
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_CPU_CLOCK_H_
