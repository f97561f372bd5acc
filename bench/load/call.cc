#include "bench/load/call.h"

#include <grpcpp/support/proto_buffer_reader.h>

namespace sluice::bench {

std::string Describe(const grpc::Status& status) {
  return "status " + std::to_string(status.error_code()) + ": " + status.error_message();
}

void UnaryCall::Start(RequestMaker& maker) {
  reader_.reset();  // lives in its call's memory, which goes with the context
  context_.emplace();
  const grpc::ByteBuffer request = maker.Next();
  keys_ = maker.keys_read();
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
  {
    grpc::ProtoBufferReader reader(&response_);
    error_ = TakeAnswer(reader, method_, keys_, Reading::kWhole, totals);
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
    totals.bytes += response_.Length();
    const ResponseFacts facts = Facts();
    totals.rows += facts.rows;
    complete_ = facts.well_formed && facts.last;
    response_.Clear();
    stream_->Read(&response_, this);
  }
  return false;
}

ResponseFacts StreamCall::Facts() {
  grpc::ProtoBufferReader reader(&response_);
  return Inspect(reader, Method::kStream);
}

std::string StreamCall::Error() const {
  if (!status_.ok()) return Describe(status_);
  return complete_ ? "" : "a stream without its last message";
}

}  // namespace sluice::bench
