#include "server/rpc/cork.h"

#include <algorithm>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "grpc/support/sync.h"
#include "grpcpp/support/channel_arguments.h"

// gRPC's public headers name this type, and take a pointer to it, but do not say what is in it.
// These are the parts of gRPC 1.51; cork_test fails where they are others.
enum grpc_fd_usage { kClientConnection, kServerListener, kServerConnection };

struct grpc_mutate_socket_info {
  int fd;
  grpc_fd_usage usage;
};

struct grpc_socket_mutator_vtable {
  bool (*mutate_fd)(int fd, grpc_socket_mutator* mutator);
  int (*compare)(grpc_socket_mutator* a, grpc_socket_mutator* b);
  void (*destroy)(grpc_socket_mutator* mutator);
  bool (*mutate_fd_2)(const grpc_mutate_socket_info* info, grpc_socket_mutator* mutator);
};

struct grpc_socket_mutator {
  const grpc_socket_mutator_vtable* vtable;
  gpr_refcount references;
};

namespace sluice::rpc {
namespace {

bool SetCork(int socket, int on) {
  return setsockopt(socket, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0;
}

// 0 if it is no open file.
ino_t InodeOf(int number) {
  struct stat found = {};
  return fstat(number, &found) == 0 ? found.st_ino : 0;
}

// Owned by gRPC, through its count of references.
struct Teller final : grpc_socket_mutator {
  explicit Teller(std::shared_ptr<ClientSockets> its_sockets) : sockets(std::move(its_sockets)) {
    static constexpr grpc_socket_mutator_vtable kFunctions = {
        [](int /*fd*/, grpc_socket_mutator* /*mutator*/) { return true; },
        [](grpc_socket_mutator* a, grpc_socket_mutator* b) { return a < b ? -1 : (b < a ? 1 : 0); },
        [](grpc_socket_mutator* mutator) { delete static_cast<Teller*>(mutator); },
        [](const grpc_mutate_socket_info* info, grpc_socket_mutator* mutator) {
          if (info->usage == kServerConnection)
            static_cast<Teller*>(mutator)->sockets->Add(info->fd);
          return true;
        }};
    vtable = &kFunctions;
    gpr_ref_init(&references, 1);
  }

  const std::shared_ptr<ClientSockets> sockets;
};

class TellerOption final : public grpc::ServerBuilderOption {
 public:
  explicit TellerOption(std::shared_ptr<ClientSockets> sockets) : sockets_(std::move(sockets)) {}

  void UpdateArguments(grpc::ChannelArguments* arguments) override {
    arguments->SetSocketMutator(new Teller(sockets_));
  }

  void UpdatePlugins(
      std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* /*plugins*/) override {}

 private:
  const std::shared_ptr<ClientSockets> sockets_;
};

}  // namespace

bool ClientSockets::Socket::IsOpen() const {
  return InodeOf(number) == inode;
}

void ClientSockets::Add(int socket) {
  if (!SetCork(socket, 0)) return;
  const MutexLock lock(&mu_);
  Forget(kLookedAt);
  sockets_.push_back({socket, InodeOf(socket)});
}

ClientSockets::Few ClientSockets::List() {
  const MutexLock lock(&mu_);
  Few out;
  Forget(kLookedAt);
  if (sockets_.size() > kMostCorked) return out;
  for (const Socket& socket : sockets_) out.push_back(socket.number);
  return out;
}

size_t ClientSockets::count() const {
  const MutexLock lock(&mu_);
  return sockets_.size();
}

void ClientSockets::Forget(size_t most) {
  for (size_t i = std::min(most, sockets_.size()); i > 0; --i) {
    if (next_ >= sockets_.size()) next_ = 0;
    if (sockets_[next_].IsOpen()) {
      ++next_;
    } else {
      sockets_[next_] = sockets_.back();
      sockets_.pop_back();
    }
  }
}

std::unique_ptr<grpc::ServerBuilderOption> TellOfAccepted(std::shared_ptr<ClientSockets> sockets) {
  return std::make_unique<TellerOption>(std::move(sockets));
}

Cork::Cork(ClientSockets::Few sockets) : sockets_(std::move(sockets)) {
  for (const int socket : sockets_) SetCork(socket, 1);
}

Cork::~Cork() {
  for (const int socket : sockets_) SetCork(socket, 0);
}

}  // namespace sluice::rpc
