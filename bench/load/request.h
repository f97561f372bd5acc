#ifndef SLUICE_BENCH_LOAD_REQUEST_H_
#define SLUICE_BENCH_LOAD_REQUEST_H_

#include <cstdint>
#include <string>
#include <vector>

#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include "bench/random.h"
#include "bench/tpcb.h"
#include "sluice/v1/query.pb.h"

namespace sluice::bench {

// What the generator asks for.
enum class Method {
  kPoint,       // Query, one row by a random primary key
  kInsert,      // Query that inserts one row with a random number
  kBatch,       // ExecuteBatch of that insert with many sets of one number
  kPointBatch,  // ExecuteBatch of point reads by as many keys
  kQuery,       // Query with fixed SQL
  kStream,      // StreamQuery with fixed SQL
  kBulk,        // BulkInsert of rows (id, name, price, note)
  // A call of the first three of these is a transaction of pgbench.
  kTpcbCalls,         // a Query for each statement
  kInteract,          // the same over an Interact stream
  kTpcbBatch,         // one ExecuteBatch
  kTransactionPoint,  // kPoint in a read-only transaction, which lasts as long as the run
  kInteractPoint,     // the same over an Interact stream
};

bool InStream(Method method);  // in an Interact stream

struct RequestOptions {
  Method method = Method::kPoint;
  std::string connection_id = "default";
  std::string sql;          // with a key that is its one parameter; not of pgbench
  uint64_t keys = 0;        // keys are 1 … keys
  std::string table;        // kBulk
  int64_t sets = 100;       // kBatch, kBulk: rows in one; kPointBatch: reads
  int64_t chunk_bytes = 0;  // kStream
  TpcbSize tpcb;            // of the database, for pgbench
  uint64_t seed = 1;
};

// Makes request messages in wire form. All but the key is serialised once; a key is appended as one
// more field, which protobuf reads as the same message. One per generator, on its thread.
class RequestMaker {
 public:
  explicit RequestMaker(const RequestOptions& options);

  grpc::ByteBuffer Next();

  // The same without gRPC; valid until the next.
  const std::string& NextBytes();

  // The keys of the rows that the last message reads, in order.
  const std::vector<uint64_t>& keys_read() const { return keys_read_; }

  const std::string& path() const { return path_; }

  Method method() const { return method_; }

  // For calls that make their own messages.
  Random& random() { return random_; }

 private:
  void FillTpcb();
  void AppendKey(std::string& out);
  void AppendSets();

  const Method method_;
  const uint64_t keys_;  // 0: no key is appended
  const int64_t sets_;
  std::string path_;
  std::string bytes_;  // the constant part, then room for the key
  const size_t constant_size_;
  std::string step_;  // a batch: the step with its sets
  const TpcbSize tpcb_;
  v1::ExecuteBatchRequest tpcb_batch_;  // kTpcbBatch
  Random random_;
  std::vector<uint64_t> keys_read_;
};

grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message);

// Replaces the parameters by the values of a statement of pgbench.
void SetParams(const TpcbStatement& statement,
               const TpcbValues& values,
               google::protobuf::RepeatedPtrField<v1::Value>& params);

}  // namespace sluice::bench

#endif  // SLUICE_BENCH_LOAD_REQUEST_H_
