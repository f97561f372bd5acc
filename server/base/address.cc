#include "server/base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"

namespace sluice {
namespace {

absl::Status Malformed() {
  return absl::InvalidArgumentError("write 127.0.0.1:PORT, [::1]:PORT or unix:PATH");
}

absl::StatusOr<Address> ParseUnix(absl::string_view path) {
  // gRPC also takes unix:///absolute.
  if (absl::StartsWith(path, "///")) path.remove_prefix(2);
  if (path.empty()) return absl::InvalidArgumentError("unix: needs a path after it");
  constexpr size_t kLimit = sizeof(sockaddr_un{}.sun_path) - 1;
  if (path.size() > kLimit) {
    return absl::InvalidArgumentError(absl::StrCat("the socket's path has ", path.size(),
                                                   " bytes; a Unix socket allows ", kLimit));
  }
  if (absl::StrContains(path, '\0')) {
    return absl::InvalidArgumentError("the socket's path holds a zero byte");
  }
  Address address;
  address.path = std::string(path);
  return address;
}

bool IsLoopback(const std::string& host, bool bracketed) {
  if (bracketed) {
    in6_addr parsed{};
    return inet_pton(AF_INET6, host.c_str(), &parsed) == 1 && IN6_IS_ADDR_LOOPBACK(&parsed);
  }
  in_addr parsed{};
  return inet_pton(AF_INET, host.c_str(), &parsed) == 1 && (ntohl(parsed.s_addr) >> 24) == 127;
}

}  // namespace

std::string Address::ToString() const {
  if (is_unix()) return absl::StrCat("unix:", path);
  const bool ipv6 = absl::StrContains(host, ':');
  return absl::StrCat(ipv6 ? "[" : "", host, ipv6 ? "]" : "", ":", port);
}

absl::StatusOr<Address> ParseListenAddress(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "unix:")) return ParseUnix(text);
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return Malformed();
  Address address;
  const absl::string_view port = text.substr(colon + 1);
  if (!absl::SimpleAtoi(port, &address.port) || address.port < 0 || address.port > 65535) {
    return absl::InvalidArgumentError(
        "the port must be a number from 0 to 65535; 0 lets the system choose");
  }
  absl::string_view host = text.substr(0, colon);
  const bool bracketed = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (!bracketed && (host.empty() || host.find_first_of(":[]") != absl::string_view::npos))
    return Malformed();
  address.host = host == "localhost" ? "127.0.0.1" : std::string(host);
  if (!IsLoopback(address.host, bracketed)) {
    return absl::InvalidArgumentError(
        "the server has no authentication yet, so it listens only on this machine: 127.0.0.1, "
        "[::1] or unix:PATH");
  }
  return address;
}

absl::StatusOr<std::vector<int>> ParsePorts(absl::string_view text) {
  std::vector<int> ports;
  if (text.empty()) return ports;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    int port = 0;
    if (!absl::SimpleAtoi(part, &port) || port < 1 || port > 65535) {
      return absl::InvalidArgumentError("must be numbers from 1 to 65535, such as 5432,6432");
    }
    ports.push_back(port);
  }
  return ports;
}

}  // namespace sluice
