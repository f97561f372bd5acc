// The functions on texts: SQLite's answers, in time that grows with the text and no faster.
#include <bitset>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <sqlite3.h>

#include "absl/container/flat_hash_set.h"

#include "server/base/utf8.h"
#include "server/db/sqlite/functions.h"
#include "server/db/sqlite/limits.h"

namespace sluice::sqlite {
namespace {

// Characters to trim that are not well-formed are compared one by one, as SQLite does; so many.
constexpr size_t kMaxOddCharacters = 1000;

bool IsContinuation(char byte) {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

bool IsAscii(char byte) {
  return static_cast<unsigned char>(byte) < 0x80;
}

std::string_view Text(sqlite3_value* value) {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_value_bytes(value))};
}

std::string_view Blob(sqlite3_value* value) {
  const auto* const bytes = static_cast<const char*>(sqlite3_value_blob(value));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<size_t>(sqlite3_value_bytes(value))};
}

// Where `part` begins in `whole`; glibc's memmem is linear, string_view::find is not.
size_t Find(std::string_view whole, std::string_view part, size_t from = 0) {
  const void* const found =
      memmem(whole.data() + from, whole.size() - from, part.data(), part.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - whole.data());
}

void ResultText(sqlite3_context* context, std::string_view text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

// Where `part` begins, from 1, in bytes or in characters; 0 if nowhere.
int64_t PlaceIn(std::string_view whole, std::string_view part, bool bytes) {
  if (part.empty()) return 1;
  size_t at = std::string_view::npos;
  if (!bytes && IsContinuation(part[0])) {
    // SQLite looks where characters begin, and at the start.
    if (whole.substr(0, part.size()) == part) at = 0;
  } else if (!whole.empty()) {
    at = Find(whole, part);
  }
  if (at == std::string_view::npos) return 0;
  int64_t place = 1;
  for (size_t i = 1; i <= at; ++i) place += bytes || !IsContinuation(whole[i]) ? 1 : 0;
  return place;
}

// A value, or a copy of it.
class Copy {
 public:
  Copy(sqlite3_value* value, bool needed)
      : value_(needed ? sqlite3_value_dup(value) : value), needed_(needed) {}

  ~Copy() {
    if (needed_) sqlite3_value_free(value_);
  }

  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;

  sqlite3_value* get() const { return value_; }

 private:
  sqlite3_value* const value_;
  const bool needed_;
};

// The characters that a trim takes away.
class CharacterSet {
 public:
  // SQLite takes it for ended at a NUL.
  explicit CharacterSet(std::string_view characters)
      : characters_(characters.substr(0, characters.find('\0'))) {
    usable_ = IsValidUtf8(characters_);
    if (!usable_) SplitOdd();
    for (size_t at = 0; usable_ && at < characters_.size();) {
      const size_t length = Utf8Length(characters_.substr(at, 4));
      if (length == 1) {
        ascii_.set(static_cast<unsigned char>(characters_[at]));
      } else {
        others_.insert(characters_.substr(at, length));
      }
      at += length;
    }
  }

  bool too_many() const { return odd_.size() > kMaxOddCharacters; }

  // Length of the character of the set with which `text` begins, or ends; 0 if with none.
  size_t AtStart(std::string_view text) const {
    if (!usable_) return Odd(text, false);
    if (IsAscii(text.front())) return Contains(text.substr(0, 1)) ? 1 : 0;
    const size_t length = Utf8Length(text.substr(0, 4));
    return Contains(text.substr(0, length)) ? length : 0;
  }

  size_t AtEnd(std::string_view text) const {
    if (!usable_) return Odd(text, true);
    if (IsAscii(text.back())) return Contains(text.substr(text.size() - 1)) ? 1 : 0;
    size_t length = 1;
    while (length < 4 && length < text.size() && IsContinuation(text[text.size() - length])) {
      ++length;
    }
    const std::string_view last = text.substr(text.size() - length);
    return Utf8Length(last) == length && Contains(last) ? length : 0;
  }

 private:
  bool Contains(std::string_view character) const {
    if (character.size() == 1) return ascii_.test(static_cast<unsigned char>(character[0]));
    return !character.empty() && others_.contains(character);
  }

  // A byte from 0xC0 on takes all continuation bytes that follow; any other stands alone.
  void SplitOdd() {
    for (size_t at = 0; at < characters_.size() && !too_many();) {
      size_t end = at + 1;
      if (static_cast<unsigned char>(characters_[at]) >= 0xC0) {
        while (end < characters_.size() && IsContinuation(characters_[end])) ++end;
      }
      odd_.push_back(characters_.substr(at, end - at));
      at = end;
    }
  }

  size_t Odd(std::string_view text, bool at_end) const {
    for (const std::string_view each : odd_) {
      if (each.size() > text.size()) continue;
      if (text.substr(at_end ? text.size() - each.size() : 0, each.size()) == each) {
        return each.size();
      }
    }
    return 0;
  }

  const std::string_view characters_;
  bool usable_ = true;
  std::bitset<256> ascii_;
  absl::flat_hash_set<std::string_view> others_;
  std::vector<std::string_view> odd_;
};

void TrimSides(sqlite3_context* context, sqlite3_value** arguments, bool left, bool right) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL) return;
  std::string_view text = Text(arguments[0]);
  if (sqlite3_value_type(arguments[1]) == SQLITE_NULL) return;
  const CharacterSet characters(Text(arguments[1]));
  if (characters.too_many()) return sqlite3_result_error_toobig(context);
  while (left && !text.empty()) {
    const size_t length = characters.AtStart(text);
    if (length == 0) break;
    text.remove_prefix(length);
  }
  while (right && !text.empty()) {
    const size_t length = characters.AtEnd(text);
    if (length == 0) break;
    text.remove_suffix(length);
  }
  ResultText(context, text);
}

}  // namespace

