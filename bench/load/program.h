#ifndef SLUICE_BENCH_LOAD_PROGRAM_H_
#define SLUICE_BENCH_LOAD_PROGRAM_H_

#include <string>

#include "bench/load/load.h"

namespace sluice::bench {

// What a load generator's program is besides its command line and its output, which all share.
struct Program {
  const char* description;
  std::string version;  // of the libraries that matter
  LoadResult (*run)(const LoadOptions&);
};

// Reads the command line, runs the load, prints one JSON object. Answers the exit code: 1 if a call
// failed.
int RunProgram(const Program& program, int argc, char** argv);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_PROGRAM_H_
