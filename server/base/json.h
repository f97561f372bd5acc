// Writing JSON strings, for the lines that a program reads: logs and the ready line.
#ifndef SLUICE_SERVER_BASE_JSON_H_
#define SLUICE_SERVER_BASE_JSON_H_

#include <string>
#include <string_view>

namespace sluice {

// Appends `text` as a JSON string with its quotes. Control characters and line breaks of every kind
// are escaped and bad UTF-8 is replaced, so that no value can end its line, its string or a
// terminal's state. The form is also a TOML basic string.
void AppendJsonString(std::string_view text, std::string& out);

std::string JsonString(std::string_view text);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_JSON_H_
