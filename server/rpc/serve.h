// Serve: the four kinds of method, each an accept loop that begins a coroutine per call. All of it
// runs on one loop's thread. The order that gRPC demands is kept here and nowhere else: done tag
// before request, one read and one write at a time, nothing after Finish, no frame freed before
// both its last tag and the done tag.
#ifndef SLUICE_SERVER_RPC_SERVE_H_
#define SLUICE_SERVER_RPC_SERVE_H_

#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/support/async_stream.h"
#include "grpcpp/support/async_unary_call.h"

#include "server/async/completion.h"
#include "server/async/stream.h"
#include "server/base/errors.h"
#include "server/rpc/call.h"
#include "server/rpc/wire.h"

namespace sluice::rpc {

using RawWriter = grpc::ServerAsyncWriter<grpc::ByteBuffer>;
using RawReader = grpc::ServerAsyncReader<grpc::ByteBuffer, grpc::ByteBuffer>;
using RawStream = grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;
using RawResponder = grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>;

// What an accept loop needs of the server. Lives on one loop.
struct Acceptor {
  Loop& loop;
  LiveCalls& live;
  Calls& calls;
  const bool& accepting;  // false: the queue may be shut any time now, request nothing
};

// Resets the call's stream with CANCELLED and STREAM_STALLED.
void ResetStalled(Call& call);

// A reply up to this size is gone, or the peer is, long before anyone could call it stalled.
constexpr size_t kSmallReply = 64 << 10;

// Ends a call whose peer takes nothing: its window is shut, so only a reset gets through.
struct StallTimer : Timer {
  explicit StallTimer(Call& owner)
      : Timer([](Timer* timer) {
          Call& stalled = static_cast<StallTimer*>(timer)->call;
          stalled.scope().Stop(StopCause::kStalled);
          ResetStalled(stalled);
        }),
        call(owner) {}

  ~StallTimer() { Stop(); }

  // Watches over a reply that is about to be sent.
  void Watch(const grpc::ByteBuffer& reply) {
    if (reply.Length() > kSmallReply) call.loop().StartTimer(*this, call.method().stall_limit);
  }

  void Stop() { call.loop().CancelTimer(*this); }

  Call& call;
};

// Ends a call whose peer sends nothing.
struct IdleTimer : Timer {
  explicit IdleTimer(Call& owner)
      : Timer([](Timer* timer) {
          static_cast<IdleTimer*>(timer)->call.scope().Stop(StopCause::kIdle);
        }),
        call(owner) {}

  ~IdleTimer() { Stop(); }

  void Start() {
    const absl::Duration limit = call.method().idle_limit;
    if (limit != absl::InfiniteDuration()) call.loop().StartTimer(*this, limit);
  }

  void Stop() { call.loop().CancelTimer(*this); }

  Call& call;
};

// RpcSink: the writing end of a stream.
template <class Message, class Stream>
class RpcSink final : public Sink<Message> {
 public:
  RpcSink(Call& call, Stream& stream) : call_(call), stream_(stream), stall_(call) {}

  Task<bool> Write(Message message) override {
    if (dead_) co_return false;
    const grpc::ByteBuffer buffer = Serialize(std::move(message));
    call_.loop().StartTimer(stall_, call_.method().stall_limit);
    const bool ok = co_await Operation([&](void* tag) { stream_.Write(buffer, tag); });
    call_.loop().CancelTimer(stall_);
    dead_ = !ok;
    co_return ok;
  }

 private:
  Call& call_;
  Stream& stream_;
  StallTimer stall_;
  bool dead_ = false;
};

// RpcSource: the reading end of a stream. Made after the call began, for it knows when the call has
// to end.
template <class Message, class Stream>
class RpcSource final : public Source<Message> {
 public:
  RpcSource(Call& call, Stream& stream)
      : stream_(stream), tag_(*this), idle_(call), on_stop_(call.ctx().stop, Breaker{*this}) {}

  Task<std::shared_ptr<Message>> Read() override {
    std::shared_ptr<Message> message;
    if (broken_off_) co_return message;
    idle_.Start();
    co_await Async<bool>([&](Completion<bool> woken) {
      waiter_.emplace(std::move(woken));
      reading_ = true;
      stream_.Read(&buffer_, static_cast<Tag*>(&tag_));
    });
    idle_.Stop();
    if (reading_) co_return message;
    if (!read_ok_) {
      complete_ = co_await PeerIsThere();
      co_return message;
    }
    message = MakeOnArena<Message>(buffer_.Length());
    unparsable_ = !Parse(buffer_, *message);
    if (unparsable_) message.reset();
    buffer_.Clear();
    co_return message;
  }

