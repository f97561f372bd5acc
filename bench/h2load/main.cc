// sluice_h2load: the load of sluice_load's unary calls for less CPU time, so that on a machine of
// few cores more is left for what is measured. One thread, epoll and nghttp2.

#include <nghttp2/nghttp2.h>

#include "bench/h2load/generator.h"
#include "bench/load/program.h"

int main(int argc, char** argv) {
  const sluice::bench::Program program = {
      "Loads a Sluice server with unary calls, leanly, and prints what it measured, as one JSON "
      "object.",
      std::string("nghttp2 ") + nghttp2_version(0)->version_str, sluice::bench::RunLeanLoad};
  return sluice::bench::RunProgram(program, argc, argv);
}
