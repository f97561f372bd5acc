#include "client/cli/numbers.h"

#include <charconv>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace sluice::cli {
namespace {

template <class Real>
void AppendShortest(Real value, std::string* out) {
  if (std::isnan(value)) return out->append("NaN"), void();
  if (std::isinf(value)) return out->append(value < 0 ? "-Infinity" : "Infinity"), void();
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  const absl::string_view text(buffer, static_cast<size_t>(end - buffer));
  absl::StrAppend(out, text);
  if (text.find_first_of(".e") == absl::string_view::npos) out->append(".0");
}

// A positive number as significand × 10^exponent with 1 ≤ significand < 10. SQLite works in long
// double and scales in these very steps; other steps would round otherwise.
struct Scaled {
  long double significand;
  int exponent;
};

Scaled Scale(long double value) {
  int exponent = 0;
  long double scale = 1.0;
  for (; value >= 1e100 * scale; exponent += 100) scale *= 1e100;
  for (; value >= 1e10 * scale; exponent += 10) scale *= 1e10;
  for (; value >= 10.0 * scale; ++exponent) scale *= 10.0;
  value /= scale;
  for (; value < 1e-8; exponent -= 8) value *= 1e8;
  for (; value < 1.0; --exponent) value *= 10.0;
  return {value, exponent};
}

char TakeDigit(long double* value) {
  const int digit = static_cast<int>(*value);
  *value = (*value - digit) * 10.0;
  return static_cast<char>('0' + digit);
}

// 5 × 10^-15, made as SQLite makes it: from doubles, in two steps.
long double Rounder() {
  long double rounder = 5.0e-05;
  rounder *= 1.0e-10;
  return rounder;
}

size_t SkipDigits(absl::string_view text, size_t pos) {
  while (pos < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[pos]))) ++pos;
  return pos;
}

}  // namespace

void AppendInteger(int64_t value, std::string* out) {
  absl::StrAppend(out, value);
}

void AppendReal(double value, std::string* out) {
  AppendShortest(value, out);
}

void AppendReal(float value, std::string* out) {
  AppendShortest(value, out);
}

void AppendSqliteReal(double value, std::string* out) {
  if (std::isnan(value)) return;  // SQLite keeps NaN as NULL
  if (std::isinf(value)) return out->append(value < 0 ? "-Inf" : "Inf"), void();
  constexpr int kFractionDigits = 14;
  if (value < 0) out->push_back('-');
  Scaled number = {0, 0};
  if (value != 0) number = Scale(std::fabs(static_cast<long double>(value)));
  number.significand += Rounder();
  if (number.significand >= 10.0) {
    number.significand *= 0.1;
    ++number.exponent;
  }

  const bool scientific = number.exponent < -4 || number.exponent > kFractionDigits;
  int fraction = scientific ? kFractionDigits : kFractionDigits - number.exponent;
  int place = scientific ? 0 : number.exponent;  // power of ten of the first digit
  if (place < 0) {
    out->append("0.");
    for (++place; place < 0; ++place, --fraction) out->push_back('0');
  } else {
    for (; place >= 0; --place) out->push_back(TakeDigit(&number.significand));
    out->push_back('.');
  }
  for (; fraction > 0; --fraction) out->push_back(TakeDigit(&number.significand));
  while (out->back() == '0') out->pop_back();
  if (out->back() == '.') out->push_back('0');
  if (!scientific) return;
  const int exponent = std::abs(number.exponent);
  absl::StrAppend(out, number.exponent < 0 ? "e-" : "e+", exponent < 10 ? "0" : "", exponent);
}

Spelling SpellingOf(absl::string_view text) {
  const size_t first = !text.empty() && text[0] == '-' ? 1 : 0;
  size_t pos = SkipDigits(text, first);
  const bool leading_zero = pos > first + 1 && text[first] == '0';
  if (pos == first || leading_zero) return Spelling::kNoNumber;
  if (pos == text.size()) return Spelling::kInteger;
  if (text[pos] == '.') {
    const size_t end = SkipDigits(text, pos + 1);
    if (end == pos + 1) return Spelling::kNoNumber;
    pos = end;
  }
  if (pos < text.size() && (text[pos] == 'e' || text[pos] == 'E')) {
    ++pos;
    if (pos < text.size() && (text[pos] == '+' || text[pos] == '-')) ++pos;
    const size_t end = SkipDigits(text, pos);
    if (end == pos) return Spelling::kNoNumber;
    pos = end;
  }
  return pos == text.size() ? Spelling::kReal : Spelling::kNoNumber;
}

}  // namespace sluice::cli
