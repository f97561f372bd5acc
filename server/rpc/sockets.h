// What gRPC does not say of its sockets, asked of the system.
#ifndef SLUICE_SERVER_RPC_SOCKETS_H_
#define SLUICE_SERVER_RPC_SOCKETS_H_

#include <string>

#include "absl/status/status.h"

namespace sluice::rpc {

// Error: `listen` is a Unix socket's path at which something is that gRPC must not remove. gRPC
// removes whatever socket it finds there, even one that another server listens on.
absl::Status CheckSocketIsFree(const std::string& listen);

// Ends every connection that was accepted at `address`, in this process, for writing; what was
// written still arrives. For a server that has no call in flight: whatever a client still sends
// then fails with UNAVAILABLE, which is true, where gRPC's own shutdown would answer CANCELLED to
// calls that it never began.
void EndConnections(const std::string& address);

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_SOCKETS_H_
