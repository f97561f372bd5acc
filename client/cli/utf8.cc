#include "client/cli/utf8.h"

#include <algorithm>
#include <clocale>
#include <cstdlib>
#include <cwchar>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sluice::cli {
namespace {

constexpr Character kInvalid = {0xFFFD, 1, false};

bool IsControl(char32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0);
}

// Characters that reorder or hide what stands around them (bidirectional overrides and the like).
bool IsTreacherous(char32_t code) {
  return (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) ||
         code == 0x200E || code == 0x200F || code == 0x2028 || code == 0x2029;
}

size_t AppendEscape(absl::string_view bytes, char32_t code, std::string* out) {
  const size_t before = out->size();
  switch (code) {
    case '\n':
      out->append("\\n");
      break;
    case '\t':
      out->append("\\t");
      break;
    case '\r':
      out->append("\\r");
      break;
    default:
      for (const char byte : bytes) {
        absl::StrAppend(out, "\\x", absl::Hex(static_cast<unsigned char>(byte), absl::kZeroPad2));
      }
  }
  return out->size() - before;
}

}  // namespace

Character DecodeAt(absl::string_view text, size_t pos) {
  const auto byte = [&](size_t i) -> unsigned { return static_cast<unsigned char>(text[pos + i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes > text.size() - pos) return kInvalid;
  char32_t code = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return kInvalid;
    code = (code << 6) | (byte(i) & 0x3F);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return kInvalid;
  return {code, bytes, true};
}

bool IsUtf8(absl::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const Character character = DecodeAt(text, pos);
    if (!character.valid) return false;
    pos += character.bytes;
  }
  return true;
}

void ChooseLocale() {
  const char* const locale = std::setlocale(LC_CTYPE, "");  // NOLINT(concurrency-mt-unsafe)
  const bool ascii_only = locale == nullptr || MB_CUR_MAX == 1;
  if (ascii_only) std::setlocale(LC_CTYPE, "C.UTF-8");  // NOLINT(concurrency-mt-unsafe)
}

int Width(char32_t code) {
  if (code < 0x7F) return 1;
  const int width = wcwidth(static_cast<wchar_t>(code));
  return width < 0 ? 1 : width;
}

size_t Width(absl::string_view text) {
  size_t width = 0;
  for (size_t pos = 0; pos < text.size();) {
    const Character character = DecodeAt(text, pos);
    width += static_cast<size_t>(Width(character.code));
    pos += character.bytes;
  }
  return width;
}

size_t AppendPrintable(absl::string_view text, std::string* out) {
  size_t width = 0;
  for (size_t pos = 0; pos < text.size();) {
    const Character character = DecodeAt(text, pos);
    const absl::string_view bytes = text.substr(pos, character.bytes);
    if (!character.valid || IsControl(character.code) || IsTreacherous(character.code)) {
      width += AppendEscape(bytes, character.valid ? character.code : 0, out);
    } else {
      absl::StrAppend(out, bytes);
      width += static_cast<size_t>(Width(character.code));
    }
    pos += character.bytes;
  }
  return width;
}

void AppendPrintableLines(absl::string_view text, absl::string_view indent, std::string* out) {
  text = absl::StripTrailingAsciiWhitespace(text);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    absl::StrAppend(out, indent);
    AppendPrintable(text.substr(begin, end - begin), out);
    out->push_back('\n');
    begin = end + 1;
  }
}

}  // namespace sluice::cli
