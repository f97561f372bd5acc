#include "server/base/utf8.h"

#include <cstdint>
#include <cstring>

namespace sluice {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

uint64_t LoadWord(const char* at) {
  uint64_t word = 0;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

unsigned char Byte(std::string_view text, size_t at) {
  return static_cast<unsigned char>(text[at]);
}

bool IsContinuation(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

}  // namespace

size_t Utf8Length(std::string_view text) {
  if (text.empty()) return 0;
  const unsigned char first = Byte(text, 0);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4) return 0;  // C0 and C1 can only begin overlong forms
  if (text.size() < 2) return 0;
  const unsigned char second = Byte(text, 1);
  if (first < 0xE0) return IsContinuation(second) ? 2 : 0;
  // The second byte's range is where overlong forms, surrogates and U+110000 upwards show.
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  if (second < low || second > high) return 0;
  if (text.size() < 3 || !IsContinuation(Byte(text, 2))) return 0;
  if (first < 0xF0) return 3;
  return text.size() >= 4 && IsContinuation(Byte(text, 3)) ? 4 : 0;
}

bool IsValidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    while (at + sizeof(uint64_t) <= text.size() && (LoadWord(text.data() + at) & kHighBits) == 0) {
      at += sizeof(uint64_t);
    }
    // One word, or the rest, character by character; then try words again.
    const size_t stop = at + sizeof(uint64_t) < text.size() ? at + sizeof(uint64_t) : text.size();
    while (at < stop) {
      const size_t length = Utf8Length(text.substr(at, 4));
      if (length == 0) return false;
      at += length;
    }
  }
  return true;
}

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  size_t at = 0;
  while (at + sizeof(uint64_t) <= text.size()) {
    if ((LoadWord(text.data() + at) & kHighBits) == 0) {
      count += sizeof(uint64_t);
      at += sizeof(uint64_t);
      continue;
    }
    for (const size_t stop = at + sizeof(uint64_t); at < stop; ++at) {
      count += IsContinuation(Byte(text, at)) ? 0 : 1;
    }
  }
  for (; at < text.size(); ++at) count += IsContinuation(Byte(text, at)) ? 0 : 1;
  return count;
}

bool IsControl(std::string_view character) {
  if (character.empty()) return false;
  const unsigned char first = Byte(character, 0);
  if (first < 0x20 || first == 0x7F) return true;
  if (first == 0xC2 && character.size() == 2) return Byte(character, 1) < 0xA0;
  return character == "\xE2\x80\xA8" || character == "\xE2\x80\xA9";
}

std::string SanitizeForMessage(std::string_view text, size_t max_bytes) {
  std::string out;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    std::string_view character = length == 0 ? kReplacement : text.substr(0, length);
    if (IsControl(character)) character = " ";
    if (out.size() + character.size() > max_bytes) break;
    out += character;
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

}  // namespace sluice
