// SQL dumps: rows of INSERT statements as loads, everything else as statements, in order.
#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "client/cli/csv.h"
#include "client/cli/import.h"
#include "client/cli/sql_insert.h"
#include "client/cli/sql_lexer.h"
#include "client/cli/sql_script.h"

namespace sluice::cli {
namespace {

// Statements that are sent together.
constexpr int kMaxSteps = 200;
constexpr size_t kMaxStepBytes = 1 << 20;
// What a request has beside its statement, and more.
constexpr size_t kAroundStep = 256;

enum class Kind { kStatement, kLeftOut, kRollback };

// What only the sqlite3 shell needs around a dump: transactions, which this import has by itself,
// and settings.
Kind KindOf(absl::string_view statement) {
  SqlLexer lexer(statement);
  const Token first = lexer.Next();
  if (first.Is("ROLLBACK")) return Kind::kRollback;
  for (const char* word : {"BEGIN", "COMMIT", "END", "PRAGMA", "SAVEPOINT", "RELEASE"}) {
    if (first.Is(absl::string_view(word))) return Kind::kLeftOut;
  }
  return Kind::kStatement;
}

class DumpImport {
 public:
  DumpImport(Session& session, Input& input, size_t max_request_bytes)
      : session_(session),
        options_(session.options.import),
        input_(input),
        max_request_bytes_(max_request_bytes),
        max_step_bytes_(std::min(kMaxStepBytes, max_request_bytes / 2)),
        name_(NameOf(options_.file)),
        progress_(session, "rows") {}

  ExitCode Run() {
    ScriptReader reader(&input_);
    ScriptStatement statement;
    while (GoingOn()) {
      const auto read = reader.Next(&statement);
      if (!read.ok()) return FailFile(read.status());
      if (!*read) break;
      if (!IsCleanText(statement.text)) {
        return FailFile(absl::InvalidArgumentError(
            absl::StrCat("line ", statement.line, ": the statement here is not UTF-8")));
      }
      Take(statement);
      progress_.Show(rows_, input_.Consumed(), input_.Size());
    }
    EndLoad();
    SendSteps();
    progress_.Clear();
    return Report();
  }

 private:
  bool GoingOn() const {
    return code_ == kExitOk ||
           (options_.write.mode == v1::BATCH_MODE_CONTINUE && code_ == kExitFailed);
  }

  ExitCode FailFile(const absl::Status& status) {
    EndLoad();
    SendSteps();
    progress_.Clear();
    Complain(session_, absl::StrCat(name_, ": ", status.message()));
    Remember(absl::IsCancelled(status) ? kExitEnded : kExitFailed);
    ended_early_ = true;
    return Report();
  }

  // What fits into no request is not sent.
  void FailSize(int64_t line, absl::string_view what) {
    progress_.Clear();
    CallContext context;
    context.place = absl::StrCat("line ", line, " of ", name_);
    const absl::Status status = client::LocalError(absl::StatusCode::kResourceExhausted,
                                                   "VALUE_TOO_LARGE", client::Executed::kNo, what);
    Remember(Fail(session_, client::DecodeError(status), context));
  }

  void Take(const ScriptStatement& statement) {
    InsertTarget target;
    if (ParseInsert(statement.text, &target, &parsed_)) return TakeRows(target, statement.line);
    EndLoad();
    switch (KindOf(statement.text)) {
      case Kind::kLeftOut:
        ++left_out_;
        return;
      case Kind::kRollback:
        progress_.Clear();
        Warn(session_, absl::StrCat("line ", statement.line,
                                    ": ROLLBACK: whoever wrote this dump did not finish it"));
        ++left_out_;
        return;
      case Kind::kStatement:
        break;
    }
    const size_t bytes = statement.text.size();
    if (steps_.steps_size() >= kMaxSteps || step_bytes_ + bytes > max_step_bytes_) SendSteps();
    if (!GoingOn()) return;
    if (bytes + kAroundStep > max_request_bytes_) {
      return FailSize(statement.line, absl::StrCat("the statement takes ", SizeText(bytes),
                                                   ", and the server no request above ",
                                                   SizeText(max_request_bytes_)));
    }
    steps_.add_steps()->set_sql(std::string(statement.text));
    step_lines_.push_back(statement.line);
    step_bytes_ += bytes;
  }