  void BreakOff() override {
    broken_off_ = true;
    Wake();
  }

  bool complete() const override { return complete_; }

  // After Finish, which ends a read that was broken off: waits for its tag.
  Task<void> Settle() {
    // Whoever breaks off now wakes it, too.
    while (reading_) {
      co_await Async<bool>([&](Completion<bool> woken) { waiter_.emplace(std::move(woken)); });
    }
  }

  // The stream ended because a message could not be read.
  bool unparsable() const { return unparsable_; }

 private:
  class ReadTag final : public Tag {
   public:
    explicit ReadTag(RpcSource& source) : source_(source) {}

    void Complete(bool ok) override {
      source_.reading_ = false;
      source_.read_ok_ = ok;
      source_.Wake();
    }

   private:
    RpcSource& source_;
  };

  struct Breaker {
    void operator()() const { source.BreakOff(); }

    RpcSource& source;
  };

  void Wake() {
    if (!waiter_.has_value()) return;
    Completion<bool> woken = *std::move(waiter_);
    waiter_.reset();
    woken.Resolve(true);
  }

  // A read fails alike at the end of a stream and when its peer is gone. What is sent on a stream
  // that was reset fails, which tells the two apart, while the done tag may be late. Only where
  // nothing is sent before the reply: headers go once.
  Task<bool> PeerIsThere() {
    if constexpr (std::is_same_v<Stream, RawReader>) {
      const bool sent = co_await Operation([&](void* tag) { stream_.SendInitialMetadata(tag); });
      co_return sent;
    }
    co_return true;
  }

  Stream& stream_;
  ReadTag tag_;
  IdleTimer idle_;
  grpc::ByteBuffer buffer_;
  std::optional<Completion<bool>> waiter_;  // of Read, or of Settle
  bool reading_ = false;                    // gRPC has the tag
  bool read_ok_ = false;
  bool broken_off_ = false;
  bool complete_ = false;
  bool unparsable_ = false;
  std::stop_callback<Breaker> on_stop_;  // last: it may fire at once
};

// A stalled or lost call says so, whatever the handler made of its failed write.
inline absl::Status Outcome(const Call& call, absl::Status status) {
  if (!status.ok() && call.cause() == StopCause::kStalled)
    return errors::StreamStalled(call.method().stall_limit);
  return status;
}

// Sends the end of a call that answers once: the reply, or why there is none.
template <class Responder>
void StartFinish(Responder& responder,
                 const grpc::ByteBuffer& reply,
                 const grpc::Status& status,
                 void* tag) {
  if (status.ok()) {
    responder.Finish(reply, status, tag);
  } else {
    responder.FinishWithError(status, tag);
  }
}

// Handler: (const Context&, const Request&) → Task<absl::StatusOr<M or Reply<M>>>.
template <class Request, class Handler>
struct UnaryMethod {
  struct State {
    State(Acceptor& acceptor, const MethodOptions& method)
        : call(acceptor.loop, acceptor.live, acceptor.calls, method), responder(&call.context) {}

    Call call;
    grpc::ByteBuffer payload;
    RawResponder responder;
  };

  template <class Service>
  static void Accept(Service& service,
                     auto request_call,
                     State& state,
                     grpc::ServerCompletionQueue* queue,
                     void* tag) {
    (service.*request_call)(&state.call.context, &state.payload, &state.responder, queue, queue,
                            tag);
  }

  static Task<void> Run(std::unique_ptr<State> state, const Handler& handler) {
    absl::Status status = state->call.Begin();
    grpc::ByteBuffer reply;
    Request request;
    if (status.ok() && !Parse(state->payload, request)) status = errors::Unparsable();
    state->payload.Clear();
    if (status.ok()) {
      auto result = co_await handler(state->call.ctx(), request);
      status = result.status();
      if (status.ok()) reply = Serialize(*std::move(result));
    }
    const grpc::Status sent = state->call.Finish(status);
    StallTimer stall(state->call);
    stall.Watch(reply);
    co_await Operation([&](void* tag) { StartFinish(state->responder, reply, sent, tag); });
    stall.Stop();
    co_await state->call.End();
  }
};

// Handler: (const Context&, const Request&, Sink<Response>&) → Task<absl::Status>.
template <class Request, class Response, class Handler>
struct ServerStreamMethod {
  struct State {
    State(Acceptor& acceptor, const MethodOptions& method)
        : call(acceptor.loop, acceptor.live, acceptor.calls, method), writer(&call.context) {}

    Call call;
    grpc::ByteBuffer payload;
    RawWriter writer;
  };

