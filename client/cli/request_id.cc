#include "client/cli/request_id.h"

#include <random>

#include "absl/strings/ascii.h"

namespace sluice::cli {

std::string NewRequestId() {
  std::random_device random;
  std::string uuid = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
  for (char& c : uuid) {
    const unsigned bits = random() % 16;
    if (c == 'x') c = "0123456789abcdef"[bits];
    if (c == 'y') c = "89ab"[bits % 4];
  }
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
