#ifndef SLUICE_BENCH_LOAD_GENERATOR_H_
#define SLUICE_BENCH_LOAD_GENERATOR_H_

#include "bench/load/load.h"

namespace sluice::bench {

// Runs the load to its end on the calling thread: one completion queue, raw messages both ways.
LoadResult RunLoad(const LoadOptions& options);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_GENERATOR_H_
