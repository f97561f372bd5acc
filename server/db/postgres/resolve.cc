// Resolve: the half of target.h that blocks.
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>

#include <netdb.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/target.h"

namespace sluice::postgres {
namespace {

// A name may have any number of them; libpq waits for each in turn.
constexpr size_t kMostAddresses = 8;

std::optional<Address> AddressOf(const addrinfo& info) {
  Address address;
  if (info.ai_family == AF_INET) {
    sockaddr_in socket{};
    std::memcpy(&socket, info.ai_addr, sizeof(socket));
    std::memcpy(address.bytes.data(), &socket.sin_addr, 4);
  } else if (info.ai_family == AF_INET6) {
    sockaddr_in6 socket{};
    std::memcpy(&socket, info.ai_addr, sizeof(socket));
    std::memcpy(address.bytes.data(), &socket.sin6_addr, 16);
    address.v6 = true;
  } else {
    return std::nullopt;
  }
  char text[NI_MAXHOST];
  if (getnameinfo(info.ai_addr, info.ai_addrlen, text, sizeof(text), nullptr, 0, NI_NUMERICHOST)) {
    return std::nullopt;
  }
  address.text = text;
  return address;
}

// libpq's three lists, which go in step: a name with two addresses stands twice.
struct Lists {
  std::string host;
  std::string hostaddr;
  std::string port;
  bool empty = true;

  void Add(const Host& at, const std::string& address) {
    const absl::string_view comma = empty ? "" : ",";
    absl::StrAppend(&host, comma, at.name);
    absl::StrAppend(&hostaddr, comma, address);
    absl::StrAppend(&port, comma, at.port);
    empty = false;
  }
};

absl::Status CheckOne(const ConnectTarget& target, const Egress& egress, const Address& address) {
  if (!target.trusted) {
    TRY_STATUS(CheckAddress(address, egress));
  }
  if (target.local_password && KindOf(address) != AddressKind::kLoopback) {
    return errors::BackendInsecureAuth();
  }
  return absl::OkStatus();
}

absl::Status AddHost(const ConnectTarget& target,
                     const Egress& egress,
                     const Lookup& lookup,
                     const Host& host,
                     Lists& lists) {
  if (absl::StartsWith(host.name, "/") || absl::StartsWith(host.name, "@")) {
    lists.Add(host, "");
    return absl::OkStatus();
  }
  if (!target.trusted) {
    TRY_STATUS(CheckPort(host.port, egress));
  }
  TRY(std::vector<Address> addresses, lookup(host.name));
  if (addresses.size() > kMostAddresses) addresses.resize(kMostAddresses);
  for (const Address& address : addresses) {
    TRY_STATUS(CheckOne(target, egress, address));
    lists.Add(host, address.text);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Address>> SystemLookup(const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  // Without it a literal of a family that this machine has no address of is found, too.
  hints.ai_flags = ParseAddress(name).has_value() ? AI_NUMERICHOST : AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(name.c_str(), nullptr, &hints, &found);
  if (failure == EAI_AGAIN || failure == EAI_MEMORY || failure == EAI_SYSTEM) {
    return errors::BackendUnreachable(absl::Seconds(1));
  }
  std::vector<Address> addresses;
  if (failure != 0) return addresses;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owned(found, &freeaddrinfo);
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (std::optional<Address> address = AddressOf(*info)) addresses.push_back(*address);
  }
  return addresses;
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Resolve(
    const ConnectTarget& target, const Egress& egress, const Lookup& lookup) {
  Lists lists;
  absl::Status not_now;
  for (const Host& host : target.hosts) {
    const absl::Status added = AddHost(target, egress, lookup, host, lists);
    // Another host may do.
    if (absl::IsUnavailable(added)) {
      not_now = added;
    } else {
      TRY_STATUS(added);
    }
  }
  if (lists.empty) {
    TRY_STATUS(not_now);
    return errors::ConnectionInvalidTarget("The target's host name has no address.");
  }
  std::vector<std::pair<std::string, std::string>> out = {
      {"host", lists.host},  {"hostaddr", lists.hostaddr},  {"port", lists.port},
      {"user", target.user}, {"password", target.password}, {"dbname", target.database}};
  out.insert(out.end(), target.keywords.begin(), target.keywords.end());
  return out;
}

}  // namespace sluice::postgres
