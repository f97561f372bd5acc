#include "server/base/error_payload.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace sluice::errors {

absl::string_view ExecutedName(Executed executed) {
  switch (executed) {
    case Executed::kNo:
      return "no";
    case Executed::kRolledBack:
      return "rolled_back";
    case Executed::kUnknown:
      return "unknown";
  }
  return "unknown";
}

void Put(absl::Status& status,
         absl::string_view prefix,
         absl::string_view key,
         absl::string_view value) {
  if (!value.empty()) status.SetPayload(absl::StrCat(prefix, key), absl::Cord(value));
}

absl::Status Make(absl::StatusCode code,
                  absl::string_view reason,
                  absl::string_view message,
                  Executed executed) {
  absl::Status status(code, message);
  Put(status, kReasonKey, "", reason);
  Put(status, kMetadataPrefix, "executed", ExecutedName(executed));
  return status;
}

}  // namespace sluice::errors
