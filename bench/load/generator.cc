#include "bench/load/generator.h"

#include <deque>
#include <memory>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include "bench/load/bulk_call.h"
#include "bench/load/call.h"
#include "bench/load/meter.h"
#include "bench/load/transaction_call.h"

namespace sluice::bench {
namespace {

using Clock = Meter::Clock;

std::unique_ptr<Call> MakeCall(const RequestOptions& options,
                               grpc::GenericStub& stub,
                               grpc::CompletionQueue& queue) {
  switch (options.method) {
    case Method::kStream:
      return std::make_unique<StreamCall>(stub, queue);
    case Method::kBulk:
      return std::make_unique<BulkCall>(options, stub, queue);
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
  bool Tick(Clock::time_point now);
  void Drain();

  const LoadOptions& options_;
  RequestMaker maker_;
  Meter meter_;
  grpc::CompletionQueue queue_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::deque<grpc::GenericStub> stubs_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::deque<Call*> idle_;  // the longest idle first
};

Generator::Generator(const LoadOptions& options)
    : options_(options), maker_(options.request), meter_(options) {
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
    meter_.Start(now);
    bool running = Tick(now);
    while (running) running = Step();
    meter_.Stop(Clock::now());
  }
  Drain();
  return meter_.TakeResult();
}

bool Generator::Connect() {
  for (const auto& channel : channels_) {
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + kPatience)) {
      meter_.Fail("cannot connect to " + options_.server);
      return false;
    }
  }
  return true;
}

// Waits for one event and deals with it; false at the end, or when the server has fallen silent.
bool Generator::Step() {
  const bool paced = meter_.paced() && !idle_.empty();
  void* tag;
  bool ok;
  const auto until = ToTimespec(paced ? meter_.next_due() : meter_.end() + kPatience);
  switch (queue_.AsyncNext(&tag, &ok, until)) {
    case grpc::CompletionQueue::GOT_EVENT: {
      auto* call = static_cast<Call*>(tag);
      const bool over = call->OnEvent(ok, meter_.totals());
      const Clock::time_point now = Clock::now();
      if (over) {
        meter_.Count(call->Error(), call->due, now);
        call->idle_since = now;
        idle_.push_back(call);
      }
      return Tick(now);
    }
    case grpc::CompletionQueue::TIMEOUT:
      if (paced) return Tick(Clock::now());
      meter_.Fail("no answer from the server");
      return false;
    case grpc::CompletionQueue::SHUTDOWN:
      break;
  }
  return false;
}

// Sends what is due; false when the run is over.
bool Generator::Tick(Clock::time_point now) {
  if (!meter_.Tick(now)) return false;
  while (!idle_.empty()) {
    Call* call = idle_.front();
    const auto due = meter_.Take(call->idle_since, now);
    if (!due) break;
    idle_.pop_front();
    call->due = *due;
    call->Start(maker_);
  }
  return true;
}

// A queue may only be shut down once every call has handed back its tags.
void Generator::Drain() {
  gpr_timespec deadline = ToTimespec(Clock::now() + kGrace);
  void* tag;
  bool ok;
  while (idle_.size() < calls_.size()) {
    if (queue_.AsyncNext(&tag, &ok, deadline) == grpc::CompletionQueue::GOT_EVENT) {
      auto* call = static_cast<Call*>(tag);
      if (!call->OnEvent(ok, meter_.totals())) continue;
      meter_.CountLate(call->Error().empty());
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
