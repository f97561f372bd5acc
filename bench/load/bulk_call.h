#ifndef SLUICE_BENCH_LOAD_BULK_CALL_H_
#define SLUICE_BENCH_LOAD_BULK_CALL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include "bench/load/call.h"
#include "bench/load/request.h"

namespace sluice::bench {

// A BulkInsert of the same rows each time, whose messages are made once, and which is answered with
// how many rows there were.
class BulkCall final : public Call {
 public:
  BulkCall(const RequestOptions& options, grpc::GenericStub& stub, grpc::CompletionQueue& queue);

  void Start(RequestMaker& maker) override;
  bool OnEvent(bool ok, Totals& totals) override;
  std::string Error() const override;

 private:
  enum class State { kStarting, kWriting, kReading, kFinishing };

  void Write();

  const int64_t rows_;
  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  std::vector<grpc::ByteBuffer> messages_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  size_t written_ = 0;  // messages
  grpc::ByteBuffer response_;
  int64_t inserted_ = 0;
  grpc::Status status_;
  State state_ = State::kStarting;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_BULK_CALL_H_
