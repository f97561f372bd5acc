// SQL text, token by token.
#ifndef SLUICE_CLIENT_CLI_SQL_LEXER_H_
#define SLUICE_CLIENT_CLI_SQL_LEXER_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace sluice::cli {

struct Token {
  enum class Kind {
    kEnd,
    kUnterminated,  // a string, name or comment without its end
    kWord,          // name or keyword
    kQuotedName,    // "a", `a` or [a]
    kString,        // 'a'
    kBlob,          // x'00ff'
    kNumber,
    kSymbol,  // any other character, alone
  };
  Kind kind = Kind::kEnd;
  size_t begin = 0;
  size_t end = 0;
  absl::string_view text;

  bool Is(char symbol) const { return kind == Kind::kSymbol && text[0] == symbol; }

  // `keyword` in upper case.
  bool Is(absl::string_view keyword) const;

  bool IsName() const { return kind == Kind::kWord || kind == Kind::kQuotedName; }
};

// Walks through a text by SQLite's rules, without white space and comments. The text outlives it.
class SqlLexer {
 public:
  explicit SqlLexer(absl::string_view text, size_t position = 0) : text_(text), next_(position) {}

  Token Next();

 private:
  Token Make(Token::Kind kind, size_t begin, size_t end);
  Token Quoted(Token::Kind kind, size_t begin, size_t quote);
  // False: a comment has no end.
  bool SkipBlank();

  const absl::string_view text_;
  size_t next_;
};

// What a quoted name, or a string, says between its quotes.
std::string Unquoted(const Token& token);

// The name in double quotes.
std::string QuotedName(absl::string_view name);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_SQL_LEXER_H_
