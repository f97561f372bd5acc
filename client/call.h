// What every call of the library shares: statuses, deadlines, cancelling. Internal to the library:
// it is the only header here that knows gRPC.
#ifndef SLUICE_CLIENT_CALL_H_
#define SLUICE_CLIENT_CALL_H_

#include <functional>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"

#include "client/errors.h"

namespace sluice::client {

using StopCallback = std::stop_callback<std::function<void()>>;

inline absl::Status ToAbsl(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return MakeStatus(status.error_code(), status.error_message(), status.error_details());
}

inline void SetDeadline(grpc::ClientContext& context, absl::Time deadline) {
  if (deadline != absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
}

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CALL_H_
