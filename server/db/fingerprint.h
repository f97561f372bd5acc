// Fingerprint: what statements have in common that differ in their values only. Logs and statistics
// know a statement by it, since the SQL itself may hold what must not be written down.
#ifndef SLUICE_SERVER_DB_FINGERPRINT_H_
#define SLUICE_SERVER_DB_FINGERPRINT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

#include "server/db/lexer.h"

namespace sluice::db {

struct Fingerprint {
  // The SQL with every literal and parameter as `?`, without comments, evenly spaced, unquoted
  // words in lower case. `IN (1, 2, 3)` is `in (?)`, and rows of VALUES that look alike are one.
  // One line, cut at kMaxFingerprintText bytes.
  std::string text;
  // 16 hexadecimal digits over the whole of the text, the same in every version and on every
  // machine. Not a secret, and no proof of what the SQL was.
  std::string hash;
};

inline constexpr size_t kMaxFingerprintText = 1024;

Fingerprint MakeFingerprint(absl::string_view sql, Dialect dialect);

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_FINGERPRINT_H_
