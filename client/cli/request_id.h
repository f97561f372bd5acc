// What the tool does with ids that make a repeat safe; client/request_id.h makes them.
#ifndef SLUICE_CLIENT_CLI_REQUEST_ID_H_
#define SLUICE_CLIENT_CLI_REQUEST_ID_H_

#include <string>

#include "absl/strings/string_view.h"

namespace sluice::cli {

// The id of another request that belongs to the one of this id, for example the CREATE TABLE before
// a load: always the same for the same `part`.
std::string PartRequestId(absl::string_view id, absl::string_view part);

// True for 32 hexadecimal digits with the four dashes of a UUID.
bool IsUuid(absl::string_view text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_REQUEST_ID_H_
