// sluice_load: an asynchronous load generator for queries and transactions. One thread, one
// completion queue, a fixed number of calls in flight; prints one JSON object.

#include <google/protobuf/stubs/common.h>
#include <grpcpp/grpcpp.h>

#include "bench/load/generator.h"
#include "bench/load/program.h"

int main(int argc, char** argv) {
  const sluice::bench::Program program = {
      "Loads a Sluice server and prints what it measured, as one JSON object.",
      "gRPC " + grpc::Version() + ", protobuf " +
          google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION),
      sluice::bench::RunLoad};
  return sluice::bench::RunProgram(program, argc, argv);
}
