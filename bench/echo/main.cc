// sluice_echo: the yardstick. A bare completion-queue server, one thread, that answers QueryService
// with the messages, raw methods and channel arguments of Sluice, and no database, no coroutine, no
// cancellation. Ends on SIGTERM at once.

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <grpcpp/grpcpp.h>

#include "absl/synchronization/mutex.h"

#include "sluice/v1/query.grpc.pb.h"

namespace sluice::bench {
namespace {

using RawService = v1::QueryService::WithRawMethod_Query<
    v1::QueryService::WithRawMethod_StreamQuery<v1::QueryService::Service>>;

// Debian builds gRPC with its checks: every operation walks the list of those outstanding. One
// thread answers each call before it takes the next, so a few armed requests are all it needs.
constexpr int kArmedQueries = 8;
constexpr int kArmedStreams = 2;

void AddColumn(v1::QueryResponse& response,
               const char* name,
               v1::ValueType type,
               const char* native) {
  v1::Column& column = *response.add_columns();
  column.set_name(name);
  column.set_type(type);
  column.set_native_type(native);
}

// The shape of the point query's answer: (id INTEGER, name TEXT, price REAL, note TEXT).
v1::QueryResponse PointAnswer() {
  v1::QueryResponse response;
  AddColumn(response, "id", v1::VALUE_TYPE_INT64, "INTEGER");
  AddColumn(response, "name", v1::VALUE_TYPE_STRING, "TEXT");
  AddColumn(response, "price", v1::VALUE_TYPE_DOUBLE, "REAL");
  AddColumn(response, "note", v1::VALUE_TYPE_STRING, "TEXT");
  v1::Row& row = *response.add_rows();
  row.add_values()->set_int64_value(1);
  row.add_values()->set_string_value("item 000001");
  row.add_values()->set_double_value(1.25);
  row.add_values()->set_string_value("a short note that belongs to item 000001");
  response.set_command_tag("SELECT 1");
  response.set_has_columns(true);
  response.mutable_elapsed()->set_nanos(12'345);
  return response;
}

bool Parse(grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  grpc::Slice slice;
  if (bytes.TrySingleSlice(&slice).ok() || bytes.DumpToSingleSlice(&slice).ok()) {
    return message.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  }
  return false;
}

grpc::ByteBuffer Serialize(const google::protobuf::Message& message) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

struct Server {
  RawService service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  v1::QueryRequest request;  // used again for each call
  v1::QueryResponse response = PointAnswer();
  int64_t stream_rows = 0;
};

// A call in flight, or an accept that waits for one. Its address is its tag.
class Call {
 public:
  virtual ~Call() = default;
  virtual void OnEvent(bool ok) = 0;
};

class QueryCall final : public Call {
 public:
  explicit QueryCall(Server& server) : server_(server) { Accept(); }

  void OnEvent(bool ok) override {
    if (finishing_ || !ok) return Accept();
    finishing_ = true;
    if (!Parse(payload_, server_.request) || server_.request.params_size() != 1) {
      writer_->FinishWithError({grpc::StatusCode::INVALID_ARGUMENT, "one parameter"}, this);
      return;
    }
    const int64_t key = server_.request.params(0).int64_value();
    server_.response.mutable_rows(0)->mutable_values(0)->set_int64_value(key);
    writer_->Finish(Serialize(server_.response), grpc::Status::OK, this);
  }

 private:
  void Accept() {
    finishing_ = false;
    writer_.reset();
    context_.emplace();
    writer_.emplace(&*context_);
    server_.service.RequestQuery(&*context_, &payload_, &*writer_, server_.queue.get(),
                                 server_.queue.get(), this);
  }

  Server& server_;
  bool finishing_ = false;
  std::optional<grpc::ServerContext> context_;
  grpc::ByteBuffer payload_;
  std::optional<grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>> writer_;
};

// Streams the same number of rows to every call, in chunks of the size asked for.
class StreamCall final : public Call {
 public:
  explicit StreamCall(Server& server) : server_(server) { Accept(); }

  void OnEvent(bool ok) override {
    if (finishing_ || (!ok && !accepted_)) return Accept();
    if (!accepted_) {
      accepted_ = true;
      v1::StreamQueryRequest request;
      if (!Parse(payload_, request)) return Finish();
      const int64_t chunk_bytes = request.chunk_bytes() > 0 ? request.chunk_bytes() : 256 << 10;
      FillChunk(chunk_bytes);
    }
    if (!ok || last_sent_) return Finish();
    if (sent_ < server_.stream_rows) return WriteChunk();
    v1::StreamQueryResponse last;
    last.set_last(true);
    last.set_row_count(sent_);
    last_sent_ = true;
    writer_->Write(Serialize(last), this);
  }

 private:
  void Accept() {
    accepted_ = finishing_ = last_sent_ = false;
    sent_ = 0;
    writer_.reset();
    context_.emplace();
    writer_.emplace(&*context_);
    server_.service.RequestStreamQuery(&*context_, &payload_, &*writer_, server_.queue.get(),
                                       server_.queue.get(), this);
  }

  void FillChunk(int64_t chunk_bytes) {
    const v1::Row& row = server_.response.rows(0);
    const auto row_bytes = static_cast<int64_t>(row.ByteSizeLong()) + 2;
    chunk_.Clear();
    *chunk_.mutable_columns() = server_.response.columns();
    chunk_.set_has_columns(true);
    for (int64_t size = 0; size + row_bytes <= chunk_bytes; size += row_bytes)
      *chunk_.add_rows() = row;
  }

  void WriteChunk() {
    const int64_t left = server_.stream_rows - sent_;
    if (left < chunk_.rows_size()) {
      chunk_.mutable_rows()->DeleteSubrange(static_cast<int>(left),
                                            chunk_.rows_size() - static_cast<int>(left));
    }
    chunk_.set_row_offset(sent_);
    sent_ += chunk_.rows_size();
    writer_->Write(Serialize(chunk_), this);
    chunk_.clear_columns();
    chunk_.clear_has_columns();
  }

  void Finish() {
    finishing_ = true;
    writer_->Finish(grpc::Status::OK, this);
  }

  Server& server_;
  bool accepted_ = false;
  bool finishing_ = false;
  bool last_sent_ = false;
  int64_t sent_ = 0;
  v1::StreamQueryResponse chunk_;
  std::optional<grpc::ServerContext> context_;
  grpc::ByteBuffer payload_;
  std::optional<grpc::ServerAsyncWriter<grpc::ByteBuffer>> writer_;
};

// As Sluice sets them, in server/rpc/server.cc.
void SetArguments(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(16 << 20);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 8 << 10);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);
  builder.AddChannelArgument("grpc.server_handshake_timeout_ms", 5'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 3);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

int Main(int argc, char** argv) {
  Server server;
  std::string listen = "127.0.0.1:0";
  CLI::App app("Answers QueryService without a database: the yardstick of the benchmarks.");
  app.add_option("--listen", listen, "Address to listen on")->capture_default_str();
  app.add_option("--rows", server.stream_rows, "Rows of every stream")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  // Debian builds Abseil with a deadlock detector that costs one instruction in sixteen here;
  // sluiced runs without it, too.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  SetArguments(builder);
  builder.RegisterService(&server.service);
  server.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> running = builder.BuildAndStart();
  if (running == nullptr) {
    std::fprintf(stderr, "cannot listen on %s\n", listen.c_str());
    return 1;
  }
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < kArmedQueries; ++i) calls.push_back(std::make_unique<QueryCall>(server));
  for (int i = 0; i < kArmedStreams; ++i) calls.push_back(std::make_unique<StreamCall>(server));
  std::printf("{\"event\":\"ready\",\"listen\":\"127.0.0.1:%d\",\"admin\":null}\n", port);
  std::fflush(stdout);
  void* tag;
  bool ok;
  while (server.queue->Next(&tag, &ok)) static_cast<Call*>(tag)->OnEvent(ok);
  return 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  return sluice::bench::Main(argc, argv);
}
