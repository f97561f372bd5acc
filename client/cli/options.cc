// The only file that includes CLI11, which is slow to compile.
#include "client/cli/options.h"

#include <algorithm>
#include <iostream>
#include <map>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/address.h"
#include "client/cli/parameters.h"
#include "client/cli/report.h"
#include "client/cli/request_id.h"
#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

constexpr int kMaxParams = 1 << 16;

// What CLI11 fills in; Resolve turns it into Options.
struct Raw {
  std::string format;
  std::string timeout;
  // Of the command that has a statement: each of them adds its own.
  std::vector<CLI::Option*> sql;
  std::vector<CLI::Option*> params;
  std::vector<CLI::Option*> named;
  std::vector<std::string> params_sink;  // CLI11 wants a place; results() is what is read
  std::vector<std::string> named_sink;
  std::string mode;
  std::string form;
  std::string on_conflict;
  std::string columns;
  std::string key;
  CLI::Option* null_text = nullptr;
  std::string null_sink;
  std::string drain_timeout;
};

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

template <class Value>
CLI::IsMember OneOf(const std::map<std::string, Value>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  return CLI::IsMember(names);
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

// An option that takes one value or more, each as it is: CLI11 would otherwise split [1,2] in two.
CLI::Option* AddValues(CLI::App* app,
                       const std::string& names,
                       std::vector<std::string>* sink,
                       const std::string& help) {
  return app->add_option(names, *sink, help)->expected(1, kMaxParams)->allow_extra_args(false);
}

void AddConnection(CLI::App* app, Options* options) {
  app->add_option("-c,--connection", options->connection_id, "Connection to run on")
      ->capture_default_str()
      ->type_name("ID");
}

// What names one statement, and its values.
void AddStatement(CLI::App* app, bool params, Options* options, Raw* raw) {
  raw->sql.push_back(app->add_option("SQL", options->query.sql,
                                     "The statement; `-` reads it from standard input"));
  AddConnection(app, options);
  if (params) {
    raw->params.push_back(
        AddValues(
            app, "-p,--param", &raw->params_sink,
            "Value of a numbered parameter; may be repeated. null, true, false and numbers mean "
            "what they say, text:… int:… real:… blob:HEX json:… force a type, all else is text")
            ->type_name("VALUE"));
    raw->named.push_back(
        AddValues(app, "--named", &raw->named_sink, "Value of a named parameter; may be repeated")
            ->type_name("NAME=VALUE"));
  }
  app->add_option("-f,--file", options->query.file, "Read the statement from a file")
      ->type_name("FILE");
}

void AddQuery(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const query =
      app->add_subcommand("query", "Run one SQL statement and print its result");
  AddStatement(query, true, options, raw);
  query
      ->add_option("--max-rows", options->query.max_rows,
                   "Cut the result after N rows (default: the server's limit, 1000)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000));
  query->add_flag("--stream", options->query.stream,
                  "Print rows as they arrive, however many there are");
  query->add_flag("--read-only", options->query.read_only,
                  "Refuse to write; a query that was not executed is then retried");
  query->callback([options] { options->command = Command::kQuery; });

  CLI::App* const describe = app->add_subcommand(
      "describe", "Show the parameters and columns of a statement, without running it");
  AddStatement(describe, false, options, raw);
  describe->callback([options] { options->command = Command::kDescribe; });

  CLI::App* const explain = app->add_subcommand(
      "explain", "Show how a statement would be run, and what in it will be slow");
  AddStatement(explain, true, options, raw);
  explain->callback([options] { options->command = Command::kExplain; });
}

// `dumps`: what is to be said of SQL dumps; of --mode, and of the options that are not for them.
void AddWrite(CLI::App* app, const std::string& part, bool dumps, WriteOptions* write, Raw* raw) {
  const std::string mode_of_dumps =
      dumps ? ". Of an SQL dump, each run of INSERTs into one table and each 200 other statements "
              "are such a whole: it is never all or nothing"
            : "";
  const std::string not_dumps = dumps ? "; not for SQL dumps" : "";
  app->add_option("--mode", raw->mode,
                  "What a failure does. atomic (default): all is rolled back; stop: each " + part +
                      " by itself, none after a failure; continue: each by itself" + mode_of_dumps)
      ->check(OneOf(Modes()))
      ->type_name("MODE");
  app->add_option(
         "--request-id", write->request_id,
         "Makes a repeat safe: a UUID, or `auto` for a new one, which is shown" + not_dumps)
      ->type_name("UUID");
  app->add_option("--max-affected", write->max_affected_rows,
                  "Roll back and fail if more rows would change" + not_dumps)
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 62));
  app->add_flag("--validate", write->validate_only, "Execute, report and roll back" + not_dumps);
}

void AddBatch(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const batch =
      app->add_subcommand("batch", "Run several SQL statements, by default all or none of them");
  BatchOptions* const to = &options->batch;
  batch->add_option("FILE", to->file, "Statements with a `;` between them; `-`: standard input");
  AddConnection(batch, options);
  batch->add_option("--sql", to->sql, "One statement, run once for each line of --params")
      ->type_name("SQL");
  batch
      ->add_option("--params", to->params_file,
                   "Values for --sql: a JSON array (numbered) or object (named) a line")
      ->type_name("FILE");
  batch->add_flag("--read-only", to->read_only, "Refuse to write");
  AddWrite(batch, "execution", false, &to->write, raw);
  batch->callback([options] { options->command = Command::kBatch; });
}

