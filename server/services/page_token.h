// Page tokens: where a list was left, in a form that tells callers nothing to rely on.
#ifndef SLUICE_SERVER_SERVICES_PAGE_TOKEN_H_
#define SLUICE_SERVER_SERVICES_PAGE_TOKEN_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice::services {

// A token holds the sort key of the last entry that was shown, so it stays good while entries come
// and go and when the server restarts. It is bound to `list`, the list's name and whatever
// arguments its order depends on: a token of another list is refused, and so is a mistyped one.
// The binding is a checksum without a secret, since a position in a list that the caller may read
// anyway grants nothing.
std::string MakePageToken(absl::string_view list, absl::Span<const absl::string_view> key);

// The key, of `parts` parts. Error: PARAMETER_INVALID on `page_token`.
absl::StatusOr<std::vector<std::string>> ReadPageToken(absl::string_view list,
                                                       absl::string_view token,
                                                       size_t parts);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_PAGE_TOKEN_H_
