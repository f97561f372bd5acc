// From our errors to what travels: a gRPC status with google.rpc details, all within what a
// client's metadata takes.
#ifndef SLUICE_SERVER_RPC_STATUS_H_
#define SLUICE_SERVER_RPC_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpcpp/support/status.h"

namespace sluice::rpc {

// Message and details together stay under 4 KiB; both are valid UTF-8 without control bytes.
grpc::Status ToGrpcStatus(const absl::Status& status, absl::string_view request_id);

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_STATUS_H_
