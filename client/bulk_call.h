// BulkInsert over gRPC, as bytes. Internal to the library.
#ifndef SLUICE_CLIENT_BULK_CALL_H_
#define SLUICE_CLIENT_BULK_CALL_H_

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"

#include "client/bulk_inserter.h"
#include "client/call.h"

namespace sluice::client {

// The generated stub takes messages; this call takes their bytes. Its completion queue is its own:
// each operation is waited for where it is started.
class BulkCall final : public ChunkSink {
 public:
  BulkCall(const std::shared_ptr<grpc::Channel>& channel,
           absl::Time deadline,
           const std::stop_token& stop);
  ~BulkCall() override;

  bool Write(std::string message) override;
  absl::StatusOr<v1::BulkInsertResponse> Finish() override;

  void Cancel() override { context_.TryCancel(); }

 private:
  using Stub = grpc::TemplatedGenericStub<grpc::ByteBuffer, v1::BulkInsertResponse>;
  using Stream = grpc::ClientAsyncReaderWriter<grpc::ByteBuffer, v1::BulkInsertResponse>;

  bool Wait();

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<Stream> stream_;
  StopCallback cancel_;  // last: it must not fire on a context that is gone
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_BULK_CALL_H_
