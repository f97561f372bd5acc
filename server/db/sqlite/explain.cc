#include "server/db/sqlite/explain.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/parameters.h"
#include "server/db/sqlite/findings.h"
#include "server/db/sqlite/index_advice.h"
#include "server/db/sqlite/parameter_plan.h"
#include "server/db/sqlite/plan.h"
#include "server/db/sqlite/plan_names.h"
#include "server/db/sqlite/plan_program.h"
#include "server/db/sqlite/question.h"
#include "server/db/sqlite/schema_copy.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

// The numbered ones in order, then the named ones in the order of their first use. `:a`, `@a` and
// `$a` take one value, so they are one.
void AddParameters(const db::ParameterList& list, pb::DescribeResponse& response) {
  for (int i = 1; i <= list.numbered; ++i) response.add_parameters()->set_number(i);
  std::set<std::string> named;
  for (const db::Parameter& parameter : list.all) {
    if (parameter.name.empty() || !named.insert(parameter.name).second) continue;
    response.add_parameters()->set_name(Shown(parameter.name));
  }
}

absl::StatusOr<std::vector<PlanStep>> StepsOf(Connection& connection,
                                              Watch& watch,
                                              const db::Statement& statement,
                                              bool with_values) {
  TRY(const std::unique_ptr<Prepared> plan,
      connection.Compile(absl::StrCat("EXPLAIN QUERY PLAN ", statement.sql())));
  if (with_values) {
    TRY_STATUS(connection.Bind(*plan, statement.params(), statement.named_params()));
  }
  std::vector<PlanStep> steps;
  while (true) {
    TRY(const Connection::Step step, connection.Advance(*plan, &watch));
    if (step == Connection::Step::kDone) return steps;
    steps.push_back(StepOf(plan->stmt));
  }
}

// Values count for the plan, so they do for the program.
absl::StatusOr<PlanProgram> ProgramOf(Connection& connection,
                                      Watch& watch,
                                      const db::Statement& statement,
                                      bool with_values) {
  TRY(const std::unique_ptr<Prepared> listing,
      connection.Compile(absl::StrCat("EXPLAIN ", statement.sql())));
  if (with_values) {
    TRY_STATUS(connection.Bind(*listing, statement.params(), statement.named_params()));
  }
  TRY(std::vector<Instruction> instructions, ReadInstructions(connection, *listing, &watch));
  PlanProgram program;
  for (Instruction& each : instructions) program.Add(std::move(each));
  return program;
}

TablesByPage PagesOf(const std::vector<SchemaObject>& objects) {
  TablesByPage pages;
  for (const SchemaObject& object : objects) {
    if (object.page > 0) pages.emplace(object.page, object.table);
  }
  return pages;
}

absl::StatusOr<std::vector<Statistic>> ReadStatistics(Connection& connection, Watch& watch) {
  Question question(connection, watch);
  std::vector<Statistic> statistics;
  TRY_STATUS(
      question.Ask("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sqlite_stat1'"));
  TRY(const bool analyzed, question.Next());
  if (!analyzed) return statistics;
  TRY_STATUS(question.Ask("SELECT tbl, idx, stat FROM sqlite_stat1"));
  while (true) {
    TRY(const bool row, question.Next());
    if (!row) return statistics;
    statistics.push_back({question.Text(0), question.Text(1), question.Text(2)});
  }
}

}  // namespace

absl::StatusOr<pb::DescribeResponse> DescribeStatement(Connection& connection,
                                                       const db::Statement& statement) {
  TRY(const std::unique_ptr<Prepared> prepared, connection.Compile(statement.sql()));
  const db::ParameterList& parameters = prepared->parameters->shape.parameters;
  TRY_STATUS(parameters.problem);
  pb::DescribeResponse response;
  pb::QueryResponse head;  // of which the columns are the wire form
  if (!head.ParseFromString(prepared->columns)) return errors::Internal("Columns without a form");
  *response.mutable_columns() = std::move(*head.mutable_columns());
  AddParameters(parameters, response);
  response.set_read_only(!prepared->writes);
  response.set_command(prepared->verb);
  response.set_has_columns(prepared->has_columns);
  return response;
}

absl::StatusOr<pb::ExplainResponse> ExplainStatement(Connection& connection,
                                                     Watch& watch,
                                                     const db::Statement& statement) {
  TRY(const std::unique_ptr<Prepared> prepared, connection.Compile(statement.sql()));
  const db::StatementShape& shape = prepared->parameters->shape;
  if (shape.explain) {
    return errors::StatementRefused("EXPLAIN of an EXPLAIN is not run", "the statement alone");
  }
  TRY_STATUS(shape.parameters.problem);
  const bool with_values = !statement.params().empty() || !statement.named_params().empty();
  db::BoundParameters values;
  if (with_values) {
    TRY(values, db::ResolveParameters(shape, statement.params(), statement.named_params(),
                                      db::Dialect::kSqlite));
  }
  TRY(std::vector<PlanStep> steps, StepsOf(connection, watch, statement, with_values));
  TRY(const PlanProgram program, ProgramOf(connection, watch, statement, with_values));
  TRY(const std::vector<SchemaObject> objects, ReadObjects(connection, watch));
  program.NameTables(PagesOf(objects), steps);
  TRY(const std::vector<Statistic> statistics, ReadStatistics(connection, watch));
  const PlanNames names(objects, statement.sql());

  pb::ExplainResponse response;
  *response.mutable_plan() = TreeOf(steps, names);
  response.set_text(TextOf(response.plan()));
  std::vector<pb::PlanFinding> findings = FindingsOf(response.plan(), names);
  const AdviceCase subject{objects, statistics, names, statement.sql(), values, response.plan()};
  AddIndexAdvice(subject, watch, findings);
  TRY_STATUS(CheckEnded(watch));
  for (pb::PlanFinding& finding : findings) *response.add_findings() = std::move(finding);
  return response;
}

}  // namespace sluice::sqlite
