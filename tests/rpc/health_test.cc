#include "server/rpc/health.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "server/async/manual_executor.h"

namespace sluice::rpc {
namespace {

using Response = Health::Response;

Health::Request Named(const std::string& name) {
  Health::Request request;
  request.set_service(name);
  return request;
}

// Keeps what it is given.
class Recorder final : public Sink<Response> {
 public:
  Task<bool> Write(Response message) override {
    states.push_back(message.status());
    co_return true;
  }

  std::vector<int> states;
};

TEST(Health, CheckKnowsWhatWasSet) {
  ManualExecutor executor;
  Health health;
  health.Set("", true);
  health.Set("connections/default", false);
  EXPECT_EQ(executor.Run(health.Check(Context(), Named("")))->status(), Response::SERVING);
  EXPECT_EQ(executor.Run(health.Check(Context(), Named("connections/default")))->status(),
            Response::NOT_SERVING);
  EXPECT_TRUE(absl::IsNotFound(executor.Run(health.Check(Context(), Named("nobody"))).status()));
}

TEST(Health, WatchTellsEachChangeUntilTheCallEnds) {
  ManualExecutor executor;
  Health health;
  Recorder recorder;
  CallScope scope;
  const Context ctx = scope.MakeContext(absl::InfiniteFuture(), "req");
  absl::Status ended;
  const Health::Request request = Named("late");
  const auto watch = [&]() -> Task<void> {
    const absl::Status status = co_await health.Watch(ctx, request, recorder);
    ended = status;
  };
  executor.Start(watch());
  executor.RunUntilIdle();
  health.Set("other", true);
  executor.RunUntilIdle();
  health.Set("late", true);
  executor.RunUntilIdle();
  health.Set("late", false);
  executor.RunUntilIdle();
  health.Set("late", true);
  executor.RunUntilIdle();
  health.Shutdown();
  executor.RunUntilIdle();
  const auto stop = [&]() -> Task<void> {
    scope.Stop(StopCause::kDraining);
    co_return;
  };
  executor.Run(stop());
  EXPECT_EQ(recorder.states,
            (std::vector<int>{Response::SERVICE_UNKNOWN, Response::SERVING, Response::NOT_SERVING,
                              Response::SERVING, Response::NOT_SERVING}));
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
}

}  // namespace
}  // namespace sluice::rpc
