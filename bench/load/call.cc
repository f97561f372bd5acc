#include "bench/load/call.h"

#include <utility>

namespace sluice::bench {
namespace {

std::string Describe(const grpc::Status& status) {
  return "status " + std::to_string(status.error_code()) + ": " + status.error_message();
}

}  // namespace

void UnaryCall::Start(const std::string& path, grpc::ByteBuffer request) {
  reader_.reset();  // lives in its call's memory, which goes with the context
  context_.emplace();
  reader_ = stub_.PrepareUnaryCall(&*context_, path, request, &queue_);
  reader_->StartCall();
  reader_->Finish(&response_, &status_, this);
}

bool UnaryCall::OnEvent(bool ok, Totals& totals) {
  facts_ = ResponseFacts();
  if (ok && status_.ok()) facts_ = Inspect(&response_);
  totals.rows += facts_.rows;
  totals.bytes += facts_.bytes;
  response_.Clear();
  return true;
}

std::string UnaryCall::Error() const {
  if (!status_.ok()) return Describe(status_);
  if (!facts_.well_formed) return "a response that is not a message";
  if (expects_one_row_ && facts_.rows != 1) {
    return std::to_string(facts_.rows) + " rows for a point read";
  }
  return "";
}

void StreamCall::Start(const std::string& path, grpc::ByteBuffer request) {
  stream_.reset();  // before its context, as above
  context_.emplace();
  stream_ = stub_.PrepareCall(&*context_, path, &queue_);
  request_ = std::move(request);
  complete_ = false;
  state_ = State::kStarting;
  stream_->StartCall(this);
}

bool StreamCall::OnEvent(bool ok, Totals& totals) {
  if (state_ == State::kFinishing) return true;
  if (!ok) {
    state_ = State::kFinishing;
    stream_->Finish(&status_, this);
  } else if (state_ == State::kStarting) {
    state_ = State::kWriting;
    stream_->WriteLast(request_, grpc::WriteOptions(), this);
  } else if (state_ == State::kWriting) {
    state_ = State::kReading;
    stream_->Read(&response_, this);
  } else {
    const ResponseFacts facts = Inspect(&response_);
    totals.rows += facts.rows;
    totals.bytes += facts.bytes;
    complete_ = facts.well_formed && facts.last;
    response_.Clear();
    stream_->Read(&response_, this);
  }
  return false;
}

std::string StreamCall::Error() const {
  if (!status_.ok()) return Describe(status_);
  return complete_ ? "" : "a stream without its last message";
}

}  // namespace sluice::bench
