#ifndef SLUICE_BENCH_LOAD_HISTOGRAM_H_
#define SLUICE_BENCH_LOAD_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace sluice::bench {

// Latencies in nanoseconds, in buckets whose width is 1/64 of their power of two: any quantile is
// within 1.6 % of the truth, and recording costs a few instructions. One per run; one thread.
class Histogram {
 public:
  void Record(uint64_t nanos) {
    ++counts_[BucketOf(nanos)];
    ++total_;
    if (nanos > max_) max_ = nanos;
  }

  // The upper edge of the bucket that holds the q-th value, in microseconds; 0 when empty.
  double QuantileMicros(double q) const {
    const auto rank = static_cast<uint64_t>(q * static_cast<double>(total_));
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
      seen += counts_[bucket];
      if (seen > rank) return static_cast<double>(std::min(UpperEdge(bucket), max_)) / 1e3;
    }
    return MaxMicros();
  }

  double MaxMicros() const { return static_cast<double>(max_) / 1e3; }

 private:
  static constexpr int kSubBits = 6;
  static constexpr uint64_t kSub = uint64_t{1} << kSubBits;

  static size_t BucketOf(uint64_t nanos) {
    if (nanos < kSub) return nanos;
    const int shift = std::bit_width(nanos) - 1 - kSubBits;
    return (static_cast<uint64_t>(shift) + 1) * kSub + ((nanos >> shift) - kSub);
  }

  static uint64_t UpperEdge(size_t bucket) {
    if (bucket < kSub) return bucket;
    const uint64_t shift = bucket / kSub - 1;
    return ((bucket % kSub + kSub + 1) << shift) - 1;
  }

  std::array<uint64_t, (64 - kSubBits + 1) * kSub> counts_{};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_HISTOGRAM_H_
