// Egress: which addresses the server connects to because a caller said so.
#ifndef SLUICE_SERVER_DB_POSTGRES_EGRESS_H_
#define SLUICE_SERVER_DB_POSTGRES_EGRESS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"

#include "server/db/driver.h"

namespace sluice::postgres {

using Egress = db::Egress;

// An address of IPv4 or IPv6.
struct Address {
  std::string text;  // as libpq takes it, with its scope where it has one
  bool v6 = false;
  std::array<uint8_t, 16> bytes{};  // the first four for IPv4
};

// Nullopt unless `text` is an address in the usual notation.
std::optional<Address> ParseAddress(const std::string& text);

enum class AddressKind {
  kPublic,
  kPrivate,
  kLoopback,
  kForbidden,  // no database is there: link-local, metadata of clouds, multicast, reserved
};

// An IPv4 address inside an IPv6 one is what counts. Translated ones never are loopback.
AddressKind KindOf(const Address& address);

// Error: PERMISSION_DENIED EGRESS_DENIED, without naming the address, which a name may have hidden.
absl::Status CheckPort(int port, const Egress& egress);
absl::Status CheckAddress(const Address& address, const Egress& egress);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_EGRESS_H_
