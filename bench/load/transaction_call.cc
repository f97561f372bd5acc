#include "bench/load/transaction_call.h"

#include <utility>

#include <grpcpp/support/proto_buffer_reader.h>

namespace sluice::bench {
namespace {

bool Parse(grpc::ByteBuffer* bytes, Totals& totals, google::protobuf::MessageLite& message) {
  totals.bytes += bytes->Length();
  grpc::ProtoBufferReader reader(bytes);
  return message.ParseFromZeroCopyStream(&reader);
}

}  // namespace

void StatementsCall::Start(RequestMaker& maker) {
  script_->Begin(maker.random());
  error_.clear();
  Send();
}

void StatementsCall::Send() {
  reader_.reset();  // lives in its call's memory, which goes with the context
  context_.emplace();
  const grpc::ByteBuffer request = ToBytes(script_->Statement());
  reader_ = stub_.PrepareUnaryCall(&*context_, "/sluice.v1.QueryService/Query", request, &queue_);
  reader_->StartCall();
  reader_->Finish(&bytes_, &status_, this);
}

bool StatementsCall::OnEvent(bool /*ok*/, Totals& totals) {
  if (!status_.ok()) {
    error_ = Describe(status_);
  } else if (!Parse(&bytes_, totals, response_)) {
    error_ = "a response that is not a message";
  } else {
    error_ = script_->Take(response_, response_.transaction());
    ++totals.rows;
  }
  bytes_.Clear();
  if (error_.empty() && !script_->AtEnd()) {
    if (!cancelled()) {
      Send();
      return false;
    }
    error_ = "cancelled between two statements";
  }
  if (!error_.empty()) script_->Forget();
  return true;
}

void InteractCall::Start(RequestMaker& maker) {
  script_->Begin(maker.random());
  error_.clear();
  if (stream_) {
    Write();
    return;
  }
  context_.emplace();
  stream_ = stub_.PrepareCall(&*context_, "/sluice.v1.TransactionService/Interact", &queue_);
  state_ = State::kStarting;
  stream_->StartCall(this);
}

void InteractCall::Write() {
  state_ = State::kWriting;
  request_.set_call_id(request_.call_id() + 1);
  *request_.mutable_query() = script_->Statement();
  stream_->Write(ToBytes(request_), this);
}

bool InteractCall::OnEvent(bool ok, Totals& totals) {
  if (state_ == State::kFinishing) {
    return End(status_.ok() ? "a stream that ended" : Describe(status_));
  }
  if (!ok) {
    state_ = State::kFinishing;
    stream_->Finish(&status_, this);
  } else if (state_ == State::kStarting) {
    Write();
  } else if (state_ == State::kWriting) {
    state_ = State::kReading;
    stream_->Read(&bytes_, this);
  } else {
    return OnResponse(totals);
  }
  return false;
}

bool InteractCall::OnResponse(Totals& totals) {
  const bool parsed = Parse(&bytes_, totals, response_);
  bytes_.Clear();
  if (!parsed) return End("a response that is not a message");
  if (response_.call_id() != request_.call_id()) return End("the response to another request");
  if (response_.has_error()) return End(response_.error().message());
  std::string error = script_->Take(response_.query(), response_.transaction());
  if (!error.empty()) return End(std::move(error));
  ++totals.rows;
  if (script_->AtEnd()) return true;
  Write();
  return false;
}

bool InteractCall::End(std::string error) {
  error_ = std::move(error);
  script_->Forget();
  stream_.reset();
  context_.reset();
  return true;
}

}  // namespace sluice::bench
