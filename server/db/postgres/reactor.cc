#include "server/db/postgres/reactor.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "absl/time/time.h"

#include "server/base/log.h"

namespace sluice::postgres {
namespace {

constexpr int kEventsPerTurn = 64;

// Descriptors run out at a time when nothing can be told to anybody.
int Opened(int descriptor) {
  if (descriptor >= 0) return descriptor;
  log::Error("postgres", "no descriptor for the reactor", {});
  std::abort();
}

int MillisecondsUntil(absl::Duration due, absl::Duration now) {
  if (due == absl::InfiniteDuration()) return -1;
  const absl::Duration delay = std::max(due - now, absl::ZeroDuration());
  return static_cast<int>(std::min<int64_t>(
      absl::ToInt64Milliseconds(absl::Ceil(delay, absl::Milliseconds(1))), 60'000));
}

void Add(int epoll, int descriptor) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = descriptor;
  epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event);
}

}  // namespace

Reactor& Reactor::Shared() {
  static auto* const shared = new Reactor;
  return *shared;
}

Reactor::Reactor()
    : Executor(Clock::System()),
      sockets_(Opened(epoll_create1(EPOLL_CLOEXEC))),
      outer_(Opened(epoll_create1(EPOLL_CLOEXEC))),
      wake_(Opened(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))) {
  Add(outer_, sockets_);
  Add(outer_, wake_);
  std::thread([this] { Run(); }).detach();
  Appear(*this);
}

void Reactor::PostFunction(std::function<void()> what) {
  struct FunctionJob final : Job {
    explicit FunctionJob(std::function<void()> its_what)
        : Job([](Job* job) {
            const std::unique_ptr<FunctionJob> self(static_cast<FunctionJob*>(job));
            self->what();
          }),
          what(std::move(its_what)) {}

    const std::function<void()> what;
  };

  Post(new FunctionJob(std::move(what)));
}

void Reactor::Wake() {
  if (!RunHere()) WakeThread();
}

void Reactor::WakeThread() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

void Reactor::Run() {
  pthread_setname_np(pthread_self(), "sluice-postgres");
  while (true) {
    int wait = 0;
    {
      const MutexLock lock(&turn_);
      const bool more = Turn();
      sleeps_until_ = NextTimer();
      if (!more) wait = MillisecondsUntil(sleeps_until_, clock().Steady());
    }
    std::array<epoll_event, 2> events;
    const int count = epoll_wait(outer_, events.data(), static_cast<int>(events.size()), wait);
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<size_t>(i)].data.fd != wake_) continue;
      uint64_t times = 0;
      [[maybe_unused]] const ssize_t got = read(wake_, &times, sizeof times);
    }
  }
}

bool Reactor::Turn() {
  const Scope scope(*this);
  ++turns_;
  bool more = Poll();
  more = RunInbox() || more;
  more = RunLocal() || more;
  more = RunTimers() || more;
  more = RunDrainHooks() || more;
  EndTurn();
  more_.store(more, std::memory_order_relaxed);
  return more;
}

bool Reactor::Visit() {
  if (!turn_.TryLock()) return false;
  const bool ran = Turn();
  // Its thread would sleep past a timer that was started here.
  const bool early = NextTimer() < sleeps_until_;
  if (early) sleeps_until_ = NextTimer();
  turn_.Unlock();
  if (early) WakeThread();
  return ran;
}

bool Reactor::Busy() const {
  return UnderWay() > 0 || HasInbox() || more_.load(std::memory_order_relaxed);
}

// The sockets are only ever left unwatched by a loop that is awake and attends to them.
void Reactor::Attend() {
  if (attendants_.fetch_add(1) == 0) WatchSockets(false);
}

void Reactor::Leave() {
  if (attendants_.fetch_sub(1) == 1) WatchSockets(true);
  if (HasInbox() || more_.load(std::memory_order_relaxed)) WakeThread();
}

void Reactor::WatchSockets(bool watch) {
  epoll_event event{};
  event.events = watch ? EPOLLIN : 0u;
  event.data.fd = sockets_;
  epoll_ctl(outer_, EPOLL_CTL_MOD, sockets_, &event);
}

bool Reactor::Poll() {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(sockets_, events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const int socket = events[static_cast<size_t>(i)].data.fd;
    const uint32_t ready = events[static_cast<size_t>(i)].events;
    // One that was handled before may have ended this one's connection.
    const auto watcher = watchers_.find(socket);
    if (watcher == watchers_.end()) continue;
    const bool broken = (ready & (EPOLLERR | EPOLLHUP)) != 0;
    watcher->second->OnReady(broken || (ready & EPOLLIN) != 0, broken || (ready & EPOLLOUT) != 0);
  }
  return count > 0;
}

void Reactor::Watch(int socket, Watcher* watcher) {
  watchers_[socket] = watcher;
  Add(sockets_, socket);
}

void Reactor::EndTurn() {
  // What they do may end others.
  for (size_t i = 0; i < awaited_.size(); ++i) {
    const auto watcher = watchers_.find(awaited_[i]);
    if (watcher != watchers_.end()) watcher->second->OnTurnEnd();
  }
  awaited_.clear();
}

void Reactor::WatchWriting(int socket, bool writing) {
  epoll_event event{};
  event.events = EPOLLIN | (writing ? EPOLLOUT : 0u);
  event.data.fd = socket;
  epoll_ctl(sockets_, EPOLL_CTL_MOD, socket, &event);
}

void Reactor::Unwatch(int socket) {
  watchers_.erase(socket);
  epoll_ctl(sockets_, EPOLL_CTL_DEL, socket, nullptr);
}

}  // namespace sluice::postgres
