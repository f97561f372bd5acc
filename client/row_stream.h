// A streamed result, row by row.
#ifndef SLUICE_CLIENT_ROW_STREAM_H_
#define SLUICE_CLIENT_ROW_STREAM_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/arena.h"

#include "sluice/v1/query.pb.h"

namespace sluice::client {

// Where the messages of a StreamQuery come from: a gRPC call, or a list in a test.
class MessageSource {
 public:
  virtual ~MessageSource() = default;
  // Waits for the next message. False: there is none, ask Finish why.
  virtual bool Read(v1::StreamQueryResponse* message) = 0;
  // The status of the whole call. REQUIRES: Read has returned false; called once.
  virtual absl::Status Finish() = 0;
  // Asks the server to stop; any thread.
  virtual void Cancel() = 0;
};

// The rows of one StreamQuery, in order, with values that were split for the wire joined again. It
// checks what the contract promises, so that a result which ends early or lost a part is an error
// and never a shorter result. Owned by the caller of Client::StreamQuery and used on one thread;
// memory holds one message, or one row with its joined values. Destroying it before the end cancels
// the call on the server.
class RowStream {
 public:
  // Waits for the first message, so that an error of the statement itself is met here.
  static absl::StatusOr<std::unique_ptr<RowStream>> Open(std::unique_ptr<MessageSource> source);
  ~RowStream();
  RowStream(const RowStream&) = delete;
  RowStream& operator=(const RowStream&) = delete;

  // The columns, and whether the statement has a result at all.
  const google::protobuf::RepeatedPtrField<v1::Column>& Columns() const { return head_.columns(); }

  bool HasColumns() const { return head_.has_columns(); }

  // The next row, valid until the next call; null at the end. Waits for the server as needed. After
  // an error or the end it answers the same again.
  absl::StatusOr<const v1::Row*> Next();

  // True if Next would have to wait for the server: a good moment to show what there is.
  bool Drained() const { return next_ >= message_->rows_size(); }

  // The closing facts: the last message. REQUIRES: Next has answered null.
  const v1::StreamQueryResponse& Summary() const { return summary_; }

 private:
  explicit RowStream(std::unique_ptr<MessageSource> source);

  // Each answers an error of its own or of the call.
  absl::Status ReadMessage();
  absl::Status CheckMessage() const;
  absl::Status JoinSplitValues();
  absl::Status JoinParts(int column, const v1::SplitValue& split, v1::Value* value);
  absl::Status Finish();
  absl::Status Broken(absl::string_view what) const;

  const std::unique_ptr<MessageSource> source_;
  v1::StreamQueryResponse head_;     // columns, has_columns
  v1::StreamQueryResponse summary_;  // the last message

  google::protobuf::Arena arena_;               // of message_; emptied at each read
  v1::StreamQueryResponse* message_ = nullptr;  // where the rows are
  int next_ = 0;                                // the row of message_ to answer next
  uint64_t rows_ = 0;                           // answered so far
  v1::Row joined_;                              // a row whose values came in parts
  absl::Status status_;                         // why it ended, once it failed
  bool opened_ = false;                         // the first message was read
  bool done_ = false;                           // Finish was called
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_ROW_STREAM_H_
