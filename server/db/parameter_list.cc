#include "server/db/parameter_list.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/utf8.h"

namespace sluice::db {
namespace {

constexpr size_t kShownBytes = 64;

std::string Shown(absl::string_view text) {
  return SanitizeForMessage(std::string_view(text.data(), text.size()), kShownBytes);
}

}  // namespace

ParameterCollector::ParameterCollector(Dialect dialect)
    : dialect_(dialect),
      limit_(dialect == Dialect::kSqlite ? kMaxSqliteParameters : kMaxPostgresParameters) {}

void ParameterCollector::Add(const Token& token, Place place) {
  if (!list_.problem.ok()) return;
  switch (token.form) {
    case ParameterForm::kBare:
      if (!numbers_.empty()) {
        return Refuse("`?` stands beside numbered parameters", place,
                      "number all of them, or none");
      }
      bare_ = true;
      Append(token, last_index_ + 1, place).number = ++list_.numbered;
      return;
    case ParameterForm::kNumbered:
      return AddNumbered(token, place);
    case ParameterForm::kNamed:
      return AddNamed(token, place);
    case ParameterForm::kUnusable:
      return RefuseUnusable(token.text, place);
  }
}

void ParameterCollector::AddNumbered(const Token& token, Place place) {
  if (bare_) {
    return Refuse(absl::StrCat("numbered ", Shown(token.text), " stands beside `?`"), place,
                  "number all of them, or none");
  }
  int number = 0;
  if (!absl::SimpleAtoi(token.text.substr(1), &number) || number < 1 || number > limit_) {
    return Refuse(absl::StrCat("parameters are numbered from 1 to ", limit_, ", and this one is ",
                               Shown(token.text)),
                  place);
  }
  // To SQLite `$5` is a name, which takes the next free index as names do.
  if (dialect_ == Dialect::kSqlite && token.text[0] == '$') {
    if (!texts_.insert(token.text).second) return;
    Append(token, last_index_ + 1, place).number = number;
  } else {
    const auto taken = by_index_.find(number);
    if (taken == by_index_.end()) {
      Append(token, number, place).number = number;
    } else if (const Parameter& other = list_.all[taken->second]; other.number != number) {
      return Refuse(absl::StrCat("SQLite takes ", Shown(token.text), " and the earlier ",
                                 Shown(other.text), " for one parameter"),
                    place, absl::StrCat("write $", number, " instead of ?", number));
    }
  }
  numbers_.insert(number);
  list_.numbered = std::max(list_.numbered, number);
}

void ParameterCollector::AddNamed(const Token& token, Place place) {
  if (!texts_.insert(token.text).second) return;
  const absl::string_view name = token.text.substr(1);
  names_.insert(name);
  // PostgreSQL has numbers only; Finish gives the names theirs, after all others.
  const int index = dialect_ == Dialect::kSqlite ? last_index_ + 1 : 0;
  Append(token, index, place).name = std::string(name);
}

Parameter& ParameterCollector::Append(const Token& token, int index, Place place) {
  if (index > limit_ || list_.all.size() >= static_cast<size_t>(limit_)) {
    Refuse(absl::StrCat("a statement has at most ", limit_, " parameters"), place);
  }
  last_index_ = std::max(last_index_, index);
  if (index > 0) by_index_.emplace(index, list_.all.size());
  Parameter& parameter = list_.all.emplace_back();
  parameter.form = token.form;
  parameter.text = std::string(token.text);
  parameter.index = index;
  parameter.place = place;
  return parameter;
}

ParameterList ParameterCollector::Finish() && {
  if (list_.problem.ok() && !bare_ && static_cast<size_t>(list_.numbered) != numbers_.size()) {
    RefuseGap();
  }
  list_.named = static_cast<int>(names_.size());
  if (dialect_ == Dialect::kPostgres) {
    int index = list_.numbered;
    for (Parameter& parameter : list_.all) {
      if (parameter.form == ParameterForm::kNamed) parameter.index = ++index;
    }
    if (index > limit_ && list_.problem.ok()) {
      Refuse(absl::StrCat("a statement has at most ", limit_, " parameters"), Place());
    }
  }
  return std::move(list_);
}

void ParameterCollector::RefuseGap() {
  int missing = 1;
  while (numbers_.contains(missing)) ++missing;
  const auto beyond =
      std::find_if(list_.all.begin(), list_.all.end(),
                   [missing](const Parameter& parameter) { return parameter.number > missing; });
  Refuse(absl::StrCat("the statement has ", Shown(beyond->text), " but no parameter ", missing),
         beyond->place, "number parameters from 1 without a gap");
}

void ParameterCollector::RefuseUnusable(absl::string_view text, Place place) {
  const size_t cast = text.find("::");
  if (cast == absl::string_view::npos) {
    return Refuse(absl::StrCat("SQLite reads ", Shown(text), " as one parameter's name"), place,
                  "write parameters as ?, $1 or :name, and a space before a parenthesis");
  }
  const absl::string_view value = text.substr(0, cast);
  const absl::string_view type = text.substr(cast + 2);
  Refuse(
      absl::StrCat("SQLite reads ", Shown(text), " as one parameter's name; it has no `::`"), place,
      absl::StrCat("write CAST(", Shown(value), " AS ", type.empty() ? "type" : Shown(type), ")"));
}

void ParameterCollector::Refuse(absl::string_view why, Place place, absl::string_view hint) {
  if (list_.problem.ok()) {
    list_.problem = errors::ParameterInvalidAt("sql", why, place.position, hint);
  }
}

}  // namespace sluice::db
