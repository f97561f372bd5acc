// Reactor: the thread that talks to PostgreSQL servers. It owns their sockets and everything that
// is about them, so nothing of it needs a lock.
#ifndef SLUICE_SERVER_DB_POSTGRES_REACTOR_H_
#define SLUICE_SERVER_DB_POSTGRES_REACTOR_H_

#include <functional>

#include "absl/container/flat_hash_map.h"

#include "server/async/executor.h"

namespace sluice::postgres {

// Told of what a socket is ready for, on the reactor's thread.
class Watcher {
 public:
  virtual void OnReady(bool readable, bool writable) = 0;

 protected:
  virtual ~Watcher() = default;
};

// An executor around epoll: drivers' coroutines run here. One serves every database, from the first
// one on to the end of the process.
class Reactor final : public Executor {
 public:
  // The process's own, started when it is first asked for, and never stopped: what is about a
  // database may be let go of on its thread.
  static Reactor& Shared();

  // Runs `what` on its thread. Any thread.
  void PostFunction(std::function<void()> what);

  // Own thread, these three. A socket has one watcher, which is told of reading, and of writing
  // while it asks for that.
  void Watch(int socket, Watcher* watcher);
  void WatchWriting(int socket, bool writing);
  void Unwatch(int socket);

 private:
  Reactor();

  void Wake() override;
  [[noreturn]] void Run();
  // Handles what sockets are ready for; waits for it at most until the next timer, if it may.
  void Poll(bool may_wait);

  const int epoll_;
  const int wake_;  // an eventfd
  absl::flat_hash_map<int, Watcher*> watchers_;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_REACTOR_H_
