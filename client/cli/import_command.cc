// `sluice import`.
#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "client/cli/import.h"
#include "client/cli/numbers.h"
#include "client/cli/records.h"

namespace sluice::cli {
namespace {

using client::ToValue;

// Chunks with a given number of rows are sent earlier once they have so many bytes.
constexpr size_t kMaxChunkBytes = 8 << 20;
// Failed chunks that are shown one by one.
constexpr int kShownFailures = 10;

// The usual case, an integer of a few digits, without a detour.
bool AddInteger(absl::string_view text, client::RowBuffer* rows) {
  const bool negative = !text.empty() && text[0] == '-';
  const absl::string_view digits = text.substr(negative ? 1 : 0);
  const bool plain =
      !digits.empty() && digits.size() <= 18 && (digits[0] != '0' || digits.size() == 1);
  if (!plain) return false;
  int64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  rows->AddInt64(negative ? -value : value);
  return true;
}

bool AddNumber(absl::string_view text, client::RowBuffer* rows) {
  if (AddInteger(text, rows)) return true;
  int64_t integer = 0;
  double real = 0;
  switch (SpellingOf(text)) {
    case Spelling::kInteger:
      if (!absl::SimpleAtoi(text, &integer)) return false;
      rows->AddInt64(integer);
      return true;
    case Spelling::kReal:
      if (!absl::SimpleAtod(text, &real) || !std::isfinite(real)) return false;
      rows->AddDouble(real);
      return true;
    case Spelling::kNoNumber:
      break;
  }
  return false;
}

}  // namespace

void LineIndex::Add(int64_t row, int64_t line) {
  if (!runs_.empty()) {
    Run& run = runs_.back();
    const int64_t behind = row - run.row;
    if (line == run.line + behind * run.step) return;
    if (behind == 1 && line == run.line) {
      run.step = 0;
      return;
    }
  }
  runs_.push_back({row, line, 1});
}

int64_t LineIndex::LineOf(int64_t row) const {
  const auto after =
      std::upper_bound(runs_.begin(), runs_.end(), row,
                       [](int64_t wanted, const Run& run) { return wanted < run.row; });
  if (after == runs_.begin()) return 0;
  const Run& run = *std::prev(after);
  return run.line + (row - run.row) * run.step;
}

ColumnRule RuleOf(const v1::TableColumn& column) {
  switch (column.type()) {
    case v1::VALUE_TYPE_STRING:
    case v1::VALUE_TYPE_JSON:
      return ColumnRule::kText;
    case v1::VALUE_TYPE_BOOL:
    case v1::VALUE_TYPE_INT64:
    case v1::VALUE_TYPE_DOUBLE:
    case v1::VALUE_TYPE_FLOAT:
    case v1::VALUE_TYPE_NUMERIC:
      return ColumnRule::kNumber;
    default:
      return ColumnRule::kOther;
  }
}

void AddField(absl::string_view text,
              bool quoted,
              ColumnRule rule,
              const std::optional<std::string>& null_text,
              client::RowBuffer* rows) {
  const bool null =
      !quoted && (null_text ? text == *null_text : text.empty() && rule != ColumnRule::kText);
  if (null) return rows->AddNull();
  if (rule == ColumnRule::kNumber && AddNumber(text, rows)) return;
  rows->AddText(text);
}

Loader::Loader(Session& session,
               const v1::BulkInsertRequest& header,
               std::string file,
               size_t max_request_bytes)
    : session_(session),
      table_(header.table()),
      file_(std::move(file)),
      max_request_bytes_(max_request_bytes),
      max_row_bytes_(max_request_bytes - std::min(max_request_bytes, header.ByteSizeLong())),
      max_chunk_bytes_(session.options.import.chunk_rows > 0 ? kMaxChunkBytes
                                                             : client::kChunkBytes),
      inserter_(session.client.BulkInsert(header, session.Call())) {}

absl::StatusOr<bool> Loader::AddedRow(int64_t line) {
  const size_t bytes = row_.ByteSize();
  if (bytes > max_row_bytes_) {
    return absl::ResourceExhaustedError(absl::StrCat("the row takes ", SizeText(bytes),
                                                     ", and the server no request above ",
                                                     SizeText(max_request_bytes_)));
  }
  const bool fits = rows_.ByteSize() + bytes <= max_row_bytes_;
  if (!fits && !inserter_->Write(&rows_)) return false;
  lines_.Add(row_count_++, line);
  rows_.Append(&row_);
  const auto chunk_rows = static_cast<size_t>(session_.options.import.chunk_rows);
  const bool full =
      (chunk_rows > 0 && rows_.RowCount() >= chunk_rows) || rows_.ByteSize() >= max_chunk_bytes_;
  return !full || inserter_->Write(&rows_);
}

ExitCode Loader::Finish(LoadResult* result) {
  inserter_->Write(&rows_);
  const auto response = inserter_->Finish();
  result->table = table_;
  if (!response.ok()) return ShowFailure(client::DecodeError(response.status()));
  result->rows += response->rows_received();
  result->affected += response->rows_affected();
  result->skipped += response->rows_skipped();
  result->chunks += response->chunk_count();
  result->chunks_failed += response->chunks_failed();
  if (response->has_transaction()) result->transaction = TransactionText(response->transaction());
  int shown = 0;
  for (const v1::BulkChunk& chunk : response->chunks()) {
    if (chunk.has_error() && shown++ < kShownFailures) {
      ShowFailure(client::DecodeError(chunk.error()));
    }
  }
  if (shown > kShownFailures) {
    Warn(session_, absl::StrCat("further chunks failed; shown are ", kShownFailures, " of ",
                                response->chunks_failed()));
  }
  return response->chunks_failed() > 0 ? kExitFailed : kExitOk;
}

ExitCode Loader::ShowFailure(const client::Error& error) {
  CallContext context;
  const auto fact = error.metadata.find("row");
  int64_t row = 0;
  if (fact != error.metadata.end() && absl::SimpleAtoi(fact->second, &row)) {
    const int64_t line = lines_.LineOf(row);
    context.place =
        line > 0 ? absl::StrCat("line ", line, " of ", file_) : absl::StrCat("row ", row);
  }
  return Fail(session_, error, context);
}

ExitCode PrintLoads(Session& session,
                    const std::vector<LoadResult>& loads,
                    const Progress& progress) {
  const auto record_of = [](const LoadResult& load) {
    return Record{{"table", ToValue(load.table)},
                  {"rows", ToValue(load.rows)},
                  {"rows_affected", ToValue(load.affected)},
                  {"rows_skipped", ToValue(load.skipped)},
                  {"chunks", ToValue(load.chunks)},
                  {"chunks_failed", ToValue(load.chunks_failed)}};
  };
  std::vector<Record> records;
  int64_t rows = 0;
  for (const LoadResult& load : loads) {
    records.push_back(record_of(load));
    rows += load.rows;
  }
  PrintRecords(session, records, record_of({}));
  const ExitCode code = FinishOutput(session);
  const double seconds = std::max(absl::ToDoubleSeconds(progress.Elapsed()), 1e-4);
  google::protobuf::Duration elapsed;
  elapsed.set_seconds(static_cast<int64_t>(seconds));
  elapsed.set_nanos(static_cast<int32_t>((seconds - std::floor(seconds)) * 1e9));
  Note(session, absl::StrCat(CountOf(rows, "row"), " (", ElapsedText(elapsed), ", ",
                             ShortAmount(static_cast<double>(rows) / seconds, "rows"), "/s)"));
  return code;
}

ExitCode RunImport(Session& session) {
  const ImportOptions& options = session.options.import;
  auto input = Input::Open(options.file, session.stop);
  if (!input.ok()) {
    Complain(session, input.status().message());
    return kExitUsage;
  }
  if (absl::Status status = SkipByteOrderMark(&*input); !status.ok()) {
    Complain(session, absl::StrCat(NameOf(options.file), ": ", status.message()));
    return kExitFailed;
  }
  const auto info = session.client.GetServerInfo(session.Call());
  if (!info.ok()) return Fail(session, info.status(), "", true);
  const auto max_request_bytes = static_cast<size_t>(info->limits().max_request_bytes());
  const std::string& id = options.write.request_id;
  if (!id.empty()) Note(session, absl::StrCat("request id ", id));
  return options.form == FileForm::kSql ? ImportSql(session, *input, max_request_bytes)
                                        : ImportRows(session, *input, max_request_bytes);
}

}  // namespace sluice::cli
