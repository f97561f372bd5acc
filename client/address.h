// Where a server listens, as users write it.
#ifndef SLUICE_CLIENT_ADDRESS_H_
#define SLUICE_CLIENT_ADDRESS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace sluice::client {

// INVALID_ARGUMENT unless `address` is `HOST:PORT`, `[IPv6]:PORT` or `unix:PATH`.
absl::Status CheckAddress(absl::string_view address);

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_ADDRESS_H_
