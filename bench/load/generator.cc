#include "bench/load/generator.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include "bench/load/call.h"
#include "bench/load/cpu_clock.h"
#include "bench/load/transaction_call.h"

namespace sluice::bench {
namespace {

using Clock = std::chrono::steady_clock;

// How long a connect may take, and an answer after the end of the run, before it counts as an
// error.
constexpr auto kPatience = std::chrono::seconds(10);
// At the end of the run, calls that take longer than this are cancelled.
constexpr auto kGrace = std::chrono::seconds(1);

std::unique_ptr<Call> MakeCall(const RequestOptions& options,
                               grpc::GenericStub& stub,
                               grpc::CompletionQueue& queue) {
  switch (options.method) {
    case Method::kStream:
      return std::make_unique<StreamCall>(stub, queue);
    case Method::kTpcbCalls:
    case Method::kTransactionPoint:
      return std::make_unique<StatementsCall>(options, stub, queue);
    case Method::kInteract:
    case Method::kInteractPoint:
      return std::make_unique<InteractCall>(options, stub, queue);
    default:
      return std::make_unique<UnaryCall>(stub, queue);
  }
}

gpr_timespec ToTimespec(Clock::time_point time) {
  const auto nanos = time.time_since_epoch().count();
  return {nanos / 1'000'000'000, static_cast<int32_t>(nanos % 1'000'000'000), GPR_CLOCK_MONOTONIC};
}

// One run: sends, collects and measures. Lives on RunLoad's stack and thread.
class Generator {
 public:
  explicit Generator(const LoadOptions& options);

  LoadResult Run();

 private:
  bool Connect();
  bool Step();
  void Tick(Clock::time_point now);
  void SendWhatIsDue(Clock::time_point now);
  void Count(const Call& call, Clock::time_point now);
  void Fail(std::string error);
  void BeginMeasuring(Clock::time_point now);
  void EndMeasuring(Clock::time_point now);
  void Drain();

  int64_t ServerCpu() const {
    return options_.server_pid > 0 ? ProcessCpuNanos(options_.server_pid) : -1;
  }

  const LoadOptions& options_;
  RequestMaker maker_;
  grpc::CompletionQueue queue_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::deque<grpc::GenericStub> stubs_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::deque<Call*> idle_;  // the longest idle first
  uint64_t sent_ = 0;
  Clock::time_point measure_from_, measured_since_, end_, next_due_;
  bool measuring_ = false;
  bool finished_ = false;
  Totals totals_;
  LoadResult result_;
};

Generator::Generator(const LoadOptions& options) : options_(options), maker_(options.request) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // else all channels share a connection
  arguments.SetMaxReceiveMessageSize(-1);
  for (int i = 0; i < options_.channels; ++i) {
    channels_.push_back(
        grpc::CreateCustomChannel(options_.server, grpc::InsecureChannelCredentials(), arguments));
    stubs_.emplace_back(channels_.back());
  }
  for (int i = 0; i < options_.concurrency; ++i) {
    grpc::GenericStub& stub = stubs_[static_cast<size_t>(i % options_.channels)];
    calls_.push_back(MakeCall(options_.request, stub, queue_));
    idle_.push_back(calls_.back().get());
  }
}

LoadResult Generator::Run() {
  if (Connect()) {
    const Clock::time_point now = Clock::now();
    measure_from_ = now + options_.warm_up;
    end_ = measure_from_ + options_.duration;
    next_due_ = now;
    Tick(now);
    while (!finished_ && Step()) {
    }
    if (!finished_) EndMeasuring(Clock::now());
  }
  Drain();
  return std::move(result_);
}

bool Generator::Connect() {
  for (const auto& channel : channels_) {
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + kPatience)) {
      Fail("cannot connect to " + options_.server);
      return false;
    }
  }
  return true;
}

