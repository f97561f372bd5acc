#include "server/services/page_token.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/ids.h"

namespace sluice::services {
namespace {

constexpr size_t kChecksumBytes = 8;

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

std::string Checksum(absl::string_view list, absl::string_view packed) {
  const std::string bound = absl::StrCat(list.size(), ":", list, packed);
  const ids::Hash hash = ids::HashOf(bound);
  return std::string(hash.begin(), hash.begin() + kChecksumBytes);
}

absl::Status NotOurs() {
  return errors::ParameterInvalid(
      "page_token", "was not issued for this list; pass next_page_token of the page before");
}

}  // namespace

std::string MakePageToken(absl::string_view list, absl::Span<const absl::string_view> key) {
  const std::string packed = Packed(key);
  return absl::WebSafeBase64Escape(absl::StrCat(Checksum(list, packed), packed));
}

absl::StatusOr<std::vector<std::string>> ReadPageToken(absl::string_view list,
                                                       absl::string_view token,
                                                       size_t parts) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(token, &bytes) || bytes.size() < kChecksumBytes) {
    return NotOurs();
  }
  absl::string_view packed(bytes);
  packed.remove_prefix(kChecksumBytes);
  if (bytes.substr(0, kChecksumBytes) != Checksum(list, packed)) return NotOurs();
  std::vector<std::string> key(parts);
  for (std::string& part : key) {
    if (!TakePart(packed, part)) return NotOurs();
  }
  if (!packed.empty()) return NotOurs();
  return key;
}

}  // namespace sluice::services
