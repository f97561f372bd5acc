// `sluice batch`.
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/json_rows.h"
#include "client/cli/json_text.h"
#include "client/cli/message_json.h"
#include "client/cli/sql_script.h"
#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

constexpr size_t kMaxExecutions = 10'000;

// What is sent, and where each part of it stands for the reader.
struct Plan {
  std::string name;    // of the file
  std::string script;  // what positions are shown in
  std::vector<ScriptStatement> statements;
  std::vector<int64_t> set_lines;  // of the sets of values, where there is one statement
};

absl::Status TooMany(const Plan& plan, absl::string_view what, size_t count) {
  return absl::InvalidArgumentError(absl::StrCat(plan.name, " has ", count, " ", what,
                                                 ", and a batch takes up to ", kMaxExecutions,
                                                 ": split it, or load it with sluice import"));
}

absl::Status PlanScript(const BatchOptions& options, std::stop_token stop, Plan* plan) {
  plan->name = NameOf(options.file);
  auto script = ReadText(options.file, std::move(stop));
  if (!script.ok()) return script.status();
  plan->script = *std::move(script);
  auto statements = SplitScript(plan->script);
  if (!statements.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(plan->name, ": ", statements.status().message()));
  }
  plan->statements = *std::move(statements);
  if (plan->statements.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(plan->name, " has no statement"));
  }
  if (plan->statements.size() > kMaxExecutions) {
    return TooMany(*plan, "statements", plan->statements.size());
  }
  return absl::OkStatus();
}

