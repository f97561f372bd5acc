#include "client/cli/terminal.h"

#include <cstdlib>

#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace sluice::cli {
namespace {

absl::string_view Environment(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nothing sets it
  return value == nullptr ? "" : value;
}

absl::string_view Code(Paint paint) {
  switch (paint) {
    case Paint::kBold:
      return "1";
    case Paint::kDim:
      return "2";
    case Paint::kRed:
      return "1;31";
    case Paint::kYellow:
      return "33";
  }
  return "0";
}

}  // namespace

Style StyleOf(int fd) {
  Style style;
  style.terminal = isatty(fd) == 1;
  style.color = style.terminal && Environment("NO_COLOR").empty() && Environment("TERM") != "dumb";
  return style;
}

std::string Painted(const Style& style, Paint paint, absl::string_view text) {
  if (!style.color) return std::string(text);
  return absl::StrCat("\x1b[", Code(paint), "m", text, "\x1b[0m");
}

}  // namespace sluice::cli
