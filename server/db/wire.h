// The wire format of protobuf, for messages that are written without being built.
#ifndef SLUICE_SERVER_DB_WIRE_H_
#define SLUICE_SERVER_DB_WIRE_H_

#include <cstdint>
#include <string>

namespace sluice::db {

// Seven bits a byte, the lowest first; the top bit says that more follow.
inline void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_WIRE_H_
