// What one call asks for beyond its request.
#ifndef SLUICE_CLIENT_CALL_OPTIONS_H_
#define SLUICE_CLIENT_CALL_OPTIONS_H_

#include <optional>
#include <stop_token>

#include "absl/time/time.h"

namespace sluice::client {

struct CallOptions {
  // Ends the call after this long. Default: the client's deadline; for a stream none, since how
  // long it lasts depends on how fast it is read.
  std::optional<absl::Duration> timeout;
  // Cancels the call, on the server too, when stop is requested. A stream may be stopped while Next
  // waits.
  std::stop_token stop;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_CALL_OPTIONS_H_
