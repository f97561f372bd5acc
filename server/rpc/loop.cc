#include "server/rpc/loop.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <pthread.h>
#include <sys/prctl.h>

#include <sched.h>
#include <time.h>

namespace sluice::rpc {
namespace {

// After so many tags in a row, posted jobs and timers get their turn even if more tags wait.
constexpr int kTagsPerTurn = 64;

// To hold answers together costs two calls of the system for each connection: not worth it for
// fewer than this.
constexpr size_t kFewAnswers = 3;
constexpr size_t kAnswersPerCork = 1;

thread_local Loop* running = nullptr;  // read by no coroutine

gpr_timespec Now() {
  return gpr_time_0(GPR_CLOCK_MONOTONIC);  // long past
}

gpr_timespec In(absl::Duration delay) {
  if (delay == absl::InfiniteDuration()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(absl::ToInt64Nanoseconds(delay), GPR_TIMESPAN));
}

bool HasSeveralProcessors() {
  cpu_set_t mine;
  return sched_getaffinity(0, sizeof mine, &mine) == 0 && CPU_COUNT(&mine) > 1;
}

}  // namespace

Loop::Loop(std::unique_ptr<grpc::ServerCompletionQueue> queue, ClientSockets& sockets)
    : Executor(Clock::System()),
      queue_(std::move(queue)),
      sockets_(sockets),
      wake_tag_(*this),
      stop_job_(*this),
      host_(clock()),
      may_poll_(HasSeveralProcessors()) {}

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
  // What the guest posts while this thread runs it is found before the loop sleeps.
  if (running == this) return;
  if (woken_.exchange(true, std::memory_order_acq_rel)) return;
  alarm_.Set(queue_.get(), gpr_time_0(GPR_CLOCK_MONOTONIC), static_cast<Tag*>(&wake_tag_));
}

void Loop::WakeTag::Complete(bool /*ok*/) {
  loop.woken_.store(false, std::memory_order_release);
  loop.RunAnswered();
}

void Loop::Run() {
  pthread_setname_np(pthread_self(), "sluice-loop");
  const Scope scope(*this);
  running = this;
  prctl(PR_SET_TIMERSLACK, 1'000);  // nanoseconds: rests are short
  int handled = 0;                  // since it had to wait
  while (!stopping_) {
    int tags = 0;
    bool ok = false;
    while (tags < kTagsPerTurn) {
      Tag* const tag = Next(Now(), ok);
      if (tag == nullptr) break;
      tag->Complete(ok);
      ++tags;
    }
    handled += tags;
    bool more = RunLocal();
    more = RunTimers() || more;
    more = host_.Run() || more;
    more = RunAnswered() || more;
    more = RunDrainHooks() || more;
    // What ran may have finished operations; or it was the last, and nothing would wake us again.
    if (more || tags == kTagsPerTurn || stopping_) continue;
    Tag* const tag = Await(handled, ok);
    handled = tag == nullptr ? 0 : 1;
    if (tag != nullptr) tag->Complete(ok);
  }
  host_.Rest();
  running = nullptr;
}

Tag* Loop::Next(gpr_timespec deadline, bool& ok) {
  void* tag = nullptr;
  const bool came = queue_->AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT;
  return came ? static_cast<Tag*>(tag) : nullptr;
}

Tag* Loop::Await(int handled, bool& ok) {
  const absl::Duration begin = clock().Steady();
  Tag* tag = nullptr;
  const Guest* const guest = host_.guest();
  if (guest != nullptr && gathering_.Pays(guest->UnderWay(), guest->Done(), begin) &&
      Gather(tag, ok)) {
    return tag;
  }
  const bool few = guest == nullptr || guest->UnderWay() <= IdlePoll::kFewUnderWay;
  if (may_poll_ && few && idle_poll_.pays()) {
    const absl::Duration end = begin + std::min(UntilNextTimer(), IdlePoll::kLongest);
    for (absl::Duration now = begin; tag == nullptr && now < end; now = clock().Steady()) {
      sched_yield();  // whoever has something to do on this processor goes first
      if (clock().Steady() - now > IdlePoll::kTaken) {
        idle_poll_.LearnTaken();
        break;
      }
      tag = Next(Now(), ok);
      if (tag == nullptr && host_.Run()) {
        idle_poll_.Learn(clock().Steady() - begin, handled);
        return nullptr;
      }
    }
  }
  if (tag == nullptr) {
    host_.Rest();
    tag = Next(In(UntilNextTimer()), ok);
    host_.Rise();
  }
  const absl::Duration gap = clock().Steady() - begin;
  if (tag != nullptr || gap >= IdlePoll::kLongest) idle_poll_.Learn(gap, handled);
  return tag;
}

bool Loop::RunAnswered() {
  std::optional<Cork> cork;
  if (InboxHoldsAtLeast(kFewAnswers)) {
    ClientSockets::Few sockets = sockets_.List();
    if (InboxHoldsAtLeast(kAnswersPerCork * sockets.size())) cork.emplace(std::move(sockets));
  }
  return RunInbox();
}

bool Loop::Gather(Tag*& tag, bool& ok) {
  const timespec rest = absl::ToTimespec(Gathering::kRest);
  for (int i = 0; i < Gathering::kMostRests; ++i) {
    clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, nullptr);
    tag = Next(Now(), ok);
    if (tag != nullptr || host_.Run()) return true;
  }
  return false;
}

}  // namespace sluice::rpc
