#include "client/cli/resolve.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/address.h"
#include "client/cli/parameters.h"
#include "client/cli/request_id.h"
#include "client/cli/utf8.h"
#include "client/request_id.h"

namespace sluice::cli {
namespace {

// Values may stand right before the statement, `query -p 7 "SELECT ?"`, and then take it along: the
// last value is the statement where there is no other.
void GiveBackStatement(std::vector<std::string>* params,
                       std::vector<std::string>* named,
                       QueryOptions* query) {
  if (!query->sql.empty() || !query->file.empty()) return;
  if (params->size() >= 2) {
    query->sql = params->back();
    params->pop_back();
  } else if (named->size() >= 2 && !IsNamedParameter(named->back())) {
    query->sql = named->back();
    named->pop_back();
  }
}

// The UUID of a request, or a new one for `auto`.
absl::Status ResolveRequestId(std::string* request_id) {
  if (*request_id == "auto") {
    *request_id = client::NewRequestId();
  } else if (!request_id->empty() && !IsUuid(*request_id)) {
    return absl::InvalidArgumentError("--request-id wants a UUID, or `auto`");
  }
  return absl::OkStatus();
}

absl::Status ResolveStatement(const RawOptions& raw, QueryOptions* query) {
  std::vector<std::string> params = raw.params;
  std::vector<std::string> named = raw.named;
  GiveBackStatement(&params, &named, query);
  if (query->sql.empty() == query->file.empty()) {
    return absl::InvalidArgumentError(
        "one statement is wanted: as an argument, from a file with -f FILE, or `-` for standard "
        "input");
  }
  for (const std::string& text : params) {
    auto value = ParseParameter(text);
    if (!value.ok()) return value.status();
    query->params.push_back(*std::move(value));
  }
  for (const std::string& text : named) {
    auto value = ParseNamedParameter(text);
    if (!value.ok()) return value.status();
    query->named_params.push_back(*std::move(value));
  }
  return absl::OkStatus();
}

absl::Status ResolveWrite(const RawOptions& raw, WriteOptions* write) {
  if (!raw.mode.empty()) write->mode = Modes().at(raw.mode);
  return ResolveRequestId(&write->request_id);
}

absl::Status ResolveBatch(const RawOptions& raw, BatchOptions* batch) {
  const bool one_statement = !batch->sql.empty() && !batch->params_file.empty();
  const bool parts_of_one = !batch->sql.empty() || !batch->params_file.empty();
  if (batch->file.empty() ? !one_statement : parts_of_one) {
    return absl::InvalidArgumentError(
        "batch wants a FILE of statements, or --sql SQL with --params FILE");
  }
  if (!IsUtf8(batch->sql)) return absl::InvalidArgumentError("the statement is not UTF-8");
  return ResolveWrite(raw, &batch->write);
}

// The form of a file by the end of its name.
std::optional<FileForm> FormByName(const std::string& file) {
  const std::string name = absl::AsciiStrToLower(file);
  if (absl::EndsWith(name, ".csv")) return FileForm::kCsv;
  if (absl::EndsWith(name, ".tsv") || absl::EndsWith(name, ".tab")) return FileForm::kTsv;
  if (absl::EndsWith(name, ".ndjson") || absl::EndsWith(name, ".jsonl")) return FileForm::kNdjson;
  if (absl::EndsWith(name, ".sql")) return FileForm::kSql;
  return std::nullopt;
}

// Names with commas between them, as a line of CSV has them.
absl::StatusOr<std::vector<std::string>> Names(const std::string& option, const std::string& text) {
  std::vector<std::string> names;
  if (text.empty()) return names;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    names.push_back(text.substr(begin, end - begin));
    if (names.back().empty() || !IsUtf8(names.back())) {
      return absl::InvalidArgumentError(
          absl::StrCat(option, " wants names with commas between them"));
    }
    begin = end + 1;
  }
  return names;
}

// What an import cannot do in a transaction.
absl::Status CheckImportIn(const TxOptions& tx, const ImportOptions& import) {
  if (tx.id.empty()) return absl::OkStatus();
  if (import.form == FileForm::kSql) {
    return absl::InvalidArgumentError(
        "an SQL dump runs in parts; `sluice tx batch ID FILE` runs up to 10000 statements in a "
        "transaction");
  }
  if (import.create) {
    return absl::InvalidArgumentError(
        "--create makes a table that is looked at outside of the transaction: make it first");
  }
  return absl::OkStatus();
}

absl::Status ResolveImport(const RawOptions& raw, const TxOptions& tx, ImportOptions* import) {
  const auto form =
      raw.form.empty() ? FormByName(import->file) : std::make_optional(FileForms().at(raw.form));
  if (!form) {
    return absl::InvalidArgumentError(
        "the file's name does not say its form: add --format csv, tsv, ndjson or sql");
  }
  import->form = *form;
  auto columns = Names("--columns", raw.columns);
  auto key = Names("--key", raw.key);
  if (!columns.ok()) return columns.status();
  if (!key.ok()) return key.status();
  import->columns = *std::move(columns);
  import->key = *std::move(key);
  import->null_text = raw.null_text;
  if (!raw.on_conflict.empty()) import->on_conflict = ConflictActions().at(raw.on_conflict);
  const bool for_rows = !import->table.empty() || !import->columns.empty() || import->create ||
                        !import->header || import->null_text || !import->write.request_id.empty() ||
                        !import->schema.empty();
  if (*form == FileForm::kSql && for_rows) {
    return absl::InvalidArgumentError(
        "an SQL dump says by itself where its rows belong: --table, --schema, --columns, --create, "
        "--no-header, --null and --request-id are for the other forms");
  }
  if (*form == FileForm::kSql &&
      (import->write.max_affected_rows > 0 || import->write.validate_only)) {
    return absl::InvalidArgumentError(
        "an SQL dump runs in parts that stand by themselves, so neither --max-affected nor "
        "--validate could hold for all of it; `sluice batch FILE` runs up to 10000 statements as a "
        "whole and has both");
  }
  if (*form != FileForm::kSql && import->table.empty()) {
    return absl::InvalidArgumentError("import wants --table T");
  }
  if (import->create && !import->header && import->columns.empty()) {
    return absl::InvalidArgumentError(
        "--create wants names for the columns: a header, or --columns");
  }
  if (import->create && import->write.validate_only) {
    return absl::InvalidArgumentError(
        "--validate leaves nothing behind, and --create makes a table: make it first, or validate "
        "without --create a load into one that is there");
  }
  if (!import->key.empty() && import->on_conflict != v1::CONFLICT_ACTION_UPDATE) {
    return absl::InvalidArgumentError("--key goes with --on-conflict update");
  }
  if (!IsUtf8(import->table) || !IsUtf8(import->schema)) {
    return absl::InvalidArgumentError("the table's name is not UTF-8");
  }
  absl::Status status = CheckImportIn(tx, *import);
  return status.ok() ? ResolveWrite(raw, &import->write) : status;
}

absl::Status ResolveDuration(const char* option,
                             const std::string& text,
                             google::protobuf::Duration* duration) {
  const auto parsed = ParseTimeout(text);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(option, ": ", parsed.status().message()));
  }
  duration->set_seconds(absl::ToInt64Seconds(*parsed));
  duration->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(*parsed % absl::Seconds(1))));
  return absl::OkStatus();
}

