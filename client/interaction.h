// A conversation with a transaction in it, over one stream.
#ifndef SLUICE_CLIENT_INTERACTION_H_
#define SLUICE_CLIENT_INTERACTION_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "sluice/v1/query.pb.h"
#include "sluice/v1/transaction.pb.h"

namespace sluice::client {

// Requests that the server takes ahead of their answers.
inline constexpr int kMaxAhead = 16;

// The two ends of an Interact call: a gRPC stream, or lists in a test. Read on one thread; written
// by one thread at a time.
class InteractionEnds {
 public:
  virtual ~InteractionEnds() = default;
  // Sends one request. False: the stream has ended, ask Finish why.
  virtual bool Write(const v1::InteractRequest& request) = 0;
  // Says that no request will follow.
  virtual void WritesDone() = 0;
  // Waits for the next answer. False: there is none, ask Finish why.
  virtual bool Read(v1::InteractResponse* response) = 0;
  // The status of the whole call. REQUIRES: Read has returned false; called once.
  virtual absl::Status Finish() = 0;
  // Ends the call; any thread.
  virtual void Cancel() = 0;
};

// One Interact call. A transaction in it needs no id and is rolled back with the stream: Close and
// the destructor do that, and so does a connection that breaks. Owned by the caller of
// Client::Interact and used on one thread, except Cancel.
//
//   auto talk = client.Interact();
//   absl::Status status = talk->Begin("default");
//   auto rows = talk->Query(MakeQuery("SELECT …"));
//   status = talk->Commit(NewRequestId());
class Interaction {
 public:
  explicit Interaction(std::unique_ptr<InteractionEnds> ends);
  ~Interaction();
  Interaction(const Interaction&) = delete;
  Interaction& operator=(const Interaction&) = delete;

  // Each sends a request and waits for its answer. When stop is requested the request is cancelled,
  // and its answer is then CANCELLED; the stream goes on. After the stream has ended each answers
  // why.
  absl::Status Begin(absl::string_view connection_id,
                     const v1::TransactionOptions& options = {},
                     const std::stop_token& stop = {});
  // `transaction` may hold `begin`, and then `connection_id` says on what; otherwise that is left
  // out. With `commit` the transaction is committed if the statement succeeds.
  absl::StatusOr<v1::QueryResponse> Query(v1::QueryRequest request,
                                          const std::stop_token& stop = {});
  absl::StatusOr<v1::ExecuteBatchResponse> ExecuteBatch(v1::ExecuteBatchRequest request,
                                                        const std::stop_token& stop = {});
  absl::Status Savepoint(absl::string_view name, const std::stop_token& stop = {});
  absl::Status RollbackTo(absl::string_view name, const std::stop_token& stop = {});
  absl::Status Release(absl::string_view name, const std::stop_token& stop = {});
  // With a `request_id` (NewRequestId) Client::GetTransactionOutcome knows what became of it if the
  // stream breaks meanwhile.
  absl::Status Commit(absl::string_view request_id = "", const std::stop_token& stop = {});
  absl::Status Rollback(const std::stop_token& stop = {});
  absl::Status KeepAlive(const std::stop_token& stop = {});

  // Sends a request without waiting for its answer, and answers the call_id that it was given.
  // Where kMaxAhead are under way it waits for answers, and keeps them for Next.
  absl::StatusOr<int64_t> Send(v1::InteractRequest request);
  // The next answer to what was sent by Send, in order; a failed request is an answer too.
  // FAILED_PRECONDITION `NOTHING_SENT` if none is due.
  absl::StatusOr<v1::InteractResponse> Next();

  // Ends a request that waits or runs; its answer comes all the same. Any thread.
  void Cancel(int64_t call_id);

  // Says that nothing will follow, which rolls back what is open, and waits for the end. Answers
  // that are due are kept for Next. Answers how the stream ended.
  absl::Status Close();

  // Where the transaction stood after the answer that was read last; UNSPECIFIED: there was none.
  const v1::TransactionStatus& Standing() const { return standing_; }

 private:
  // Sends a request and reads up to its answer. An `error` is the status.
  absl::StatusOr<v1::InteractResponse> Ask(v1::InteractRequest request,
                                           const std::stop_token& stop);
  // Reads one answer; an error says how the stream ended.
  absl::StatusOr<v1::InteractResponse> Read();
  // Reads and keeps all answers that are left. Answers EndStatus.
  absl::Status ReadToEnd();
  bool Write(const v1::InteractRequest& request);
  // Why nothing more can be asked or read. REQUIRES: the stream has ended.
  absl::Status EndStatus() const;

  const std::unique_ptr<InteractionEnds> ends_;
  std::atomic<int64_t> next_id_ = 1;
  int under_way_ = 0;  // requests without their answer
  std::deque<v1::InteractResponse> kept_;
  v1::TransactionStatus standing_;
  bool ended_ = false;    // Finish was called
  absl::Status outcome_;  // of the stream, once it has ended

  std::mutex write_mutex_;
  bool writable_ = true;  // guarded by write_mutex_: something may be sent
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_INTERACTION_H_
