#ifndef SLUICE_BENCH_H2LOAD_GENERATOR_H_
#define SLUICE_BENCH_H2LOAD_GENERATOR_H_

#include "bench/load/load.h"

namespace sluice::bench {

// RunLoad() for unary calls, by nghttp2 and epoll instead of gRPC, for a fraction of the client's
// CPU time. Of a point read it reads the first column only.
LoadResult RunLeanLoad(const LoadOptions& options);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_H2LOAD_GENERATOR_H_
