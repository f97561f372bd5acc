#ifndef SLUICE_BENCH_LOAD_METER_H_
#define SLUICE_BENCH_LOAD_METER_H_

#include <chrono>
#include <optional>
#include <string>

#include "bench/load/load.h"

namespace sluice::bench {

struct Totals {
  uint64_t rows = 0;
  uint64_t bytes = 0;
};

// The clock and the books of one run: when a call is due, when the warm-up and the run are over,
// what was counted between. One per generator, on its thread.
class Meter {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Meter(const LoadOptions& options) : options_(options) {}

  void Start(Clock::time_point now);

  // Begins and ends the measurement; false when the run is over.
  bool Tick(Clock::time_point now);

  // For a run that is given up; nothing if it is over.
  void Stop(Clock::time_point now);

  // When the next call is due that a place takes which has been idle since then; none: not yet. A
  // time that was answered is taken: the call has to be sent.
  std::optional<Clock::time_point> Take(Clock::time_point idle_since, Clock::time_point now);

  // A call that is over; `error` is empty when it succeeded.
  void Count(std::string error, Clock::time_point due, Clock::time_point now);

  // One that was still in flight at the end of the run.
  void CountLate(bool answered) { ++(answered ? result_.acknowledged : result_.unanswered); }

  void Fail(std::string error);

  bool paced() const { return options_.calls_per_second > 0; }

  Clock::time_point next_due() const { return next_due_; }

  Clock::time_point end() const { return end_; }

  // Of all calls since the warm-up.
  Totals& totals() { return totals_; }

  LoadResult TakeResult() { return std::move(result_); }

 private:
  void Begin(Clock::time_point now);
  void End(Clock::time_point now);
  int64_t ServerCpu() const;

  const LoadOptions& options_;
  uint64_t sent_ = 0;
  Clock::time_point measure_from_, measured_since_, end_, next_due_;
  bool measuring_ = false;
  bool over_ = false;
  Totals totals_;
  LoadResult result_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_METER_H_
