#include "client/cli/sql_lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace sluice::cli {
namespace {

bool IsNameStart(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return absl::ascii_isalpha(byte) || c == '_' || byte >= 0x80;
}

bool IsNamePart(char c) {
  return IsNameStart(c) || absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '$';
}

bool IsDigit(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c));
}

char ClosingQuote(char open) {
  return open == '[' ? ']' : open;
}

}  // namespace

bool Token::Is(absl::string_view keyword) const {
  return kind == Kind::kWord && absl::EqualsIgnoreCase(text, keyword);
}

Token SqlLexer::Make(Token::Kind kind, size_t begin, size_t end) {
  next_ = end;
  return {kind, begin, end, text_.substr(begin, end - begin)};
}

bool SqlLexer::SkipBlank() {
  while (next_ < text_.size()) {
    const absl::string_view rest = text_.substr(next_);
    if (absl::ascii_isspace(static_cast<unsigned char>(rest[0]))) {
      ++next_;
    } else if (absl::StartsWith(rest, "--")) {
      next_ += std::min(rest.find('\n'), rest.size());
    } else if (absl::StartsWith(rest, "/*")) {
      const size_t end = rest.find("*/", 2);
      if (end == absl::string_view::npos) return false;
      next_ += end + 2;
    } else {
      break;
    }
  }
  return true;
}

// A doubled quote stands for itself, except in brackets.
Token SqlLexer::Quoted(Token::Kind kind, size_t begin, size_t quote) {
  const char close = ClosingQuote(text_[quote]);
  for (size_t pos = quote + 1;; pos += 2) {
    pos = text_.find(close, pos);
    if (pos == absl::string_view::npos) {
      return Make(Token::Kind::kUnterminated, begin, text_.size());
    }
    const bool doubled = close != ']' && pos + 1 < text_.size() && text_[pos + 1] == close;
    if (!doubled) return Make(kind, begin, pos + 1);
  }
}

Token SqlLexer::Next() {
  if (!SkipBlank()) return Make(Token::Kind::kUnterminated, next_, text_.size());
  const size_t begin = next_;
  if (begin == text_.size()) return Make(Token::Kind::kEnd, begin, begin);
  const char c = text_[begin];
  const char after = begin + 1 < text_.size() ? text_[begin + 1] : '\0';
  if (c == '\'') return Quoted(Token::Kind::kString, begin, begin);
  if (c == '"' || c == '`' || c == '[') return Quoted(Token::Kind::kQuotedName, begin, begin);
  if ((c == 'x' || c == 'X') && after == '\'') return Quoted(Token::Kind::kBlob, begin, begin + 1);
  size_t end = begin + 1;
  if (IsNameStart(c)) {
    while (end < text_.size() && IsNamePart(text_[end])) ++end;
    return Make(Token::Kind::kWord, begin, end);
  }
  if (IsDigit(c) || (c == '.' && IsDigit(after))) {
    // Whatever hangs on a number belongs to it; who reads it says whether it is one.
    for (; end < text_.size(); ++end) {
      const bool sign = (text_[end] == '+' || text_[end] == '-') &&
                        (text_[end - 1] == 'e' || text_[end - 1] == 'E');
      if (!IsNamePart(text_[end]) && text_[end] != '.' && !sign) break;
    }
    return Make(Token::Kind::kNumber, begin, end);
  }
  return Make(Token::Kind::kSymbol, begin, end);
}

std::string Unquoted(const Token& token) {
  if (token.kind == Token::Kind::kWord) return std::string(token.text);
  const absl::string_view inside = token.text.substr(1, token.text.size() - 2);
  const char close = ClosingQuote(token.text[0]);
  if (close == ']' || !absl::StrContains(inside, close)) return std::string(inside);
  const std::string one(1, close);
  return absl::StrReplaceAll(inside, {{one + one, one}});
}

std::string QuotedName(absl::string_view name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

}  // namespace sluice::cli
