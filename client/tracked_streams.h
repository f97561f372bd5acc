// Streams that tell a transaction's facts how they ended. Internal to the library.
#ifndef SLUICE_CLIENT_TRACKED_STREAMS_H_
#define SLUICE_CLIENT_TRACKED_STREAMS_H_

#include <memory>
#include <string>

#include "client/bulk_inserter.h"
#include "client/row_stream.h"
#include "client/transaction_facts.h"

namespace sluice::client {

// A StreamQuery in a transaction. Owned by its RowStream, which calls Finish in any case; may
// outlive the transaction.
class TrackedSource final : public MessageSource {
 public:
  TrackedSource(std::unique_ptr<MessageSource> source,
                std::shared_ptr<TransactionFacts> facts,
                TransactionFacts::Step step);

  bool Read(v1::StreamQueryResponse* message) override;
  absl::Status Finish() override;

  void Cancel() override { source_->Cancel(); }

 private:
  const std::unique_ptr<MessageSource> source_;
  const std::shared_ptr<TransactionFacts> facts_;
  const TransactionFacts::Step step_;
  bool told_ = false;  // the last message came, which tells of the transaction
};

// A BulkInsert in a transaction. Owned by its BulkInserter, which calls Finish in any case; may
// outlive the transaction.
class TrackedSink final : public ChunkSink {
 public:
  TrackedSink(std::unique_ptr<ChunkSink> sink,
              std::shared_ptr<TransactionFacts> facts,
              TransactionFacts::Step step);

  bool Write(std::string message) override { return sink_->Write(std::move(message)); }

  absl::StatusOr<v1::BulkInsertResponse> Finish() override;

  void Cancel() override { sink_->Cancel(); }

 private:
  const std::unique_ptr<ChunkSink> sink_;
  const std::shared_ptr<TransactionFacts> facts_;
  const TransactionFacts::Step step_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_TRACKED_STREAMS_H_
