#include "server/db/sqlite/schema_sql.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"

#include "server/db/lexer.h"

namespace sluice::sqlite {
namespace {

using db::Token;
using db::TokenKind;

// Tokens: the words of one SQL text, without space and comments.
class Tokens {
 public:
  explicit Tokens(absl::string_view sql) : sql_(sql) {
    db::Lexer lexer(sql, db::Dialect::kSqlite);
    for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
      if (token.kind != TokenKind::kSpace && token.kind != TokenKind::kComment) {
        all_.push_back(token);
      }
    }
  }

  size_t size() const { return all_.size(); }

  // An empty token behind the last.
  Token operator[](size_t i) const { return i < all_.size() ? all_[i] : Token(); }

  bool IsWord(size_t i, absl::string_view word) const {
    return (*this)[i].kind == TokenKind::kWord && absl::EqualsIgnoreCase((*this)[i].text, word);
  }

  // The first token from `from` on, before `to`, that is such a word; `to` if none is.
  size_t Find(size_t from, size_t to, absl::string_view word) const {
    while (from < to && !IsWord(from, word)) ++from;
    return from;
  }

  size_t Find(size_t from, TokenKind kind) const {
    while (from < size() && all_[from].kind != kind) ++from;
    return from;
  }

  // Behind the parenthesis that closes the one at `open`.
  size_t Behind(size_t open) const {
    int depth = 0;
    for (size_t i = open; i < size(); ++i) {
      if (all_[i].kind == TokenKind::kOpen) ++depth;
      if (all_[i].kind == TokenKind::kClose && --depth == 0) return i + 1;
    }
    return size();
  }

  // The text of the tokens from `from` to before `to`, with what stands between them.
  std::string Text(size_t from, size_t to) const {
    to = std::min(to, size());
    if (from >= to) return "";
    const size_t begin = all_[from].offset;
    return std::string(sql_.substr(begin, all_[to - 1].offset + all_[to - 1].text.size() - begin));
  }

  // The parts of the list in the parentheses at `open`, each as [from, to).
  std::vector<std::pair<size_t, size_t>> List(size_t open) const {
    std::vector<std::pair<size_t, size_t>> parts;
    if (open >= size()) return parts;
    const size_t end = Behind(open) - 1;  // the closing one
    size_t from = open + 1;
    for (size_t i = from; i < end; ++i) {
      if (all_[i].kind == TokenKind::kOpen) {
        i = Behind(i) - 1;
      } else if (all_[i].kind == TokenKind::kComma) {
        parts.emplace_back(from, i);
        from = i + 1;
      }
    }
    if (from < end) parts.emplace_back(from, end);
    return parts;
  }

 private:
  const absl::string_view sql_;
  std::vector<Token> all_;
};

// TableReader: walks through the definitions of one CREATE TABLE.
class TableReader {
 public:
  explicit TableReader(const Tokens& tokens) : tokens_(tokens) {}

  WrittenTable Read() {
    const size_t open = tokens_.Find(0, TokenKind::kOpen);
    if (open == tokens_.size()) return std::move(table_);
    for (const auto& [from, to] : tokens_.List(open)) ReadDefinition(from, to);
    for (size_t i = tokens_.Behind(open); i < tokens_.size(); ++i) {
      table_.strict = table_.strict || tokens_.IsWord(i, "STRICT");
      table_.without_rowid = table_.without_rowid || tokens_.IsWord(i, "WITHOUT");
    }
    return std::move(table_);
  }

 private:
  bool BeginsConstraint(size_t i) const {
    return tokens_.IsWord(i, "CONSTRAINT") || tokens_.IsWord(i, "PRIMARY") ||
           tokens_.IsWord(i, "UNIQUE") || tokens_.IsWord(i, "CHECK") ||
           tokens_.IsWord(i, "FOREIGN");
  }

