// Messages of PostgreSQL's protocol as a test writes them.
#ifndef SLUICE_TESTS_UNIT_DB_POSTGRES_MESSAGE_H_
#define SLUICE_TESTS_UNIT_DB_POSTGRES_MESSAGE_H_

#include <cstddef>
#include <string>

namespace sluice::postgres {

// In the order of the network.
inline std::string Int32(size_t value) {
  std::string out;
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(value >> shift & 0xff));
  return out;
}

inline std::string MessageOf(char type, const std::string& body) {
  return type + Int32(body.size() + 4) + body;
}

}  // namespace sluice::postgres

#endif  // SLUICE_TESTS_UNIT_DB_POSTGRES_MESSAGE_H_
