#ifndef SLUICE_BENCH_LOAD_REQUEST_H_
#define SLUICE_BENCH_LOAD_REQUEST_H_

#include <cstdint>
#include <string>

#include <grpcpp/support/byte_buffer.h>

namespace sluice::bench {

// What the generator asks for.
enum class Method {
  kPoint,   // Query, one row by a random primary key
  kInsert,  // Query that inserts one row with a random number
  kBatch,   // ExecuteBatch of that insert with many sets of one number
  kQuery,   // Query with fixed SQL
  kStream,  // StreamQuery with fixed SQL
};

struct RequestOptions {
  Method method = Method::kPoint;
  std::string connection_id = "default";
  std::string sql;          // all but kQuery and kStream: it has one parameter, the key
  uint64_t keys = 0;        // of these: keys are 1 … keys
  int64_t sets = 100;       // kBatch: rows in a batch
  int64_t chunk_bytes = 0;  // kStream
  uint64_t seed = 1;
};

// Makes request messages in wire form. All but the key is serialised once; a key is appended as one
// more field, which protobuf reads as the same message. One per generator, on its thread.
class RequestMaker {
 public:
  explicit RequestMaker(const RequestOptions& options);

  grpc::ByteBuffer Next();

  // The key that the last message reads; 0 when it reads none.
  uint64_t key() const { return key_; }

  const std::string& path() const { return path_; }

  Method method() const { return method_; }

 private:
  uint64_t RandomKey();
  void AppendKey(std::string& out);
  void AppendSets();

  const Method method_;
  const uint64_t keys_;  // 0: no key is appended
  const int64_t sets_;
  std::string path_;
  std::string bytes_;  // the constant part, then room for the key
  const size_t constant_size_;
  std::string step_;  // kBatch: the step with its sets
  uint64_t random_state_;
  uint64_t key_ = 0;
};

// What a response says about itself without being parsed: its rows are walked, not decoded.
struct ResponseFacts {
  bool well_formed = false;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  bool last = false;  // of a stream
};

// A batch's results count as rows.
ResponseFacts Inspect(grpc::ByteBuffer* response, Method method);

// Empty if the response is the one row that has this key in its first column; else what it is.
std::string CheckPoint(grpc::ByteBuffer* response, uint64_t key);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_REQUEST_H_
