// From the words of the command line to options.
#ifndef SLUICE_CLIENT_CLI_RESOLVE_H_
#define SLUICE_CLIENT_CLI_RESOLVE_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "client/cli/options.h"

namespace sluice::cli {

// What still is as it was typed, of the command that was given. The rest is in Options already.
struct RawOptions {
  std::string format;
  std::string timeout;
  bool connection_given = false;  // otherwise the command's default stands in Options
  std::vector<std::string> params;
  std::vector<std::string> named;
  std::string mode;
  std::string form;
  std::string on_conflict;
  std::string columns;
  std::string key;
  std::optional<std::string> null_text;
  std::string drain_timeout;
  // Of tx begin.
  bool read_only = false;
  std::string isolation;
  std::string idle_timeout;
  std::string max_life;
  std::string label;
};

// The words that some options take.
const std::map<std::string, v1::BatchMode>& Modes();
const std::map<std::string, v1::ConflictAction>& ConflictActions();
const std::map<std::string, FileForm>& FileForms();
const std::map<std::string, Format>& Formats();
const std::map<std::string, v1::IsolationLevel>& Isolations();

// Completes the options. An error explains what makes no sense.
absl::Status Resolve(const RawOptions& raw, Options* options);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_RESOLVE_H_
