// Interact over gRPC. Internal to the library.
#ifndef SLUICE_CLIENT_INTERACT_CALL_H_
#define SLUICE_CLIENT_INTERACT_CALL_H_

#include <memory>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"

#include "client/call.h"
#include "client/interaction.h"
#include "sluice/v1/transaction.grpc.pb.h"

namespace sluice::client {

// An Interact call in flight. Owned by its Interaction.
class InteractCall final : public InteractionEnds {
 public:
  InteractCall(v1::TransactionService::Stub& stub, absl::Time deadline, const std::stop_token& stop)
      : cancel_(stop, [this] { context_.TryCancel(); }) {
    SetDeadline(context_, deadline);
    stream_ = stub.Interact(&context_);
  }

  bool Write(const v1::InteractRequest& request) override { return stream_->Write(request); }

  void WritesDone() override { stream_->WritesDone(); }

  bool Read(v1::InteractResponse* response) override { return stream_->Read(response); }

  absl::Status Finish() override { return ToAbsl(stream_->Finish()); }

  void Cancel() override { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::InteractRequest, v1::InteractResponse>> stream_;
  StopCallback cancel_;  // last: it must not fire on a context that is gone
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_INTERACT_CALL_H_
