#include "server/rpc/loop.h"

#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

#include "server/rpc/sockets.h"

namespace sluice::rpc {
namespace {

// Keeps its loop at work for a while.
struct LongJob final : Job {
  LongJob()
      : Job([](Job* job) {
          static_cast<LongJob*>(job)->begun.Notify();
          absl::SleepFor(absl::Milliseconds(20));
        }) {}

  absl::Notification begun;
};

// Nothing else comes that would wake it. On a machine that is too slow for the pause it is told to
// stop later, and ends all the same.
TEST(LoopTest, OneThatIsToldToStopWhileItIsAtWorkEnds) {
  for (int i = 0; i < 5; ++i) {
    grpc::ServerBuilder builder;
    ClientSockets sockets;
    Loop loop(builder.AddCompletionQueue(), sockets);
    LongJob job;
    loop.Start();
    loop.Post(&job);
    job.begun.WaitForNotification();
    absl::Notification ended;
    std::thread stopper([&] {
      loop.Stop();
      ended.Notify();
    });
    ASSERT_TRUE(ended.WaitForNotificationWithTimeout(absl::Seconds(30)));
    stopper.join();
  }
}

}  // namespace
}  // namespace sluice::rpc
