// The only file that includes CLI11, which is slow to compile.
#include "client/cli/options.h"

#include <iostream>
#include <map>

#include <CLI/CLI.hpp>

#include "client/cli/report.h"
#include "client/cli/resolve.h"

namespace sluice::cli {
namespace {

constexpr int kMaxParams = 1 << 16;

// What CLI11 fills in.
struct Raw : RawOptions {
  // Each command adds its own; results() of the one that was given is what is read.
  std::vector<CLI::Option*> connection_options;
  std::vector<CLI::Option*> sql_options;
  std::vector<CLI::Option*> param_options;
  std::vector<CLI::Option*> named_options;
  CLI::Option* null_option = nullptr;
  std::string null_sink;  // CLI11 wants a place
  std::vector<std::string> values_sink;
};

template <class Value>
CLI::IsMember OneOf(const std::map<std::string, Value>& values) {
  std::vector<std::string> names;
  for (const auto& [name, value] : values) names.push_back(name);
  return CLI::IsMember(names);
}

// An option that takes one value or more, each as it is: CLI11 would otherwise split [1,2] in two.
CLI::Option* AddValues(CLI::App* app,
                       const std::string& names,
                       std::vector<std::string>* sink,
                       const std::string& help) {
  return app->add_option(names, *sink, help)->expected(1, kMaxParams)->allow_extra_args(false);
}

void AddConnection(CLI::App* app, Options* options, Raw* raw) {
  raw->connection_options.push_back(
      app->add_option("-c,--connection", options->connection_id, "Connection to run on")
          ->capture_default_str()
          ->type_name("ID"));
}

// For a command that knows its connection by a transaction.
void AddItsConnection(CLI::App* app, Options* options, Raw* raw) {
  raw->connection_options.push_back(
      app->add_option("-c,--connection", options->connection_id,
                      "Its connection, to have it checked (default: whichever it is)")
          ->type_name("ID"));
}

// The transaction of a command below `tx`.
void AddTransactionId(CLI::App* app, Options* options) {
  app->add_option("ID", options->tx.id, "The transaction: what `tx begin` printed")->required();
}

void AddCommit(CLI::App* app, const std::string& part, Options* options) {
  app->add_flag("--commit", options->tx.commit,
                "Commit the transaction after it, if the " + part + " succeeds");
}

// For a command that runs by itself, or in a transaction.
void AddTransaction(CLI::App* app, const std::string& part, Options* options) {
  app->add_option("--transaction", options->tx.id, "Run in this transaction; see `sluice tx`")
      ->type_name("ID");
  AddCommit(app, part, options);
}

// What names one statement, and its values.
void AddStatement(CLI::App* app, bool params, Options* options, Raw* raw) {
  raw->sql_options.push_back(app->add_option("SQL", options->query.sql,
                                             "The statement; `-` reads it from standard input"));
  if (params) {
    raw->param_options.push_back(
        AddValues(
            app, "-p,--param", &raw->values_sink,
            "Value of a numbered parameter; may be repeated. null, true, false and numbers mean "
            "what they say, text:… int:… real:… blob:HEX json:… force a type, all else is text")
            ->type_name("VALUE"));
    raw->named_options.push_back(
        AddValues(app, "--named", &raw->values_sink, "Value of a named parameter; may be repeated")
            ->type_name("NAME=VALUE"));
  }
  app->add_option("-f,--file", options->query.file, "Read the statement from a file")
      ->type_name("FILE");
}

// What `query` and `tx query` have in common.
void AddQueryOptions(CLI::App* query, Options* options, Raw* raw) {
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
}

void AddQuery(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const query =
      app->add_subcommand("query", "Run one SQL statement and print its result");
  AddQueryOptions(query, options, raw);
  AddConnection(query, options, raw);
  AddTransaction(query, "statement", options);

  CLI::App* const describe = app->add_subcommand(
      "describe", "Show the parameters and columns of a statement, without running it");
  AddStatement(describe, false, options, raw);
  AddConnection(describe, options, raw);
  describe->callback([options] { options->command = Command::kDescribe; });

  CLI::App* const explain = app->add_subcommand(
      "explain", "Show how a statement would be run, and what in it will be slow");
  AddStatement(explain, true, options, raw);
  explain->add_flag("--analyze", options->query.analyze,
                    "Run it, measure, and roll it back (PostgreSQL)");
  AddConnection(explain, options, raw);
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

// What `batch` and `tx batch` have in common.
void AddBatchOptions(CLI::App* batch, Options* options, Raw* raw) {
  BatchOptions* const to = &options->batch;
  batch->add_option("FILE", to->file, "Statements with a `;` between them; `-`: standard input");
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

void AddBatch(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const batch =
      app->add_subcommand("batch", "Run several SQL statements, by default all or none of them");
  AddBatchOptions(batch, options, raw);
  AddConnection(batch, options, raw);
  AddTransaction(batch, "batch", options);
}

void AddImport(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const import =
      app->add_subcommand("import", "Load a CSV, TSV or NDJSON file into a table, or an SQL dump");
  ImportOptions* const to = &options->import;
  import->add_option("FILE", to->file, "What to load; `-`: standard input")->required();
  AddConnection(import, options, raw);
  import->add_option("-t,--table", to->table, "Table to load into")->type_name("T");
  import->add_option("--schema", to->schema, "Schema of the table")->type_name("S");
  import->add_option("--columns", raw->columns, "Columns of the file (default: its header)")
      ->type_name("A,B");
  import->add_option("--format", raw->form, "Form of the file (default: by its name)")
      ->check(OneOf(FileForms()))
      ->type_name("FORM");
  import->add_flag("!--no-header", to->header, "The first line is a row already");
  raw->null_option =
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
  AddTransaction(import, "load", options);
  import->callback([options] { options->command = Command::kImport;
});
}  // namespace

void AddBackup(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const backup = app->add_subcommand(
      "backup", "Copy a whole database into a file, while it goes on being used");
  backup->add_option("FILE", options->backup.file, "Where to put the copy")->required();
  AddConnection(backup, options, raw);
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

void AddSchema(CLI::App* app, Options* options, Raw* raw) {
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
  for (CLI::App* sub : {schemas, tables, describe}) AddConnection(sub, options, raw);
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
  open->add_flag("--keep-requests", to->keep_requests,
                 "Make it able to keep the answers of requests with an id, as keep-requests does");

  CLI::App* const keep =
      AddSub(connections, "keep-requests",
             "Make a PostgreSQL database able to keep the answers of requests with an id",
             Command::kConnectionsKeepRequests, options);
  keep->add_option("ID", options->connection_id, "Which one")->capture_default_str();

  CLI::App* const close = AddSub(connections, "close", "Close a connection; its file stays",
                                 Command::kConnectionsClose, options);
  close->add_option("ID", options->connection_id, "Which one")->required();
  close
      ->add_option("--drain-timeout", raw->drain_timeout,
                   "How long to wait for calls in flight (default: 10s; at most 60s)")
      ->type_name("D");
}

void AddTxBegin(CLI::App* tx, Options* options, Raw* raw) {
  CLI::App* const begin = AddSub(tx, "begin", "Begin a transaction and print the id to use it with",
                                 Command::kTxBegin, options);
  AddConnection(begin, options, raw);
  begin->add_flag("--read-only", raw->read_only,
                  "Refuse to write; on SQLite a snapshot that blocks nobody");
  begin
      ->add_option("--isolation", raw->isolation,
                   "At least this level (default: the engine's own; SQLite is always serializable)")
      ->check(OneOf(Isolations()))
      ->type_name("LEVEL");
  begin
      ->add_option("--idle-timeout", raw->idle_timeout,
                   "Roll back when nothing was done in it for this long (default: the server's "
                   "limit, 30s)")
      ->type_name("D");
  begin
      ->add_option("--max-life", raw->max_life,
                   "Roll back when it is this old (default: the server's limit, 10m)")
      ->type_name("D");
  begin->add_option("--label", raw->label, "A name for lists, logs and those who wait for it")
      ->type_name("L");
}

// The commands that run statements.
void AddTxStatements(CLI::App* tx, Options* options, Raw* raw) {
  CLI::App* const query =
      AddSub(tx, "query", "Run one SQL statement in a transaction", Command::kQuery, options);
  AddTransactionId(query, options);
  AddQueryOptions(query, options, raw);
  AddCommit(query, "statement", options);
  AddItsConnection(query, options, raw);
  CLI::App* const batch =
      AddSub(tx, "batch", "Run several SQL statements in a transaction", Command::kBatch, options);
  AddTransactionId(batch, options);
  AddBatchOptions(batch, options, raw);
  AddCommit(batch, "batch", options);
  AddItsConnection(batch, options, raw);
}

// The commands that end a transaction, go back in it, or keep it.
void AddTxSteps(CLI::App* tx, Options* options, Raw* raw) {
  CLI::App* const commit = AddSub(tx, "commit", "Commit", Command::kTxCommit, options);
  CLI::App* const rollback = AddSub(tx, "rollback", "Roll back", Command::kTxRollback, options);
  CLI::App* const savepoint =
      AddSub(tx, "savepoint", "Set a savepoint", Command::kTxSavepoint, options);
  CLI::App* const rollback_to =
      AddSub(tx, "rollback-to", "Undo what came after a savepoint; cures a failed transaction",
             Command::kTxRollbackTo, options);
  CLI::App* const release = AddSub(tx, "release", "Forget a savepoint; what it guarded stays",
                                   Command::kTxRelease, options);
  CLI::App* const keep =
      AddSub(tx, "keep", "Start the idle time of the lease anew", Command::kTxKeep, options);
  for (CLI::App* sub : {commit, rollback, savepoint, rollback_to, release, keep}) {
    AddTransactionId(sub, options);
    AddItsConnection(sub, options, raw);
  }
  for (CLI::App* sub : {savepoint, rollback_to, release}) {
    sub->add_option("NAME", options->tx.savepoint, "Name of the savepoint")->required();
  }
  commit
      ->add_option("--request-id", options->tx.request_id,
                   "Makes a repeat safe: a UUID, or `auto` for a new one, which is shown")
      ->type_name("UUID");
}

// The commands that look at transactions, or end somebody's.
void AddTxViews(CLI::App* tx, Options* options, Raw* raw) {
  CLI::App* const get = AddSub(tx, "get", "Show one transaction", Command::kTxGet, options);
  get->add_option("ID", options->tx.id, "Its id, or its handle (tx_…)")->required();
  CLI::App* const list =
      AddSub(tx, "list", "List the open transactions, the oldest first", Command::kTxList, options);
  raw->connection_options.push_back(list->add_option("-c,--connection", options->connection_id,
                                                     "Those on this connection only (default: all)")
                                        ->type_name("ID"));
  CLI::App* const end =
      AddSub(tx, "end", "Roll somebody's transaction back", Command::kTxEnd, options);
  end->add_option("HANDLE", options->tx.handle, "Its handle (tx_…), which `tx list` shows")
      ->required();
  CLI::App* const outcome =
      AddSub(tx, "outcome", "Tell what became of a transaction whose answer was lost",
             Command::kTxOutcome, options);
  outcome->add_option("ID", options->tx.id, "The transaction, which the server knows for a while");
  outcome
      ->add_option(
          "--request-id", options->tx.request_id,
          "Instead, that of its commit or of any write, which the database knows for a day")
      ->type_name("UUID");
  outcome
      ->add_option("--token", options->tx.outcome_token,
                   "Instead, the outcome_token of the error that its commit ended with")
      ->type_name("TOKEN");
  AddConnection(outcome, options, raw);
}

void AddTx(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const tx = app->add_subcommand(
      "tx", "Begin, use, end and show transactions that last longer than a call");
  tx->require_subcommand(1);
  AddTxBegin(tx, options, raw);
  AddTxStatements(tx, options, raw);
  AddTxSteps(tx, options, raw);
  AddTxViews(tx, options, raw);
}

// What the options of this name hold; each command has its own.
std::vector<std::string> Results(const std::vector<CLI::Option*>& options) {
  for (const CLI::Option* option : options) {
    if (!option->empty()) return option->results();
  }
  return {};
}

// Takes what only CLI11's own objects tell.
void Collect(Raw* raw, Options* options) {
  raw->connection_given = !Results(raw->connection_options).empty();
  raw->params = Results(raw->param_options);
  raw->named = Results(raw->named_options);
  const std::vector<std::string> sql = Results(raw->sql_options);
  if (!sql.empty()) options->query.sql = sql.back();
  if (!raw->null_option->empty()) raw->null_text = raw->null_sink;
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
  AddBackup(&app, options, &raw);
  AddSchema(&app, options, &raw);
  AddConnections(&app, options, &raw);
  AddTx(&app, options, &raw);
  std::string health_connection;  // or of stats
  CLI::App* const health =
      app.add_subcommand("health", "Show how the server and its databases do; exit code 0 if well");
  health->add_option("-c,--connection", health_connection, "Ask about this connection only")
      ->type_name("ID");
  health->callback([&] {
    options->command = Command::kHealth;
    options->connection_id = health_connection;
  });
  CLI::App* const stats =
      app.add_subcommand("stats", "Show the server's connections to PostgreSQL, and who has them");
  stats->add_option("-c,--connection", health_connection, "Of this connection only")
      ->type_name("ID");
  stats->callback([&] {
    options->command = Command::kStats;
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
  Collect(&raw, options);
  const absl::Status status = Resolve(raw, options);
  if (status.ok()) return std::nullopt;
  std::cerr << "sluice: " << status.message() << "\nRun sluice --help for more.\n";
  return kExitUsage;
}

}  // namespace sluice::cli
