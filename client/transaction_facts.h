// What a client knows of one transaction. Internal to the library.
#ifndef SLUICE_CLIENT_TRANSACTION_FACTS_H_
#define SLUICE_CLIENT_TRANSACTION_FACTS_H_

#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/errors.h"
#include "sluice/v1/common.pb.h"

namespace sluice::client {

// True where nothing is left to decide: COMMITTED, ROLLED_BACK, EXPIRED.
bool IsFinished(v1::TransactionState state);

// The state that an error tells; UNSPECIFIED if it tells none.
v1::TransactionState ToldState(const Error& error);

// Where a transaction stands, put together from answers and errors. Shared by a Transaction and the
// streams in it; any thread.
class TransactionFacts {
 public:
  // What a statement does beside its own work.
  struct Step {
    bool begin = false;
    bool commit = false;
  };

  // Fills in the selector of the next statement; its `commit` is the caller's. Error: why no
  // statement can follow.
  absl::StatusOr<Step> Prepare(const v1::TransactionOptions& options,
                               v1::TransactionSelector* selector);
  // Why no call can follow; OK if one can.
  absl::Status Refusal() const;
  // The same for one that does not wait for streams.
  absl::Status RefusalBesideStreams() const;

  // Takes what an answer tells.
  void Succeeded(const v1::TransactionStatus& transaction);
  // Takes what a failure tells of a call that was to do `step`.
  void Failed(const absl::Status& status, Step step);
  // Takes what is known otherwise.
  void SetState(v1::TransactionState state);

  // Nothing was sent yet if it is UNSPECIFIED.
  v1::TransactionState State() const;
  std::string Id() const;  // empty until it is known
  std::string Handle() const;
  std::optional<absl::Time> ExpireTime() const;

  // One stream at a time is open; `cancel` ends it.
  void StreamOpened(std::function<void()> cancel);
  void StreamClosed();
  void CancelStream();

 private:
  absl::Status LockedRefusal(bool beside_streams) const;
  void TakeMetadata(const Error& error);

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  v1::TransactionState state_ = v1::TRANSACTION_STATE_UNSPECIFIED;
  std::string id_;
  std::string handle_;
  std::optional<absl::Time> expire_time_;
  std::function<void()> cancel_stream_;  // set while a stream is open
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_TRANSACTION_FACTS_H_
