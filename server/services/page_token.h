// Page tokens: where a list was left, in a form that tells callers nothing to rely on.
#ifndef SLUICE_SERVER_SERVICES_PAGE_TOKEN_H_
#define SLUICE_SERVER_SERVICES_PAGE_TOKEN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace sluice::services {

// PageTokens: makes and reads them. A token holds the sort key of the last entry that was shown, so
// it stays good while entries come and go. It is bound to `list`, the list's name and whatever
// arguments its order depends on, by a code that only the key's holder can make: a token of another
// list is refused, and so is a mistyped or an invented one. The key outlives the server, and the
// tokens with it. Owned by the app, which outlives every call; constant, so any thread.
class PageTokens {
 public:
  explicit PageTokens(std::string key) : key_(std::move(key)) {}

  std::string Make(absl::string_view list, absl::Span<const absl::string_view> key) const;

  // The sort key, of `parts` parts. Error: PARAMETER_INVALID on `page_token`.
  absl::StatusOr<std::vector<std::string>> Read(absl::string_view list,
                                                absl::string_view token,
                                                size_t parts) const;

 private:
  std::string Code(absl::string_view list, absl::string_view packed) const;

  const std::string key_;
};

// How many entries a page may have: 0 is the default, too many are taken as the most. Error:
// PARAMETER_INVALID on `page_size` if it is negative.
absl::StatusOr<size_t> PageSizeOf(int32_t requested);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_PAGE_TOKEN_H_
