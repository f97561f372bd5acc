// UTF-8: what a text value must be before it goes into a protobuf string, a log or a status.
#ifndef SLUICE_SERVER_BASE_UTF8_H_
#define SLUICE_SERVER_BASE_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace sluice {

// True if `text` is well-formed: no overlong forms, no surrogates, nothing above U+10FFFF.
bool IsValidUtf8(std::string_view text);

// Length in bytes of the well-formed character that `text` begins with; 0 if there is none.
size_t Utf8Length(std::string_view text);

// Characters (code points) in well-formed text; elsewhere, bytes that are no continuation.
size_t CountCharacters(std::string_view text);

// `text` made fit for one line of a message: well-formed, each control character (C0, DEL, C1, line
// and paragraph separator) a space, each bad byte U+FFFD, at most `max_bytes`, whole characters.
std::string SanitizeForMessage(std::string_view text, size_t max_bytes);

// A control character or a line break of any kind, given one well-formed character.
bool IsControl(std::string_view character);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_UTF8_H_
