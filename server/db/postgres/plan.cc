#include "server/db/postgres/plan.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/db/lexer.h"

namespace sluice::postgres {
namespace {

constexpr absl::string_view kReading[] = {"SELECT", "VALUES", "TABLE"};
constexpr absl::string_view kWriting[] = {"INSERT", "UPDATE", "DELETE", "MERGE"};

// What may leave something behind in a session, wherever it stands: even in a string, which may be
// SQL to a function. `u&` writes names so that no other of these would be found.
constexpr absl::string_view kLeavings[] = {"set_config",  "advisory",      "pg_temp",
                                           "setseed",     "dblink",        "lo_open",
                                           "lo_creat",    "plan_cache",    "u&",
                                           "lastval",     "pg_stat_reset", "pg_export_snapshot",
                                           "pg_settings", "query_to_xml",  "cursor_to_xml",
                                           "currval",     "ts_stat",       "ts_rewrite"};

// A statement of about this size takes more room in the book than its text.
constexpr size_t kPlanBytes = 1024;

template <size_t n>
bool IsOneOf(absl::string_view word, const absl::string_view (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

uint64_t NextId() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

// Named parameters as the numbers that they have.
std::string Numbered(absl::string_view sql, const db::ParameterList& parameters) {
  std::string out;
  db::Lexer lexer(sql, db::Dialect::kPostgres);
  for (db::Token token = lexer.Next(); token.kind != db::TokenKind::kEnd; token = lexer.Next()) {
    const bool named =
        token.kind == db::TokenKind::kParameter && token.form == db::ParameterForm::kNamed;
    const auto found =
        named ? std::find_if(parameters.all.begin(), parameters.all.end(),
                             [&](const db::Parameter& each) { return each.text == token.text; })
              : parameters.all.end();
    if (found == parameters.all.end()) {
      absl::StrAppend(&out, token.text);
    } else {
      absl::StrAppend(&out, "$", found->index);
    }
  }
  return out;
}

// SELECT … INTO makes a table, as does WITH … SELECT … INTO.
bool HasInto(absl::string_view sql) {
  db::Lexer lexer(sql, db::Dialect::kPostgres);
  for (db::Token token = lexer.Next(); token.kind != db::TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind == db::TokenKind::kWord && absl::EqualsIgnoreCase(token.text, "into")) {
      return true;
    }
  }
  return false;
}

// A WITH may have a verb that writes in its list.
bool MayWriteInList(absl::string_view lower) {
  return std::any_of(std::begin(kWriting), std::end(kWriting), [&](absl::string_view verb) {
    return absl::StrContains(lower, absl::AsciiStrToLower(verb));
  });
}

}  // namespace

std::shared_ptr<Plan> MakePlan(absl::string_view sql) {
  auto plan = std::make_shared<Plan>();
  plan->id = NextId();
  plan->shape = db::Inspect(sql, db::Dialect::kPostgres);
  plan->refusal = db::CheckAllowed(plan->shape, db::Dialect::kPostgres);
  plan->sql =
      plan->shape.parameters.named == 0 ? std::string(sql) : Numbered(sql, plan->shape.parameters);
  const std::string lower = absl::AsciiStrToLower(sql);
  const bool with = plan->shape.keyword == "WITH";
  const bool queries = IsOneOf(plan->shape.verb, kReading);
  const auto has = [&](absl::string_view part) { return absl::StrContains(lower, part); };
  const bool makes = queries && has("into") && HasInto(sql) && !(with && MayWriteInList(lower));
  plan->reads = !plan->shape.explain && queries && !makes && !(with && MayWriteInList(lower));
  const bool explains = plan->shape.explain && queries && !absl::StrContains(lower, "analy");
  const absl::string_view verb = plan->shape.verb;
  plan->may_commit = verb == "CALL" || verb == "DO" || verb == "VACUUM" || verb == "REINDEX" ||
                     verb == "CLUSTER" || absl::StrContains(lower, "concurrently");
  plan->may_read_only = plan->reads || explains || plan->shape.verb == "SHOW";
  const bool leaves = makes || std::any_of(std::begin(kLeavings), std::end(kLeavings), has);
  const bool writes = IsOneOf(plan->shape.verb, kWriting) || (with && queries);
  plan->plain = !plan->shape.explain && !leaves && (plan->reads || writes);
  plan->leaves_seed = leaves && has("seed");
  plan->counts = !plan->reads || has("nextval") || has("setval");
  plan->asks_number = has("lastval") || has("currval");
  return plan;
}

std::shared_ptr<Plan> PlanBook::Find(absl::string_view sql) {
  return Find(sql, sql, {});
}

std::shared_ptr<Plan> PlanBook::Find(const db::Statement& statement) {
  if (statement.param_types == nullptr) return Find(statement.sql());
  std::vector<Oid> asked;
  for (const int type : *statement.param_types) {
    asked.push_back(OidFor(static_cast<pb::ValueType>(type)));
  }
  // No SQL has a NUL.
  const std::string key =
      absl::StrCat(statement.sql(), absl::string_view("\0", 1), absl::StrJoin(asked, ","));
  return Find(key, statement.sql(), std::move(asked));
}

std::shared_ptr<Plan> PlanBook::Find(absl::string_view key,
                                     absl::string_view sql,
                                     std::vector<Oid> asked) {
  const auto found = by_text_.find(key);
  if (found != by_text_.end()) {
    order_.splice(order_.begin(), order_, found->second);
    return found->second->plan;
  }
  order_.push_front({std::string(key), MakePlan(sql)});
  order_.front().plan->asked = std::move(asked);
  by_text_[order_.front().text] = order_.begin();
  bytes_ += 2 * key.size() + kPlanBytes;
  while (order_.size() > 1 && (order_.size() > kMost || bytes_ > kMostBytes)) {
    Remove(std::prev(order_.end()));
  }
  return order_.front().plan;
}

void PlanBook::Forget(const Plan& plan) {
  const auto entry = std::find_if(order_.begin(), order_.end(),
                                  [&](const Entry& each) { return each.plan->id == plan.id; });
  if (entry != order_.end()) Remove(entry);
}

void PlanBook::Remove(Order::iterator entry) {
  bytes_ -= 2 * entry->text.size() + kPlanBytes;
  by_text_.erase(entry->text);
  order_.erase(entry);
}

}  // namespace sluice::postgres
