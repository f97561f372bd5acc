// Ids that make a repeat safe.
#ifndef SLUICE_CLIENT_REQUEST_ID_H_
#define SLUICE_CLIENT_REQUEST_ID_H_

#include <string>

namespace sluice::client {

// A random UUID, version 4, for the `request_id` of a write or a COMMIT.
std::string NewRequestId();

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_REQUEST_ID_H_
