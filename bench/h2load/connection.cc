#include "bench/h2load/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <netdb.h>

namespace sluice::bench {
namespace {

// Larger than any answer: the flow control of HTTP/2 has no say.
constexpr int32_t kWindow = 1 << 30;

Call* CallOf(nghttp2_session* session, int32_t stream) {
  return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
}

ssize_t ReadRequest(nghttp2_session* /*session*/,
                    int32_t /*stream*/,
                    uint8_t* buffer,
                    size_t size,
                    uint32_t* flags,
                    nghttp2_data_source* source,
                    void* /*connection*/) {
  Call& call = *static_cast<Call*>(source->ptr);
  const size_t count = std::min(size, call.request.size() - call.sent);
  std::copy_n(call.request.data() + call.sent, count, buffer);
  call.sent += count;
  if (call.sent == call.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(count);
}

// Headers come before the answer, trailers after it; gRPC's are known by their names in either.
int OnHeader(nghttp2_session* session,
             const nghttp2_frame* frame,
             const uint8_t* name,
             size_t name_size,
             const uint8_t* value,
             size_t value_size,
             uint8_t /*flags*/,
             void* /*connection*/) {
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  if (!key.starts_with("grpc-")) return 0;
  Call* call = CallOf(session, frame->hd.stream_id);
  if (call == nullptr) return 0;
  const std::string_view text(reinterpret_cast<const char*>(value), value_size);
  if (key == "grpc-status") call->grpc_status = text;
  if (key == "grpc-message") call->grpc_message = text;
  return 0;
}

int OnData(nghttp2_session* session,
           uint8_t /*flags*/,
           int32_t stream,
           const uint8_t* data,
           size_t size,
           void* /*connection*/) {
  Call* call = CallOf(session, stream);
  if (call != nullptr) call->response.append(reinterpret_cast<const char*>(data), size);
  return 0;
}

int OnClose(nghttp2_session* session, int32_t stream, uint32_t /*error*/, void* over) {
  Call* call = CallOf(session, stream);
  if (call != nullptr) (*static_cast<std::vector<Call*>**>(over))->push_back(call);
  return 0;
}

nghttp2_nv Header(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

std::string SystemError(const char* what) {
  return std::string(what) + ": " + std::generic_category().message(errno);
}

// A socket that is connected, or -1.
int ConnectTo(const std::string& server) {
  const size_t colon = server.rfind(':');
  if (colon == std::string::npos) return -1;
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(server.substr(0, colon).c_str(), server.c_str() + colon + 1, &hints, &found) != 0)
    return -1;
  int fd = -1;
  for (const addrinfo* each = found; each != nullptr && fd < 0; each = each->ai_next) {
    fd = socket(each->ai_family, each->ai_socktype | SOCK_CLOEXEC, each->ai_protocol);
    if (fd < 0 || connect(fd, each->ai_addr, each->ai_addrlen) == 0) continue;
    close(fd);
    fd = -1;
  }
  freeaddrinfo(found);
  return fd;
}

}  // namespace

Connection::Connection(const std::string& server, const std::string& path)
    : server_(server), path_(path) {}

Connection::~Connection() {
  nghttp2_session_del(session_);
  if (fd_ >= 0) close(fd_);
}

std::string Connection::Open() {
  fd_ = ConnectTo(server_);
  if (fd_ < 0) return "cannot connect to " + server_;
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK) != 0) return SystemError("fcntl");
  return MakeSession();
}

std::string Connection::MakeSession() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) return "no memory";
  nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnClose);
  const int made = nghttp2_session_client_new(&session_, callbacks, &over_);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return nghttp2_strerror(made);
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow}}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, kWindow);
  return Flush();
}

void Connection::Start(Call& call, RequestMaker& maker) {
  const std::string& message = maker.NextBytes();
  const auto size = static_cast<uint32_t>(message.size());
  call.request.assign(1, '\0');  // not compressed
  for (int shift = 24; shift >= 0; shift -= 8) {
    call.request.push_back(static_cast<char>(size >> shift & 0xff));
  }
  call.request += message;
  call.sent = 0;
  call.keys = maker.keys_read();
  call.response.clear();
  call.grpc_status.clear();
  call.grpc_message.clear();
  const std::array<nghttp2_nv, 7> headers = {
      Header(":method", "POST"),        Header(":scheme", "http"),
      Header(":path", path_),           Header(":authority", server_),
      Header("te", "trailers"),         Header("content-type", "application/grpc"),
      Header("user-agent", "h2load/1"),
  };
  nghttp2_data_provider body = {};
  body.source.ptr = &call;
  body.read_callback = ReadRequest;
  nghttp2_submit_request(session_, nullptr, headers.data(), headers.size(), &body, &call);
}

std::string Connection::Flush() {
  const uint8_t* frame = nullptr;
  ssize_t size = 0;
  while ((size = nghttp2_session_mem_send(session_, &frame)) > 0) {
    out_.append(reinterpret_cast<const char*>(frame), static_cast<size_t>(size));
  }
  if (size < 0) return nghttp2_strerror(static_cast<int>(size));
  if (out_.empty()) return "";
  const ssize_t sent = send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR ? "" : SystemError("send");
  out_.erase(0, static_cast<size_t>(sent));
  return "";
}

std::string Connection::Receive(std::vector<Call*>& over) {
  over_ = &over;
  while (true) {
    const ssize_t count = recv(fd_, in_.data(), in_.size(), 0);
    if (count == 0) return "the server closed a connection";
    if (count < 0) return errno == EAGAIN || errno == EINTR ? "" : SystemError("recv");
    const ssize_t taken =
        nghttp2_session_mem_recv(session_, in_.data(), static_cast<size_t>(count));
    if (taken < 0) return nghttp2_strerror(static_cast<int>(taken));
    if (static_cast<size_t>(count) < in_.size()) return "";
  }
}

}  // namespace sluice::bench
