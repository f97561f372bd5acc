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

int WaitFor(absl::Duration delay) {
  if (delay == absl::InfiniteDuration()) return -1;
  return static_cast<int>(std::min<int64_t>(
      absl::ToInt64Milliseconds(absl::Ceil(delay, absl::Milliseconds(1))), 60'000));
}

}  // namespace

Reactor& Reactor::Shared() {
  static auto* const shared = new Reactor;
  return *shared;
}

Reactor::Reactor()
    : Executor(Clock::System()),
      epoll_(Opened(epoll_create1(EPOLL_CLOEXEC))),
      wake_(Opened(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  std::thread([this] { Run(); }).detach();
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
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof one);
}

void Reactor::Run() {
  pthread_setname_np(pthread_self(), "sluice-postgres");
  const Scope scope(*this);
  bool more = false;
  while (true) {
    Poll(/*may_wait=*/!more);
    more = RunInbox();
    more = RunLocal() || more;
    more = RunTimers() || more;
    more = RunDrainHooks() || more;
  }
}

void Reactor::Poll(bool may_wait) {
  std::array<epoll_event, kEventsPerTurn> events;
  const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()),
                               may_wait ? WaitFor(UntilNextTimer()) : 0);
  for (int i = 0; i < count; ++i) {
    const int socket = events[static_cast<size_t>(i)].data.fd;
    const uint32_t ready = events[static_cast<size_t>(i)].events;
    if (socket == wake_) {
      uint64_t times = 0;
      [[maybe_unused]] const ssize_t got = read(wake_, &times, sizeof times);
      continue;
    }
    // One that was handled before may have ended this one's connection.
    const auto watcher = watchers_.find(socket);
    if (watcher == watchers_.end()) continue;
    const bool broken = (ready & (EPOLLERR | EPOLLHUP)) != 0;
    watcher->second->OnReady(broken || (ready & EPOLLIN) != 0, broken || (ready & EPOLLOUT) != 0);
  }
}

void Reactor::Watch(int socket, Watcher* watcher) {
  watchers_[socket] = watcher;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = socket;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &event);
}

void Reactor::WatchWriting(int socket, bool writing) {
  epoll_event event{};
  event.events = EPOLLIN | (writing ? EPOLLOUT : 0u);
  event.data.fd = socket;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, socket, &event);
}

void Reactor::Unwatch(int socket) {
  watchers_.erase(socket);
  epoll_ctl(epoll_, EPOLL_CTL_DEL, socket, nullptr);
}

}  // namespace sluice::postgres
