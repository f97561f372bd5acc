#include "client/address.h"

#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice::client {
namespace {

constexpr absl::string_view kUnixPrefix = "unix:";
constexpr size_t kMaxUnixPath = 107;  // sockaddr_un has room for this and a NUL

absl::Status Wrong(absl::string_view address, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("`", address, "` is no server address: ", why,
                   "; write HOST:PORT, for example 127.0.0.1:50051, or unix:PATH"));
}

}  // namespace

absl::Status CheckAddress(absl::string_view address) {
  if (absl::StartsWith(address, kUnixPrefix)) {
    const absl::string_view path = address.substr(kUnixPrefix.size());
    if (path.empty()) return Wrong(address, "the path is empty");
    if (path.size() > kMaxUnixPath) return Wrong(address, "a socket's path has up to 107 bytes");
    return absl::OkStatus();
  }
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return Wrong(address, "it has no port");
  const absl::string_view host = address.substr(0, colon);
  if (host.empty()) return Wrong(address, "it has no host");
  const bool bracketed = host.front() == '[' && host.back() == ']';
  if (!bracketed && host.find(':') != absl::string_view::npos) {
    return Wrong(address, "an IPv6 address stands in brackets, [::1]:PORT");
  }
  if (host.find('/') != absl::string_view::npos) return Wrong(address, "it is a URL or a path");
  uint32_t port = 0;
  if (!absl::SimpleAtoi(address.substr(colon + 1), &port) || port == 0 || port > 65535) {
    return Wrong(address, "the port is a number from 1 to 65535");
  }
  return absl::OkStatus();
}

}  // namespace sluice::client
