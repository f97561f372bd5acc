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
ExitCode RunConnectionsKeepRequests(Session& session);
ExitCode RunConnectionsClose(Session& session);
ExitCode RunTxBegin(Session& session);
ExitCode RunTxCommit(Session& session);
ExitCode RunTxRollback(Session& session);
ExitCode RunTxSavepoint(Session& session);
ExitCode RunTxRollbackTo(Session& session);
ExitCode RunTxRelease(Session& session);
ExitCode RunTxKeep(Session& session);
ExitCode RunTxGet(Session& session);
ExitCode RunTxList(Session& session);
ExitCode RunTxEnd(Session& session);
ExitCode RunTxOutcome(Session& session);
ExitCode RunStats(Session& session);

// A line on standard error for people, unless --quiet.
void Note(const Session& session, absl::string_view text);
void Warn(const Session& session, absl::string_view text);
// The same for a failure that is this side's own.
void Complain(const Session& session, absl::string_view text);

// `transaction tx_… is active; its lease ends in 5s`.
std::string TransactionText(const v1::TransactionStatus& transaction);

// Shows a failed call on standard error and answers its exit code.
ExitCode Fail(Session& session, const absl::Status& status, absl::string_view sql, bool read_only);
// `context` without the server.
ExitCode Fail(Session& session, const client::Error& error, CallContext context);

// Flushes standard output; the code for how that went. A reader that went away is fine.
ExitCode FinishOutput(Session& session);

// Puts a statement, a batch or a load into the transaction that was named, if one was.
template <class Request>
void SelectTransaction(const Session& session, Request* request) {
  const TxOptions& tx = session.options.tx;
  if (tx.id.empty()) return;
  request->mutable_transaction()->set_transaction_id(tx.id);
  request->mutable_transaction()->set_commit(tx.commit);
}

// Tells where it stands afterwards, if an answer of such a request does.
template <class Response>
void NoteTransaction(const Session& session, const Response& response) {
  if (response.has_transaction()) Note(session, TransactionText(response.transaction()));
}

// `1 row`, `2 rows`.
std::string CountOf(int64_t count, absl::string_view noun);

// `0.5 ms`, `1.50 s`.
std::string ElapsedText(const google::protobuf::Duration& elapsed);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_COMMANDS_H_
