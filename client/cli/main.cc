// The command-line tool `sluice`.
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include <unistd.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/interrupt.h"
#include "client/cli/options.h"
#include "client/cli/output.h"
#include "client/cli/utf8.h"
#include "client/client.h"

namespace sluice::cli {
namespace {

// The statement, from wherever the command line says.
absl::StatusOr<std::string> ReadStatement(const QueryOptions& query) {
  std::string sql = query.sql;
  const bool standard_input = sql == "-" || query.file == "-";
  if (standard_input) {
    sql.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else if (!query.file.empty()) {
    std::ifstream file(query.file, std::ios::binary);
    if (file) sql.assign(std::istreambuf_iterator<char>(file), {});
    if (!file) {
      return absl::InvalidArgumentError(absl::StrCat(
          "cannot read ", query.file, ": ",
          std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe): no other thread yet
    }
  }
  if (!IsUtf8(sql)) return absl::InvalidArgumentError("the statement is not UTF-8");
  return sql;
}

int Run(int argc, char** argv) {
  Options options;
  if (const auto code = ParseOptions(argc, argv, &options)) return *code;
  std::string sql;
  if (options.command == Command::kQuery) {
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
                     *client,
                     interrupt.Token(),
                     options.format.value_or(out_style.terminal ? Format::kTable : Format::kNdjson),
                     out_style,
                     StyleOf(STDERR_FILENO),
                     out};
  return RunCommand(session, sql);
}

}  // namespace
}  // namespace sluice::cli

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // a reader that went away is met at write
  sluice::cli::ChooseLocale();
  return sluice::cli::Run(argc, argv);
}
