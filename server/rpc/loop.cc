#include "server/rpc/loop.h"

#include <utility>

#include <pthread.h>

#include "grpc/support/time.h"

namespace sluice::rpc {
namespace {

// After so many tags in a row, posted jobs and timers get their turn even if more tags wait.
constexpr int kTagsPerTurn = 64;

gpr_timespec In(absl::Duration delay) {
  if (delay == absl::InfiniteDuration()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(delay), GPR_TIMESPAN));
}

}  // namespace

Loop::Loop(std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : Executor(Clock::System()), queue_(std::move(queue)), wake_tag_(*this), stop_job_(*this) {}

Loop::~Loop() {
  Stop();
}

void Loop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Loop::Stop() {
  if (thread_.joinable()) {
    Post(&stop_job_);
    thread_.join();
  }
  void* tag = nullptr;
  bool ok = false;
  queue_->Shutdown();
  while (queue_->Next(&tag, &ok)) {
  }
}

void Loop::Wake() {
  alarm_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), static_cast<Tag*>(&wake_tag_));
}

void Loop::WakeTag::Complete(bool /*ok*/) {
  loop.RunInbox();
}

void Loop::Run() {
  pthread_setname_np(pthread_self(), "sluice-loop");
  const Scope scope(*this);
  while (!stopping_) {
    void* tag = nullptr;
    bool ok = false;
    int tags = 0;
    while (tags < kTagsPerTurn && queue_->AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC)) ==
                                      grpc::CompletionQueue::GOT_EVENT) {
      static_cast<Tag*>(tag)->Complete(ok);
      ++tags;
    }
    bool more = RunLocal();
    more = RunTimers() || more;
    more = RunDrainHooks() || more;
    if (more || tags == kTagsPerTurn) continue;  // what ran may have finished operations
    if (queue_->AsyncNext(&tag, &ok, In(UntilNextTimer())) == grpc::CompletionQueue::GOT_EVENT) {
      static_cast<Tag*>(tag)->Complete(ok);
    }
  }
}

}  // namespace sluice::rpc
