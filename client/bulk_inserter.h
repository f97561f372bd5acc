// Loads many rows into one table.
#ifndef SLUICE_CLIENT_BULK_INSERTER_H_
#define SLUICE_CLIENT_BULK_INSERTER_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/row_buffer.h"
#include "sluice/v1/query.pb.h"

namespace sluice::client {

// Some 256 KiB of rows a chunk are a good size.
inline constexpr size_t kChunkBytes = 256 << 10;

// One side of a BulkInsert: a gRPC call, or a list in a test. Used on the inserter's thread, except
// Cancel.
class ChunkSink {
 public:
  virtual ~ChunkSink() = default;
  // Sends one message, in wire form. False: the call has ended, ask Finish why.
  virtual bool Write(std::string message) = 0;
  // Says that there is no more, and waits for the answer. Called once.
  virtual absl::StatusOr<v1::BulkInsertResponse> Finish() = 0;
  // Asks the server to stop; any thread.
  virtual void Cancel() = 0;
};

// One BulkInsert in flight. Chunks are sent by a thread of its own, so that making rows and sending
// them overlap. Owned by the caller of Client::BulkInsert and used on one thread. Destroying it
// before Finish cancels the call: an ATOMIC load is then rolled back.
class BulkInserter {
 public:
  // `header` says where to insert, and how; it has no rows.
  BulkInserter(std::unique_ptr<ChunkSink> sink, const v1::BulkInsertRequest& header);
  ~BulkInserter();
  BulkInserter(const BulkInserter&) = delete;
  BulkInserter& operator=(const BulkInserter&) = delete;

  // Sends the rows as one chunk and empties the buffer; nothing if there are none. Waits while
  // chunks that were written before are still waiting. False: the call has ended, and Finish says
  // why.
  bool Write(RowBuffer* rows);

  // Ends the load and answers what became of it. Called once.
  absl::StatusOr<v1::BulkInsertResponse> Finish();

 private:
  void Send();

  const std::unique_ptr<ChunkSink> sink_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;  // guarded by mutex_
  bool complete_ = false;            // guarded by mutex_: no chunk will follow
  bool broken_ = false;              // guarded by mutex_: the call has ended

  absl::StatusOr<v1::BulkInsertResponse> result_;  // the thread's, until it is joined
  std::thread thread_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_BULK_INSERTER_H_
