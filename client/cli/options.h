// The command line of `sluice`, read.
#ifndef SLUICE_CLIENT_CLI_OPTIONS_H_
#define SLUICE_CLIENT_CLI_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"

#include "client/cli/printer.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {

enum class Command { kQuery, kConnectionsList, kConnectionsGet, kConnectionsTest, kHealth, kInfo };

// What `query` was asked to run.
struct QueryOptions {
  std::string sql;   // the statement, or `-` for standard input
  std::string file;  // or a file that holds it; empty: none
  std::vector<v1::Value> params;
  std::vector<std::pair<std::string, v1::Value>> named_params;
  int64_t max_rows = 0;  // 0: the server's default
  bool stream = false;
  bool read_only = false;
};

struct Options {
  std::string server = "127.0.0.1:50051";
  std::optional<Format> format;  // none: table on a terminal, else NDJSON
  std::optional<absl::Duration> timeout;
  bool quiet = false;  // no notes on standard error
  Command command = Command::kHealth;
  std::string connection_id =
      "default";  // of query, connections get and test; empty: all, of health
  QueryOptions query;
};

// Reads the command line. An exit code instead of options means that the tool is done: help was
// asked for and printed, or the usage is wrong and was explained on standard error.
std::optional<int> ParseOptions(int argc, const char* const* argv, Options* options);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_OPTIONS_H_
