// What a failed call tells: an absl::Status carries the google.rpc details of the call as payloads,
// and DecodeError reads them into one plain struct.
#ifndef SLUICE_CLIENT_ERRORS_H_
#define SLUICE_CLIENT_ERRORS_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "sluice/v1/common.pb.h"

namespace sluice::client {

// What became of the request: the first thing to ask before sending it again.
enum class Executed {
  kNo,          // certainly not applied
  kRolledBack,  // it ran, and nothing of it remains
  kUnknown,     // it may have been applied
};

// `no`, `rolled_back` or `unknown`, as on the wire.
absl::string_view ExecutedName(Executed executed);

// One wrong field of a request.
struct FieldViolation {
  std::string field;  // path, for example `params[2]`
  std::string description;
};

// A failed call, taken apart. Parts that the server did not send are empty.
struct Error {
  absl::StatusCode code = absl::StatusCode::kUnknown;
  std::string message;  // one sentence for a person
  std::string reason;   // UPPER_SNAKE_CASE, for programs
  Executed executed = Executed::kUnknown;
  std::map<std::string, std::string> metadata;  // facts of ErrorInfo, `executed` among them
  std::vector<FieldViolation> fields;           // BadRequest
  std::vector<std::string> conditions;  // PreconditionFailure and QuotaFailure, a sentence each
  std::optional<absl::Duration> retry_delay;  // RetryInfo
  std::optional<v1::SqlDiagnostic> sql;       // what the database said
  std::string request_id;                     // names the call in the server's logs
  std::vector<std::string> links;             // Help
};

// Takes a status of this library apart. A status without details is read as far as it goes: a
// connection that could not be made means `executed` = no, anything else unknown.
Error DecodeError(const absl::Status& status);

// The same for a part of a batch or a load that failed, which an answer tells.
Error DecodeError(const v1::StepError& failure);

// Builds a status from the parts of a failed call. `details` is the `grpc-status-details-bin`
// trailer, a google.rpc.Status; each detail becomes a payload under its type URL. Details that do
// not parse are left out: the code and the message still stand.
absl::Status MakeStatus(int code, absl::string_view message, absl::string_view details);

// The same for a failure that an answer tells.
absl::Status MakeStatus(const v1::StepError& failure);

// A failure that this library found itself, in the same form as the server's. `facts` are further
// metadata.
absl::Status LocalError(absl::StatusCode code,
                        absl::string_view reason,
                        Executed executed,
                        absl::string_view message,
                        const std::map<std::string, std::string>& facts = {});

}  // namespace sluice::client

#endif  // SLUICE_CLIENT_ERRORS_H_
