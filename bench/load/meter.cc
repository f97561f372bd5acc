#include "bench/load/meter.h"

#include <utility>

#include "bench/load/cpu_clock.h"

namespace sluice::bench {

void Meter::Start(Clock::time_point now) {
  measure_from_ = now + options_.warm_up;
  end_ = measure_from_ + options_.duration;
  next_due_ = now;
}

bool Meter::Tick(Clock::time_point now) {
  if (!measuring_ && now >= measure_from_) Begin(now);
  const bool enough = options_.calls > 0 && result_.calls + result_.errors >= options_.calls;
  if (enough || now >= end_) Stop(now);
  return !over_;
}

void Meter::Stop(Clock::time_point now) {
  if (over_) return;
  over_ = true;
  End(now);
}

std::optional<Meter::Clock::time_point> Meter::Take(Clock::time_point idle_since,
                                                    Clock::time_point now) {
  if (options_.calls > 0 && sent_ >= options_.calls) return std::nullopt;
  Clock::time_point due = now;
  if (paced()) {
    if (next_due_ > now) return std::nullopt;
    // A call that was due while all were in flight counts from then: the wait is the server's.
    // One that is late because this thread's timer woke late does not: that is ours.
    if (idle_since > next_due_) due = next_due_;
    next_due_ += std::chrono::nanoseconds(static_cast<int64_t>(1e9 / options_.calls_per_second));
  }
  ++sent_;
  return due;
}

void Meter::Count(std::string error, Clock::time_point due, Clock::time_point now) {
  if (!error.empty()) {
    Fail(std::move(error));
    return;
  }
  ++result_.acknowledged;
  if (!measuring_) return;
  ++result_.calls;
  result_.latency.Record(static_cast<uint64_t>((now - due).count()));
}

void Meter::Fail(std::string error) {
  ++result_.errors;
  if (result_.first_error.empty()) result_.first_error = std::move(error);
}

void Meter::Begin(Clock::time_point now) {
  measuring_ = true;
  measured_since_ = now;
  totals_ = Totals();
  result_.server_cpu_nanos = ServerCpu();
  result_.client_cpu_nanos = ProcessCpuNanos(0);
}

void Meter::End(Clock::time_point now) {
  if (!measuring_) Begin(now);
  result_.rows = totals_.rows;
  result_.bytes = totals_.bytes;
  result_.seconds = std::chrono::duration<double>(now - measured_since_).count();
  const int64_t server = ServerCpu();
  const bool known = server >= 0 && result_.server_cpu_nanos >= 0;
  result_.server_cpu_nanos = known ? server - result_.server_cpu_nanos : -1;
  result_.client_cpu_nanos = ProcessCpuNanos(0) - result_.client_cpu_nanos;
}

int64_t Meter::ServerCpu() const {
  return options_.server_pid > 0 ? ProcessCpuNanos(options_.server_pid) : -1;
}

}  // namespace sluice::bench
