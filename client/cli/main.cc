// The command-line tool `sluice`.
#include <csignal>
#include <iostream>
#include <string>
#include <utility>

#include <unistd.h>

#include "absl/status/statusor.h"

#include "client/cli/commands.h"
#include "client/cli/input.h"
#include "client/cli/interrupt.h"
#include "client/cli/options.h"
#include "client/cli/output.h"
#include "client/cli/utf8.h"
#include "client/client.h"

namespace sluice::cli {
namespace {

bool HasStatement(Command command) {
  return command == Command::kQuery || command == Command::kDescribe ||
         command == Command::kExplain;
}

// The statement, from wherever the command line says.
absl::StatusOr<std::string> ReadStatement(const QueryOptions& query) {
  if (query.sql == "-") return ReadText("-", {});
  if (!query.file.empty()) return ReadText(query.file, {});
  if (!IsUtf8(query.sql)) return absl::InvalidArgumentError("the statement is not UTF-8");
  return query.sql;
}

int Run(int argc, char** argv) {
  Options options;
  if (const auto code = ParseOptions(argc, argv, &options)) return *code;
  std::string sql;
  if (HasStatement(options.command)) {
    auto statement = ReadStatement(options.query);
    if (!statement.ok()) {
      std::cerr << "sluice: " << statement.status().message() << '\n';
      return kExitUsage;
    }
    sql = *std::move(statement);
  }

  const Interrupt interrupt;  // before gRPC starts its threads
  const auto client = client::Client::Connect(options.server);
  if (!client.ok()) {
    std::cerr << "sluice: " << client.status().message() << '\n';
    return kExitUsage;
  }
  Output out(STDOUT_FILENO);
  const Style out_style = StyleOf(STDOUT_FILENO);
  Session session = {options,
                     std::move(sql),
                     *client,
                     interrupt.Token(),
                     options.format.value_or(out_style.terminal ? Format::kTable : Format::kNdjson),
                     out_style,
                     StyleOf(STDERR_FILENO),
                     out};
  return RunCommand(session);
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // a reader that went away is met at write
  sluice::cli::ChooseLocale();
  return sluice::cli::Run(argc, argv);
}
