// Waiting between attempts. Internal to the library.
#ifndef SLUICE_CLIENT_PAUSE_H_
#define SLUICE_CLIENT_PAUSE_H_

#include <stop_token>

#include "absl/time/time.h"

namespace sluice::client {

// Waits, unless stop is requested first: then false.
bool Pause(absl::Duration duration, const std::stop_token& stop);

// In [0, 1).
double RandomFraction();

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_PAUSE_H_
