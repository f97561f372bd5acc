#include "server/db/sqlite/plan_names.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"

#include "server/base/status.h"
#include "server/db/lexer.h"
#include "server/db/sqlite/question.h"
#include "server/db/sqlite/schema_sql.h"

namespace sluice::sqlite {
namespace {

using db::Token;
using db::TokenKind;

// Words that can stand right behind a table's name and are no alias of it.
constexpr absl::string_view kNoAliases[] = {
    "as",     "cross",     "default",   "except", "full",   "group",   "having", "indexed",
    "inner",  "intersect", "join",      "left",   "limit",  "natural", "not",    "on",
    "order",  "outer",     "returning", "right",  "select", "set",     "union",  "using",
    "values", "where",     "window",    "from",   "and",    "or",      "is",     "in"};

bool IsName(const Token& token) {
  return token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedName;
}

bool CanBeAlias(const Token& token) {
  if (token.kind == TokenKind::kQuotedName) return true;
  return token.kind == TokenKind::kWord &&
         std::find(std::begin(kNoAliases), std::end(kNoAliases),
                   absl::AsciiStrToLower(token.text)) == std::end(kNoAliases);
}

std::string Lowered(absl::string_view name) {
  return absl::AsciiStrToLower(name);
}

}  // namespace

absl::StatusOr<std::vector<SchemaObject>> ReadObjects(Connection& connection, Watch& watch) {
  Question question(connection, watch);
  TRY_STATUS(
      question.Ask("SELECT type, name, tbl_name, sql, rootpage FROM sqlite_schema"
                   " WHERE type <> 'trigger'"));
  std::vector<SchemaObject> objects;
  while (true) {
    TRY(const bool row, question.Next());
    if (!row) return objects;
    objects.push_back({question.Text(0), question.Text(1), question.Text(2), question.Text(3),
                       question.Number(4)});
  }
}

PlanNames::PlanNames(const std::vector<SchemaObject>& objects, absl::string_view sql) {
  for (const SchemaObject& object : objects) {
    auto& map = object.type == "index" ? indexes_ : relations_;
    map.emplace(Lowered(object.name), &object);
  }
  Objects views;
  Read(sql, views);
  for (size_t i = 0; i < views.size() && i < kMostViews; ++i) Read(views[i]->sql, views);
  complete_ = views.size() <= kMostViews;
}

void PlanNames::Read(absl::string_view sql, Objects& views) {
  std::vector<Token> tokens;
  db::Lexer lexer(sql, db::Dialect::kSqlite);
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind != TokenKind::kSpace && token.kind != TokenKind::kComment) {
      tokens.push_back(token);
    }
  }
  tokens.resize(tokens.size() + 2);  // so that a look ahead needs no care
  for (size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (!IsName(tokens[i])) continue;
    std::string word = Lowered(Unquoted(tokens[i].text));
    // Right behind a parenthesis it belongs to FILTER, which leaves out no row.
    if (word == "where" && tokens[i].kind == TokenKind::kWord) {
      has_condition_ = has_condition_ || i == 0 || tokens[i - 1].kind != TokenKind::kOpen;
    }
    const auto found = relations_.find(word);
    words_.insert(std::move(word));
    if (found == relations_.end()) continue;
    if (found->second->type == "view" && seen_.insert(found->second).second) {
      views.push_back(found->second);
    }
    const size_t alias = absl::EqualsIgnoreCase(tokens[i + 1].text, "as") ? i + 2 : i + 1;
    if (CanBeAlias(tokens[alias])) {
      aliases_[Lowered(Unquoted(tokens[alias].text))].push_back(found->second);
    }
  }
}

const SchemaObject* PlanNames::TableWith(absl::string_view index) const {
  const SchemaObject* const used = FindIndex(index);
  if (used == nullptr) return nullptr;
  const auto found = relations_.find(Lowered(used->table));
  return found == relations_.end() ? nullptr : found->second;
}

PlanNames::Objects PlanNames::Called(absl::string_view name) const {
  Objects called;
  if (const auto alias = aliases_.find(Lowered(name)); alias != aliases_.end()) {
    called = alias->second;
  }
  if (const auto own = relations_.find(Lowered(absl::StripPrefix(name, "main.")));
      own != relations_.end()) {
    called.push_back(own->second);
  }
  return called;
}

const SchemaObject* PlanNames::TableOf(absl::string_view name) const {
  const Objects called = Called(name);
  if (!complete_ || called.empty() || called.front()->type != "table") return nullptr;
  const bool one = std::all_of(called.begin(), called.end(), [&called](const SchemaObject* each) {
    return each == called.front();
  });
  return one ? called.front() : nullptr;
}

const SchemaObject* PlanNames::TableOf(absl::string_view name, absl::string_view table) const {
  const auto found = relations_.find(Lowered(table));
  if (table.empty() || found == relations_.end()) return nullptr;
  const Objects called = Called(name);
  const bool fits = !complete_ || called.empty() ||
                    std::find(called.begin(), called.end(), found->second) != called.end();
  return fits ? found->second : nullptr;
}

const SchemaObject* PlanNames::FindIndex(absl::string_view name) const {
  const auto found = indexes_.find(Lowered(name));
  return found == indexes_.end() ? nullptr : found->second;
}

bool PlanNames::IsTaken(absl::string_view name) const {
  return relations_.contains(Lowered(name)) || indexes_.contains(Lowered(name));
}

bool PlanNames::Mentions(absl::string_view word) const {
  return words_.contains(Lowered(word));
}

}  // namespace sluice::sqlite
