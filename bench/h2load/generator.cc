#include "bench/h2load/generator.h"

#include <algorithm>
#include <array>
#include <deque>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <unistd.h>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "bench/h2load/connection.h"
#include "bench/load/answer.h"
#include "bench/load/meter.h"

namespace sluice::bench {
namespace {

using Clock = Meter::Clock;

constexpr size_t kFrameHead = 5;  // of gRPC's messages

bool IsUnary(Method method) {
  return method != Method::kStream && method != Method::kBulk && method != Method::kTpcbCalls &&
         method != Method::kInteract && method != Method::kTransactionPoint &&
         method != Method::kInteractPoint;
}

// One run: sends, collects and measures. Lives on RunLeanLoad's stack and thread.
class LeanGenerator {
 public:
  explicit LeanGenerator(const LoadOptions& options)
      : options_(options), maker_(options.request), meter_(options) {}

  ~LeanGenerator() {
    if (epoll_ >= 0) close(epoll_);
  }

  LeanGenerator(const LeanGenerator&) = delete;
  LeanGenerator& operator=(const LeanGenerator&) = delete;

  LoadResult Run();

 private:
  bool Connect();
  bool Send();
  bool Step();
  void Watch(int operation, Connection& connection);
  bool Wait(Clock::time_point until);
  void Drain();
  std::string Take(const Call& call);
  bool Check(std::string error);

  const LoadOptions& options_;
  RequestMaker maker_;
  Meter meter_;
  int epoll_ = -1;
  std::deque<Connection> connections_;
  std::deque<Call> calls_;
  std::deque<Call*> idle_;  // the longest idle first
  std::vector<Call*> over_;
};

LoadResult LeanGenerator::Run() {
  if (!IsUnary(options_.request.method)) {
    meter_.Fail("this generator makes unary calls only");
  } else if (Connect()) {
    meter_.Start(Clock::now());
    while (Send() && Step()) {
    }
    meter_.Stop(Clock::now());
    Drain();
  }
  return meter_.TakeResult();
}

bool LeanGenerator::Connect() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < options_.channels; ++i) {
    Connection& connection = connections_.emplace_back(options_.server, maker_.path());
    if (!Check(connection.Open())) return false;
    Watch(EPOLL_CTL_ADD, connection);
  }
  for (int i = 0; i < options_.concurrency; ++i) {
    calls_.emplace_back(connections_[static_cast<size_t>(i % options_.channels)]);
    idle_.push_back(&calls_.back());
  }
  return true;
}

void LeanGenerator::Watch(int operation, Connection& connection) {
  epoll_event event = {};
  event.events = connection.wants_write() ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &connection;
  epoll_ctl(epoll_, operation, connection.fd(), &event);
}

bool LeanGenerator::Check(std::string error) {
  if (error.empty()) return true;
  meter_.Fail(std::move(error));
  return false;
}

// Sends what is due; false when the run is over or a connection is lost.
bool LeanGenerator::Send() {
  const Clock::time_point now = Clock::now();
  if (!meter_.Tick(now)) return false;
  while (!idle_.empty()) {
    Call* call = idle_.front();
    const auto due = meter_.Take(call->idle_since, now);
    if (!due) break;
    idle_.pop_front();
    call->due = *due;
    call->connection.Start(*call, maker_);
  }
  for (Connection& each : connections_) {
    const bool was_full = each.wants_write();
    if (!Check(each.Flush())) return false;
    if (each.wants_write() != was_full) Watch(EPOLL_CTL_MOD, each);
  }
  return true;
}

// Waits for answers and counts them; false when the server has fallen silent or is lost.
bool LeanGenerator::Step() {
  const bool paced = meter_.paced() && !idle_.empty();
  const Clock::time_point until = paced ? meter_.next_due() : meter_.end() + kPatience;
  if (!Wait(until)) return false;
  const Clock::time_point now = Clock::now();
  if (over_.empty() && !paced && now >= until) return Check("no answer from the server");
  for (Call* call : over_) {
    meter_.Count(Take(*call), call->due, now);
    call->idle_since = now;
    idle_.push_back(call);
  }
  over_.clear();
  return true;
}

// Waits until then for anything to come, and fills over_; false when a connection is lost.
bool LeanGenerator::Wait(Clock::time_point until) {
  const auto left = std::max<int64_t>((until - Clock::now()).count(), 0);
  const timespec timeout = {left / 1'000'000'000, left % 1'000'000'000};
  std::array<epoll_event, 64> events;
  const int count = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  for (int i = 0; i < count; ++i) {
    auto* connection = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
    if (!Check(connection->Receive(over_))) return false;
  }
  return true;
}

// Takes what still comes for a while; what does not is unanswered.
void LeanGenerator::Drain() {
  const Clock::time_point end = Clock::now() + kGrace;
  while (idle_.size() < calls_.size() && Clock::now() < end) {
    if (!Wait(end)) break;
    for (Call* call : over_) {
      meter_.CountLate(Take(*call).empty());
      idle_.push_back(call);
    }
    over_.clear();
  }
  for (size_t left = idle_.size(); left < calls_.size(); ++left) meter_.CountLate(false);
}

// What is wrong with an answer, or empty.
std::string LeanGenerator::Take(const Call& call) {
  if (call.grpc_status != "0") {
    return "status " + (call.grpc_status.empty() ? "missing" : call.grpc_status) + ": " +
           call.grpc_message;
  }
  if (call.response.size() < kFrameHead || call.response[0] != 0) return "not a message of gRPC";
  Totals& totals = meter_.totals();
  const size_t size = call.response.size() - kFrameHead;
  totals.bytes += size;
  google::protobuf::io::ArrayInputStream message(call.response.data() + kFrameHead,
                                                 static_cast<int>(size));
  return TakeAnswer(message, options_.request.method, call.keys, Reading::kFirstKey, totals);
}

}  // namespace

LoadResult RunLeanLoad(const LoadOptions& options) {
  return LeanGenerator(options).Run();
}

}  // namespace sluice::bench
