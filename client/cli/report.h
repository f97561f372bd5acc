// Failures as the tool shows them, and its exit codes.
#ifndef SLUICE_CLIENT_CLI_REPORT_H_
#define SLUICE_CLIENT_CLI_REPORT_H_

#include <string>

#include "absl/strings/string_view.h"

#include "client/cli/terminal.h"
#include "client/errors.h"

namespace sluice::cli {

// How the tool ends. Scripts rely on these; ExitCodesHelp says them to people.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,       // the statement or request failed, or the server is not serving
  kExitUsage = 2,        // the command line is wrong; nothing was sent
  kExitUnavailable = 3,  // nothing was applied; the same again may succeed
  kExitUnknown = 4,      // it may have been executed
  kExitEnded = 5,        // the deadline passed, or it was cancelled
  kExitPermission = 6,   // refused by a policy
  kExitOutput = 7,       // it ran, but its result could not be written
};

absl::string_view ExitCodesHelp();

// The code for a failed call. `read_only`: it cannot have changed anything, so its outcome matters
// less.
ExitCode ExitCodeOf(const client::Error& error, bool read_only);

// What a failed call was about, as far as there is something to show.
struct CallContext {
  absl::string_view server;  // address
  absl::string_view sql;
  bool read_only = false;  // nothing can have been applied, so only a definite fate is shown
  // In a text with several statements: which of them, and where in `sql` it begins, in characters
  // from 1. The database's positions count from there.
  std::string place = "";
  int start = 1;
};

// Several lines for standard error: what happened, where in the SQL, what to do, what became of it.
std::string Describe(const client::Error& error, const CallContext& context, const Style& style);

// The line of `sql` that holds character `position` (from 1) with a caret under it, or nothing if
// there is no such character.
std::string Caret(absl::string_view sql, int position, const Style& style);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_REPORT_H_