absl::Status ResolveBegin(const RawOptions& raw, v1::TransactionOptions* begin) {
  begin->set_read_only(raw.read_only);
  begin->set_label(raw.label);
  if (!raw.isolation.empty()) begin->set_isolation(Isolations().at(raw.isolation));
  absl::Status status;
  if (!raw.idle_timeout.empty()) {
    status = ResolveDuration("--idle-timeout", raw.idle_timeout, begin->mutable_idle_timeout());
  }
  if (status.ok() && !raw.max_life.empty()) {
    status = ResolveDuration("--max-life", raw.max_life, begin->mutable_max_life());
  }
  return status;
}

bool IsHandle(absl::string_view key) {
  return absl::StartsWith(key, "tx_");
}

// What the options say of a transaction.
absl::Status ResolveTransaction(const RawOptions& raw, Options* options) {
  TxOptions& tx = options->tx;
  if (options->command == Command::kTxGet && IsHandle(tx.id)) tx.handle.swap(tx.id);
  if (!tx.id.empty() && !absl::StartsWith(tx.id, "txn_")) {
    return absl::InvalidArgumentError(absl::StrCat(
        "`", tx.id, "` is no transaction's id: that is what `tx begin` printed (txn_…)",
        IsHandle(tx.id) ? "; a handle only shows and ends one" : ""));
  }
  if (absl::StartsWith(tx.handle, "txn_")) {
    return absl::InvalidArgumentError(
        "tx end wants a handle (tx_…); whoever has the id uses `sluice tx rollback`");
  }
  if (tx.commit && tx.id.empty()) {
    return absl::InvalidArgumentError("--commit goes with --transaction");
  }
  const int keys = (tx.id.empty() ? 0 : 1) + (tx.request_id.empty() ? 0 : 1) +
                   (tx.outcome_token.empty() ? 0 : 1);
  if (options->command == Command::kTxOutcome && keys != 1) {
    return absl::InvalidArgumentError(
        "tx outcome wants the ID of a transaction, or --request-id, or --token");
  }
  absl::Status status = ResolveRequestId(&tx.request_id);
  if (!status.ok()) return status;
  // An import also makes calls outside of the transaction, which need to know where.
  const bool known_by_transaction = !tx.id.empty() && options->command != Command::kImport;
  const bool all = options->command == Command::kTxList;
  if (!raw.connection_given && (known_by_transaction || all)) options->connection_id.clear();
  return options->command == Command::kTxBegin ? ResolveBegin(raw, &tx.begin) : absl::OkStatus();
}

