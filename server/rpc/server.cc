#include "server/rpc/server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpc/support/log.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/server_builder.h"

#include "server/base/log.h"
#include "server/rpc/sockets.h"

namespace sluice::rpc {
namespace {

constexpr absl::Duration kHonestEnd = absl::Seconds(5);  // stopped calls have this long to answer

int DefaultLoops() {
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
}

void SetArguments(grpc::ServerBuilder& builder, const ServerOptions& options) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_request_bytes));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT,
                             0);  // or a second server would share the port in silence
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             static_cast<int>(options.max_metadata_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(options.max_streams_per_connection));
  builder.AddChannelArgument("grpc.server_handshake_timeout_ms", 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3);
  // A compressed request of some kilobytes may unfold to hundreds of megabytes before its size is
  // looked at.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  // Only reflection is synchronous; it needs no more than one thread.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

// Linking the reflection library is enough to serve reflection: it adds itself to every builder.
class NoReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}

  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const std::unique_ptr<grpc::ServerBuilderPlugin>& plugin) {
      return plugin->name() == "proto_server_reflection";
    });
  }
};

// Set once the sockets are taken from under gRPC, which then complains.
std::atomic<bool> shutting_down{false};

// gRPC's own words, which speak of nothing that a caller did wrong, go into our log.
void RouteGrpcLog() {
  gpr_set_log_function([](gpr_log_func_args* record) {
    if (record->severity == GPR_LOG_SEVERITY_ERROR && !shutting_down) {
      log::Warning("grpc", record->message, {{"file", record->file}, {"line", record->line}});
    } else {
      log::Debug("grpc", record->message, {{"file", record->file}, {"line", record->line}});
    }
  });
}

}  // namespace

std::string GrpcVersion() {
  return grpc::Version();
}

Server::Server(ServerOptions options) : options_(std::move(options)), calls_(options_.max_calls) {}

Server::~Server() {
  if (server_ == nullptr) return;
  if (!shut_down_) {
    Drain(absl::ZeroDuration());
    Shutdown();
  }
  Stop();
}

absl::Status Server::Start() {
  RouteGrpcLog();
  absl::Status ready = router_.CheckComplete();
  ready.Update(CheckSocketIsFree(options_.listen));
  if (!ready.ok()) return ready;
  if (options_.reflection) grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  SetArguments(builder, options_);
  builder.SetOption(TellOfAccepted(client_sockets_));
  if (!options_.reflection) builder.SetOption(std::make_unique<NoReflection>());
  int port = 0;
  builder.AddListeningPort(options_.listen, grpc::InsecureServerCredentials(), &port);
  for (const Router::Service& service : router_.services())
    builder.RegisterService(service.service.get());
  const int loops = options_.loops > 0 ? options_.loops : DefaultLoops();
  for (int i = 0; i < loops; ++i) {
    auto state = std::make_unique<LoopState>();
    state->loop = std::make_unique<Loop>(builder.AddCompletionQueue(), *client_sockets_);
    state->acceptor.reset(new Acceptor{*state->loop, state->live, calls_, state->accepting});
    loops_.push_back(std::move(state));
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    for (const auto& state : loops_) state->loop->Stop();
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", options_.listen,
                     ": the address is in use or not ours; choose another with --listen"));
  }
  const bool is_unix = options_.listen.starts_with("unix:");
  address_ = is_unix
                 ? options_.listen
                 : absl::StrCat(options_.listen.substr(0, options_.listen.rfind(':')), ":", port);
  acceptors_ = std::make_unique<std::latch>(
      static_cast<int>(loops_.size() * router_.routes().size()) * options_.armed);
  for (const auto& state : loops_) {
    for (const Router::Route& route : router_.routes()) {
      for (int i = 0; i < options_.armed; ++i) Spawn(RunRoute(*state->acceptor, route));
    }
    state->loop->Start();
  }
  health_.Set("", true);
  for (const Router::Service& service : router_.services()) health_.Set(service.name, true);
  return absl::OkStatus();
}

Task<void> Server::RunRoute(Acceptor& acceptor, const Router::Route& route) {
  co_await route.accept(acceptor, route.options);
  acceptors_->count_down();
}

template <class Function>
void Server::OnEachLoop(Function function) {
  struct Visit : Job {
    Visit(Function& f, LoopState& s, std::latch& c)
        : Job([](Job* job) {
            auto* const visit = static_cast<Visit*>(job);
            visit->function(visit->state);
            visit->left.count_down();
          }),
          function(f),
          state(s),
          left(c) {}

    Function& function;
    LoopState& state;
    std::latch& left;
  };

  std::latch left(static_cast<int>(loops_.size()));
  std::vector<std::unique_ptr<Visit>> visits;
  for (const auto& state : loops_) {
    visits.push_back(std::make_unique<Visit>(function, *state, left));
    state->loop->Post(visits.back().get());
  }
  left.wait();
}

void Server::Drain(absl::Duration grace) {
  health_.Shutdown();
  calls_.StartDraining();
  OnEachLoop([](LoopState& state) { state.live.StopStreams(StopCause::kDraining); });
  if (calls_.AwaitNone(grace)) return;
  OnEachLoop([](LoopState& state) { state.live.StopAll(StopCause::kDraining); });
  if (!calls_.AwaitNoneStubbornly(kHonestEnd)) {
    log::Warning("rpc", "calls did not end in time", {{"in_flight", calls_.in_flight()}});
  }
}

void Server::Hurry() {
  calls_.Hurry();
}

void Server::Shutdown() {
  shutting_down = true;
  EndConnections(address_);
  OnEachLoop([](LoopState& state) { state.accepting = false; });
  server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  acceptors_->wait();
  calls_.AwaitNoneStubbornly(kHonestEnd);  // none is left but those that gRPC just cut
  shut_down_ = true;
}

void Server::Stop() {
  for (const auto& state : loops_) state->loop->Stop();
  loops_.clear();
  server_.reset();
}

}  // namespace sluice::rpc
