#include "server/db/postgres/time_text.h"

#include <limits>

#include "server/db/postgres/decoding.h"
#include "server/db/postgres/scanner.h"

namespace sluice::postgres {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerMinute = 60 * kMicrosPerSecond;
constexpr int64_t kMicrosPerHour = 60 * kMicrosPerMinute;

// Days since 2000-01-01, proleptic Gregorian; the year 0 is 1 BC.
int64_t DaysOf(int64_t year, int64_t month, int64_t day) {
  // Years that begin in March have their odd day at the end, and eras of 400 years are alike.
  if (month <= 2) --year;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  constexpr int64_t kDaysPerEra = 146'097;
  constexpr int64_t kEraToEpoch = 730'425;  // from 0000-03-01 to 2000-01-01
  return era * kDaysPerEra + day_of_era - kEraToEpoch;
}

// Civil: a date whose era is not known until the end of the text.
struct Civil {
  int64_t year = 0;
  int64_t month = 0;
  int64_t day = 0;
};

bool ScanDate(Scanner& in, Civil& date) {
  return in.Digits(4, 7, date.year) && in.Eat('-') && in.Digits(2, 2, date.month) && in.Eat('-') &&
         in.Digits(2, 2, date.day) && date.month >= 1 && date.month <= 12 && date.day >= 1 &&
         date.day <= 31;
}

// Reads the era, with which the text ends.
bool FinishDate(Scanner& in, const Civil& date, int64_t& days) {
  const bool before_christ = in.Eat(" BC");
  days = DaysOf(before_christ ? 1 - date.year : date.year, date.month, date.day);
  return in.Done();
}

// The part behind the minutes: `:SS`, and up to six digits behind a point.
bool ScanSeconds(Scanner& in, int64_t& micros) {
  int64_t seconds = 0;
  if (!in.Eat(':') || !in.Digits(2, 2, seconds) || seconds > 60) return false;
  micros += seconds * kMicrosPerSecond;
  if (!in.Eat('.')) return true;
  const size_t before = in.rest().size();
  int64_t fraction = 0;
  if (!in.Digits(1, 6, fraction)) return false;
  for (size_t digits = before - in.rest().size(); digits < 6; ++digits) fraction *= 10;
  micros += fraction;
  return true;
}

bool ScanMinutes(Scanner& in, int64_t& micros) {
  int64_t minutes = 0;
  if (!in.Eat(':') || !in.Digits(2, 2, minutes) || minutes > 59) return false;
  micros += minutes * kMicrosPerMinute;
  return true;
}

bool ScanTime(Scanner& in, int64_t& micros) {
  int64_t hours = 0;
  if (!in.Digits(2, 2, hours)) return false;
  micros = hours * kMicrosPerHour;
  return ScanMinutes(in, micros) && ScanSeconds(in, micros) && micros <= kMicrosPerDay;
}

// +HH, +HH:MM or +HH:MM:SS, east of Greenwich.
bool ScanOffset(Scanner& in, int64_t& micros) {
  const bool is_west = in.Peek() == '-';
  if (!in.Eat('+') && !in.Eat('-')) return false;
  int64_t hours = 0;
  if (!in.Digits(2, 2, hours)) return false;
  micros = hours * kMicrosPerHour;
  if (in.Peek() == ':' && !ScanMinutes(in, micros)) return false;
  if (in.Peek() == ':' && !ScanSeconds(in, micros)) return false;
  if (is_west) micros = -micros;
  return true;
}

template <typename Number>
bool ParseInfinity(absl::string_view text, Number& number) {
  if (text == "infinity") {
    number = std::numeric_limits<Number>::max();
    return true;
  }
  if (text == "-infinity") {
    number = std::numeric_limits<Number>::min();
    return true;
  }
  return false;
}

bool ToInt32(int64_t wide, int32_t& number) {
  number = static_cast<int32_t>(wide);
  return number == wide;
}

// The parts of an interval before they are put together.
struct Span {
  int64_t years = 0;
  int64_t months = 0;
  int64_t days = 0;
  int64_t micros = 0;
};

bool EatSign(Scanner& in) {
  const bool is_negative = in.Eat('-');
  if (!is_negative) in.Eat('+');
  return is_negative;
}

// Hours, which may be many, and the rest.
bool FinishSpanTime(Scanner& in, int64_t hours, bool is_negative, int64_t& micros) {
  int64_t rest = 0;
  if (!ScanMinutes(in, rest) || !ScanSeconds(in, rest)) return false;
  // The most negative number has no positive one, so both grow downwards.
  int64_t negative = 0;
  if (__builtin_mul_overflow(-hours, kMicrosPerHour, &negative) ||
      __builtin_sub_overflow(negative, rest, &negative)) {
    return false;
  }
  if (is_negative) {
    micros = negative;
    return true;
  }
  return !__builtin_sub_overflow(int64_t{0}, negative, &micros);
}

// `3 days`, `-1 years`, `+04:05:06`.
bool ScanSpanPart(Scanner& in, Span& span) {
  const bool is_negative = EatSign(in);
  int64_t number = 0;
  if (!in.Digits(1, 10, number)) return false;
  if (in.Peek() == ':') return FinishSpanTime(in, number, is_negative, span.micros);
  if (is_negative) number = -number;
  if (in.Eat(" year")) {
    span.years = number;
  } else if (in.Eat(" mon")) {
    span.months = number;
  } else if (in.Eat(" day")) {
    span.days = number;
  } else {
    return false;
  }
  in.Eat('s');
  return true;
}

}  // namespace

bool ParseDate(absl::string_view text, int32_t& days) {
  if (ParseInfinity(text, days)) return true;
  Scanner in(text);
  Civil date;
  int64_t wide = 0;
  return ScanDate(in, date) && FinishDate(in, date, wide) && ToInt32(wide, days);
}

bool ParseTime(absl::string_view text, int64_t& micros) {
  Scanner in(text);
  return ScanTime(in, micros) && in.Done();
}

bool ParseTimestamp(absl::string_view text, bool has_zone, int64_t& micros) {
  if (ParseInfinity(text, micros)) return true;
  Scanner in(text);
  Civil date;
  int64_t time = 0;
  int64_t offset = 0;
  if (!ScanDate(in, date) || !in.Eat(' ') || !ScanTime(in, time)) return false;
  if (has_zone && !ScanOffset(in, offset)) return false;
  int64_t days = 0;
  if (!FinishDate(in, date, days)) return false;
  return !__builtin_mul_overflow(days, kMicrosPerDay, &micros) &&
         !__builtin_add_overflow(micros, time - offset, &micros);
}

bool ParseInterval(absl::string_view text, int32_t& months, int32_t& days, int64_t& micros) {
  // From PostgreSQL 17 on; in binary these are what an infinity is.
  if (ParseInfinity(text, micros)) {
    return ParseInfinity(text, months) && ParseInfinity(text, days);
  }
  Scanner in(text);
  Span span;
  do {
    if (!ScanSpanPart(in, span)) return false;
  } while (in.Eat(' '));
  micros = span.micros;
  return in.Done() && ToInt32(span.years * 12 + span.months, months) && ToInt32(span.days, days);
}

}  // namespace sluice::postgres
