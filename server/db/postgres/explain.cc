#include "server/db/postgres/explain.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/lexer.h"
#include "server/db/postgres/catalog_sql.h"
#include "server/db/postgres/schema.h"
#include "server/db/postgres/session_settings.h"

namespace sluice::postgres {
namespace {

// Verbs of statements that the server makes a plan for.
constexpr absl::string_view kPlanned[] = {"SELECT", "VALUES", "TABLE", "INSERT",
                                          "UPDATE", "DELETE", "MERGE"};

// Words of what may make a NULL of a column that has none: outer joins, grouping sets, set
// operations, and RETURNING of a row that was not there.
constexpr absl::string_view kMayBringNull[] = {"LEFT",  "RIGHT", "FULL",      "ROLLUP",
                                               "CUBE",  "SETS",  "INTERSECT", "EXCEPT",
                                               "UNION", "OLD",   "NEW"};

template <size_t n>
bool IsOneOf(absl::string_view word, const absl::string_view (&words)[n]) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

bool MayBringNull(absl::string_view sql) {
  db::Lexer lexer(sql, db::Dialect::kPostgres);
  for (db::Token token = lexer.Next(); token.kind != db::TokenKind::kEnd; token = lexer.Next()) {
    const bool word = token.kind == db::TokenKind::kWord;
    if (word && IsOneOf(absl::AsciiStrToUpper(token.text), kMayBringNull)) return true;
  }
  return false;
}

Setting ReadingOnly() {
  Setting setting;
  setting.read_only = true;
  return setting;
}

// Has the server compile the statement, and puts what it says into the plan. Never from what was
// known before: tables change.
Task<absl::StatusOr<Trial>> Compile(Backend& backend, Link& link, Caller& caller, Plan& plan) {
  const Setting setting = ReadingOnly();
  link.connection().Prepare("", plan.sql, plan.asked);
  link.connection().Describe("");
  Trial trial = co_await backend.runner().Go(link, caller, nullptr, 1, setting);
  if (!trial.status.ok()) co_return trial.status;
  const Result& description = trial.trip->results[1];
  std::vector<Oid> missing;
  for (int i = 0; i < description.parameters(); ++i) {
    backend.types().AppendMissing(description.parameter(i), missing);
  }
  for (int i = 0; i < description.columns(); ++i) {
    backend.types().AppendMissing(description.type(i), missing);
  }
  if (!missing.empty()) {
    CO_CHECK(co_await backend.runner().LearnTypes(link, caller, std::move(missing)));
  }
  backend.runner().Keep(description, plan);
  co_return trial;
}

// The numbered ones in order, then the named ones in the order of their first use.
void AddParameters(const Plan& plan, const TypeBook& types, pb::DescribeResponse& response) {
  const auto add = [&](int index) -> pb::Parameter& {
    pb::Parameter& parameter = *response.add_parameters();
    const auto place = static_cast<size_t>(index) - 1;
    if (place >= plan.parameters.size()) return parameter;
    parameter.set_type(types.ValueTypeOf(plan.parameters[place]));
    const Type* const type = types.Find(plan.parameters[place]);
    if (type != nullptr) parameter.set_native_type(type->name);
    return parameter;
  };
  const db::ParameterList& list = plan.shape.parameters;
  std::vector<int> indexes(static_cast<size_t>(list.numbered), 0);
  for (const db::Parameter& each : list.all) {
    if (each.name.empty()) indexes[static_cast<size_t>(each.number) - 1] = each.index;
  }
  for (int i = 1; i <= list.numbered; ++i) add(indexes[static_cast<size_t>(i) - 1]).set_number(i);
  std::set<std::string> named;
  for (const db::Parameter& each : list.all) {
    if (each.name.empty() || !named.insert(each.name).second) continue;
    add(each.index).set_name(Shown(each.name));
  }
}

// A column of a table that may hold NULL is one that may be NULL. Of one that may not, that is said
// only where nothing in the statement makes a NULL of it.
Task<absl::Status> AddNullable(Backend& backend,
                               Link& link,
                               Caller& caller,
                               const Result& description,
                               absl::string_view sql,
                               pb::DescribeResponse& response) {
  std::vector<int> columns;
  std::vector<Oid> tables;
  std::vector<int> numbers;
  for (int i = 0; i < description.columns(); ++i) {
    if (description.table(i) == 0) continue;
    columns.push_back(i);
    tables.push_back(description.table(i));
    numbers.push_back(description.table_column(i));
  }
  if (columns.empty()) co_return absl::OkStatus();
  ParameterValues values;
  values.Add(absl::StrCat("{", absl::StrJoin(tables, ","), "}"), Format::kText);
  values.Add(absl::StrCat("{", absl::StrJoin(numbers, ","), "}"), Format::kText);
  const Setting setting = ReadingOnly();
  link.connection().Run(kNotNullSql, values, Format::kText);
  const Trial trial = co_await backend.runner().Go(link, caller, nullptr, 0, setting);
  if (!trial.status.ok()) co_return trial.status;
  const Result& result = trial.trip->results[0];
  const bool unsure = MayBringNull(sql);
  for (int row = 0; row < result.rows(); ++row) {
    const auto place = static_cast<size_t>(NumberAt(result, row, 0)) - 1;
    const bool nullable = !TruthAt(result, row, 1);
    if (place >= columns.size() || (!nullable && unsure)) continue;
    response.mutable_columns(columns[place])->set_nullable(nullable);
  }
  co_return absl::OkStatus();
}

// As many NULLs as there are parameters: what stands there does not matter to a generic plan.
std::string AnyValues(size_t count) {
  return absl::StrJoin(std::vector<absl::string_view>(count, "NULL"), ", ");
}

}  // namespace

Task<absl::StatusOr<pb::DescribeResponse>> DescribeStatement(Backend& backend,
                                                             Caller& caller,
                                                             const db::Statement& statement) {
  if (backend.closing()) co_return errors::PoolClosed();
  const std::shared_ptr<Plan> plan = MakePlan(statement.sql());
  CO_CHECK(plan->refusal);
  CO_TRY(Lease lease, co_await backend.pool().Acquire(caller));
  CO_TRY(const Trial compiled, co_await Compile(backend, lease, caller, *plan));
  CO_CHECK(plan->shape.parameters.problem);
  pb::DescribeResponse response;
  pb::QueryResponse head;  // of which the columns are the wire form
  if (!head.ParseFromString(plan->encoded_columns)) {
    co_return errors::Internal("Columns without a form");
  }
  *response.mutable_columns() = std::move(*head.mutable_columns());
  AddParameters(*plan, backend.types(), response);
  response.set_read_only(plan->reads);
  response.set_command(plan->shape.verb);
  response.set_has_columns(plan->has_columns);
  CO_CHECK(
      co_await AddNullable(backend, lease, caller, compiled.trip->results[1], plan->sql, response));
  co_return response;
}

Task<absl::StatusOr<std::string>> ExplainStatement(Backend& backend,
                                                   Caller& caller,
                                                   const db::Statement& statement,
                                                   bool analyze) {
  if (backend.closing()) co_return errors::PoolClosed();
  PlanBook own;
  const std::shared_ptr<Plan> plan = own.Find(statement);
  CO_CHECK(plan->refusal);
  if (plan->shape.explain) {
    co_return errors::StatementRefused("EXPLAIN of an EXPLAIN is not run", "the statement alone");
  }
  if (analyze && statement.read_only && !plan->may_read_only) {
    co_return errors::ReadOnlyViolation("the call is read-only");
  }
  CO_TRY(Lease lease, co_await backend.pool().Acquire(caller));
  Connection& connection = lease.connection();
  Setting setting = ReadingOnly();  // whatever happens, nothing will have been written
  setting.read_only_policy = !analyze || statement.read_only;
  const absl::string_view begin = setting.read_only_policy ? "BEGIN READ ONLY" : "BEGIN";
  // From here to ROLLBACK in one transaction; one that is left open is rolled back with the lease.
  const bool entered = statement.session != nullptr;
  if (entered) {
    connection.Run(begin);
    connection.Run(EnterSql(*statement.session), EnterValues(*statement.session), Format::kText);
    const Trial trial = co_await backend.runner().Go(lease, caller, nullptr, 1, setting);
    if (!trial.status.ok()) co_return trial.status;
  }
  CO_TRY(const Trial compiled, co_await Compile(backend, lease, caller, *plan));
  CO_CHECK(plan->shape.parameters.problem);
  const bool planned = IsOneOf(plan->shape.verb, kPlanned);
  if (!planned && analyze) {
    co_return errors::StatementRefused(
        absl::StrCat(plan->shape.verb, " has no plan to measure and is not run"), "Query");
  }
  const bool bound = analyze || !statement.params().empty() || !statement.named_params().empty();
  ParameterValues values;
  if (bound) {
    CO_CHECK(backend.runner().Bind(*plan, statement, values));
  }
  if (!planned) co_return std::string();

  // To plan is to run functions, those that are immutable at least.
  lease.Leaves(backend.HygieneOf(*plan));
  if (!entered) connection.Run(begin);
  int first = entered ? 0 : 1;
  if (bound || plan->parameters.empty()) {
    const absl::string_view options = analyze ? "ANALYZE, BUFFERS, " : "";
    connection.Run(absl::StrCat("EXPLAIN (", options, "FORMAT JSON) ", plan->sql), plan->parameters,
                   values, Format::kText);
  } else {
    // A failure in between leaves the transaction open, and so has the session reset.
    connection.Run("SET LOCAL plan_cache_mode = force_generic_plan");
    connection.Run(absl::StrCat("PREPARE sluice_explain AS ", plan->sql));
    connection.Run(absl::StrCat("EXPLAIN (FORMAT JSON) EXECUTE sluice_explain(",
                                AnyValues(plan->parameters.size()), ")"));
    connection.Run("DEALLOCATE sluice_explain");
    first += 2;
  }
  connection.Run("ROLLBACK");
  const Trial trial = co_await backend.runner().Go(lease, caller, nullptr, first, setting);
  if (!trial.status.ok()) co_return trial.status;
  const Result& result = trial.trip->results[static_cast<size_t>(first)];
  if (result.rows() == 0) co_return errors::Internal("A plan without a row");
  co_return std::string(result.text(0, 0));
}

}  // namespace sluice::postgres
