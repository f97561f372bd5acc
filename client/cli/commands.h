// What the tool does for each command.
#ifndef SLUICE_CLIENT_CLI_COMMANDS_H_
#define SLUICE_CLIENT_CLI_COMMANDS_H_

#include <stop_token>
#include <string>

#include "absl/strings/string_view.h"

#include "client/cli/options.h"
#include "client/cli/output.h"
#include "client/cli/printer.h"
#include "client/cli/report.h"
#include "client/cli/terminal.h"
#include "client/client.h"

namespace sluice::cli {

// What every command works with. Owned by main.
struct Session {
  const Options& options;
  const client::Client& client;
  std::stop_token stop;
  Format format;
  Style out_style;    // of standard output
  Style error_style;  // of standard error
  Output& out;        // standard output

  client::CallOptions Call() const { return {options.timeout, stop}; }
};

// Runs the command and answers its exit code. `sql` is the statement of `query`.
ExitCode RunCommand(Session& session, const std::string& sql);

// One of them.
ExitCode RunQuery(Session& session, const std::string& sql);

// A line on standard error for people, unless --quiet.
void Note(const Session& session, absl::string_view text);
void Warn(const Session& session, absl::string_view text);

// Shows a failed call on standard error and answers its exit code.
ExitCode Fail(Session& session, const absl::Status& status, absl::string_view sql, bool read_only);

// Flushes standard output; the code for how that went. A reader that went away is fine.
ExitCode FinishOutput(Session& session);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMMANDS_H_
