#include "bench/load/bulk_call.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include "sluice/v1/query.pb.h"

namespace sluice::bench {
namespace {

constexpr size_t kMessageBytes = 256 << 10;  // as the service recommends

std::string Numbered(const char* text, int64_t number) {
  const std::string digits = std::to_string(number);
  return text + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

// A row (id, name, price, note), as bench/run makes them elsewhere.
void AddRow(int64_t number, v1::BulkInsertRequest& request) {
  v1::Row& row = *request.add_rows();
  row.add_values()->set_int64_value(number);
  row.add_values()->set_string_value(Numbered("item ", number));
  row.add_values()->set_double_value(static_cast<double>(number) * 1.25);
  row.add_values()->set_string_value(Numbered("a short note that belongs to item ", number));
}

std::vector<grpc::ByteBuffer> Messages(const RequestOptions& options) {
  std::vector<grpc::ByteBuffer> messages;
  v1::BulkInsertRequest request;
  request.set_connection_id(options.connection_id);
  request.set_table(options.table);
  size_t bytes = 0;
  for (int64_t number = 1; number <= options.sets; ++number) {
    AddRow(number, request);
    bytes += request.rows(request.rows_size() - 1).ByteSizeLong();
    if (bytes < kMessageBytes && number < options.sets) continue;
    messages.push_back(ToBytes(request));
    request.Clear();
    bytes = 0;
  }
  return messages;
}

}  // namespace

BulkCall::BulkCall(const RequestOptions& options,
                   grpc::GenericStub& stub,
                   grpc::CompletionQueue& queue)
    : rows_(options.sets), stub_(stub), queue_(queue), messages_(Messages(options)) {}

void BulkCall::Start(RequestMaker& maker) {
  stream_.reset();  // before its context, in whose memory it lives
  context_.emplace();
  stream_ = stub_.PrepareCall(&*context_, maker.path(), &queue_);
  written_ = 0;
  inserted_ = 0;
  state_ = State::kStarting;
  stream_->StartCall(this);
}

void BulkCall::Write() {
  state_ = State::kWriting;
  const grpc::ByteBuffer& message = messages_[written_++];
  if (written_ < messages_.size()) return stream_->Write(message, this);
  stream_->WriteLast(message, grpc::WriteOptions(), this);
}

bool BulkCall::OnEvent(bool ok, Totals& totals) {
  if (state_ == State::kFinishing) return true;
  if (ok && (state_ == State::kStarting || written_ < messages_.size())) {
    Write();
  } else if (ok && state_ == State::kWriting) {
    state_ = State::kReading;
    stream_->Read(&response_, this);
  } else {
    v1::BulkInsertResponse response;
    if (ok) {
      grpc::ProtoBufferReader reader(&response_);
      if (response.ParseFromZeroCopyStream(&reader)) inserted_ = response.rows_affected();
      totals.rows += static_cast<uint64_t>(inserted_);
      response_.Clear();
    }
    state_ = State::kFinishing;
    stream_->Finish(&status_, this);
  }
  return false;
}

std::string BulkCall::Error() const {
  if (!status_.ok()) return Describe(status_);
  return inserted_ == rows_ ? "" : std::to_string(inserted_) + " rows were inserted";
}

}  // namespace sluice::bench