  void ReadDefinition(size_t from, size_t to) {
    std::string column;
    size_t i = from;
    if (!BeginsConstraint(from)) {
      column = Unquoted(tokens_[from].text);
      table_.columns.push_back({.name = column, .generation = ""});
      ++i;
    }
    for (; i < to; ++i) {
      if (tokens_[i].kind == TokenKind::kOpen) {
        i = tokens_.Behind(i) - 1;
      } else if (tokens_.IsWord(i, "CONSTRAINT")) {
        ++i;  // its name, which AddKey looks back for
      } else if (tokens_.IsWord(i, "PRIMARY") || tokens_.IsWord(i, "UNIQUE")) {
        AddKey(i, column);
      } else if (tokens_.IsWord(i, "AS") && tokens_[i + 1].kind == TokenKind::kOpen) {
        if (!column.empty()) {
          const size_t behind = tokens_.Behind(i + 1);
          table_.columns.back().generation = tokens_.Text(i + 2, behind - 1);
        }
      } else if (tokens_.IsWord(i, "REFERENCES")) {
        table_.deferred.push_back(false);
      } else if (tokens_.IsWord(i, "DEFERRABLE")) {
        SetDeferred(i);
      }
    }
  }

  // Of the foreign key before it, wherever that was: so the engine takes it.
  void SetDeferred(size_t i) {
    if (table_.deferred.empty()) return;
    table_.deferred.back() = !tokens_.IsWord(i - 1, "NOT") && tokens_.IsWord(i + 1, "INITIALLY") &&
                             tokens_.IsWord(i + 2, "DEFERRED");
  }

  void AddKey(size_t i, const std::string& column) {
    WrittenKey key;
    key.primary = tokens_.IsWord(i, "PRIMARY");
    // One that stands further ahead is the name of another constraint.
    if (tokens_.IsWord(i - 2, "CONSTRAINT")) key.name = Unquoted(tokens_[i - 1].text);
    const size_t open = i + (key.primary ? 2 : 1);
    if (tokens_[open].kind == TokenKind::kOpen) {
      for (const auto& [from, to] : tokens_.List(open)) {
        key.columns.push_back(Unquoted(tokens_[from].text));
      }
    } else {
      key.columns.push_back(column);
    }
    table_.keys.push_back(std::move(key));
  }

  const Tokens& tokens_;
  WrittenTable table_;
};

}  // namespace

std::string Unquoted(absl::string_view name) {
  if (name.size() < 2) return std::string(name);
  const char quote = name.front();
  if (absl::string_view("\"`'[").find(quote) == absl::string_view::npos) return std::string(name);
  const absl::string_view inner = name.substr(1, name.size() - 2);
  if (quote == '[') return std::string(inner);
  return absl::StrReplaceAll(inner, {{std::string(2, quote), std::string(1, quote)}});
}

WrittenTable ReadTable(absl::string_view sql) {
  const Tokens tokens(sql);
  return TableReader(tokens).Read();
}

std::string ReadModule(absl::string_view sql) {
  const Tokens tokens(sql);
  return Unquoted(tokens[tokens.Find(0, tokens.size(), "USING") + 1].text);
}

WrittenIndex ReadIndex(absl::string_view sql) {
  const Tokens tokens(sql);
  WrittenIndex index;
  const size_t open = tokens.Find(0, TokenKind::kOpen);
  for (auto [from, to] : tokens.List(open)) {
    if (to > from + 1 && (tokens.IsWord(to - 1, "ASC") || tokens.IsWord(to - 1, "DESC"))) --to;
    if (to > from + 2 && tokens.IsWord(to - 2, "COLLATE")) to -= 2;
    index.expressions.push_back(tokens.Text(from, to));
  }
  const size_t behind = tokens.Behind(open);
  if (tokens.IsWord(behind, "WHERE")) {
    const size_t end = std::min(tokens.Find(behind, TokenKind::kSemicolon), tokens.size());
    index.predicate = tokens.Text(behind + 1, end);
  }
  return index;
}

WrittenTrigger ReadTrigger(absl::string_view sql) {
  const Tokens tokens(sql);
  size_t i = tokens.Find(0, tokens.size(), "TRIGGER") + 1;
  if (tokens.IsWord(i, "IF") && tokens.IsWord(i + 1, "NOT")) i += 3;
  i += tokens[i + 1].text == "." ? 3 : 1;  // its name
  WrittenTrigger trigger;
  trigger.timing = "BEFORE";  // where it says nothing
  if (tokens.IsWord(i, "BEFORE") || tokens.IsWord(i, "AFTER")) {
    trigger.timing = absl::AsciiStrToUpper(tokens[i++].text);
  } else if (tokens.IsWord(i, "INSTEAD")) {
    trigger.timing = "INSTEAD OF";
    i += 2;
  }
  trigger.event = absl::AsciiStrToUpper(tokens[i].text);
  return trigger;
}

}  // namespace sluice::sqlite
