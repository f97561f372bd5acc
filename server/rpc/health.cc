#include "server/rpc/health.h"

#include <functional>
#include <stop_token>
#include <utility>

#include "server/base/errors.h"
#include "server/base/mutex.h"

namespace sluice::rpc {

void Health::Set(absl::string_view name, bool serving) {
  std::list<Watcher> woken;
  {
    MutexLock lock(&mu_);
    serving_[std::string(name)] = serving;
    woken = TakeWatchers(name);
  }
  for (Watcher& watcher : woken) watcher.changed.Resolve(true);
}

void Health::Forget(absl::string_view name) {
  std::list<Watcher> woken;
  {
    MutexLock lock(&mu_);
    serving_.erase(name);
    woken = TakeWatchers(name);
  }
  for (Watcher& watcher : woken) watcher.changed.Resolve(true);
}

std::list<Health::Watcher> Health::TakeWatchers(absl::string_view name) {
  std::list<Watcher> taken;
  for (auto watcher = watchers_.begin(); watcher != watchers_.end();) {
    const auto next = std::next(watcher);
    if (watcher->name == name) taken.splice(taken.end(), watchers_, watcher);
    watcher = next;
  }
  return taken;
}

void Health::Shutdown() {
  std::list<Watcher> woken;
  {
    MutexLock lock(&mu_);
    down_ = true;
    woken.swap(watchers_);
  }
  for (Watcher& watcher : woken) watcher.changed.Resolve(true);
}

Health::State Health::StateOf(const std::string& name) const {
  MutexLock lock(&mu_);
  const auto found = serving_.find(name);
  if (found == serving_.end()) return Response::SERVICE_UNKNOWN;
  return found->second && !down_ ? Response::SERVING : Response::NOT_SERVING;
}

Task<absl::StatusOr<Health::Response>> Health::Check(const Context& /*ctx*/,
                                                     const Request& request) {
  Response response;
  response.set_status(StateOf(request.service()));
  if (response.status() == Response::SERVICE_UNKNOWN) {
    co_return errors::HealthUnknown();
  }
  co_return response;
}

Task<absl::Status> Health::Watch(const Context& ctx, const Request& request, Sink<Response>& sink) {
  for (;;) {
    Response response;
    const State state = StateOf(request.service());
    response.set_status(state);
    const bool alive = co_await sink.Write(response);
    if (!alive) co_return errors::PeerGone();
    const bool changed = co_await AwaitChange(ctx, request.service(), state);
    // A drain changes the state and ends the call at once: the change is told first.
    if (!changed && StateOf(request.service()) == state)
      co_return ctx.Stopped(errors::Executed::kNo);
  }
}

Task<bool> Health::AwaitChange(const Context& ctx, const std::string& name, State seen) {
  if (ctx.stop.stop_requested()) co_return false;
  const int ticket = 0;  // its address names this watcher
  std::optional<std::stop_callback<std::function<void()>>> on_stop;
  const bool changed = co_await Async<bool>([&](Completion<bool> done) {
    {
      MutexLock lock(&mu_);
      watchers_.push_back(Watcher{name, &ticket, std::move(done)});
    }
    on_stop.emplace(ctx.stop, [this, &ticket] { Leave(&ticket); });
    // It may have changed between the look and the wait.
    if (StateOf(name) != seen) Leave(&ticket);
  });
  co_return changed || !ctx.stop.stop_requested();
}

void Health::Leave(const void* ticket) {
  std::list<Watcher> leaving;
  {
    MutexLock lock(&mu_);
    for (auto watcher = watchers_.begin(); watcher != watchers_.end(); ++watcher) {
      if (watcher->ticket != ticket) continue;
      leaving.splice(leaving.end(), watchers_, watcher);
      break;
    }
  }
  for (Watcher& watcher : leaving) watcher.changed.Resolve(false);
}

}  // namespace sluice::rpc
