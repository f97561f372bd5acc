// Server: the gRPC server with its loops, from binding to an honest end.
#ifndef SLUICE_SERVER_RPC_SERVER_H_
#define SLUICE_SERVER_RPC_SERVER_H_

#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/server.h"

#include "server/rpc/calls.h"
#include "server/rpc/cork.h"
#include "server/rpc/health.h"
#include "server/rpc/loop.h"
#include "server/rpc/router.h"

namespace sluice::rpc {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  // host:port, or unix:path
  int loops = 0;                       // 0: one per two cores
  int armed = 4;                       // requests waiting per method and loop
  int64_t max_request_bytes = 16 << 20;
  int64_t max_metadata_bytes = 8 << 10;
  int64_t max_calls = 1000;
  int64_t max_streams_per_connection = 100;
  bool reflection = true;
};

// Version of the gRPC library in use.
std::string GrpcVersion();

// Owned by App (or a test), which calls it from its own thread, never from a loop.
class Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Router& router() { return router_; }

  Health& health() { return health_; }

  const Calls& calls() const { return calls_; }

  ClientSockets& client_sockets() { return *client_sockets_; }

  // See Calls. Before Start.
  void SetOpenWork(std::function<int64_t()> open_work) { calls_.SetOpenWork(std::move(open_work)); }

  // The loops, from which background work of the server is started.
  Executor& executor() { return *loops_.front()->loop; }

  // Binds, and serves from then on. Errors: the address is in use or cannot be bound; a route is
  // missing.
  absl::Status Start();

  // Where it listens, with the real port.
  const std::string& address() const { return address_; }

  // Health turns NOT_SERVING, new calls are refused, streams are told to end. Calls in flight get
  // `grace` to end by themselves; then they are stopped, and each answers what became of it.
  void Drain(absl::Duration grace);
  // Cuts a Drain's grace short. Any thread.
  void Hurry();
  // After Drain: shuts gRPC down. From then on no call is in flight; the loops still run what is
  // posted.
  void Shutdown();
  // Ends the loops. Nobody may post to them any more.
  void Stop();

 private:
  // A loop with all that lives on it.
  struct LoopState {
    std::unique_ptr<Loop> loop;
    LiveCalls live;
    bool accepting = true;
    std::unique_ptr<Acceptor> acceptor;
  };

  // Runs `function` on each loop and waits until all did.
  template <class Function>
  void OnEachLoop(Function function);
  Task<void> RunRoute(Acceptor& acceptor, const Router::Route& route);

  const ServerOptions options_;
  Router router_;
  Health health_;
  Calls calls_;
  std::string address_;
  const std::shared_ptr<ClientSockets> client_sockets_ = std::make_shared<ClientSockets>();
  std::vector<std::unique_ptr<LoopState>> loops_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<std::latch> acceptors_;  // accept loops that still run
  bool shut_down_ = false;
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_SERVER_H_
