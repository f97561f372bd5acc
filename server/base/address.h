// Addresses that the server listens on: 127.0.0.1:50051, [::1]:0, localhost:50051, unix:PATH. And
// the ports that it may connect to.
#ifndef SLUICE_SERVER_BASE_ADDRESS_H_
#define SLUICE_SERVER_BASE_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace sluice {

// Address: one end that this machine, and nobody else, can reach.
struct Address {
  std::string host;  // "127.0.0.1", "::1"; empty for a Unix socket
  int port = 0;      // 0: the system picks one
  std::string path;  // of a Unix socket

  bool is_unix() const { return !path.empty(); }

  // As gRPC takes it.
  std::string ToString() const;
};

// Refuses everything off loopback: there is no authentication yet, and without it an address that
// others can reach would hand them the databases. `localhost` means 127.0.0.1.
absl::StatusOr<Address> ParseListenAddress(absl::string_view text);

// "5432,6432"; none if `text` is empty.
absl::StatusOr<std::vector<int>> ParsePorts(absl::string_view text);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_ADDRESS_H_
