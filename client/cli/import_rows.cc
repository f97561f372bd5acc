// CSV, TSV and NDJSON into one table.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/cli/csv.h"
#include "client/cli/import.h"
#include "client/cli/numbers.h"
#include "client/cli/request_id.h"
#include "client/cli/row_source.h"
#include "client/cli/sql_lexer.h"

namespace sluice::cli {
namespace {

// Rows that --create looks at.
constexpr size_t kSampleRows = 1000;
// Rows between two looks at the clock.
constexpr int64_t kProgressRows = 4096;

// A row that was read ahead.
struct KeptRow {
  std::vector<std::string> texts;
  std::vector<Cell> cells;
  int64_t line = 0;
};

// A record that takes more than the largest request can hardly become a row that takes less.
std::unique_ptr<RowSource> MakeSource(const ImportOptions& options,
                                      Input* input,
                                      size_t max_request_bytes) {
  const size_t max_bytes = std::max(kMaxRecordBytes, max_request_bytes);
  if (options.form == FileForm::kNdjson) return MakeNdjsonSource(input, options.columns, max_bytes);
  const char delimiter = options.form == FileForm::kTsv ? '\t' : ',';
  return MakeCsvSource(input, delimiter, options.header, max_bytes);
}

// The type that holds everything a column of the sample has.
class GuessedType {
 public:
  void See(const Cell& cell, const std::optional<std::string>& null_text) {
    if (cell.kind == Cell::Kind::kAbsent) return;
    if (cell.kind == Cell::Kind::kValue) return SeeValue(cell.value);
    const bool null = !cell.quoted && (null_text ? cell.text == *null_text : cell.text.empty());
    if (null) return;
    See(SpellingOf(cell.text));
  }

  absl::string_view Name() const {
    if (!any_) return "TEXT";
    return spelling_ == Spelling::kInteger ? "INTEGER"
           : spelling_ == Spelling::kReal  ? "REAL"
                                           : "TEXT";
  }

 private:
  void SeeValue(const v1::Value& value) {
    if (value.has_null_value()) return;
    const bool integer = value.has_int64_value() || value.has_bool_value();
    See(integer                    ? Spelling::kInteger
        : value.has_double_value() ? Spelling::kReal
                                   : Spelling::kNoNumber);
  }

  void See(Spelling spelling) {
    if (!any_ || spelling == Spelling::kNoNumber) {
      spelling_ = any_ && spelling_ == Spelling::kNoNumber ? spelling_ : spelling;
    } else if (spelling_ == Spelling::kInteger) {
      spelling_ = spelling;
    }
    any_ = true;
  }

  bool any_ = false;
  Spelling spelling_ = Spelling::kInteger;
};

// The import, step by step; each answers an exit code if it is over.
class RowImport {
 public:
  RowImport(Session& session, Input& input, size_t max_request_bytes)
      : session_(session),
        options_(session.options.import),
        input_(input),
        max_request_bytes_(max_request_bytes),
        name_(NameOf(options_.file)),
        source_(MakeSource(options_, &input, max_request_bytes)),
        progress_(session, "rows") {}

  ExitCode Run() {
    auto columns = source_->Columns();
    if (!columns.ok()) return FailFile(columns.status());
    columns_ = options_.columns.empty() ? *std::move(columns) : options_.columns;
    if (options_.create) {
      if (const auto code = CreateTable()) return *code;
    }
    if (const auto code = LookUpRules()) return *code;
    return Load();
  }

 private:
  ExitCode FailFile(const absl::Status& status) {
    progress_.Clear();
    Complain(session_, absl::StrCat(name_, ": ", status.message()));
    return absl::IsCancelled(status) ? kExitEnded : kExitFailed;
  }

  std::optional<ExitCode> CreateTable() {
    std::vector<GuessedType> types(columns_.size());
    while (sample_.size() < kSampleRows) {
      const auto read = source_->Next();
      if (!read.ok()) return FailFile(read.status());
      if (!*read) break;
      Keep();
      for (size_t i = 0; i < std::min(types.size(), sample_.back().cells.size()); ++i) {
        types[i].See(sample_.back().cells[i], options_.null_text);
      }
    }
    std::vector<std::string> definitions;
    for (size_t i = 0; i < columns_.size(); ++i) {
      definitions.push_back(absl::StrCat(QuotedName(columns_[i]), " ", types[i].Name()));
    }
    v1::QueryRequest request;
    request.set_connection_id(session_.options.connection_id);
    const std::string schema =
        options_.schema.empty() ? "" : absl::StrCat(QuotedName(options_.schema), ".");
    request.set_sql(absl::StrCat("CREATE TABLE ", schema, QuotedName(options_.table), " (",
                                 absl::StrJoin(definitions, ", "), ")"));
    const std::string& id = options_.write.request_id;
    if (!id.empty()) request.set_request_id(PartRequestId(id, "the table"));
    const auto response = session_.client.Query(request, session_.Call());
    if (!response.ok()) return Fail(session_, response.status(), request.sql(), false);
    Note(session_, absl::StrCat("made the table: ", request.sql()));
    return std::nullopt;
  }

  // Keeps a copy of the row that was read.
  void Keep() {
    KeptRow row;
    row.cells = source_->Cells();
    row.line = source_->Line();
    for (const Cell& cell : row.cells) row.texts.emplace_back(cell.text);
    for (size_t i = 0; i < row.cells.size(); ++i) row.cells[i].text = row.texts[i];
    sample_.push_back(std::move(row));
    // Moving a vector leaves its strings where they are, so the views hold.
  }

