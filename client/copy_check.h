// Whether a copy of a database arrived as it was sent.
#ifndef SLUICE_CLIENT_COPY_CHECK_H_
#define SLUICE_CLIENT_COPY_CHECK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "sluice/v1/connection.pb.h"

namespace sluice::client {

// Follows the messages of one Backup and holds them against what they say of the whole: a copy that
// ends early, or differs in a byte, is DATA_LOSS and never a shorter copy. Used on one thread.
class CopyCheck {
 public:
  CopyCheck();
  ~CopyCheck();

  // Takes the next message.
  absl::Status Add(const v1::BackupResponse& message);
  // After the last message: the SHA-256 of the copy, 32 bytes.
  absl::StatusOr<std::string> Finish();

 private:
  struct Digest;

  const std::unique_ptr<Digest> digest_;
  int64_t bytes_ = 0;
  v1::BackupResponse last_;
};

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_COPY_CHECK_H_
