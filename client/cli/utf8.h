// Text as a terminal shows it: characters and the columns that they take.
#ifndef SLUICE_CLIENT_CLI_UTF8_H_
#define SLUICE_CLIENT_CLI_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice::cli {

// One character of a text.
struct Character {
  char32_t code = 0;
  size_t bytes = 1;
  bool valid = true;  // false: a byte that is no UTF-8, taken alone
};

// The character that begins at `pos`. REQUIRES: pos < text.size().
Character DecodeAt(absl::string_view text, size_t pos);

bool IsUtf8(absl::string_view text);

// Makes this process count widths for all of Unicode: the C library does so in a UTF-8 locale only.
// Call it once, before there are other threads.
void ChooseLocale();

// Columns that the character takes on a terminal: 0 for combining ones, 2 for wide ones; 1 for
// those that the C library does not know.
int Width(char32_t code);
size_t Width(absl::string_view text);

// Appends the text as one line that cannot move the cursor or change colours: control characters as
// \n, \t, \r or \xNN, and so bytes that are no UTF-8. Returns the columns that it takes.
size_t AppendPrintable(absl::string_view text, std::string* out);

// Appends each line of the text in that way, behind `indent`; white space at its end is left out.
void AppendPrintableLines(absl::string_view text, absl::string_view indent, std::string* out);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_UTF8_H_
