#ifndef SLUICE_BENCH_RANDOM_H_
#define SLUICE_BENCH_RANDOM_H_

#include <cstdint>

namespace sluice::bench {

// Splitmix64: random numbers that cost next to nothing. One per thread.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // One of 1 … most.
  uint64_t UpTo(uint64_t most) {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % most + 1;
  }

 private:
  uint64_t state_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_RANDOM_H_
