#include "server/db/postgres/egress.h"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>

#include "server/base/errors.h"

namespace sluice::postgres {
namespace {

struct Network {
  std::array<uint8_t, 16> prefix;
  int bits = 0;
  AddressKind kind;
};

using enum AddressKind;

// The first that matches counts; what matches none is public.
constexpr Network kV4[] = {
    {{169, 254}, 16, kForbidden},            // link-local, and most clouds' metadata
    {{100, 100, 100, 200}, 32, kForbidden},  // metadata
    {{168, 63, 129, 16}, 32, kForbidden},    // metadata
    {{192, 0, 0}, 24, kForbidden},           // protocol assignments, metadata
    {{0}, 8, kForbidden},                    // this host
    {{224}, 4, kForbidden},                  // multicast
    {{240}, 4, kForbidden},                  // reserved, broadcast
    {{127}, 8, kLoopback},
    {{10}, 8, kPrivate},
    {{172, 16}, 12, kPrivate},
    {{192, 168}, 16, kPrivate},
    {{100, 64}, 10, kPrivate},  // behind a carrier's translation
    {{198, 18}, 15, kPrivate},  // benchmarks
};

constexpr Network kV6[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, kLoopback},
    {{0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, kForbidden},
    {{0xfd, 0x20, 0x00, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54}, 128, kForbidden},
    {{0xfe, 0x80}, 10, kForbidden},                 // link-local
    {{0xff}, 8, kForbidden},                        // multicast
    {{0x20, 0x01, 0, 0}, 32, kForbidden},           // Teredo
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48, kForbidden},  // translation of one's own
    {{0xfe, 0xc0}, 10, kPrivate},
    {{0xfc}, 7, kPrivate},
};

constexpr std::array<uint8_t, 16> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::array<uint8_t, 16> kCompatible = {};
constexpr std::array<uint8_t, 16> kTranslated = {0, 0x64, 0xff, 0x9b};
constexpr std::array<uint8_t, 16> kSixToFour = {0x20, 0x02};

bool Begins(const std::array<uint8_t, 16>& bytes, const std::array<uint8_t, 16>& prefix, int bits) {
  const int whole = bits / 8;
  if (std::memcmp(bytes.data(), prefix.data(), static_cast<size_t>(whole)) != 0) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const auto at = static_cast<size_t>(whole);
  return ((bytes[at] ^ prefix[at]) >> (8 - rest)) == 0;
}

template <size_t n>
AddressKind Look(const std::array<uint8_t, 16>& bytes, const Network (&networks)[n]) {
  for (const Network& network : networks) {
    if (Begins(bytes, network.prefix, network.bits)) return network.kind;
  }
  return kPublic;
}

AddressKind KindOfV4(const std::array<uint8_t, 16>& bytes, size_t at) {
  std::array<uint8_t, 16> inner{};
  std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(at), 4, inner.begin());
  return Look(inner, kV4);
}

}  // namespace

std::optional<Address> ParseAddress(const std::string& text) {
  Address address;
  address.text = text;
  if (inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) return address;
  address.v6 = true;
  if (inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

AddressKind KindOf(const Address& address) {
  if (!address.v6) return Look(address.bytes, kV4);
  if (Begins(address.bytes, kMapped, 96)) return KindOfV4(address.bytes, 12);
  const AddressKind kind = Look(address.bytes, kV6);
  if (kind != kPublic) return kind;
  AddressKind inner = kPublic;
  if (Begins(address.bytes, kSixToFour, 16)) inner = KindOfV4(address.bytes, 2);
  if (Begins(address.bytes, kCompatible, 96) || Begins(address.bytes, kTranslated, 96)) {
    inner = KindOfV4(address.bytes, 12);
  }
  return inner == kLoopback ? kForbidden : inner;
}

absl::Status CheckPort(int port, const Egress& egress) {
  if (egress.ports.empty()) return absl::OkStatus();
  const bool allowed =
      std::find(egress.ports.begin(), egress.ports.end(), port) != egress.ports.end();
  return allowed ? absl::OkStatus()
                 : errors::EgressDenied("The port is not one that this server may connect to");
}

absl::Status CheckAddress(const Address& address, const Egress& egress) {
  const AddressKind kind = KindOf(address);
  const bool denied = kind == kForbidden || (kind == kLoopback && !egress.loopback) ||
                      (kind == kPrivate && !egress.private_networks);
  return denied ? errors::EgressDenied("The host is not one that this server may connect to")
                : absl::OkStatus();
}

}  // namespace sluice::postgres
