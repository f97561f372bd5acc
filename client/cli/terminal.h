// What the streams of this process can show.
#ifndef SLUICE_CLIENT_CLI_TERMINAL_H_
#define SLUICE_CLIENT_CLI_TERMINAL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace sluice::cli {

// How to draw on one stream.
struct Style {
  bool terminal = false;  // box drawing, for a person
  bool color = false;     // off with NO_COLOR, TERM=dumb, and where there is no terminal
};

Style StyleOf(int fd);

// The text between a terminal's escape codes, if the style has colours.
enum class Paint { kBold, kDim, kRed, kYellow };
std::string Painted(const Style& style, Paint paint, absl::string_view text);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_TERMINAL_H_
