// What the tool does for each command.
#ifndef SLUICE_CLIENT_CLI_COMMANDS_H_
#define SLUICE_CLIENT_CLI_COMMANDS_H_

#include <stop_token>
#include <string>

#include "absl/strings/string_view.h"
#include "google/protobuf/duration.pb.h"

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
  std::string sql;  // the statement of query, describe and explain, read from wherever it is
  const client::Client& client;
  std::stop_token stop;
  Format format;
  Style out_style;    // of standard output
  Style error_style;  // of standard error
  Output& out;        // standard output

  client::CallOptions Call() const { return {options.timeout, stop}; }
};

// Runs the command and answers its exit code.
ExitCode RunCommand(Session& session);

// One of them.
ExitCode RunQuery(Session& session);
ExitCode RunDescribe(Session& session);
ExitCode RunExplain(Session& session);
ExitCode RunBatch(Session& session);
ExitCode RunImport(Session& session);
ExitCode RunBackup(Session& session);
ExitCode RunSchemaSchemas(Session& session);
ExitCode RunSchemaTables(Session& session);
ExitCode RunSchemaDescribe(Session& session);
ExitCode RunConnectionsList(Session& session);
ExitCode RunConnectionsGet(Session& session);
ExitCode RunConnectionsTest(Session& session);
ExitCode RunConnectionsRegister(Session& session);
ExitCode RunConnectionsClose(Session& session);

// A line on standard error for people, unless --quiet.
void Note(const Session& session, absl::string_view text);
void Warn(const Session& session, absl::string_view text);
// The same for a failure that is this side's own.
void Complain(const Session& session, absl::string_view text);

// Shows a failed call on standard error and answers its exit code.
ExitCode Fail(Session& session, const absl::Status& status, absl::string_view sql, bool read_only);
// `context` without the server.
ExitCode Fail(Session& session, const client::Error& error, CallContext context);

// Flushes standard output; the code for how that went. A reader that went away is fine.
ExitCode FinishOutput(Session& session);

// `1 row`, `2 rows`.
std::string CountOf(int64_t count, absl::string_view noun);

// `0.5 ms`, `1.50 s`.
std::string ElapsedText(const google::protobuf::Duration& elapsed);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMMANDS_H_
