#ifndef SLUICE_BENCH_H2LOAD_CONNECTION_H_
#define SLUICE_BENCH_H2LOAD_CONNECTION_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "bench/load/request.h"

namespace sluice::bench {

class Connection;

// A place for one call in flight, used again for the next.
struct Call {
  explicit Call(Connection& its_connection) : connection(its_connection) {}

  Connection& connection;
  std::string request;         // with the five bytes that gRPC puts before a message
  size_t sent = 0;             // of it
  std::vector<uint64_t> keys;  // that it reads
  std::string response;        // likewise with five bytes
  std::string grpc_status;     // empty: none came
  std::string grpc_message;
  std::chrono::steady_clock::time_point due;         // when the call in flight was to start
  std::chrono::steady_clock::time_point idle_since;  // when the last one ended
};

// A connection in HTTP/2 without TLS, with unary gRPC calls on it, that never waits: what is to be
// sent is put together by Start() and goes out in Flush(), what came is dealt with in Receive().
// One thread.
class Connection {
 public:
  // `server` is a host and a port, `path` that of the calls' method; both outlive it.
  Connection(const std::string& server, const std::string& path);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // Connects, and waits for that; an error or empty.
  std::string Open();

  int fd() const { return fd_; }

  // Begins a call with the maker's next message.
  void Start(Call& call, RequestMaker& maker);

  // Sends what there is to send as far as the socket takes it; an error or empty.
  std::string Flush();

  // Is there something that the socket did not take?
  bool wants_write() const { return !out_.empty(); }

  // Reads what came, and adds the calls that are over; an error or empty.
  std::string Receive(std::vector<Call*>& over);

 private:
  std::string MakeSession();

  const std::string& server_;
  const std::string& path_;
  int fd_ = -1;
  nghttp2_session* session_ = nullptr;
  std::array<uint8_t, size_t{64} << 10> in_{};
  std::string out_;
  std::vector<Call*>* over_ = nullptr;  // during Receive()
};

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_H2LOAD_CONNECTION_H_
