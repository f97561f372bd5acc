#include "client/cli/request_id.h"

#include <openssl/evp.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace sluice::cli {

std::string PartRequestId(absl::string_view id, absl::string_view part) {
  const std::string text = absl::StrCat(part, " of ", absl::AsciiStrToLower(id));
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr);
  digest[6] = (digest[6] & 0x0F) | 0x80;  // version 8: a UUID made in a way of one's own
  digest[8] = (digest[8] & 0x3F) | 0x80;
  std::string uuid =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), 16));
  for (const size_t dash : {8, 13, 18, 23}) uuid.insert(dash, "-");
  return uuid;
}

bool IsUuid(absl::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i]))) {
      return false;
    }
  }
  return true;
}

}  // namespace sluice::cli
