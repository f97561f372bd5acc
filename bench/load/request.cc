#include "bench/load/request.h"

#include <utility>

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include "sluice/v1/query.pb.h"

namespace sluice::bench {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

// Query and StreamQuery number these fields alike.
constexpr uint8_t kParamsTag = 3 << 3 | 2;
constexpr uint8_t kInt64ValueTag = v1::Value::kInt64ValueFieldNumber << 3 | 0;
constexpr uint32_t kRowsTag = 2 << 3 | 2;
constexpr uint32_t kLastTag = v1::StreamQueryResponse::kLastFieldNumber << 3 | 0;
static_assert(v1::QueryRequest::kParamsFieldNumber == 3);
static_assert(v1::QueryResponse::kRowsFieldNumber == 2);
static_assert(v1::StreamQueryResponse::kRowsFieldNumber == 2);

// A step and its sets, each of them a ParameterSet with one number.
constexpr uint8_t kStepsTag = v1::ExecuteBatchRequest::kStepsFieldNumber << 3 | 2;
constexpr uint8_t kSetsTag = v1::BatchStep::kParameterSetsFieldNumber << 3 | 2;
constexpr uint8_t kSetParamsTag = v1::ParameterSet::kParamsFieldNumber << 3 | 2;
constexpr uint32_t kResultsTag = v1::ExecuteBatchResponse::kResultsFieldNumber << 3 | 2;

bool HasKey(Method method) {
  return method == Method::kPoint || method == Method::kInsert || method == Method::kBatch;
}

std::string PathOf(Method method) {
  switch (method) {
    case Method::kStream:
      return "/sluice.v1.QueryService/StreamQuery";
    case Method::kBatch:
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
  if (options.method == Method::kBatch) {
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

bool Skip(CodedInputStream& in, uint32_t tag) {
  uint64_t ignored;
  uint32_t size;
  switch (tag & 7) {
    case 0:
      return in.ReadVarint64(&ignored);
    case 1:
      return in.Skip(8);
    case 2:
      return in.ReadVarint32(&size) && in.Skip(static_cast<int>(size));
    case 5:
      return in.Skip(4);
    default:
      return false;
  }
}

}  // namespace

RequestMaker::RequestMaker(const RequestOptions& options)
    : method_(options.method),
      keys_(HasKey(options.method) ? options.keys : 0),
      sets_(options.sets),
      path_(PathOf(options.method)),
      bytes_(ConstantPart(options)),
      constant_size_(bytes_.size()),
      random_state_(options.seed) {
  if (method_ != Method::kBatch) return;
  v1::BatchStep step;
  step.set_sql(options.sql);
  step_ = step.SerializeAsString();
}

uint64_t RequestMaker::RandomKey() {
  random_state_ += 0x9e3779b97f4a7c15;  // splitmix64
  uint64_t z = random_state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (z ^ (z >> 31)) % keys_ + 1;
}

// A Value with a random number.
void RequestMaker::AppendKey(std::string& out) {
  const uint64_t key = RandomKey();
  if (method_ == Method::kPoint) key_ = key;
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

grpc::ByteBuffer RequestMaker::Next() {
  if (keys_ > 0) {
    bytes_.resize(constant_size_);
    if (method_ == Method::kBatch) {
      AppendSets();
    } else {
      bytes_.push_back(static_cast<char>(kParamsTag));
      AppendKey(bytes_);
    }
  }
  const grpc::Slice slice(bytes_.data(), bytes_.size());
  return grpc::ByteBuffer(&slice, 1);
}

ResponseFacts Inspect(grpc::ByteBuffer* response, Method method) {
  ResponseFacts facts;
  facts.bytes = response->Length();
  grpc::ProtoBufferReader reader(response);
  CodedInputStream in(&reader);
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == (method == Method::kBatch ? kResultsTag : kRowsTag)) ++facts.rows;
    if (tag == kLastTag) facts.last = true;
    if (!Skip(in, tag)) return facts;
  }
  facts.well_formed = in.ConsumedEntireMessage();
  return facts;
}

std::string CheckPoint(grpc::ByteBuffer* response, uint64_t key) {
  grpc::ProtoBufferReader reader(response);
  v1::QueryResponse message;
  if (!message.ParseFromZeroCopyStream(&reader)) return "a response that is not a message";
  if (message.rows_size() != 1 || message.rows(0).values_size() == 0) {
    return std::to_string(message.rows_size()) + " rows for a point read";
  }
  const auto found = static_cast<uint64_t>(message.rows(0).values(0).int64_value());
  if (found == key) return "";
  return "row " + std::to_string(found) + " for key " + std::to_string(key);
}

}  // namespace sluice::bench