void AddImport(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const import =
      app->add_subcommand("import", "Load a CSV, TSV or NDJSON file into a table, or an SQL dump");
  ImportOptions* const to = &options->import;
  import->add_option("FILE", to->file, "What to load; `-`: standard input")->required();
  AddConnection(import, options);
  import->add_option("-t,--table", to->table, "Table to load into")->type_name("T");
  import->add_option("--schema", to->schema, "Schema of the table")->type_name("S");
  import->add_option("--columns", raw->columns, "Columns of the file (default: its header)")
      ->type_name("A,B");
  import->add_option("--format", raw->form, "Form of the file (default: by its name)")
      ->check(OneOf(FileForms()))
      ->type_name("FORM");
  import->add_flag("!--no-header", to->header, "The first line is a row already");
  raw->null_text =
      import
          ->add_option("--null", raw->null_sink,
                       "Unquoted fields that are NULL, in every column (default: empty ones, in "
                       "columns that are not text)")
          ->type_name("STR");
  import->add_option("--on-conflict", raw->on_conflict, "A row whose key is taken (default: fail)")
      ->check(OneOf(ConflictActions()))
      ->type_name("ACTION");
  import
      ->add_option("--key", raw->key,
                   "For --on-conflict update: columns of the key (default: the primary key)")
      ->type_name("A,B");
  import->add_flag("--create", to->create,
                   "Make the table, with the header's columns and types that fit the first rows");
  import
      ->add_option(
          "--batch-rows", to->chunk_rows,
          "Rows of a chunk, which --mode is about; at most 8 MiB of them (default: 256 KiB)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000'000));
  AddWrite(import, "chunk", true, &to->write, raw);
  import->callback([options] { options->command = Command::kImport;
});
}  // namespace

void AddBackup(CLI::App* app, Options* options) {
  CLI::App* const backup = app->add_subcommand(
      "backup", "Copy a whole database into a file, while it goes on being used");
  backup->add_option("FILE", options->backup.file, "Where to put the copy")->required();
  AddConnection(backup, options);
  backup->add_flag("--force", options->backup.force, "Overwrite the file");
  backup->callback([options] { options->command = Command::kBackup; });
}

// Adds a command below another.
CLI::App* AddSub(
    CLI::App* parent, const char* name, const char* help, Command command, Options* options) {
  CLI::App* const sub = parent->add_subcommand(name, help);
  sub->fallthrough();
  sub->callback([options, command] { options->command = command; });
  return sub;
}

void AddSchema(CLI::App* app, Options* options) {
  CLI::App* const schema = app->add_subcommand("schema", "Show schemas, tables and their parts");
  schema->require_subcommand(1);
  SchemaOptions* const to = &options->schema;
  CLI::App* const schemas =
      AddSub(schema, "schemas", "List the schemas", Command::kSchemaSchemas, options);
  CLI::App* const tables =
      AddSub(schema, "tables", "List tables and views", Command::kSchemaTables, options);
  tables->add_option("--prefix", to->prefix, "Only names that begin so")->type_name("P");
  CLI::App* const describe = AddSub(schema, "describe", "Show one table or view with all its parts",
                                    Command::kSchemaDescribe, options);
  describe->add_option("TABLE", to->table, "Which one")->required();
  for (CLI::App* sub : {schemas, tables, describe}) AddConnection(sub, options);
  for (CLI::App* sub : {tables, describe}) {
    sub->add_option("--schema", to->schema, "Of this schema")->type_name("S");
  }
}

void AddConnections(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const connections =
      app->add_subcommand("connections", "Open, show, test and close connections");
  connections->require_subcommand(1);
  AddSub(connections, "list", "List the connections", Command::kConnectionsList, options);
  CLI::App* const get =
      AddSub(connections, "get", "Show one connection", Command::kConnectionsGet, options);
  get->add_option("ID", options->connection_id, "Which one")->capture_default_str();
  CLI::App* const test =
      AddSub(connections, "test", "Ask the database behind a connection a trivial question",
             Command::kConnectionsTest, options);
  test->add_option("ID", options->connection_id, "Which one")->capture_default_str();

  CLI::App* const open =
      AddSub(connections, "register", "Open a database and print the id to use it with",
             Command::kConnectionsRegister, options);
  RegisterOptions* const to = &options->registration;
  open->add_option("URL", to->url, "Where it is, for example sqlite:///shop.db")->required();
  open->add_option("--name", to->name, "Name for lists and logs")->type_name("N");
  open->add_flag("--read-only", to->read_only, "Refuse every write through it");
  open->add_flag("--must-exist", to->must_exist, "Fail if the file is not there");

  CLI::App* const close = AddSub(connections, "close", "Close a connection; its file stays",
                                 Command::kConnectionsClose, options);
  close->add_option("ID", options->connection_id, "Which one")->required();
  close
      ->add_option("--drain-timeout", raw->drain_timeout,
                   "How long to wait for calls in flight (default: 10s; at most 60s)")
      ->type_name("D");
}

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

// What the options of this name hold; each command has its own.
std::vector<std::string> Results(const std::vector<CLI::Option*>& options) {
  for (const CLI::Option* option : options) {
    if (!option->empty()) return option->results();
  }
  return {};
}

absl::Status ResolveStatement(const Raw& raw, QueryOptions* query) {
  std::vector<std::string> params = Results(raw.params);
  std::vector<std::string> named = Results(raw.named);
  const std::vector<std::string> sql = Results(raw.sql);
  if (!sql.empty()) query->sql = sql.back();
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

absl::Status ResolveWrite(const Raw& raw, WriteOptions* write) {
  if (!raw.mode.empty()) write->mode = Modes().at(raw.mode);
  if (write->request_id == "auto") {
    write->request_id = NewRequestId();
  } else if (!write->request_id.empty() && !IsUuid(write->request_id)) {
    return absl::InvalidArgumentError("--request-id wants a UUID, or `auto`");
  }
  return absl::OkStatus();
}

absl::Status ResolveBatch(const Raw& raw, BatchOptions* batch) {
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

absl::Status ResolveImport(const Raw& raw, ImportOptions* import) {
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
  if (!raw.null_text->empty()) import->null_text = raw.null_sink;
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
  return ResolveWrite(raw, &import->write);
}

absl::Status ResolveClose(const Raw& raw, Options* options) {
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

absl::Status Resolve(const Raw& raw, Options* options) {
  absl::Status status = client::CheckAddress(options->server);
  if (!status.ok()) return status;
  if (!raw.format.empty()) options->format = Formats().at(raw.format);
  if (!raw.timeout.empty()) {
    const auto timeout = ParseTimeout(raw.timeout);
    if (!timeout.ok()) return timeout.status();
    options->timeout = *timeout;
  }
  for (const std::string* text :
       {&options->connection_id, &options->schema.table, &options->schema.schema,
        &options->schema.prefix, &options->registration.url, &options->registration.name}) {
    if (!IsUtf8(*text)) return absl::InvalidArgumentError("an argument is not UTF-8");
  }
  switch (options->command) {
    case Command::kQuery:
    case Command::kDescribe:
    case Command::kExplain:
      return ResolveStatement(raw, &options->query);
    case Command::kBatch:
      return ResolveBatch(raw, &options->batch);
    case Command::kImport:
      return ResolveImport(raw, &options->import);
    case Command::kConnectionsClose:
      return ResolveClose(raw, options);
    default:
      return absl::OkStatus();
  }
}

}  // namespace sluice::cli

std::optional<int> ParseOptions(int argc, const char* const* argv, Options* options) {
  Raw raw;
  CLI::App app("sluice: query databases through a Sluice server.", "sluice");
  app.set_version_flag("-V,--version", std::string("sluice ") + SLUICE_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // so that options of the tool may follow the command
  app.footer(std::string(ExitCodesHelp()));
  app.add_option("-s,--server", options->server, "Address of the server: HOST:PORT or unix:PATH")
      ->capture_default_str()
      ->envname("SLUICE_SERVER")
      ->type_name("ADDR");
  app.add_option("-o,--output", raw.format,
                 "Output form (default: table on a terminal, else ndjson)")
      ->check(OneOf(Formats()))
      ->type_name("FORM");
  app.add_option("--timeout", raw.timeout,
                 "Give up after this long: 30s, 250ms, 2m (default: 60s; none for --stream, import "
                 "and backup)")
      ->type_name("D");
  app.add_flag("-q,--quiet", options->quiet, "No row counts and timings on standard error");

  AddQuery(&app, options, &raw);
  AddBatch(&app, options, &raw);
  AddImport(&app, options, &raw);
  AddBackup(&app, options);
  AddSchema(&app, options);
  AddConnections(&app, options, &raw);
  std::string health_connection;
  CLI::App* const health =
      app.add_subcommand("health", "Show how the server and its databases do; exit code 0 if well");
  health->add_option("-c,--connection", health_connection, "Ask about this connection only")
      ->type_name("ID");
  health->callback([&] {
    options->command = Command::kHealth;
    options->connection_id = health_connection;
  });
  app.add_subcommand("info", "Show what the server is: versions, limits, load")
      ->callback([options] { options->command = Command::kInfo; });
  for (CLI::App* sub : app.get_subcommands({})) {
    sub->fallthrough();
    sub->footer(std::string(ExitCodesHelp()));
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    const std::vector<std::string> rest = app.remaining(true);
    if (rest.empty()) return app.exit(error), kExitUsage;
    std::cerr << "sluice: there is no command `" << rest.front()
              << "`\nRun sluice --help for more.\n";
    return kExitUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  const absl::Status status = Resolve(raw, options);
  if (status.ok()) return std::nullopt;
  std::cerr << "sluice: " << status.message() << "\nRun sluice --help for more.\n";
  return kExitUsage;
}

}  // namespace sluice::cli
