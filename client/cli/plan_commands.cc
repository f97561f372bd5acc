// `sluice describe` and `sluice explain`.
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/records.h"
#include "client/cli/utf8.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

using client::ToValue;

std::string TypeName(v1::ValueType type) {
  if (type == v1::VALUE_TYPE_UNSPECIFIED) return "";
  return EnumWord(v1::ValueType_Name(type), "VALUE_TYPE_");
}

Record ColumnRecord(const v1::Column& column) {
  return {{"column", ToValue(column.name())},
          {"type", ToValue(TypeName(column.type()))},
          {"native_type", ToValue(column.native_type())},
          {"nullable", column.has_nullable() ? ToValue(column.nullable()) : ToValue(nullptr)}};
}

Record ParameterRecord(const v1::Parameter& parameter) {
  return {{"parameter", ToValue(parameter.number() > 0 ? absl::StrCat("?", parameter.number())
                                                       : absl::StrCat(":", parameter.name()))},
          {"type", ToValue(TypeName(parameter.type()))},
          {"native_type", ToValue(parameter.native_type())}};
}

// The nodes of a tree, each after the one that it belongs to.
void Flatten(const v1::PlanNode& node, int64_t depth, std::vector<Record>* records) {
  records->push_back({{"depth", ToValue(depth)},
                      {"operation", ToValue(EnumWord(v1::PlanOperation_Name(node.operation()),
                                                     "PLAN_OPERATION_"))},
                      {"detail", ToValue(node.detail())},
                      {"table", ToValue(node.table())},
                      {"index", ToValue(node.index())},
                      {"full_scan", ToValue(node.full_scan())}});
  for (const v1::PlanNode& child : node.children()) Flatten(child, depth + 1, records);
}

void PrintFindings(Session& session, const v1::ExplainResponse& response) {
  std::string& out = session.out.Buffer();
  if (response.findings_size() > 0) out.push_back('\n');
  std::string said;  // one cure may be good for several findings
  for (const v1::PlanFinding& finding : response.findings()) {
    const std::string kind = EnumWord(v1::PlanFinding::Kind_Name(finding.kind()), "KIND_");
    absl::StrAppend(&out, Painted(session.out_style, Paint::kYellow, kind), ": ");
    AppendPrintableLines(finding.message(), "", &out);
    if (finding.suggestion().empty() || finding.suggestion() == said) continue;
    said = finding.suggestion();
    AppendPrintableLines(said, "  try: ", &out);
  }
}

}  // namespace

ExitCode RunDescribe(Session& session) {
  v1::DescribeRequest request;
  request.set_connection_id(session.options.connection_id);
  request.set_sql(session.sql);
  const auto response = session.client.Describe(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), session.sql, true);
  if (IsJsonForm(session.format)) {
    PrintMessage(session, *response);
    return FinishOutput(session);
  }

  std::vector<Record> parameters;
  for (const auto& parameter : response->parameters()) {
    parameters.push_back(ParameterRecord(parameter));
  }
  std::vector<Record> columns;
  for (const auto& column : response->columns()) columns.push_back(ColumnRecord(column));
  if (session.format == Format::kTable) {
    absl::StrAppend(&session.out.Buffer(), response->command(),
                    response->read_only() ? ", reads only" : ", writes",
                    response->has_columns() ? "" : ", has no result", "\n");
    if (!parameters.empty()) PrintRecords(session, parameters, ParameterRecord({}));
  }
  if (!columns.empty()) PrintRecords(session, columns, ColumnRecord({}));
  return FinishOutput(session);
}

ExitCode RunExplain(Session& session) {
  const QueryOptions& query = session.options.query;
  v1::ExplainRequest request;
  request.set_connection_id(session.options.connection_id);
  request.set_sql(session.sql);
  request.set_analyze(query.analyze);
  for (const v1::Value& value : query.params) *request.add_params() = value;
  for (const auto& [name, value] : query.named_params) {
    (*request.mutable_named_params())[name] = value;
  }
  const auto response = session.client.Explain(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), session.sql, true);
  if (IsJsonForm(session.format)) {
    PrintMessage(session, *response);
    return FinishOutput(session);
  }
  if (session.format != Format::kTable) {
    std::vector<Record> records;
    Flatten(response->plan(), 0, &records);
    PrintRecords(session, records, records.front());
    return FinishOutput(session);
  }
  AppendPrintableLines(response->text(), "", &session.out.Buffer());
  PrintFindings(session, *response);
  const ExitCode code = FinishOutput(session);
  if (query.analyze) {
    Note(session, absl::StrCat("planned in ", ElapsedText(response->planning_time()), ", ran for ",
                               ElapsedText(response->execution_time()), " and was rolled back"));
  }
  return code;
}

}  // namespace sluice::cli