  // The rules of the file's columns, by what the table's columns are.
  std::optional<ExitCode> LookUpRules() {
    if (options_.form == FileForm::kNdjson) return std::nullopt;  // its values have types
    v1::DescribeTableRequest request;
    request.set_connection_id(session_.options.connection_id);
    request.set_schema(options_.schema);
    request.set_table(options_.table);
    const auto table = session_.client.DescribeTable(request, session_.Call());
    if (!table.ok()) return Fail(session_, table.status(), "", true);
    if (columns_.empty()) {
      for (const v1::TableColumn& column : table->columns()) {
        if (!column.has_generation_expression()) rules_.push_back(RuleOf(column));
      }
      return std::nullopt;
    }
    for (const std::string& name : columns_) {
      // One that is not there is for the server to refuse, which knows the nearest name.
      const auto column = std::find_if(
          table->columns().begin(), table->columns().end(),
          [&](const v1::TableColumn& known) { return absl::EqualsIgnoreCase(known.name(), name); });
      rules_.push_back(column == table->columns().end() ? ColumnRule::kText : RuleOf(*column));
    }
    return std::nullopt;
  }

  v1::BulkInsertRequest Header() const {
    v1::BulkInsertRequest header;
    header.set_connection_id(session_.options.connection_id);
    header.set_schema(options_.schema);
    header.set_table(options_.table);
    for (const std::string& name : columns_) header.add_columns(name);
    header.set_on_conflict(options_.on_conflict);
    for (const std::string& name : options_.key) header.add_conflict_columns(name);
    header.set_mode(options_.write.mode);
    header.set_max_affected_rows(options_.write.max_affected_rows);
    header.set_validate_only(options_.write.validate_only);
    header.set_request_id(options_.write.request_id);
    SelectTransaction(session_, &header);
    return header;
  }

  ExitCode Load() {
    Loader loader(session_, Header(), name_, max_request_bytes_);
    absl::StatusOr<bool> open = true;
    for (const KeptRow& row : sample_) {
      if (open.ok() && *open) open = AddRow(row.cells, row.line, &loader);
    }
    sample_.clear();
    while (open.ok() && *open) {
      const auto read = source_->Next();
      if (!read.ok()) return Break(read.status(), &loader);
      if (!*read) break;
      open = AddRow(source_->Cells(), source_->Line(), &loader);
      if (loader.RowCount() % kProgressRows == 0) {
        progress_.Show(loader.RowCount(), input_.Consumed(), input_.Size());
      }
    }
    if (!open.ok()) return Break(open.status(), &loader);
    progress_.Clear();
    LoadResult result;
    const ExitCode code = loader.Finish(&result);
    return Report(result, code);
  }

  ExitCode Report(const LoadResult& result, ExitCode code) {
    const bool answered = code == kExitOk || result.chunks_failed > 0;
    if (!answered) return code;
    const ExitCode printed = PrintLoads(session_, {result}, progress_);
    if (options_.write.validate_only) Note(session_, "all was rolled back: --validate");
    if (!result.transaction.empty()) Note(session_, result.transaction);
    return code == kExitOk ? printed : code;
  }

  // The file is broken. What an atomic load has sent is rolled back by leaving; elsewhere the rows
  // before the broken one stand.
  ExitCode Break(const absl::Status& status, Loader* loader) {
    const bool atomic = options_.write.mode == v1::BATCH_MODE_ATOMIC;
    if (atomic || absl::IsCancelled(status)) {
      const ExitCode code = FailFile(status);
      Note(session_, atomic ? "nothing was inserted" : "chunks that were inserted before it stay");
      return code;
    }
    progress_.Clear();
    LoadResult result;
    const ExitCode code = loader->Finish(&result);
    Report(result, code);
    return FailFile(status);
  }

  absl::StatusOr<bool> AddRow(const std::vector<Cell>& cells, int64_t line, Loader* loader) {
    if (!rules_.empty() && cells.size() != rules_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("line ", line, ": it has ", cells.size(),
                                                     " fields for ", rules_.size(), " columns"));
    }
    client::RowBuffer& rows = loader->Row();
    for (size_t i = 0; i < cells.size(); ++i) {
      const Cell& cell = cells[i];
      switch (cell.kind) {
        case Cell::Kind::kField:
          AddField(cell.text, cell.quoted, rules_[i], options_.null_text, &rows);
          break;
        case Cell::Kind::kValue:
          rows.AddValue(cell.value);
          break;
        case Cell::Kind::kAbsent:
          rows.AddNull();
          break;
      }
    }
    rows.EndRow();
    const auto open = loader->AddedRow(line);
    if (open.ok()) return open;
    return absl::Status(open.status().code(),
                        absl::StrCat("line ", line, ": ", open.status().message()));
  }

  Session& session_;
  const ImportOptions& options_;
  Input& input_;
  const size_t max_request_bytes_;
  const std::string name_;
  const std::unique_ptr<RowSource> source_;
  Progress progress_;
  std::vector<std::string> columns_;
  std::vector<ColumnRule> rules_;  // of the columns; none for values that have types
  std::vector<KeptRow> sample_;    // rows that --create has read
};

}  // namespace

ExitCode ImportRows(Session& session, Input& input, size_t max_request_bytes) {
  return RowImport(session, input, max_request_bytes).Run();
}

}  // namespace sluice::cli
