#include "client/cli/sql_insert.h"

#include <cmath>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "client/cli/sql_lexer.h"

namespace sluice::cli {
namespace {

// Names of SQLite's own for the key of a row; a load knows only the columns that a table lists.
bool IsRowid(absl::string_view column) {
  return absl::EqualsIgnoreCase(column, "rowid") || absl::EqualsIgnoreCase(column, "_rowid_") ||
         absl::EqualsIgnoreCase(column, "oid");
}

class InsertParser {
 public:
  InsertParser(absl::string_view statement, InsertTarget* target, client::RowBuffer* rows)
      : lexer_(statement), target_(*target), rows_(*rows) {
    Advance();
  }

  bool Parse() {
    if (!Take("INSERT") || !Take("INTO") || !ParseTable()) return false;
    if (token_.Is('(') && !ParseColumns()) return false;
    if (!Take("VALUES")) return false;
    do {
      if (!ParseTuple()) return false;
    } while (Take(','));
    return token_.kind == Token::Kind::kEnd;
  }

 private:
  void Advance() { token_ = lexer_.Next(); }

  template <class What>
  bool Take(What what) {
    if (!token_.Is(what)) return false;
    Advance();
    return true;
  }

  bool TakeName(std::string* name) {
    // The shell writes a table's name in single quotes where it must be quoted.
    if (!token_.IsName() && token_.kind != Token::Kind::kString) return false;
    *name = Unquoted(token_);
    Advance();
    return !name->empty();
  }

  bool ParseTable() {
    if (!TakeName(&target_.table)) return false;
    if (Take('.')) {
      target_.schema = target_.table;
      if (!TakeName(&target_.table)) return false;
    }
    return !absl::StartsWithIgnoreCase(target_.table, "sqlite_");
  }

  bool ParseColumns() {
    do {
      Advance();  // the parenthesis, or the comma
      std::string name;
      if (!TakeName(&name) || IsRowid(name)) return false;
      target_.columns.push_back(name);
    } while (token_.Is(','));
    return Take(')');
  }

  bool ParseTuple() {
    if (!Take('(')) return false;
    do {
      if (!ParseValue()) return false;
    } while (Take(','));
    if (!Take(')')) return false;
    rows_.EndRow();
    return true;
  }

  bool ParseValue() {
    bool negative = false;
    bool sign = false;
    for (; token_.Is('-') || token_.Is('+'); Advance()) {
      negative = negative != token_.Is('-');
      sign = true;
    }
    if (token_.kind == Token::Kind::kNumber) return ParseNumber(negative);
    if (sign) return false;
    if (token_.Is("NULL")) return rows_.AddNull(), Advance(), true;
    if (token_.Is("TRUE")) return rows_.AddInt64(1), Advance(), true;
    if (token_.Is("FALSE")) return rows_.AddInt64(0), Advance(), true;
    if (token_.kind == Token::Kind::kBlob) return ParseBlob();
    const auto text = ParseText();
    if (!text) return false;
    rows_.AddText(*text);
    return true;
  }

  bool ParseNumber(bool negative) {
    const std::string text = absl::StrCat(negative ? "-" : "", token_.text);
    const bool integer = token_.text.find_first_not_of("0123456789") == absl::string_view::npos;
    int64_t whole = 0;
    double real = 0;
    if (integer) {
      if (!absl::SimpleAtoi(text, &whole)) return false;
      rows_.AddInt64(whole);
    } else {
      if (token_.text.find_first_not_of("0123456789.eE+-") != absl::string_view::npos) return false;
      if (!absl::SimpleAtod(text, &real) || !std::isfinite(real)) return false;
      rows_.AddDouble(real);
    }
    Advance();
    return true;
  }

  bool ParseBlob() {
    const absl::string_view hex = token_.text.substr(2, token_.text.size() - 3);
    for (const char c : hex) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return false;
    }
    if (hex.size() % 2 != 0) return false;
    rows_.AddBytes(absl::HexStringToBytes(hex));
    Advance();
    return true;
  }

  // A string, or replace(text, string, char(number)).
  std::optional<std::string> ParseText() {
    if (token_.kind == Token::Kind::kString) {
      std::string text = Unquoted(token_);
      Advance();
      return text;
    }
    if (!Take("replace") || !Take('(')) return std::nullopt;
    const auto text = ParseText();
    if (!text || !Take(',')) return std::nullopt;
    if (token_.kind != Token::Kind::kString) return std::nullopt;
    const std::string from = Unquoted(token_);
    Advance();
    if (from.empty() || !Take(',') || !Take("char") || !Take('(')) return std::nullopt;
    const auto code = token_.text;
    Advance();
    if ((code != "10" && code != "13") || !Take(')') || !Take(')')) return std::nullopt;
    return absl::StrReplaceAll(*text, {{from, code == "10" ? "\n" : "\r"}});
  }

  SqlLexer lexer_;
  Token token_;
  InsertTarget& target_;
  client::RowBuffer& rows_;
};

}  // namespace

bool ParseInsert(absl::string_view statement, InsertTarget* target, client::RowBuffer* rows) {
  *target = {};
  rows->Clear();
  if (InsertParser(statement, target, rows).Parse()) return true;
  rows->Clear();
  return false;
}

}  // namespace sluice::cli
