#include "server/services/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/ids.h"

namespace sluice::services {
namespace {

constexpr size_t kCodeBytes = 16;
constexpr size_t kDefaultPageSize = 50;
constexpr size_t kMostPageSize = 500;

// Parts and their lengths: `3:abc0:2:xy`.
std::string Packed(absl::Span<const absl::string_view> parts) {
  std::string packed;
  for (absl::string_view part : parts) absl::StrAppend(&packed, part.size(), ":", part);
  return packed;
}

bool TakePart(absl::string_view& packed, std::string& part) {
  const size_t colon = packed.find(':');
  size_t length = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(packed.substr(0, colon), &length)) {
    return false;
  }
  packed.remove_prefix(colon + 1);
  if (length > packed.size()) return false;
  part = std::string(packed.substr(0, length));
  packed.remove_prefix(length);
  return true;
}

absl::Status NotOurs() {
  return errors::ParameterInvalid(
      "page_token", "was not issued for this list; pass next_page_token of the page before");
}

}  // namespace

std::string PageTokens::Code(absl::string_view list, absl::string_view packed) const {
  const ids::Hash mac = ids::MacOf(key_, absl::StrCat(list.size(), ":", list, packed));
  return std::string(mac.begin(), mac.begin() + kCodeBytes);
}

std::string PageTokens::Make(absl::string_view list,
                             absl::Span<const absl::string_view> key) const {
  const std::string packed = Packed(key);
  return absl::WebSafeBase64Escape(absl::StrCat(Code(list, packed), packed));
}

absl::StatusOr<std::vector<std::string>> PageTokens::Read(absl::string_view list,
                                                          absl::string_view token,
                                                          size_t parts) const {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(token, &bytes) || bytes.size() < kCodeBytes) return NotOurs();
  absl::string_view packed(bytes);
  packed.remove_prefix(kCodeBytes);
  if (!ids::SameSecret({bytes.data(), kCodeBytes}, Code(list, packed))) return NotOurs();
  std::vector<std::string> key(parts);
  for (std::string& part : key) {
    if (!TakePart(packed, part)) return NotOurs();
  }
  if (!packed.empty()) return NotOurs();
  return key;
}

absl::StatusOr<size_t> PageSizeOf(int32_t requested) {
  if (requested < 0) {
    return errors::ParameterInvalid("page_size", "is negative; 0 is the default");
  }
  if (requested == 0) return kDefaultPageSize;
  return std::min(static_cast<size_t>(requested), kMostPageSize);
}

}  // namespace sluice::services
