// The only file that includes CLI11, which is slow to compile.
#include "client/cli/options.h"

#include <iostream>
#include <map>

#include <CLI/CLI.hpp>

#include "absl/status/status.h"

#include "client/address.h"
#include "client/cli/parameters.h"
#include "client/cli/report.h"
#include "client/cli/utf8.h"

namespace sluice::cli {
namespace {

constexpr int kMaxParams = 1 << 16;

// What CLI11 fills in; Resolve turns it into Options.
struct Raw {
  std::string format;
  std::string timeout;
  CLI::Option* sql = nullptr;
  CLI::Option* params = nullptr;
  CLI::Option* named = nullptr;
  std::vector<std::string> params_sink;  // CLI11 wants a place; results() is what is read
  std::vector<std::string> named_sink;
};

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

void AddQuery(CLI::App* app, Options* options, Raw* raw) {
  CLI::App* const query =
      app->add_subcommand("query", "Run one SQL statement and print its result");
  raw->sql = query->add_option("SQL", options->query.sql,
                               "The statement; `-` reads it from standard input");
  query->add_option("-c,--connection", options->connection_id, "Connection to run on")
      ->capture_default_str()
      ->type_name("ID");
  raw->params =
      AddValues(
          query, "-p,--param", &raw->params_sink,
          "Value of a numbered parameter; may be repeated. null, true, false and numbers mean "
          "what they say, text:… int:… real:… blob:HEX json:… force a type, all else is text")
          ->type_name("VALUE");
  raw->named =
      AddValues(query, "--named", &raw->named_sink, "Value of a named parameter; may be repeated")
          ->type_name("NAME=VALUE");
  query->add_option("-f,--file", options->query.file, "Read the statement from a file")
      ->type_name("FILE");
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

void AddConnections(CLI::App* app, Options* options) {
  CLI::App* const connections = app->add_subcommand("connections", "Show and test connections");
  connections->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Command command) {
    CLI::App* const sub = connections->add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([options, command] { options->command = command; });
    return sub;
  };
  add("list", "List the connections", Command::kConnectionsList);
  CLI::App* const get = add("get", "Show one connection", Command::kConnectionsGet);
  get->add_option("ID", options->connection_id, "Which one")->capture_default_str();
  CLI::App* const test = add("test", "Ask the database behind a connection a trivial question",
                             Command::kConnectionsTest);
  test->add_option("ID", options->connection_id, "Which one")->capture_default_str();
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

absl::Status ResolveQuery(const Raw& raw, QueryOptions* query) {
  std::vector<std::string> params = raw.params->results();
  std::vector<std::string> named = raw.named->results();
  if (!raw.sql->empty()) query->sql = raw.sql->results().back();
  GiveBackStatement(&params, &named, query);
  if (query->sql.empty() == query->file.empty()) {
    return absl::InvalidArgumentError(
        "query wants one statement: as an argument, from a file with -f FILE, or `-` for standard "
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

absl::Status Resolve(const Raw& raw, Options* options) {
  absl::Status status = client::CheckAddress(options->server);
  if (!status.ok()) return status;
  if (!raw.format.empty()) options->format = Formats().at(raw.format);
  if (!raw.timeout.empty()) {
    const auto timeout = ParseTimeout(raw.timeout);
    if (!timeout.ok()) return timeout.status();
    options->timeout = *timeout;
  }
  if (!IsUtf8(options->connection_id)) {
    return absl::InvalidArgumentError("the connection's id is not UTF-8");
  }
  return options->command == Command::kQuery ? ResolveQuery(raw, &options->query)
                                             : absl::OkStatus();
}

}  // namespace

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
  std::vector<std::string> names;
  for (const auto& [name, format] : Formats()) names.push_back(name);
  app.add_option("-o,--output", raw.format,
                 "Output form (default: table on a terminal, else ndjson)")
      ->check(CLI::IsMember(names))
      ->type_name("FORM");
  app.add_option("--timeout", raw.timeout,
                 "Give up after this long: 30s, 250ms, 2m (default: 60s; none for --stream)")
      ->type_name("D");
  app.add_flag("-q,--quiet", options->quiet, "No row counts and timings on standard error");

  AddQuery(&app, options, &raw);
  AddConnections(&app, options);
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
