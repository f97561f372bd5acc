#ifndef SLUICE_BENCH_LOAD_TRANSACTION_CALL_H_
#define SLUICE_BENCH_LOAD_TRANSACTION_CALL_H_

#include <memory>
#include <string>

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include "bench/load/call.h"
#include "bench/load/request.h"
#include "bench/load/script.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::bench {

// Statements of a transaction, each a unary call that waits for the one before it.
class StatementsCall final : public Call {
 public:
  StatementsCall(const RequestOptions& options,
                 grpc::GenericStub& stub,
                 grpc::CompletionQueue& queue)
      : stub_(stub), queue_(queue), script_(MakeScript(options)) {}

  void Start(RequestMaker& maker) override;
  bool OnEvent(bool ok, Totals& totals) override;

  std::string Error() const override { return error_; }

 private:
  void Send();

  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  const std::unique_ptr<Script> script_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer bytes_;
  v1::QueryResponse response_;
  grpc::Status status_;
  std::string error_;
};

// The same over an Interact stream, which is opened by the first call and kept for the others. An
// error ends it.
class InteractCall final : public Call {
 public:
  InteractCall(const RequestOptions& options, grpc::GenericStub& stub, grpc::CompletionQueue& queue)
      : stub_(stub), queue_(queue), script_(MakeScript(options)) {}

  void Start(RequestMaker& maker) override;
  bool OnEvent(bool ok, Totals& totals) override;

  std::string Error() const override { return error_; }

 private:
  enum class State { kStarting, kWriting, kReading, kFinishing };

  void Write();
  bool OnResponse(Totals& totals);
  bool End(std::string error);

  grpc::GenericStub& stub_;
  grpc::CompletionQueue& queue_;
  const std::unique_ptr<Script> script_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  v1::InteractRequest request_;
  grpc::ByteBuffer bytes_;
  v1::InteractResponse response_;
  grpc::Status status_;
  State state_ = State::kStarting;
  std::string error_;
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_TRANSACTION_CALL_H_
