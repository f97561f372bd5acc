// Reactor: the thread that talks to PostgreSQL servers. It owns their sockets and everything that
// is about them, so nothing of it needs a lock.
#ifndef SLUICE_SERVER_DB_POSTGRES_REACTOR_H_
#define SLUICE_SERVER_DB_POSTGRES_REACTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "server/async/executor.h"
#include "server/async/guest.h"
#include "server/base/mutex.h"

namespace sluice::postgres {

// Told of what a socket is ready for, on the reactor's thread.
class Watcher {
 public:
  virtual void OnReady(bool readable, bool writable) = 0;

  // Told at the end of a turn in which it was asked for.
  virtual void OnTurnEnd() {}

 protected:
  virtual ~Watcher() = default;
};

// An executor around epoll: drivers' coroutines run here. One serves every database, from the first
// one on to the end of the process.
class Reactor final : public Executor, public Guest {
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

  // Tells the socket's watcher of the end of this turn: many messages are sent together then, and
  // cost one wake-up of the server.
  void AwaitTurnEnd(int socket) { awaited_.push_back(socket); }

  // Different for each turn.
  uint64_t turn() const { return turns_; }

  // An answer is expected from a server; so many are no longer: they came, or never will.
  void Expect() { expected_.fetch_add(1, std::memory_order_relaxed); }

  void ExpectNoMore(size_t answers) {
    expected_.fetch_sub(static_cast<int>(answers), std::memory_order_relaxed);
    done_.fetch_add(answers, std::memory_order_relaxed);
  }

  bool Visit() override;
  bool Busy() const override;

  int UnderWay() const override { return expected_.load(std::memory_order_relaxed); }

  uint64_t Done() const override { return done_.load(std::memory_order_relaxed); }

  void Attend() override;
  void Leave() override;

 private:
  Reactor();

  void Wake() override;
  void WakeThread();
  void WatchSockets(bool watch);
  [[noreturn]] void Run();
  // Runs everything that there is to do now. True if there was something.
  bool Turn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Handles what sockets are ready for. True if one was.
  bool Poll();
  void EndTurn();

  const int sockets_;  // an epoll instance
  const int outer_;    // another, which the thread sleeps on: of the sockets and of wake_
  const int wake_;     // an eventfd
  Mutex turn_;         // whoever has it is on the reactor's thread, as others see it
  absl::Duration sleeps_until_ ABSL_GUARDED_BY(turn_) = absl::InfiniteDuration();
  std::atomic<int> expected_{0};
  std::atomic<uint64_t> done_{0};
  std::atomic<int> attendants_{0};
  std::atomic<bool> more_{false};  // there may be more to do right now
  absl::flat_hash_map<int, Watcher*> watchers_;
  std::vector<int> awaited_;  // sockets whose watchers are told of the end of the turn
  uint64_t turns_ = 0;
};

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_REACTOR_H_
