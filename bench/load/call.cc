#include "bench/load/call.h"

#include <iterator>

namespace sluice::bench {

std::string Describe(const grpc::Status& status) {
  return "status " + std::to_string(status.error_code()) + ": " + status.error_message();
}

void UnaryCall::Start(RequestMaker& maker) {
  reader_.reset();  // lives in its call's memory, which goes with the context
  context_.emplace();
  const grpc::ByteBuffer request = maker.Next();
  key_ = maker.key();
  method_ = maker.method();
  reader_ = stub_.PrepareUnaryCall(&*context_, maker.path(), request, &queue_);
  reader_->StartCall();
  reader_->Finish(&response_, &status_, this);
}

bool UnaryCall::OnEvent(bool /*ok*/, Totals& totals) {
  if (!status_.ok()) {
    error_ = Describe(status_);
    return true;
  }
  totals.bytes += response_.Length();
  if (key_ > 0) {
    ++totals.rows;
    error_ = CheckPoint(&response_, key_);
  } else {
    const ResponseFacts facts = Inspect(&response_, method_);
    totals.rows += facts.rows;
    error_ = facts.well_formed ? "" : "a response that is not a message";
    if (method_ == Method::kTpcbBatch && facts.rows != std::size(kTpcbStatements)) {
      error_ = std::to_string(facts.rows) + " results for a transaction";
    }
  }
  response_.Clear();
  return true;
}

void StreamCall::Start(RequestMaker& maker) {
  stream_.reset();  // before its context, as above
  context_.emplace();
  stream_ = stub_.PrepareCall(&*context_, maker.path(), &queue_);
  request_ = maker.Next();
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
    const ResponseFacts facts = Inspect(&response_, Method::kStream);
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
