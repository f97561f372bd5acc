#include "server/rpc/serve.h"

#include "grpc/grpc.h"

namespace sluice::rpc {

void ResetStalled(Call& call) {
  grpc_call_cancel_with_status(call.context.c_call(), GRPC_STATUS_CANCELLED,
                               "STREAM_STALLED: the client took no message for too long.", nullptr);
}

}  // namespace sluice::rpc
