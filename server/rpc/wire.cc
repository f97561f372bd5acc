#include "server/rpc/wire.h"

#include <climits>
#include <cstring>
#include <memory>
#include <vector>

#include "google/protobuf/io/coded_stream.h"
#include "grpcpp/support/slice.h"

namespace sluice::rpc {
namespace {

// Up to here a copy is cheaper than a second slice.
constexpr size_t kCopyLimit = 16 << 10;

}  // namespace

bool Parse(grpc::ByteBuffer& buffer, google::protobuf::MessageLite& message) {
  if (buffer.Length() > INT_MAX) return false;
  grpc::Slice slice;
  if (buffer.TrySingleSlice(&slice).ok()) {
    return message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  if (!buffer.DumpToSingleSlice(&slice).ok())
    return buffer.Length() == 0 && message.ParseFromArray(nullptr, 0);
  return message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& head, std::string body) {
  const size_t head_size = head.ByteSizeLong();
  const size_t copied = body.size() <= kCopyLimit ? body.size() : 0;
  grpc_slice first = grpc_slice_malloc(head_size + copied);
  uint8_t* const end = head.SerializeWithCachedSizesToArray(GRPC_SLICE_START_PTR(first));
  if (copied > 0) std::memcpy(end, body.data(), copied);
  const grpc::Slice head_slice(first, grpc::Slice::STEAL_REF);
  if (copied == body.size()) return grpc::ByteBuffer(&head_slice, 1);
  auto owner = std::make_unique<std::string>(std::move(body));
  char* const data = owner->data();
  const size_t size = owner->size();
  const grpc::Slice slices[] = {
      head_slice, grpc::Slice(
                      data, size, [](void* bytes) { delete static_cast<std::string*>(bytes); },
                      owner.release())};
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace sluice::rpc
