// Lexer: cuts SQL into tokens where the engine itself would, so that what a statement is, and which
// parameters it has, is decided by the same reading that the engine makes of it.
#ifndef SLUICE_SERVER_DB_LEXER_H_
#define SLUICE_SERVER_DB_LEXER_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace sluice::db {

// Whose SQL is read.
enum class Dialect { kSqlite, kPostgres };

enum class TokenKind {
  kEnd,         // nothing follows; the token is empty
  kSpace,       // white space; on SQLite a byte order mark too
  kComment,     // -- to the end of the line, or /* */, nested on PostgreSQL only
  kWord,        // a keyword or an unquoted name
  kQuotedName,  // "…"; on SQLite also `…` and […]
  kString,      // every literal in quotes: '…', x'…', E'…', $tag$…$tag$
  kNumber,      // integer, decimal, hexadecimal, with its exponent
  kParameter,   // form says which
  kCast,        // :: on PostgreSQL
  kSemicolon,
  kOpen,   // (
  kClose,  // )
  kComma,
  kOperator,  // one character of any other punctuation
  kError,     // what the engine refuses: an unterminated literal, a byte that starts nothing
};

// How a parameter is written.
enum class ParameterForm {
  kBare,      // ?
  kNumbered,  // ?5, $5
  kNamed,     // :name, @name, $name
  kUnusable,  // SQLite takes `$a::b`, `$a(b)` and `#a` for names of parameters; nobody means that
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  ParameterForm form = ParameterForm::kBare;  // of a kParameter
  size_t offset = 0;                          // in bytes from the start of the SQL
  absl::string_view text;                     // a part of the SQL
};

// Lexer: one pass over one SQL text, which it borrows. Nothing is allocated. The tokens follow one
// another without a gap, and together they are the text.
//
// On PostgreSQL, where a colon also stands in casts, slices and JSON constructors, `:name` is a
// parameter if a letter or `_` follows the colon at once and no operand ends before it: not after a
// number, literal, quoted name, parameter, `)` or `]`, and not after a word that touches the colon.
// So a[1:n], a[i:j] and x::int have none; a[:i], LIMIT :n and ARRAY[:a, :b] do.
class Lexer {
 public:
  Lexer(absl::string_view sql, Dialect dialect) : sql_(sql), dialect_(dialect) {}

  Token Next();

 private:
  // Where a token of each dialect ends, and what it is.
  Token Sqlite();
  Token Postgres();
  Token SqliteVariable();
  Token PostgresDollar();

  // How far a kind of token that begins at offset_ reaches; all return its end.
  size_t LineComment() const;
  size_t NestedComment(bool* closed) const;
  size_t Quoted(size_t from, char quote, bool* closed) const;
  size_t EscapeString(size_t from, bool* closed) const;
  size_t Continuation(size_t from) const;
  size_t Digits(size_t from) const;
  size_t Exponent(size_t from) const;
  size_t Name(size_t from, bool dollar) const;

  // The byte at `index`, 0 beyond the end.
  char At(size_t index) const { return index < sql_.size() ? sql_[index] : '\0'; }

  Token Make(TokenKind kind, size_t end) const;
  Token Parameter(ParameterForm form, size_t end) const;
  Token Literal(bool closed, size_t end) const;

  const absl::string_view sql_;
  const Dialect dialect_;
  size_t offset_ = 0;  // where the next token begins
  Token last_;         // the last one that was neither space nor comment
};

// Whether a byte can be a part of an unquoted name, `$` aside.
bool IsNameByte(char c);

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_LEXER_H_
