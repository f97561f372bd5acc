#include "server/db/lexer.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace sluice::db {
namespace {

constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool IsDigit(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c));
}

bool IsHexDigit(char c) {
  return absl::ascii_isxdigit(static_cast<unsigned char>(c));
}

// Space, \t, \n, \v, \f, \r.
bool IsSpace(char c) {
  return absl::ascii_isspace(static_cast<unsigned char>(c));
}

bool IsNameStart(char c) {
  return IsNameByte(c) && !IsDigit(c);
}

bool IsOneOf(char c, absl::string_view set) {
  return set.find(c) != absl::string_view::npos;
}

// Whether a value or a name can end with this token, so that no other can begin right after it.
bool EndsOperand(const Token& token) {
  switch (token.kind) {
    case TokenKind::kQuotedName:
    case TokenKind::kString:
    case TokenKind::kNumber:
    case TokenKind::kParameter:
    case TokenKind::kClose:
      return true;
    default:
      return token.text == "]";
  }
}

}  // namespace

bool IsNameByte(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

Token Lexer::Next() {
  if (offset_ >= sql_.size()) return Make(TokenKind::kEnd, sql_.size());
  const Token token = dialect_ == Dialect::kSqlite ? Sqlite() : Postgres();
  offset_ += token.text.size();
  if (token.kind != TokenKind::kSpace && token.kind != TokenKind::kComment) last_ = token;
  return token;
}

Token Lexer::Make(TokenKind kind, size_t end) const {
  Token token;
  token.kind = kind;
  token.offset = offset_;
  token.text = sql_.substr(offset_, end - offset_);
  return token;
}

Token Lexer::Parameter(ParameterForm form, size_t end) const {
  Token token = Make(TokenKind::kParameter, end);
  token.form = form;
  return token;
}

Token Lexer::Literal(bool closed, size_t end) const {
  return Make(closed ? TokenKind::kString : TokenKind::kError, end);
}

size_t Lexer::LineComment() const {
  // Only PostgreSQL ends it at a carriage return too.
  const absl::string_view ends = dialect_ == Dialect::kSqlite ? "\n" : "\n\r";
  return std::min(sql_.find_first_of(ends, offset_), sql_.size());
}

size_t Lexer::NestedComment(bool* closed) const {
  int depth = 1;
  size_t i = offset_ + 2;
  for (; i < sql_.size() && depth > 0; ++i) {
    if (sql_[i] == '/' && At(i + 1) == '*') {
      ++depth;
      ++i;
    } else if (sql_[i] == '*' && At(i + 1) == '/') {
      --depth;
      ++i;
    }
  }
  *closed = depth == 0;
  return i;
}

// From behind the opening quote; a doubled quote is a part of the literal.
size_t Lexer::Quoted(size_t from, char quote, bool* closed) const {
  while (true) {
    const size_t end = sql_.find(quote, from);
    *closed = end != absl::string_view::npos;
    if (!*closed) return sql_.size();
    if (At(end + 1) != quote) return end + 1;
    from = end + 2;
  }
}

// From behind the opening quote of E'…', in which a backslash takes the next byte along.
size_t Lexer::EscapeString(size_t from, bool* closed) const {
  size_t i = from;
  while (i < sql_.size()) {
    const bool pair = sql_[i] == '\\' || (sql_[i] == '\'' && At(i + 1) == '\'');
    if (pair || sql_[i] != '\'') {
      i += pair ? 2 : 1;
      continue;
    }
    const size_t again = Continuation(i + 1);
    *closed = again == absl::string_view::npos;
    if (*closed) return i + 1;
    i = again;
  }
  *closed = false;
  return sql_.size();
}

// A literal that ended goes on, under the same rule, if the next thing is a quote on a later line.
// Returns what is behind that quote, or npos.
size_t Lexer::Continuation(size_t from) const {
  bool newline = false;
  for (size_t i = from; i < sql_.size(); ++i) {
    if (sql_[i] == '-' && At(i + 1) == '-') {
      while (i + 1 < sql_.size() && !IsOneOf(sql_[i + 1], "\r\n")) ++i;
    } else if (IsSpace(sql_[i])) {
      newline |= IsOneOf(sql_[i], "\r\n");
    } else {
      return newline && sql_[i] == '\'' ? i + 1 : absl::string_view::npos;
    }
  }
  return absl::string_view::npos;
}

size_t Lexer::Digits(size_t from) const {
  while (IsDigit(At(from))) ++from;
  return from;
}

size_t Lexer::Exponent(size_t from) const {
  if (At(from) != 'e' && At(from) != 'E') return from;
  const size_t digits = from + (IsOneOf(At(from + 1), "+-") ? 2 : 1);
  return IsDigit(At(digits)) ? Digits(digits) : from;
}

size_t Lexer::Name(size_t from, bool dollar) const {
  while (from < sql_.size() && (IsNameByte(sql_[from]) || (dollar && sql_[from] == '$'))) ++from;
  return from;
}

// Follows sqlite3GetToken case by case, oddities included.
Token Lexer::Sqlite() {
  const size_t at = offset_;
  const char c = sql_[at];
  const char next = At(at + 1);
  if (IsSpace(c) && c != '\v') {  // \v goes on with white space, and cannot begin it
    size_t end = at + 1;
    while (IsSpace(At(end))) ++end;
    return Make(TokenKind::kSpace, end);
  }
  if (sql_.substr(at, kByteOrderMark.size()) == kByteOrderMark) {
    return Make(TokenKind::kSpace, at + kByteOrderMark.size());
  }
  if (c == '-' && next == '-') return Make(TokenKind::kComment, LineComment());
  if (c == '/' && next == '*' && at + 2 < sql_.size()) {  // one that is never closed takes the rest
    const size_t end = sql_.find("*/", at + 2);
    return Make(TokenKind::kComment, end == absl::string_view::npos ? sql_.size() : end + 2);
  }
  bool closed = false;
  if (c == '\'') {
    const size_t end = Quoted(at + 1, c, &closed);
    return Literal(closed, end);
  }
  if (c == '"' || c == '`') {
    const size_t end = Quoted(at + 1, c, &closed);
    return Make(closed ? TokenKind::kQuotedName : TokenKind::kError, end);
  }
  if (c == '[') {
    const size_t end = sql_.find(']', at);
    if (end == absl::string_view::npos) return Make(TokenKind::kError, sql_.size());
    return Make(TokenKind::kQuotedName, end + 1);
  }
  if ((c == 'x' || c == 'X') && next == '\'') {
    size_t end = at + 2;
    while (IsHexDigit(At(end))) ++end;
    closed = At(end) == '\'' && (end - at) % 2 == 0;
    end = sql_.find('\'', end);
    return Literal(closed, end == absl::string_view::npos ? sql_.size() : end + 1);
  }
  if (IsDigit(c) || (c == '.' && IsDigit(next))) {
    if (c == '0' && (next == 'x' || next == 'X') && IsHexDigit(At(at + 2))) {
      size_t end = at + 3;
      while (IsHexDigit(At(end))) ++end;
      return Make(TokenKind::kNumber, end);
    }
    size_t end = Digits(at);
    if (At(end) == '.') end = Digits(end + 1);
    end = Exponent(end);
    const size_t junk = Name(end, /*dollar=*/true);
    return Make(junk == end ? TokenKind::kNumber : TokenKind::kError, junk);
  }
  if (IsNameStart(c)) return Make(TokenKind::kWord, Name(at, /*dollar=*/true));
  if (c == '?') {
    const size_t end = Digits(at + 1);
    return Parameter(end == at + 1 ? ParameterForm::kBare : ParameterForm::kNumbered, end);
  }
  if (IsOneOf(c, "$@:#")) return SqliteVariable();
  switch (c) {
    case ';':
      return Make(TokenKind::kSemicolon, at + 1);
    case '(':
      return Make(TokenKind::kOpen, at + 1);
    case ')':
      return Make(TokenKind::kClose, at + 1);
    case ',':
      return Make(TokenKind::kComma, at + 1);
    case '!':
      return Make(next == '=' ? TokenKind::kOperator : TokenKind::kError, at + 1);
    default:
      return Make(IsOneOf(c, "+-*/%=<>|&~.") ? TokenKind::kOperator : TokenKind::kError, at + 1);
  }
}

// A sigil and a name, in which SQLite, for Tcl's sake, also takes `::` and one `(…)` at the end.
Token Lexer::SqliteVariable() {
  const size_t at = offset_;
  size_t end = at + 1;
  bool named = false;
  bool tcl = false;
  while (end < sql_.size()) {
    if (IsNameByte(sql_[end]) || sql_[end] == '$') {
      named = true;
      ++end;
    } else if (sql_[end] == '(' && named) {
      while (end < sql_.size() && !IsSpace(sql_[end]) && sql_[end] != ')') ++end;
      if (At(end) != ')') return Make(TokenKind::kError, end);
      tcl = true;
      ++end;
      break;
    } else if (sql_[end] == ':' && At(end + 1) == ':') {
      tcl = true;
      end += 2;
    } else {
      break;
    }
  }
  if (!named) return Make(TokenKind::kError, end);
  if (tcl || sql_[at] == '#') return Parameter(ParameterForm::kUnusable, end);
  const bool number = sql_[at] == '$' && Digits(at + 1) == end;
  return Parameter(number ? ParameterForm::kNumbered : ParameterForm::kNamed, end);
}

// Follows PostgreSQL's scan.l, with standard_conforming_strings on.
Token Lexer::Postgres() {
  const size_t at = offset_;
  const char c = sql_[at];
  const char next = At(at + 1);
  bool closed = false;
  if (IsSpace(c)) {
    size_t end = at + 1;
    while (IsSpace(At(end))) ++end;
    return Make(TokenKind::kSpace, end);
  }
  if (c == '-' && next == '-') return Make(TokenKind::kComment, LineComment());
  if (c == '/' && next == '*') {
    const size_t end = NestedComment(&closed);
    return Make(closed ? TokenKind::kComment : TokenKind::kError, end);
  }
  if ((c == 'e' || c == 'E') && next == '\'') {
    const size_t end = EscapeString(at + 2, &closed);
    return Literal(closed, end);
  }
  // Prefixes that change a literal's meaning, but not where it ends.
  const bool unicode = (c == 'u' || c == 'U') && next == '&';
  const size_t prefix = unicode ? 2 : IsOneOf(c, "bBxXnN") && next == '\'' ? 1 : 0;
  if (At(at + prefix) == '\'') {
    const size_t end = Quoted(at + prefix + 1, '\'', &closed);
    return Literal(closed, end);
  }
  if (c == '"' || (unicode && At(at + 2) == '"')) {
    const size_t end = Quoted(at + prefix + 1, '"', &closed);
    return Make(closed ? TokenKind::kQuotedName : TokenKind::kError, end);
  }
  if (IsNameStart(c)) return Make(TokenKind::kWord, Name(at, /*dollar=*/true));
  if (IsDigit(c) || (c == '.' && IsDigit(next))) {
    size_t end = Digits(at);
    if (At(end) == '.' && At(end + 1) != '.') end = Digits(end + 1);  // 1..2 is a range
    return Make(TokenKind::kNumber, Name(Exponent(end), /*dollar=*/false));
  }
  if (c == '.' && next == '.') return Make(TokenKind::kOperator, at + 2);
  if (c == '$') return PostgresDollar();
  switch (c) {
    case ':': {
      if (next == ':') return Make(TokenKind::kCast, at + 2);
      const bool touches_word =
          last_.kind == TokenKind::kWord && last_.offset + last_.text.size() == at;
      const bool parameter = IsNameStart(next) && !touches_word && !EndsOperand(last_);
      if (!parameter) return Make(TokenKind::kOperator, at + 1);
      return Parameter(ParameterForm::kNamed, Name(at + 1, /*dollar=*/false));
    }
    case ';':
      return Make(TokenKind::kSemicolon, at + 1);
    case '(':
      return Make(TokenKind::kOpen, at + 1);
    case ')':
      return Make(TokenKind::kClose, at + 1);
    case ',':
      return Make(TokenKind::kComma, at + 1);
    default:
      return Make(IsOneOf(c, "~!@#^&|`?+-*/%<>=[].") ? TokenKind::kOperator : TokenKind::kError,
                  at + 1);
  }
}

// $5, or the opening delimiter of $tag$…$tag$.
Token Lexer::PostgresDollar() {
  const size_t at = offset_;
  const size_t number = Digits(at + 1);
  if (number > at + 1) return Parameter(ParameterForm::kNumbered, number);
  const size_t tag = Name(at + 1, /*dollar=*/false);
  if (At(tag) != '$') return Make(TokenKind::kError, at + 1);
  const absl::string_view delimiter = sql_.substr(at, tag + 1 - at);
  const size_t close = sql_.find(delimiter, tag + 1);
  if (close == absl::string_view::npos) return Make(TokenKind::kError, sql_.size());
  return Make(TokenKind::kString, close + delimiter.size());
}

}  // namespace sluice::db
