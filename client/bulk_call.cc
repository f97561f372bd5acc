#include "client/bulk_call.h"

#include <utility>

#include "grpcpp/impl/codegen/proto_utils.h"

namespace sluice::client {
namespace {

constexpr char kMethod[] = "/sluice.v1.QueryService/BulkInsert";

void Delete(void* text) {
  delete static_cast<std::string*>(text);
}

grpc::Slice ToSlice(std::string text) {
  auto* const kept = new std::string(std::move(text));
  return {kept->data(), kept->size(), Delete, kept};
}

}  // namespace

BulkCall::BulkCall(const std::shared_ptr<grpc::Channel>& channel,
                   absl::Time deadline,
                   const std::stop_token& stop)
    : cancel_(stop, [this] { context_.TryCancel(); }) {
  SetDeadline(context_, deadline);
  stream_ = Stub(channel).PrepareCall(&context_, kMethod, &queue_);
  stream_->StartCall(nullptr);
  Wait();
}

BulkCall::~BulkCall() {
  queue_.Shutdown();
  while (Wait()) {
  }
}

bool BulkCall::Wait() {
  void* tag = nullptr;
  bool ok = false;
  return queue_.Next(&tag, &ok) && ok;
}

bool BulkCall::Write(std::string message) {
  const grpc::Slice slice = ToSlice(std::move(message));
  const grpc::ByteBuffer buffer(&slice, 1);
  stream_->Write(buffer, nullptr);
  return Wait();
}

absl::StatusOr<v1::BulkInsertResponse> BulkCall::Finish() {
  // Each may fail once the call has ended; the status says why.
  stream_->WritesDone(nullptr);
  Wait();
  v1::BulkInsertResponse response;
  stream_->Read(&response, nullptr);
  Wait();
  grpc::Status status;
  stream_->Finish(&status, nullptr);
  Wait();
  absl::Status result = ToAbsl(status);
  if (!result.ok()) return result;
  return response;
}

}  // namespace sluice::client