  template <class Service>
  static void Accept(Service& service,
                     auto request_call,
                     State& state,
                     grpc::ServerCompletionQueue* queue,
                     void* tag) {
    (service.*request_call)(&state.call.context, &state.payload, &state.writer, queue, queue, tag);
  }

  static Task<void> Run(std::unique_ptr<State> state, const Handler& handler) {
    absl::Status status = state->call.Begin();
    Request request;
    if (status.ok() && !Parse(state->payload, request)) status = errors::Unparsable();
    state->payload.Clear();
    if (status.ok()) {
      RpcSink<Response, RawWriter> sink(state->call, state->writer);
      status = co_await handler(state->call.ctx(), request, sink);
    }
    const grpc::Status sent = state->call.Finish(Outcome(state->call, std::move(status)));
    co_await Operation([&](void* tag) { state->writer.Finish(sent, tag); });
    co_await state->call.End();
  }
};

// Handler: (const Context&, Source<Request>&) → Task<absl::StatusOr<M or Reply<M>>>.
template <class Request, class Handler>
struct ClientStreamMethod {
  struct State {
    State(Acceptor& acceptor, const MethodOptions& method)
        : call(acceptor.loop, acceptor.live, acceptor.calls, method), reader(&call.context) {}

    Call call;
    RawReader reader;
  };

  template <class Service>
  static void Accept(Service& service,
                     auto request_call,
                     State& state,
                     grpc::ServerCompletionQueue* queue,
                     void* tag) {
    (service.*request_call)(&state.call.context, &state.reader, queue, queue, tag);
  }

  static Task<void> Run(std::unique_ptr<State> state, const Handler& handler) {
    absl::Status status = state->call.Begin();
    grpc::ByteBuffer reply;
    RpcSource<Request, RawReader> source(state->call, state->reader);
    if (status.ok()) {
      auto result = co_await handler(state->call.ctx(), source);
      status = result.status();
      if (source.unparsable()) {
        // The handler took it for the end of its peer, and says what is left of the call.
        status = errors::WithMetadata(errors::Unparsable(), "executed",
                                      errors::MetadataOf(status, "executed"));
      }
      if (status.ok()) reply = Serialize(*std::move(result));
    }
    const grpc::Status sent = state->call.Finish(status);
    StallTimer stall(state->call);
    stall.Watch(reply);
    co_await Operation([&](void* tag) { StartFinish(state->reader, reply, sent, tag); });
    stall.Stop();
    co_await source.Settle();
    co_await state->call.End();
  }
};

// Handler: (const Context&, Source<Request>&, Sink<Response>&) → Task<absl::Status>.
template <class Request, class Response, class Handler>
struct BidirectionalMethod {
  struct State {
    State(Acceptor& acceptor, const MethodOptions& method)
        : call(acceptor.loop, acceptor.live, acceptor.calls, method), stream(&call.context) {}

    Call call;
    RawStream stream;
  };

  template <class Service>
  static void Accept(Service& service,
                     auto request_call,
                     State& state,
                     grpc::ServerCompletionQueue* queue,
                     void* tag) {
    (service.*request_call)(&state.call.context, &state.stream, queue, queue, tag);
  }

  static Task<void> Run(std::unique_ptr<State> state, const Handler& handler) {
    absl::Status status = state->call.Begin();
    RpcSource<Request, RawStream> source(state->call, state->stream);
    if (status.ok()) {
      RpcSink<Response, RawStream> sink(state->call, state->stream);
      status = co_await handler(state->call.ctx(), source, sink);
      if (source.unparsable()) status = errors::Unparsable();
    }
    const grpc::Status sent = state->call.Finish(Outcome(state->call, std::move(status)));
    co_await Operation([&](void* tag) { state->stream.Finish(sent, tag); });
    co_await source.Settle();
    co_await state->call.End();
  }
};

// Accepts one call after another, until the server shuts down. One of these is one armed request.
template <class Method, class Service, class RequestCall, class Handler>
Task<void> AcceptCalls(Acceptor& acceptor,
                       const MethodOptions& method,
                       Service& service,
                       RequestCall request_call,
                       const Handler& handler) {
  while (acceptor.accepting) {
    auto state = std::make_unique<typename Method::State>(acceptor, method);
    const bool accepted = co_await Operation([&](void* tag) {
      Method::Accept(service, request_call, *state, acceptor.loop.queue(), tag);
    });
    if (!accepted) co_return;  // shut down; the done tag of a call that never was never comes
    Spawn(Method::Run(std::move(state), handler));
  }
}

}  // namespace sluice::rpc

#endif  // SLUICE_SERVER_RPC_SERVE_H_
