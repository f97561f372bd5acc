#include "client/cli/progress.h"

#include <algorithm>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice::cli {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(200);

}  // namespace

Progress::Progress(const Session& session, absl::string_view noun)
    : visible_(session.error_style.terminal && !session.options.quiet), noun_(noun) {}

void Progress::Show(int64_t count, int64_t done, std::optional<int64_t> total) {
  if (!visible_) return;
  const absl::Time now = absl::Now();
  if (now < next_) return;
  next_ = now + kInterval;
  const double seconds = std::max(absl::ToDoubleSeconds(now - start_), 1e-3);
  std::string text = absl::StrCat(ShortAmount(static_cast<double>(count), noun_), ", ",
                                  ShortAmount(static_cast<double>(count) / seconds, noun_), "/s");
  if (total && *total > 0) {
    absl::StrAppend(&text, ", ", std::min<int64_t>(100, done * 100 / *total), " %");
  }
  std::cerr << "\r\x1b[K" << text << std::flush;
  shown_ = true;
}

void Progress::Clear() {
  if (shown_) std::cerr << "\r\x1b[K" << std::flush;
  shown_ = false;
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
