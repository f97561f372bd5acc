#include "server/async/sleep.h"

#include <optional>
#include <stop_token>
#include <utility>

#include "server/async/completion.h"

namespace sluice {
namespace {

// One pause; both ends of it, timer and stop, come on the executor's own thread.
class Pause : public Timer {
 public:
  explicit Pause(Executor& executor)
      : Timer([](Timer* timer) { static_cast<Pause*>(timer)->End(true); }), executor_(executor) {}

  void Begin(absl::Duration delay, Completion<bool> done) {
    done_.emplace(std::move(done));
    executor_.StartTimer(*this, delay);
  }

  void End(bool elapsed) {
    if (!done_.has_value()) return;
    executor_.CancelTimer(*this);
    Completion<bool> done = std::move(*done_);
    done_.reset();
    done.Resolve(elapsed);
  }

 private:
  Executor& executor_;
  std::optional<Completion<bool>> done_;
};

}  // namespace

Task<bool> SleepFor(const Context& ctx, absl::Duration delay) {
  if (ctx.stop.stop_requested()) co_return false;
  Pause pause(*Executor::Current());
  std::stop_callback on_stop(ctx.stop, [&pause] { pause.End(false); });
  const bool elapsed =
      co_await Async<bool>([&](Completion<bool> done) { pause.Begin(delay, std::move(done)); });
  co_return elapsed;
}

}  // namespace sluice