void Instr(sqlite3_context* context, int /*count*/, sqlite3_value** arguments) {
  const int whole_type = sqlite3_value_type(arguments[0]);
  const int part_type = sqlite3_value_type(arguments[1]);
  if (whole_type == SQLITE_NULL || part_type == SQLITE_NULL) return;
  if (whole_type == SQLITE_BLOB && part_type == SQLITE_BLOB) {
    return sqlite3_result_int64(context, PlaceIn(Blob(arguments[0]), Blob(arguments[1]), true));
  }
  // To ask a blob for its text would change its type for the rest of the statement.
  const Copy whole(arguments[0], whole_type == SQLITE_BLOB);
  const Copy part(arguments[1], part_type == SQLITE_BLOB);
  if (whole.get() == nullptr || part.get() == nullptr) return sqlite3_result_error_nomem(context);
  sqlite3_result_int64(context, PlaceIn(Text(whole.get()), Text(part.get()), false));
}

void Replace(sqlite3_context* context, int /*count*/, sqlite3_value** arguments) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL) return;
  const std::string_view text = Text(arguments[0]);
  if (sqlite3_value_type(arguments[1]) == SQLITE_NULL) return;
  const std::string_view pattern = Text(arguments[1]);
  // Then it matters no more what would replace it.
  if (pattern.empty() || pattern[0] == '\0') return sqlite3_result_value(context, arguments[0]);
  if (sqlite3_value_type(arguments[2]) == SQLITE_NULL) return;
  const std::string_view replacement = Text(arguments[2]);
  std::string out;
  size_t from = 0;
  for (size_t at = Find(text, pattern); at != std::string_view::npos;
       at = Find(text, pattern, from)) {
    out.append(text.substr(from, at - from)).append(replacement);
    from = at + pattern.size();
    if (out.size() > kMaxValueBytes) return sqlite3_result_error_toobig(context);
  }
  out.append(text.substr(from));
  ResultText(context, out);
}

void Trim(sqlite3_context* context, int /*count*/, sqlite3_value** arguments) {
  TrimSides(context, arguments, true, true);
}

void TrimLeft(sqlite3_context* context, int /*count*/, sqlite3_value** arguments) {
  TrimSides(context, arguments, true, false);
}

void TrimRight(sqlite3_context* context, int /*count*/, sqlite3_value** arguments) {
  TrimSides(context, arguments, false, true);
}

}  // namespace sluice::sqlite
