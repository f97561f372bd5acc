// How a status carries its details; for the files in which errors are made, and no others.
#ifndef SLUICE_SERVER_BASE_ERROR_PAYLOAD_H_
#define SLUICE_SERVER_BASE_ERROR_PAYLOAD_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

#include "server/base/errors.h"

namespace sluice::errors {

// Payload keys: a prefix says which detail a payload belongs to.
inline constexpr absl::string_view kReasonKey = "sluice/reason";
inline constexpr absl::string_view kRetryKey = "sluice/retry";
inline constexpr absl::string_view kMetadataPrefix = "sluice/meta/";
inline constexpr absl::string_view kFieldPrefix = "sluice/field/";
inline constexpr absl::string_view kSqlPrefix = "sluice/sql/";

absl::string_view ExecutedName(Executed executed);

// Empty values are left out.
void Put(absl::Status& status,
         absl::string_view prefix,
         absl::string_view key,
         absl::string_view value);

absl::Status Make(absl::StatusCode code,
                  absl::string_view reason,
                  absl::string_view message,
                  Executed executed);

}  // namespace sluice::errors

#endif  // SLUICE_SERVER_BASE_ERROR_PAYLOAD_H_