absl::Status ResolveClose(const RawOptions& raw, Options* options) {
  if (raw.drain_timeout.empty()) return absl::OkStatus();
  if (raw.drain_timeout == "0") {
    options->drain_timeout = absl::ZeroDuration();
    return absl::OkStatus();
  }
  const auto timeout = ParseTimeout(raw.drain_timeout);
  if (!timeout.ok()) return timeout.status();
  options->drain_timeout = *timeout;
  return absl::OkStatus();
}

}  // namespace

const std::map<std::string, v1::BatchMode>& Modes() {
  static const auto* const modes =
      new std::map<std::string, v1::BatchMode>{{"atomic", v1::BATCH_MODE_ATOMIC},
                                               {"stop", v1::BATCH_MODE_STOP_ON_ERROR},
                                               {"continue", v1::BATCH_MODE_CONTINUE}};
  return *modes;
}

const std::map<std::string, v1::ConflictAction>& ConflictActions() {
  static const auto* const actions =
      new std::map<std::string, v1::ConflictAction>{{"fail", v1::CONFLICT_ACTION_FAIL},
                                                    {"skip", v1::CONFLICT_ACTION_SKIP},
                                                    {"update", v1::CONFLICT_ACTION_UPDATE}};
  return *actions;
}

const std::map<std::string, FileForm>& FileForms() {
  static const auto* const forms =
      new std::map<std::string, FileForm>{{"csv", FileForm::kCsv},
                                          {"tsv", FileForm::kTsv},
                                          {"ndjson", FileForm::kNdjson},
                                          {"sql", FileForm::kSql}};
  return *forms;
}

const std::map<std::string, Format>& Formats() {
  static const auto* const formats =
      new std::map<std::string, Format>{{"table", Format::kTable},
                                        {"json", Format::kJson},
                                        {"ndjson", Format::kNdjson},
                                        {"csv", Format::kCsv},
                                        {"markdown", Format::kMarkdown}};
  return *formats;
}

const std::map<std::string, v1::IsolationLevel>& Isolations() {
  static const auto* const levels = new std::map<std::string, v1::IsolationLevel>{
      {"read-committed", v1::ISOLATION_LEVEL_READ_COMMITTED},
      {"repeatable-read", v1::ISOLATION_LEVEL_REPEATABLE_READ},
      {"serializable", v1::ISOLATION_LEVEL_SERIALIZABLE}};
  return *levels;
}

absl::Status Resolve(const RawOptions& raw, Options* options) {
  absl::Status status = client::CheckAddress(options->server);
  if (!status.ok()) return status;
  if (!raw.format.empty()) options->format = Formats().at(raw.format);
  if (!raw.timeout.empty()) {
    const auto timeout = ParseTimeout(raw.timeout);
    if (!timeout.ok()) return timeout.status();
    options->timeout = *timeout;
  }
  for (const std::string* text : std::initializer_list<const std::string*>{
           &options->connection_id, &options->schema.table, &options->schema.schema,
           &options->schema.prefix, &options->registration.url, &options->registration.name,
           &options->tx.id, &options->tx.handle, &options->tx.savepoint, &raw.label}) {
    if (!IsUtf8(*text)) return absl::InvalidArgumentError("an argument is not UTF-8");
  }
  status = ResolveTransaction(raw, options);
  if (!status.ok()) return status;
  switch (options->command) {
    case Command::kQuery:
    case Command::kDescribe:
    case Command::kExplain:
      return ResolveStatement(raw, &options->query);
    case Command::kBatch:
      return ResolveBatch(raw, &options->batch);
    case Command::kImport:
      return ResolveImport(raw, options->tx, &options->import);
    case Command::kConnectionsClose:
      return ResolveClose(raw, options);
    default:
      return absl::OkStatus();
  }
}

}  // namespace sluice::cli