// Waits for one event and deals with it; false when the server has fallen silent.
bool Generator::Step() {
  const bool paced = options_.calls_per_second > 0 && !idle_.empty();
  void* tag;
  bool ok;
  switch (queue_.AsyncNext(&tag, &ok, ToTimespec(paced ? next_due_ : end_ + kPatience))) {
    case grpc::CompletionQueue::GOT_EVENT: {
      auto* call = static_cast<Call*>(tag);
      const bool over = call->OnEvent(ok, totals_);
      const Clock::time_point now = Clock::now();
      if (over) {
        Count(*call, now);
        call->idle_since = now;
        idle_.push_back(call);
      }
      Tick(now);
      return true;
    }
    case grpc::CompletionQueue::TIMEOUT:
      if (!paced) {
        Fail("no answer from the server");
        return false;
      }
      Tick(Clock::now());
      return true;
    case grpc::CompletionQueue::SHUTDOWN:
      break;
  }
  return false;
}

void Generator::Tick(Clock::time_point now) {
  if (!measuring_ && now >= measure_from_) BeginMeasuring(now);
  const bool enough = options_.calls > 0 && result_.calls + result_.errors >= options_.calls;
  if (enough || now >= end_) {
    EndMeasuring(now);
    finished_ = true;
  } else {
    SendWhatIsDue(now);
  }
}

void Generator::SendWhatIsDue(Clock::time_point now) {
  while (!idle_.empty() && (options_.calls == 0 || sent_ < options_.calls)) {
    Clock::time_point due = now;
    if (options_.calls_per_second > 0) {
      if (next_due_ > now) return;
      // A call that was due while all were in flight counts from then: the wait is the server's.
      // One that is late because this thread's timer woke late does not: that is ours.
      if (idle_.front()->idle_since > next_due_) due = next_due_;
      next_due_ += std::chrono::nanoseconds(static_cast<int64_t>(1e9 / options_.calls_per_second));
    }
    Call* call = idle_.front();
    idle_.pop_front();
    call->due = due;
    ++sent_;
    call->Start(maker_);
  }
}

void Generator::Count(const Call& call, Clock::time_point now) {
  std::string error = call.Error();
  if (!error.empty()) {
    Fail(std::move(error));
    return;
  }
  ++result_.acknowledged;
  if (!measuring_) return;
  ++result_.calls;
  result_.latency.Record(static_cast<uint64_t>((now - call.due).count()));
}

void Generator::Fail(std::string error) {
  ++result_.errors;
  if (result_.first_error.empty()) result_.first_error = std::move(error);
}

void Generator::BeginMeasuring(Clock::time_point now) {
  measuring_ = true;
  measured_since_ = now;
  totals_ = Totals();
  result_.server_cpu_nanos = ServerCpu();
  result_.client_cpu_nanos = ProcessCpuNanos(0);
}

void Generator::EndMeasuring(Clock::time_point now) {
  if (!measuring_) BeginMeasuring(now);
  result_.rows = totals_.rows;
  result_.bytes = totals_.bytes;
  result_.seconds = std::chrono::duration<double>(now - measured_since_).count();
  const int64_t server = ServerCpu();
  const bool known = server >= 0 && result_.server_cpu_nanos >= 0;
  result_.server_cpu_nanos = known ? server - result_.server_cpu_nanos : -1;
  result_.client_cpu_nanos = ProcessCpuNanos(0) - result_.client_cpu_nanos;
}

// A queue may only be shut down once every call has handed back its tags.
void Generator::Drain() {
  gpr_timespec deadline = ToTimespec(Clock::now() + kGrace);
  void* tag;
  bool ok;
  while (idle_.size() < calls_.size()) {
    if (queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT) {
      auto* call = static_cast<Call*>(tag);
      if (!call->OnEvent(ok, totals_)) continue;
      ++(call->Error().empty() ? result_.acknowledged : result_.unanswered);
      idle_.push_back(call);
    } else {
      for (const auto& call : calls_) call->Cancel();
      deadline = ToTimespec(Clock::time_point::max());
    }
  }
  queue_.Shutdown();
  while (queue_.Next(&tag, &ok)) {
  }
}

}  // namespace

LoadResult RunLoad(const LoadOptions& options) {
  return Generator(options).Run();
}

}  // namespace sluice::bench
