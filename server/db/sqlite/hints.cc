#include "server/db/sqlite/hints.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "server/base/utf8.h"
#include "server/db/lexer.h"

namespace sluice::sqlite {
namespace {

constexpr size_t kShownBytes = 64;
constexpr size_t kFarthest = 2;  // edits between a name and what was meant
constexpr absl::string_view kNoSuchTable = "no such table: ";
constexpr absl::string_view kNoSuchColumn = "no such column: ";
constexpr absl::string_view kNoSuchFunction = "no such function: ";

struct Instead {
  absl::string_view name;
  absl::string_view hint;
};

// Functions of other engines, in lower case.
constexpr Instead kFunctions[] = {
    {"char_length", "length(x)"},
    {"concat", "x || y"},
    {"date_trunc", "strftime(format, time)"},
    {"extract", "strftime(format, time)"},
    {"gen_random_uuid", "lower(hex(randomblob(16)))"},
    {"getdate", "datetime('now')"},
    {"greatest", "max(x, y)"},
    {"isnull", "ifnull(x, y)"},
    {"least", "min(x, y)"},
    {"left", "substr(x, 1, n)"},
    {"len", "length(x)"},
    {"now", "datetime('now') or CURRENT_TIMESTAMP"},
    {"nvl", "ifnull(x, y)"},
    {"position", "instr(text, part)"},
    {"right", "substr(x, -n)"},
    {"string_agg", "group_concat(x, separator)"},
    {"to_char", "strftime(format, time) or printf(format, x)"},
};

// The token that a syntax error is near to, in upper case.
constexpr Instead kTokens[] = {
    {"ILIKE", "LIKE takes A for a already, in ASCII"},
    {"SERIAL", "INTEGER PRIMARY KEY numbers its rows by itself"},
    {"TOP", "LIMIT n stands at the end of the statement"},
    {"TRUNCATE", "DELETE FROM table removes all rows"},
    {"FETCH", "LIMIT n stands at the end of the statement"},
    {"AUTO_INCREMENT", "INTEGER PRIMARY KEY numbers its rows by itself"},
    {"USE", "each connection has one database"},
    {"SHOW", "the tables are in SELECT name FROM sqlite_schema WHERE type = 'table'"},
    {"DESCRIBE", "the columns are in SELECT * FROM pragma_table_info('table')"},
};

template <size_t n>
absl::string_view Find(absl::string_view name, const Instead (&list)[n]) {
  const auto found = std::find_if(std::begin(list), std::end(list),
                                  [name](const Instead& each) { return each.name == name; });
  return found == std::end(list) ? absl::string_view() : found->hint;
}

std::string Shown(absl::string_view name) {
  return SanitizeForMessage({name.data(), name.size()}, kShownBytes);
}

// Levenshtein's distance between two short names, in bytes.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string TableHint(absl::string_view missing, const std::vector<std::string>& tables) {
  const std::string wanted = absl::AsciiStrToLower(missing.substr(0, kShownBytes));
  const std::string* nearest = nullptr;
  size_t best = std::min(kFarthest, wanted.size() / 2) + 1;
  for (const std::string& table : tables) {
    const size_t distance = Distance(wanted, absl::AsciiStrToLower(table));
    if (distance >= best) continue;
    best = distance;
    nearest = &table;
  }
  if (nearest != nullptr) return absl::StrCat("there is a table ", Shown(*nearest));
  if (tables.empty()) return "the database has no tables yet";
  return "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') lists what there is";
}

bool IsDoubleQuoted(absl::string_view name, absl::string_view sql, int offset) {
  if (offset >= 0 && static_cast<size_t>(offset) < sql.size()) {
    return sql[static_cast<size_t>(offset)] == '"';
  }
  return absl::StrContains(sql, absl::StrCat("\"", name, "\""));
}

// The text between the first two double quotes of `near "x": syntax error`.
absl::string_view NearToken(absl::string_view message) {
  if (!absl::ConsumePrefix(&message, "near \"")) return "";
  return message.substr(0, message.find('"'));
}

}  // namespace

absl::string_view MissingTable(absl::string_view message) {
  if (!absl::ConsumePrefix(&message, kNoSuchTable)) return "";
  const size_t dot = message.rfind('.');
  return dot == absl::string_view::npos ? message : message.substr(dot + 1);
}

int FindOffset(absl::string_view message, absl::string_view sql) {
  if (message == "incomplete input") return static_cast<int>(sql.size());
  const absl::string_view wanted = MissingTable(message);
  if (wanted.empty()) return -1;
  db::Lexer lexer(sql, db::Dialect::kSqlite);
  for (db::Token token = lexer.Next(); token.kind != db::TokenKind::kEnd; token = lexer.Next()) {
    const bool quoted = token.kind == db::TokenKind::kQuotedName && token.text.size() > 2;
    const absl::string_view name =
        quoted ? token.text.substr(1, token.text.size() - 2) : token.text;
    if ((quoted || token.kind == db::TokenKind::kWord) && name == wanted) {
      return static_cast<int>(token.offset);
    }
  }
  return -1;
}

std::string HintFor(absl::string_view message,
                    absl::string_view sql,
                    int offset,
                    const std::vector<std::string>& tables) {
  const absl::string_view table = MissingTable(message);
  if (!table.empty()) return TableHint(table, tables);
  absl::string_view rest = message;
  if (absl::ConsumePrefix(&rest, kNoSuchColumn)) {
    if (!IsDoubleQuoted(rest, sql, offset)) return "";
    return absl::StrCat("double quotes make a name; a string is '", Shown(rest), "'");
  }
  if (absl::ConsumePrefix(&rest, kNoSuchFunction)) {
    const absl::string_view instead = Find(absl::AsciiStrToLower(rest), kFunctions);
    return instead.empty() ? "" : absl::StrCat("SQLite has ", instead);
  }
  if (message == "unrecognized token: \":\"") return "SQLite has no `::`; write CAST(x AS type)";
  return std::string(Find(absl::AsciiStrToUpper(NearToken(message)), kTokens));
}

}  // namespace sluice::sqlite
