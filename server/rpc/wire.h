// Between messages and gRPC's raw byte buffers.
#ifndef SLUICE_SERVER_RPC_WIRE_H_
#define SLUICE_SERVER_RPC_WIRE_H_

#include <string>
#include <utility>

#include "google/protobuf/message_lite.h"
#include "grpcpp/support/byte_buffer.h"

#include "server/async/reply.h"

namespace sluice::rpc {

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
