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

std::string ConstantPart(const RequestOptions& options) {
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
    : keys_(options.method == Method::kPoint ? options.keys : 0),
      path_(options.method == Method::kStream ? "/sluice.v1.QueryService/StreamQuery"
                                              : "/sluice.v1.QueryService/Query"),
      bytes_(ConstantPart(options)),
      constant_size_(bytes_.size()),
      random_state_(options.seed) {}

uint64_t RequestMaker::RandomKey() {
  random_state_ += 0x9e3779b97f4a7c15;  // splitmix64
  uint64_t z = random_state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (z ^ (z >> 31)) % keys_ + 1;
}

grpc::ByteBuffer RequestMaker::Next() {
  if (keys_ > 0) {
    key_ = RandomKey();
    uint8_t varint[10];
    uint8_t* end = CodedOutputStream::WriteVarint64ToArray(key_, varint);
    const auto size = static_cast<char>(end - varint);
    bytes_.resize(constant_size_);
    bytes_.push_back(kParamsTag);
    bytes_.push_back(static_cast<char>(size + 1));
    bytes_.push_back(kInt64ValueTag);
    bytes_.append(&varint[0], end);
  }
  const grpc::Slice slice(bytes_.data(), bytes_.size());
  return grpc::ByteBuffer(&slice, 1);
}

ResponseFacts Inspect(grpc::ByteBuffer* response) {
  ResponseFacts facts;
  facts.bytes = response->Length();
  grpc::ProtoBufferReader reader(response);
  CodedInputStream in(&reader);
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == kRowsTag) ++facts.rows;
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
