// Cork: the answers of one turn in a few packets. gRPC sends each answer by itself, and to push a
// packet through the kernel and wake its reader costs more than to make the answer.
#ifndef SLUICE_SERVER_RPC_CORK_H_
#define SLUICE_SERVER_RPC_CORK_H_

#include <cstddef>
#include <memory>
#include <vector>

#include <sys/types.h>

#include "absl/container/inlined_vector.h"
#include "grpcpp/impl/server_builder_option.h"

#include "server/base/mutex.h"

namespace sluice::rpc {

// ClientSockets: the TCP connections that a server's clients have open. Any thread.
class ClientSockets {
 public:
  // With more of them than this, answers seldom meet on one.
  static constexpr size_t kMostCorked = 16;

  using Few = absl::InlinedVector<int, kMostCorked>;

  // A socket that was just accepted; one that cannot be corked is left out.
  void Add(int socket);
  // All that are open, or none if there are too many.
  Few List();
  // How many, with some that are closed by now.
  size_t count() const;

 private:
  // Nobody tells when a socket is closed, and its number is given to the next file.
  struct Socket {
    bool IsOpen() const;

    int number = -1;
    ino_t inode = 0;
  };

  // Looks at so many of those that are there, for each that comes: the closed ones stay few.
  static constexpr size_t kLookedAt = 4;

  void Forget(size_t most) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  mutable Mutex mu_;
  std::vector<Socket> sockets_ ABSL_GUARDED_BY(mu_);
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;  // to look at
};

// Makes gRPC tell `sockets` of each connection that it accepts.
std::unique_ptr<grpc::ServerBuilderOption> TellOfAccepted(std::shared_ptr<ClientSockets> sockets);

// While it lives, what is sent to these waits until a packet is full; at its end all of it goes.
class Cork {
 public:
  explicit Cork(ClientSockets::Few sockets);
  ~Cork();

  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;

 private:
  const ClientSockets::Few sockets_;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_CORK_H_
