// Health: grpc.health.v1, Check and Watch. Served like any other service, so that reflection
// resolves it.
#ifndef SLUICE_SERVER_RPC_HEALTH_H_
#define SLUICE_SERVER_RPC_HEALTH_H_

#include <list>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "grpc/health/v1/health.pb.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/reply.h"
#include "server/async/stream.h"
#include "server/async/task.h"
#include "server/base/mutex.h"

namespace sluice::rpc {

// Owned by the Server; Set from any thread, Check and Watch on loops. Names: "" is the process, a
// full service name one service, `connections/<name>` one database.
class Health {
 public:
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;

  void Set(absl::string_view name, bool serving);
  // From now on the name is as unknown as before it was set.
  void Forget(absl::string_view name);
  // Everything, now and in future, is NOT_SERVING: the server drains.
  void Shutdown();

  // NOT_FOUND for a name that was never set.
  Task<absl::StatusOr<Response>> Check(const Context& ctx, const Request& request);
  // The state at once, then each change, until the call ends. An unknown name is SERVICE_UNKNOWN
  // until it is set.
  Task<absl::Status> Watch(const Context& ctx, const Request& request, Sink<Response>& sink);

 private:
  using State = Response::ServingStatus;

  // One Watch that waits for its name to change.
  struct Watcher {
    std::string name;
    const void* ticket;
    Completion<bool> changed;  // false: the call was stopped
  };

  std::list<Watcher> TakeWatchers(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  State StateOf(const std::string& name) const;
  // Waits until the state of `name` is not `seen`. False: the call was stopped.
  Task<bool> AwaitChange(const Context& ctx, const std::string& name, State seen);
  void Leave(const void* ticket);

  mutable Mutex mu_;
  bool down_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<std::string, bool> serving_ ABSL_GUARDED_BY(mu_);
  std::list<Watcher> watchers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_HEALTH_H_