  void TakeRows(const InsertTarget& target, int64_t line) {
    SendSteps();
    if (!GoingOn()) return;
    if (!loader_ || !(target == target_)) {
      EndLoad();
      if (!GoingOn()) return;
      target_ = target;
      loader_.emplace(session_, Header(), name_, max_request_bytes_);
    }
    absl::StatusOr<bool> open = true;
    while (!parsed_.Empty() && open.ok() && *open) {
      parsed_.MoveFirstRow(&loader_->Row());
      open = loader_->AddedRow(line);
      ++rows_;
    }
    if (!open.ok()) return BreakLoad(open.status(), line);
    if (!*open) EndLoad();
  }

  // A row cannot be sent: an atomic load is rolled back by leaving.
  void BreakLoad(const absl::Status& status, int64_t line) {
    if (options_.write.mode == v1::BATCH_MODE_ATOMIC) {
      loader_.reset();
    } else {
      EndLoad();
    }
    FailSize(line, status.message());
  }

  v1::BulkInsertRequest Header() const {
    v1::BulkInsertRequest header;
    header.set_connection_id(session_.options.connection_id);
    header.set_schema(target_.schema);
    header.set_table(target_.table);
    for (const std::string& column : target_.columns) header.add_columns(column);
    header.set_on_conflict(options_.on_conflict);
    header.set_mode(options_.write.mode);
    return header;
  }

  void EndLoad() {
    if (!loader_) return;
    if (loads_.empty() || loads_.back().table != target_.table) loads_.emplace_back();
    progress_.Clear();
    Remember(loader_->Finish(&loads_.back()));
    loader_.reset();
  }

  // Keeps the first code that is not 0.
  void Remember(ExitCode code) {
    if (code_ == kExitOk) code_ = code;
  }

  void SendSteps() {
    if (steps_.steps_size() == 0 || !GoingOn()) return;
    steps_.set_connection_id(session_.options.connection_id);
    steps_.set_mode(options_.write.mode);
    const auto response = session_.client.ExecuteBatch(steps_, session_.Call());
    if (!response.ok()) {
      const client::Error error = client::DecodeError(response.status());
      const auto step = error.metadata.find("step");
      size_t index = step_lines_.size();
      if (step != error.metadata.end() && !absl::SimpleAtoi(step->second, &index)) {
        index = step_lines_.size();
      }
      FailStep(error, index);
    } else {
      statements_ += response->results_size() - response->failed();
      for (const v1::StepResult& result : response->results()) {
        if (result.has_error()) {
          FailStep(client::DecodeError(result.error()), static_cast<size_t>(result.step()));
        }
      }
    }
    steps_.Clear();
    step_lines_.clear();
    step_bytes_ = 0;
  }

  void FailStep(const client::Error& error, size_t step) {
    progress_.Clear();
    CallContext context;
    if (step < step_lines_.size()) {
      context.sql = steps_.steps(static_cast<int>(step)).sql();
      context.place = absl::StrCat("line ", step_lines_[step], " of ", name_);
    }
    Remember(Fail(session_, error, context));
  }

  ExitCode Report() {
    const ExitCode printed = PrintLoads(session_, loads_, progress_);
    Note(session_, absl::StrCat(CountOf(statements_, "other statement"), " executed"));
    if (left_out_ > 0) {
      Note(session_, absl::StrCat("left out ", CountOf(left_out_, "statement"),
                                  " of the dump's own: BEGIN, COMMIT, PRAGMA"));
    }
    const bool stopped = ended_early_ || options_.write.mode != v1::BATCH_MODE_CONTINUE;
    if (code_ != kExitOk && stopped) {
      Note(session_, "what is above the failure is done: a dump is not one transaction");
    }
    return code_ == kExitOk ? printed : code_;
  }

  Session& session_;
  const ImportOptions& options_;
  Input& input_;
  const size_t max_request_bytes_;
  const size_t max_step_bytes_;
  const std::string name_;
  Progress progress_;

  std::optional<Loader> loader_;  // of the rows that came last
  InsertTarget target_;           // its table
  client::RowBuffer parsed_;      // rows of one INSERT
  int64_t rows_ = 0;

  v1::ExecuteBatchRequest steps_;  // statements that wait to be sent
  std::vector<int64_t> step_lines_;
  size_t step_bytes_ = 0;

  std::vector<LoadResult> loads_;
  int64_t statements_ = 0;
  int64_t left_out_ = 0;
  bool ended_early_ = false;  // the rest of the file cannot be read
  ExitCode code_ = kExitOk;
};

}  // namespace

ExitCode ImportSql(Session& session, Input& input, size_t max_request_bytes) {
  return DumpImport(session, input, max_request_bytes).Run();
}

}  // namespace sluice::cli
