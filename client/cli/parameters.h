// Parameter values as typed on a command line.
#ifndef SLUICE_CLIENT_CLI_PARAMETERS_H_
#define SLUICE_CLIENT_CLI_PARAMETERS_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "sluice/v1/value.pb.h"

namespace sluice::cli {

// `null`, `true`, `false`, integers and reals as in JSON mean what they say; a prefix forces a type
// (`text:`, `int:`, `real:`, `blob:` in hex, `json:`); all else is text. INVALID_ARGUMENT for a
// number that does not fit, and for what a prefix announces but is not there.
absl::StatusOr<v1::Value> ParseParameter(absl::string_view text);

// NAME=VALUE; the name without or with its `:`, `@` or `$`.
absl::StatusOr<std::pair<std::string, v1::Value>> ParseNamedParameter(absl::string_view text);

// True if `text` reads as NAME=VALUE.
bool IsNamedParameter(absl::string_view text);

// `5`, `5s`, `250ms`, `2m`, `1h30m`: a plain number is seconds. INVALID_ARGUMENT unless above zero.
absl::StatusOr<absl::Duration> ParseTimeout(absl::string_view text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_PARAMETERS_H_
