// TestingServer: a real server with the tests' own service, and a client for it.
#ifndef SLUICE_TESTS_RPC_TESTING_SERVER_H_
#define SLUICE_TESTS_RPC_TESTING_SERVER_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"

#include "server/async/completion.h"
#include "server/async/context.h"
#include "server/async/stream.h"
#include "server/base/errors.h"
#include "server/base/mutex.h"
#include "server/rpc/server.h"
#include "testing.grpc.pb.h"

namespace sluice::rpc {

namespace pb = ::sluice::testing;

// Gate: handlers wait at it until the test opens it or their call is stopped.
class Gate {
 public:
  // True: opened; false: the call was stopped.
  Task<bool> Pass(const Context& ctx) {
    const int ticket = 0;
    std::optional<std::stop_callback<std::function<void()>>> on_stop;
    const bool opened = co_await Async<bool>([&](Completion<bool> done) {
      {
        MutexLock lock(&mu_);
        if (!open_) waiting_.emplace_back(&ticket, std::move(done));
        arrived_.SignalAll();
      }
      if (done.pending()) {
        done.Resolve(true);
      } else {
        on_stop.emplace(ctx.stop, [this, &ticket] { Leave(&ticket); });
      }
    });
    co_return opened;
  }

  void Open() {
    std::list<Waiter> woken;
    {
      MutexLock lock(&mu_);
      open_ = true;
      woken.swap(waiting_);
    }
    for (auto& [ticket, done] : woken) done.Resolve(true);
  }

  // Waits until `count` handlers stand at the gate; false if they do not come.
  bool AwaitWaiting(size_t count) {
    const absl::Duration give_up = Clock::System().Steady() + absl::Seconds(20);
    MutexLock lock(&mu_);
    while (waiting_.size() < count) {
      const absl::Duration left = give_up - Clock::System().Steady();
      if (left <= absl::ZeroDuration()) return false;
      arrived_.WaitWithTimeout(&mu_, left);
    }
    return true;
  }

 private:
  using Waiter = std::pair<const void*, Completion<bool>>;

  void Leave(const void* ticket) {
    std::list<Waiter> left;
    {
      MutexLock lock(&mu_);
      for (auto waiter = waiting_.begin(); waiter != waiting_.end(); ++waiter) {
        if (waiter->first != ticket) continue;
        left.splice(left.end(), waiting_, waiter);
        break;
      }
    }
    for (auto& [its_ticket, done] : left) done.Resolve(false);
  }

  Mutex mu_;
  CondVar arrived_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Waiter> waiting_ ABSL_GUARDED_BY(mu_);
};

// The service. What a handler does follows from the request's text: "" answers at once, "wait"
// waits at the gate.
class TestingService {
 public:
  Task<absl::StatusOr<Reply<pb::Answer>>> Unary(const Context& ctx, const pb::Ask& ask) {
    if (ask.text() == "wait") {
      const bool opened = co_await gate.Pass(ctx);
      if (!opened) {
        const absl::Status stopped = ctx.Stopped(errors::Executed::kRolledBack);
        NoteEnd(stopped);
        co_return stopped;
      }
    }
    if (ask.text() == "fail") co_return errors::ParameterInvalid("text", "is fail");
    Reply<pb::Answer> reply;
    reply.head.set_number(ask.number());
    if (ask.text() == "large") {
      // A `body` field in wire form, too long to be copied.
      reply.body = std::string("\x12", 1);
      for (uint64_t n = static_cast<uint64_t>(ask.number()); true; n >>= 7) {
        reply.body.push_back(static_cast<char>(n < 0x80 ? n : (n & 0x7f) | 0x80));
        if (n < 0x80) break;
      }
      reply.body.append(static_cast<size_t>(ask.number()), 'x');
    }
    co_return reply;
  }

  Task<absl::Status> Count(const Context& ctx, const pb::Ask& ask, Sink<pb::Answer>& sink) {
    pb::Answer answer;
    if (ask.text() == "bulk") answer.set_body(std::string(64 << 10, 'x'));
    for (int64_t i = 0; i < ask.number(); ++i) {
      answer.set_number(i);
      const bool alive = co_await sink.Write(answer);
      if (!alive) {
        NoteEnd(errors::PeerGone());
        co_return errors::PeerGone();
      }
      ++written;
    }
    if (ask.text() == "wait") {
      const bool opened = co_await gate.Pass(ctx);
      if (!opened) {
        const absl::Status stopped = ctx.Stopped(errors::Executed::kNo);
        NoteEnd(stopped);
        co_return stopped;
      }
    }
    co_return absl::OkStatus();
  }

