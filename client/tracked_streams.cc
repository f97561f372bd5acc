#include "client/tracked_streams.h"

#include <utility>

namespace sluice::client {

TrackedSource::TrackedSource(std::unique_ptr<MessageSource> source,
                             std::shared_ptr<TransactionFacts> facts,
                             TransactionFacts::Step step)
    : source_(std::move(source)), facts_(std::move(facts)), step_(step) {
  facts_->StreamOpened([this] { source_->Cancel(); });
}

bool TrackedSource::Read(v1::StreamQueryResponse* message) {
  if (!source_->Read(message)) return false;
  if (message->last()) {
    facts_->Succeeded(message->transaction());
    told_ = true;
  }
  return true;
}

absl::Status TrackedSource::Finish() {
  absl::Status status = source_->Finish();
  if (!told_) facts_->Failed(status, step_);
  facts_->StreamClosed();
  return status;
}

TrackedSink::TrackedSink(std::unique_ptr<ChunkSink> sink,
                         std::shared_ptr<TransactionFacts> facts,
                         TransactionFacts::Step step)
    : sink_(std::move(sink)), facts_(std::move(facts)), step_(step) {
  facts_->StreamOpened([this] { sink_->Cancel(); });
}

absl::StatusOr<v1::BulkInsertResponse> TrackedSink::Finish() {
  auto response = sink_->Finish();
  if (response.ok()) {
    facts_->Succeeded(response->transaction());
  } else {
    facts_->Failed(response.status(), step_);
  }
  facts_->StreamClosed();
  return response;
}

}  // namespace sluice::client
