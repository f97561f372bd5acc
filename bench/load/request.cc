#include "bench/load/request.h"

#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/slice.h>

namespace sluice::bench {
namespace {

using google::protobuf::io::CodedOutputStream;

// Query and StreamQuery number these fields alike.
constexpr uint8_t kParamsTag = 3 << 3 | 2;
constexpr uint8_t kInt64ValueTag = v1::Value::kInt64ValueFieldNumber << 3 | 0;
static_assert(v1::QueryRequest::kParamsFieldNumber == 3);

// A step and its sets, each of them a ParameterSet with one number.
constexpr uint8_t kStepsTag = v1::ExecuteBatchRequest::kStepsFieldNumber << 3 | 2;
constexpr uint8_t kSetsTag = v1::BatchStep::kParameterSetsFieldNumber << 3 | 2;
constexpr uint8_t kSetParamsTag = v1::ParameterSet::kParamsFieldNumber << 3 | 2;

bool HasSets(Method method) {
  return method == Method::kBatch || method == Method::kPointBatch;
}

// Are the keys those of rows that the answer has to hold?
bool Reads(Method method) {
  return method == Method::kPoint || method == Method::kPointBatch;
}

bool HasKey(Method method) {
  return method == Method::kPoint || method == Method::kInsert || HasSets(method);
}

std::string PathOf(Method method) {
  switch (method) {
    case Method::kStream:
      return "/sluice.v1.QueryService/StreamQuery";
    case Method::kBulk:
      return "/sluice.v1.QueryService/BulkInsert";
    case Method::kBatch:
    case Method::kPointBatch:
    case Method::kTpcbBatch:
      return "/sluice.v1.QueryService/ExecuteBatch";
    default:
      return "/sluice.v1.QueryService/Query";
  }
}

void AppendVarint(uint64_t value, std::string& out) {
  uint8_t varint[10];
  uint8_t* end = CodedOutputStream::WriteVarint64ToArray(value, varint);
  out.append(&varint[0], end);
}

std::string ConstantPart(const RequestOptions& options) {
  if (HasSets(options.method)) {
    v1::ExecuteBatchRequest request;
    request.set_connection_id(options.connection_id);
    return request.SerializeAsString();
  }
  if (options.method != Method::kStream) {
    v1::QueryRequest request;
    request.set_connection_id(options.connection_id);
    request.set_sql(options.sql);
    return request.SerializeAsString();
  }
  v1::StreamQueryRequest request;
  request.set_connection_id(options.connection_id);
  request.set_sql(options.sql);
  request.set_chunk_bytes(options.chunk_bytes);
  return request.SerializeAsString();
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes.data(), bytes.size());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

bool InStream(Method method) {
  return method == Method::kInteract || method == Method::kInteractPoint;
}

RequestMaker::RequestMaker(const RequestOptions& options)
    : method_(options.method),
      keys_(HasKey(options.method) ? options.keys : 0),
      sets_(options.sets),
      path_(PathOf(options.method)),
      bytes_(ConstantPart(options)),
      constant_size_(bytes_.size()),
      tpcb_(options.tpcb),
      random_(options.seed) {
  if (HasSets(method_)) {
    v1::BatchStep step;
    step.set_sql(options.sql);
    step_ = step.SerializeAsString();
  } else if (method_ == Method::kTpcbBatch) {
    tpcb_batch_.set_connection_id(options.connection_id);
    tpcb_batch_.set_mode(v1::BATCH_MODE_ATOMIC);
    for (const TpcbStatement& each : kTpcbStatements) tpcb_batch_.add_steps()->set_sql(each.sql);
  }
}

// A Value with a random number.
void RequestMaker::AppendKey(std::string& out) {
  const uint64_t key = random_.UpTo(keys_);
  if (Reads(method_)) keys_read_.push_back(key);
  std::string value(1, static_cast<char>(kInt64ValueTag));
  AppendVarint(key, value);
  AppendVarint(value.size(), out);
  out += value;
}

void RequestMaker::AppendSets() {
  const size_t head = step_.size();
  std::string set;
  for (int64_t i = 0; i < sets_; ++i) {
    set.assign(1, static_cast<char>(kSetParamsTag));
    AppendKey(set);
    step_.push_back(static_cast<char>(kSetsTag));
    AppendVarint(set.size(), step_);
    step_ += set;
  }
  bytes_.push_back(static_cast<char>(kStepsTag));
  AppendVarint(step_.size(), bytes_);
  bytes_ += step_;
  step_.resize(head);
}

void RequestMaker::FillTpcb() {
  const TpcbValues values = RandomTpcb(tpcb_, random_);
  for (int i = 0; i < tpcb_batch_.steps_size(); ++i) {
    SetParams(kTpcbStatements[i], values, *tpcb_batch_.mutable_steps(i)->mutable_params());
  }
}

const std::string& RequestMaker::NextBytes() {
  keys_read_.clear();
  if (method_ == Method::kTpcbBatch) {
    FillTpcb();
    tpcb_batch_.SerializeToString(&bytes_);
  } else if (keys_ > 0) {
    bytes_.resize(constant_size_);
    if (HasSets(method_)) {
      AppendSets();
    } else {
      bytes_.push_back(static_cast<char>(kParamsTag));
      AppendKey(bytes_);
    }
  }
  return bytes_;
}

grpc::ByteBuffer RequestMaker::Next() {
  return ToBuffer(NextBytes());
}

grpc::ByteBuffer ToBytes(const google::protobuf::MessageLite& message) {
  return ToBuffer(message.SerializeAsString());
}

void SetParams(const TpcbStatement& statement,
               const TpcbValues& values,
               google::protobuf::RepeatedPtrField<v1::Value>& params) {
  params.Clear();
  for (const auto param : statement.params) {
    if (param != nullptr) params.Add()->set_int64_value(values.*param);
  }
}

}  // namespace sluice::bench
