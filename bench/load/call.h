#ifndef SLUICE_BENCH_LOAD_CALL_H_
#define SLUICE_BENCH_LOAD_CALL_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include "bench/load/answer.h"
#include "bench/load/meter.h"
#include "bench/load/request.h"

namespace sluice::bench {

std::string Describe(const grpc::Status& status);

// A place for one call in flight, used again for the next. Its address is the tag of all it starts.
// Owned by the Generator, on its thread.
class Call {
 public:
  virtual ~Call() = default;

  virtual void Start(RequestMaker& maker) = 0;

  // Takes one finished operation; true when the call is over.
  virtual bool OnEvent(bool ok, Totals& totals) = 0;

  // What went wrong with the call that is over; empty when it succeeded.
  virtual std::string Error() const = 0;

  void Cancel() {
    cancelled_ = true;
    if (context_) context_->TryCancel();
  }

  std::chrono::steady_clock::time_point due;         // when the call in flight was to start
  std::chrono::steady_clock::time_point idle_since;  // when the last one ended

 protected:
  bool cancelled() const { return cancelled_; }

  std::optional<grpc::ClientContext> context_;

 private:
  bool cancelled_ = false;
};

// Parses the answer to a point read, as any caller would, and checks that it is the row asked for.
class UnaryCall final : public Call {
 public:
  UnaryCall(grpc::GenericStub& stub, grpc::CompletionQueue& queue) : stub_(stub), queue_(queue) {}

  void Start(RequestMaker& maker) override;
  bool OnEvent(bool ok, Totals& totals) override;

  std::string Error() const override { return error_; }

 private:
  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
  std::vector<uint64_t> keys_;  // that it reads
  Method method_ = Method::kPoint;
  std::string error_;
};

class StreamCall final : public Call {
 public:
  StreamCall(grpc::GenericStub& stub, grpc::CompletionQueue& queue) : stub_(stub), queue_(queue) {}

  void Start(RequestMaker& maker) override;
  bool OnEvent(bool ok, Totals& totals) override;
  std::string Error() const override;

 private:
  enum class State { kStarting, kWriting, kReading, kFinishing };

  ResponseFacts Facts();

  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
  State state_ = State::kStarting;
  bool complete_ = false;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_CALL_H_