  Task<absl::StatusOr<pb::Answer>> Sum(const Context& ctx, Source<pb::Ask>& source) {
    pb::Answer answer;
    for (;;) {
      const std::shared_ptr<pb::Ask> ask = co_await source.Read();
      if (ask == nullptr) break;
      if (ask->text() == "fail") co_return errors::ParameterInvalid("text", "is fail");
      answer.set_number(answer.number() + ask->number());
    }
    if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kRolledBack);
    co_return answer;
  }

  Task<absl::Status> Echo(const Context& ctx, Source<pb::Ask>& source, Sink<pb::Answer>& sink) {
    for (;;) {
      const std::shared_ptr<pb::Ask> ask = co_await source.Read();
      if (ask == nullptr) break;
      pb::Answer answer;
      answer.set_number(ask->number());
      const bool alive = co_await sink.Write(answer);
      if (!alive) co_return errors::PeerGone();
    }
    if (ctx.stop.stop_requested()) co_return ctx.Stopped(errors::Executed::kRolledBack);
    co_return absl::OkStatus();
  }

  // Waits for a handler that was stopped, and gives its status; OK if none comes.
  absl::Status AwaitEnd() {
    const absl::Duration give_up = Clock::System().Steady() + absl::Seconds(20);
    MutexLock lock(&mu_);
    while (!ended_.has_value()) {
      const absl::Duration left = give_up - Clock::System().Steady();
      if (left <= absl::ZeroDuration()) return absl::OkStatus();
      changed_.WaitWithTimeout(&mu_, left);
    }
    return *ended_;
  }

  Gate gate;
  std::atomic<int64_t> written{0};

 private:
  void NoteEnd(const absl::Status& status) {
    MutexLock lock(&mu_);
    ended_ = status;
    changed_.SignalAll();
  }

  Mutex mu_;
  CondVar changed_;
  std::optional<absl::Status> ended_ ABSL_GUARDED_BY(mu_);
};

class TestingServer {
 public:
  using Raw = pb::Testing::WithRawMethod_Unary<pb::Testing::WithRawMethod_Count<
      pb::Testing::WithRawMethod_Sum<pb::Testing::WithRawMethod_Echo<pb::Testing::Service>>>>;

  explicit TestingServer(ServerOptions options = ServerOptions(),
                         absl::Duration time_limit = absl::InfiniteDuration(),
                         absl::Duration stall_limit = absl::Seconds(30))
      : server(std::move(options)) {
    Router& router = server.router();
    auto& raw = router.AddService<Raw>("sluice.testing.Testing");
    const auto method = [&](const char* name, bool stream) {
      MethodOptions out;
      out.name = absl::StrCat("sluice.testing.Testing/", name);
      out.time_limit = time_limit;
      out.stall_limit = stall_limit;
      out.ends_with_drain = stream;
      return out;
    };
    router.Unary<pb::Ask>(
        method("Unary", false), raw, &Raw::RequestUnary,
        [this](const Context& ctx, const pb::Ask& ask) { return service.Unary(ctx, ask); });
    router.ServerStream<pb::Ask, pb::Answer>(
        method("Count", true), raw, &Raw::RequestCount,
        [this](const Context& ctx, const pb::Ask& ask, Sink<pb::Answer>& sink) {
          return service.Count(ctx, ask, sink);
        });
    router.ClientStream<pb::Ask>(
        method("Sum", true), raw, &Raw::RequestSum,
        [this](const Context& ctx, Source<pb::Ask>& source) { return service.Sum(ctx, source); });
    router.Bidirectional<pb::Ask, pb::Answer>(
        method("Echo", true), raw, &Raw::RequestEcho,
        [this](const Context& ctx, Source<pb::Ask>& source, Sink<pb::Answer>& sink) {
          return service.Echo(ctx, source, sink);
        });
    const absl::Status started = server.Start();
    EXPECT_TRUE(started.ok()) << started;
  }

  // A channel of its own, shared with nobody.
  std::shared_ptr<grpc::Channel> Connect() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    return grpc::CreateCustomChannel(server.address(), grpc::InsecureChannelCredentials(),
                                     arguments);
  }

  std::unique_ptr<pb::Testing::Stub> Stub() { return pb::Testing::NewStub(Connect()); }

  TestingService service;
  Server server;  // last: it goes down first
};

inline pb::Ask MakeAsk(int64_t number, const std::string& text = "") {
  pb::Ask ask;
  ask.set_number(number);
  ask.set_text(text);
  return ask;
}

}  // namespace sluice::rpc

#endif  // SLUICE_TESTS_RPC_TESTING_SERVER_H_
