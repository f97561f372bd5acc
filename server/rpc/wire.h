// Between messages and gRPC's raw byte buffers.
#ifndef SLUICE_SERVER_RPC_WIRE_H_
#define SLUICE_SERVER_RPC_WIRE_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "google/protobuf/arena.h"
#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

#include "server/async/reply.h"

namespace sluice::rpc {

constexpr size_t kAlign = 8;
constexpr size_t kSmallestBlock = 512;
constexpr size_t kLargestBlock = 128 << 10;

// An empty message that keeps all that is put into it in a few large pieces of memory, and lets go
// of it as a whole, on any thread. `bytes`: how many it is to be parsed from.
template <class M>
std::shared_ptr<M> MakeOnArena(size_t bytes) {
  google::protobuf::ArenaOptions options;
  // What is to be destroyed is noted from the end of a block on, which has to be aligned.
  options.start_block_size = std::clamp(2 * bytes, kSmallestBlock, kLargestBlock) / kAlign * kAlign;
  options.max_block_size = kLargestBlock;
  auto arena = std::make_shared<google::protobuf::Arena>(options);
  M* const message = google::protobuf::Arena::CreateMessage<M>(arena.get());
  return {std::move(arena), message};
}

// False if the bytes are no such message.
bool Parse(grpc::ByteBuffer& buffer, google::protobuf::MessageLite& message);

// The message, followed by `body`, which already is in wire form and is moved, not copied, when it
// is large.
grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& head, std::string body);

template <class M>
grpc::ByteBuffer Serialize(Reply<M> reply) {
  return Serialize(reply.head, std::move(reply.body));
}

template <class M>

requires std::is_base_of_v<google::protobuf::MessageLite, M> grpc::ByteBuffer Serialize(
    const M& message) {
  return Serialize(message, std::string());
}

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_WIRE_H_
