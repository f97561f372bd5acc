#include "client/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kTerminalInterval = absl::Milliseconds(200);
constexpr absl::Duration kLineInterval = absl::Seconds(5);

}  // namespace

Progress::Progress(const Session& session, absl::string_view noun)
    : visible_(!session.options.quiet),
      terminal_(session.error_style.terminal),
      interval_(terminal_ ? kTerminalInterval : kLineInterval),
      noun_(noun),
      next_(start_ + interval_) {}

void Progress::Show(int64_t count, int64_t done, std::optional<int64_t> total) {
  if (!visible_) return;
  const absl::Time now = absl::Now();
  if (now < next_) return;
  next_ = now + interval_;
  const std::string text = ProgressText(noun_, now - start_, count, done, total);
  if (!terminal_) {
    std::cerr << text << std::endl;
    return;
  }
  std::cerr << "\r\x1b[K" << text << std::flush;
  shown_ = true;
}

void Progress::Clear() {
  if (shown_) std::cerr << "\r\x1b[K" << std::flush;
  shown_ = false;
}

std::string ProgressText(absl::string_view noun,
                         absl::Duration elapsed,
                         int64_t count,
                         int64_t done,
                         std::optional<int64_t> total) {
  const double seconds = std::max(absl::ToDoubleSeconds(elapsed), 1e-3);
  std::string text = absl::StrCat(ShortAmount(static_cast<double>(count), noun), ", ",
                                  ShortAmount(static_cast<double>(count) / seconds, noun), "/s");
  if (!total || *total <= 0) return text;
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(*total));
  absl::StrAppend(&text, ", ", static_cast<int>(part * 100), " %");
  if (part <= 0) return text;
  const absl::Duration left = absl::Seconds(std::ceil(seconds * (1 - part) / part));
  return absl::StrCat(text, ", ", absl::FormatDuration(left), " left");
}

std::string ShortAmount(double number, absl::string_view unit) {
  absl::string_view prefix;
  for (const char* larger : {"k", "M", "G"}) {
    if (number < 1e4 && (number < 1e3 || prefix.empty())) break;
    number /= 1e3;
    prefix = larger;
  }
  const absl::string_view space = unit == "B" || prefix.empty() ? "" : " ";
  return absl::StrCat(
      prefix.empty() ? absl::StrFormat("%.0f", number) : absl::StrFormat("%.1f", number), " ",
      prefix, space, unit);
}

}  // namespace sluice::cli
