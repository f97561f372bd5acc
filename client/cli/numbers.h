// Numbers as text.
#ifndef SLUICE_CLIENT_CLI_NUMBERS_H_
#define SLUICE_CLIENT_CLI_NUMBERS_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice::cli {

void AppendInteger(int64_t value, std::string* out);

// The shortest decimal that reads back as the same number; always with a point or an exponent, so
// that it stays a real: 5.0, 0.1, 1e+300. Infinities are Infinity and -Infinity, else NaN.
void AppendReal(double value, std::string* out);
void AppendReal(float value, std::string* out);

// The number as SQLite turns reals into text: 15 significant digits (`%!.15g`), Inf for infinity.
// Digit for digit the same, where the C library's %.15g differs in about one number of 200.
void AppendSqliteReal(double value, std::string* out);

// What a number's spelling makes of it, by the grammar of JSON: no sign but `-`, no leading zeros.
enum class Spelling { kNoNumber, kInteger, kReal };
Spelling SpellingOf(absl::string_view text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_NUMBERS_H_