absl::Status PlanSets(const BatchOptions& options,
                      std::stop_token stop,
                      Plan* plan,
                      v1::BatchStep* step) {
  plan->name = NameOf(options.params_file);
  plan->script = options.sql;
  plan->statements = {{plan->script, 0, 1}};
  auto input = Input::Open(options.params_file, std::move(stop));
  if (!input.ok()) return input.status();
  absl::Status status = SkipByteOrderMark(&*input);
  if (!status.ok()) return status;
  JsonRowReader reader(&*input);
  for (;;) {
    const auto read = reader.Next();
    if (!read.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(plan->name, ": ", read.status().message()));
    }
    if (!*read) break;
    plan->set_lines.push_back(reader.Line());
    if (plan->set_lines.size() > kMaxExecutions) continue;
    v1::ParameterSet& set = *step->add_parameter_sets();
    for (size_t i = 0; i < reader.Values().size(); ++i) {
      v1::Value& value = reader.Values()[i];
      if (reader.Names().empty()) {
        *set.add_params() = std::move(value);
      } else {
        (*set.mutable_named_params())[reader.Names()[i]] = std::move(value);
      }
    }
  }
  if (plan->set_lines.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(plan->name, " has no sets of values"));
  }
  if (plan->set_lines.size() > kMaxExecutions) {
    return TooMany(*plan, "sets of values", plan->set_lines.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ExecuteBatchRequest> MakeRequest(Session& session, Plan* plan) {
  const BatchOptions& options = session.options.batch;
  v1::ExecuteBatchRequest request;
  request.set_connection_id(session.options.connection_id);
  request.set_mode(options.write.mode);
  request.set_read_only(options.read_only);
  request.set_validate_only(options.write.validate_only);
  request.set_max_affected_rows(options.write.max_affected_rows);
  request.set_request_id(options.write.request_id);
  SelectTransaction(session, &request);
  absl::Status status;
  if (options.file.empty()) {
    v1::BatchStep& step = *request.add_steps();
    step.set_sql(options.sql);
    status = PlanSets(options, session.stop, plan, &step);
  } else {
    status = PlanScript(options, session.stop, plan);
    for (const ScriptStatement& statement : plan->statements) {
      request.add_steps()->set_sql(std::string(statement.text));
    }
  }
  if (!status.ok()) return status;
  return request;
}

// Where an execution stands in its file: `statement 2, line 7 of setup.sql`.
std::string Place(const Plan& plan, size_t step, size_t set) {
  if (!plan.set_lines.empty()) {
    return set < plan.set_lines.size()
               ? absl::StrCat("line ", plan.set_lines[set], " of ", plan.name)
               : "";
  }
  if (step >= plan.statements.size()) return "";
  return absl::StrCat("statement ", step + 1, ", line ", plan.statements[step].line, " of ",
                      plan.name);
}

int64_t LineOf(const Plan& plan, const v1::StepResult& result) {
  const auto step = static_cast<size_t>(result.step());
  const auto set = static_cast<size_t>(result.parameter_set());
  if (!plan.set_lines.empty()) return set < plan.set_lines.size() ? plan.set_lines[set] : 0;
  return step < plan.statements.size() ? plan.statements[step].line : 0;
}

CallContext ContextOf(const Plan& plan, size_t step, size_t set, bool read_only) {
  CallContext context;
  context.sql = plan.script;
  context.read_only = read_only;
  context.place = Place(plan, step, set);
  if (step < plan.statements.size()) {
    const absl::string_view before =
        absl::string_view(plan.script).substr(0, plan.statements[step].offset);
    for (size_t pos = 0; pos < before.size(); pos += DecodeAt(before, pos).bytes) ++context.start;
  }
  return context;
}

ExitCode FailBatch(Session& session, const Plan& plan, const absl::Status& status) {
  const client::Error error = client::DecodeError(status);
  const auto number = [&](const char* name, size_t otherwise) {
    const auto fact = error.metadata.find(name);
    size_t value = 0;
    return fact != error.metadata.end() && absl::SimpleAtoi(fact->second, &value) ? value
                                                                                  : otherwise;
  };
  const size_t step = number("step", plan.statements.size());
  return Fail(session, error,
              ContextOf(plan, step, number("parameter_set", 0), session.options.batch.read_only));
}

// An execution as one JSON object; its rows as objects.
void AppendJsonResult(const Plan& plan, const v1::StepResult& result, std::string* out) {
  absl::StrAppend(out, "{\"step\":", result.step(), ",\"parameter_set\":", result.parameter_set(),
                  ",\"line\":", LineOf(plan, result), ",\"command_tag\":");
  AppendJsonString(result.command_tag(), out);
  absl::StrAppend(out, ",\"rows_affected\":", result.rows_affected(),
                  ",\"last_insert_rowid\":", result.last_insert_rowid(), ",\"rows\":");
  if (result.has_columns()) {
    AppendJsonRows(result.columns(), result.rows(), out);
  } else {
    absl::StrAppend(out, "null");
  }
  absl::StrAppend(out, ",\"truncated\":", result.truncated() ? "true" : "false", ",\"error\":");
  if (result.has_error()) {
    AppendMessageJson(result.error(), out);
  } else {
    absl::StrAppend(out, "null");
  }
  out->push_back('}');
}

// What one execution did, without its rows.
std::string Summary(const v1::StepResult& result) {
  if (result.has_error()) {
    return absl::StrCat("failed, ", result.error().reason().empty() ? "no reason was given"
                                                                    : result.error().reason());
  }
  std::string text =
      result.has_columns() ? CountOf(result.rows_size(), "row") : result.command_tag();
  if (text.empty()) text = "done";
  if (result.rows_affected() > 0) {
    absl::StrAppend(&text, ", ", CountOf(result.rows_affected(), "row"), " changed");
  }
  return text;
}

// Shows results one after another: a line for each, and its rows as a table. Sets of values of one
// statement without a result are one line.
class ResultPrinter {
 public:
  ResultPrinter(Session& session, const Plan& plan) : session_(session), plan_(plan) {}

  void Print(v1::ExecuteBatchResponse response) {
    RepeatColumns(response);
    switch (session_.format) {
      case Format::kJson:
      case Format::kNdjson:
        return PrintJson(response);
      case Format::kCsv:
      case Format::kMarkdown:
        for (const v1::StepResult& result : response.results()) PrintRows(result);
        return;
      case Format::kTable:
        return PrintText(response);
    }
  }

 private:
  void PrintJson(const v1::ExecuteBatchResponse& response) {
    const bool array = session_.format == Format::kJson;
    std::string& out = session_.out.Buffer();
    if (array) out.push_back('[');
    for (int i = 0; i < response.results_size(); ++i) {
      if (array) absl::StrAppend(&out, i > 0 ? ",\n" : "\n");
      AppendJsonResult(plan_, response.results(i), &out);
      if (!array) out.push_back('\n');
      session_.out.Spill();
    }
    if (array) absl::StrAppend(&out, response.results_size() > 0 ? "\n]\n" : "]\n");
  }

  void PrintText(const v1::ExecuteBatchResponse& response) {
    for (int i = 0; i < response.results_size(); ++i) {
      const v1::StepResult& result = response.results(i);
      int same = 1;
      int64_t changed = result.rows_affected();
      while (Quiet(result) && i + same < response.results_size() &&
             Quiet(response.results(i + same)) &&
             response.results(i + same).step() == result.step()) {
        changed += response.results(i + same).rows_affected();
        ++same;
      }
      const std::string where = plan_.set_lines.empty()
                                    ? absl::StrCat("line ", LineOf(plan_, result))
                                    : absl::StrCat("set at line ", LineOf(plan_, result));
      const std::string what = same > 1 ? absl::StrCat(CountOf(same, "execution"), ", ",
                                                       CountOf(changed, "row"), " changed")
                                        : Summary(result);
      absl::StrAppend(&session_.out.Buffer(),
                      Painted(session_.out_style, Paint::kBold, absl::StrCat(where, ":")), " ",
                      what, "\n");
      PrintRows(result);
      i += same - 1;
      session_.out.Spill();
    }
  }

  // Columns are told once per step.
  static void RepeatColumns(v1::ExecuteBatchResponse& response) {
    const v1::StepResult* told = nullptr;
    for (v1::StepResult& result : *response.mutable_results()) {
      if (result.columns_size() > 0) told = &result;
      const bool lacks = result.has_columns() && result.columns_size() == 0;
      if (!lacks || told == nullptr || told->step() != result.step()) continue;
      *result.mutable_columns() = told->columns();
    }
  }

  static bool Quiet(const v1::StepResult& result) {
    return !result.has_columns() && !result.has_error();
  }

  void PrintRows(const v1::StepResult& result) {
    if (!result.has_columns() || result.has_error()) return;
    const bool between = session_.format != Format::kTable && std::exchange(any_rows_, true);
    if (between) session_.out.Buffer().push_back('\n');
    const auto printer = MakePrinter(session_.format, session_.out_style, {}, &session_.out);
    printer->Begin(result.columns());
    for (const v1::Row& row : result.rows()) printer->Row(row);
    printer->End();
  }

  Session& session_;
  const Plan& plan_;
  bool any_rows_ = false;
};

}  // namespace

ExitCode RunBatch(Session& session) {
  Plan plan;
  const auto request = MakeRequest(session, &plan);
  if (!request.ok()) {
    Complain(session, request.status().message());
    return kExitUsage;
  }
  if (!request->request_id().empty()) {
    Note(session, absl::StrCat("request id ", request->request_id()));
  }
  const auto response = session.client.ExecuteBatch(*request, session.Call());
  if (!response.ok()) return FailBatch(session, plan, response.status());

  ResultPrinter(session, plan).Print(*response);
  const ExitCode code = FinishOutput(session);
  bool cut = false;
  for (const v1::StepResult& result : response->results()) {
    cut = cut || result.truncated();
    if (!result.has_error()) continue;
    Fail(session, client::DecodeError(result.error()),
         ContextOf(plan, static_cast<size_t>(result.step()),
                   static_cast<size_t>(result.parameter_set()), request->read_only()));
  }
  Note(session,
       absl::StrCat(CountOf(response->results_size(), "execution"), ", ", response->failed(),
                    " failed, ", CountOf(response->rows_affected(), "row"), " changed",
                    request->validate_only() ? ", all rolled back" : "", " (",
                    ElapsedText(response->elapsed()), ")"));
  NoteTransaction(session, *response);
  if (cut) Warn(session, "a result was cut: there are more rows; sluice query --stream prints all");
  return code == kExitOk && response->failed() > 0 ? kExitFailed : code;
}

}  // namespace sluice::cli
