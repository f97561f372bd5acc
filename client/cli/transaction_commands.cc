// `sluice tx`, apart from the statements in it, which are those of `query` and `batch`.
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/records.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

using client::ToValue;

std::string StateName(v1::TransactionState state) {
  return EnumWord(v1::TransactionState_Name(state), "TRANSACTION_STATE_");
}

std::string IsolationName(v1::IsolationLevel isolation) {
  return EnumWord(v1::IsolationLevel_Name(isolation), "ISOLATION_LEVEL_");
}

template <class Message>
v1::Value LeaseSeconds(const Message& message) {
  return message.has_expires_in() ? Seconds(message.expires_in()) : ToValue(nullptr);
}

Record StatusRecord(const v1::TransactionStatus& status) {
  return {{"handle", ToValue(status.handle())},
          {"state", ToValue(StateName(status.state()))},
          {"expires_in_seconds", LeaseSeconds(status)},
          {"isolation", ToValue(IsolationName(status.isolation()))}};
}

Record TransactionRecord(const v1::Transaction& transaction) {
  const bool waits = transaction.has_waits_for();
  return {{"handle", ToValue(transaction.handle())},
          {"label", ToValue(transaction.label())},
          {"connection", ToValue(transaction.connection_name())},
          {"state", ToValue(StateName(transaction.state()))},
          {"read_only", ToValue(transaction.read_only())},
          {"holder", ToValue(transaction.holder())},
          {"age_seconds", Seconds(transaction.age())},
          {"idle_seconds", transaction.has_idle() ? Seconds(transaction.idle()) : ToValue(nullptr)},
          {"expires_in_seconds", LeaseSeconds(transaction)},
          {"statements", ToValue(transaction.statements())},
          {"last_statement", ToValue(transaction.last_statement())},
          {"holds_writer", ToValue(transaction.holds_writer())},
          {"waits_for", waits ? ToValue(transaction.waits_for().held_by()) : ToValue(nullptr)}};
}

// What a step that succeeded leaves behind.
ExitCode PrintStatus(Session& session, const v1::TransactionStatus& status) {
  if (IsJsonForm(session.format)) {
    PrintMessage(session, status);
  } else {
    PrintRecord(session, StatusRecord(status));
  }
  return FinishOutput(session);
}

template <class Request>
Request RequestFor(const Session& session) {
  Request request;
  request.set_transaction_id(session.options.tx.id);
  request.set_connection_id(session.options.connection_id);
  return request;
}

// Makes a call whose answer holds the transaction's status.
template <class Request, class Response>
ExitCode RunStep(Session& session,
                 const Request& request,
                 absl::StatusOr<Response> (client::Client::*call)(const Request&,
                                                                  const client::CallOptions&)
                     const) {
  const auto response = (session.client.*call)(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", false);
  return PrintStatus(session, response->transaction());
}

// The same for one that names a savepoint.
template <class Request, class Response>
ExitCode RunSavepointStep(Session& session,
                          absl::StatusOr<Response> (client::Client::*call)(
                              const Request&, const client::CallOptions&) const) {
  auto request = RequestFor<Request>(session);
  request.set_name(session.options.tx.savepoint);
  return RunStep(session, request, call);
}

}  // namespace

std::string TransactionText(const v1::TransactionStatus& transaction) {
  std::string text =
      absl::StrCat("transaction ", transaction.handle(), " is ", StateName(transaction.state()));
  if (transaction.has_expires_in()) {
    absl::StrAppend(&text, "; its lease ends in ", ElapsedText(transaction.expires_in()));
  }
  return text;
}

// The id alone goes to standard output, ready for a script's variable.
ExitCode RunTxBegin(Session& session) {
  v1::BeginTransactionRequest request;
  request.set_connection_id(session.options.connection_id);
  *request.mutable_options() = session.options.tx.begin;
  const auto response = session.client.BeginTransaction(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", false);
  const v1::TransactionStatus& status = response->transaction();
  const bool id_alone = session.options.format.value_or(Format::kTable) == Format::kTable;
  if (id_alone) {
    absl::StrAppend(&session.out.Buffer(), status.transaction_id(), "\n");
  } else if (IsJsonForm(session.format)) {
    PrintMessage(session, status);
  } else {
    Record record = {{"transaction_id", ToValue(status.transaction_id())}};
    for (const auto& field : StatusRecord(status)) record.push_back(field);
    PrintRecord(session, record);
  }
  const ExitCode code = FinishOutput(session);
  Note(session, TransactionText(status));
  return code;
}

ExitCode RunTxCommit(Session& session) {
  const TxOptions& options = session.options.tx;
  auto request = RequestFor<v1::CommitTransactionRequest>(session);
  request.set_request_id(options.request_id);
  if (!request.request_id().empty()) {
    Note(session, absl::StrCat("request id ", request.request_id()));
  }
  const auto response = session.client.CommitTransaction(request, session.Call());
  if (!response.ok()) {
    const client::Error error = client::DecodeError(response.status());
    const ExitCode code = Fail(session, error, {});
    if (error.executed != client::Executed::kUnknown) return code;
    const bool told = error.metadata.contains("outcome_token");
    if (request.request_id().empty()) {
      if (!told) Warn(session, "`sluice tx outcome ID` tells what became of it");
    } else {
      Warn(session, absl::StrCat("`sluice tx commit ID --request-id ", request.request_id(),
                                 "` can be repeated safely; `sluice tx outcome` with the same "
                                 "--request-id tells what became of it"));
    }
    return code;
  }
  const ExitCode code = PrintStatus(session, response->transaction());
  Note(session,
       absl::StrCat(response->replayed() ? "it was committed by an earlier call" : "committed",
                    " (", ElapsedText(response->elapsed()), ")"));
  return code;
}

ExitCode RunTxRollback(Session& session) {
  return RunStep(session, RequestFor<v1::RollbackTransactionRequest>(session),
                 &client::Client::RollbackTransaction);
}

ExitCode RunTxSavepoint(Session& session) {
  return RunSavepointStep(session, &client::Client::Savepoint);
}

ExitCode RunTxRollbackTo(Session& session) {
  return RunSavepointStep(session, &client::Client::RollbackToSavepoint);
}

ExitCode RunTxRelease(Session& session) {
  return RunSavepointStep(session, &client::Client::ReleaseSavepoint);
}

ExitCode RunTxKeep(Session& session) {
  return RunStep(session, RequestFor<v1::KeepAliveRequest>(session), &client::Client::KeepAlive);
}

ExitCode RunTxGet(Session& session) {
  const TxOptions& options = session.options.tx;
  v1::GetTransactionRequest request;
  if (options.handle.empty()) {
    request.set_transaction_id(options.id);
  } else {
    request.set_handle(options.handle);
  }
  const auto response = session.client.GetTransaction(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", true);
  PrintRecord(session, TransactionRecord(response->transaction()));
  return FinishOutput(session);
}

ExitCode RunTxList(Session& session) {
  std::vector<Record> records;
  v1::ListTransactionsRequest request;
  request.set_connection_id(session.options.connection_id);
  do {
    const auto page = session.client.ListTransactions(request, session.Call());
    if (!page.ok()) return Fail(session, page.status(), "", true);
    for (const auto& transaction : page->transactions()) {
      records.push_back(TransactionRecord(transaction));
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  PrintRecords(session, records, TransactionRecord({}));
  return FinishOutput(session);
}

ExitCode RunTxEnd(Session& session) {
  v1::EndTransactionRequest request;
  request.set_handle(session.options.tx.handle);
  const auto response = session.client.EndTransaction(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", false);
  PrintRecord(session, TransactionRecord(response->transaction()));
  return FinishOutput(session);
}

ExitCode RunTxOutcome(Session& session) {
  const TxOptions& options = session.options.tx;
  v1::GetTransactionOutcomeRequest request;
  request.set_connection_id(session.options.connection_id);
  if (!options.id.empty()) {
    request.set_transaction_id(options.id);
  } else if (!options.request_id.empty()) {
    request.set_request_id(options.request_id);
  } else {
    request.set_outcome_token(options.outcome_token);
  }
  const auto response = session.client.GetTransactionOutcome(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", true);
  PrintRecord(session,
              {{"outcome", ToValue(EnumWord(v1::TransactionOutcome_Name(response->outcome()),
                                            "TRANSACTION_OUTCOME_"))}});
  const ExitCode code = FinishOutput(session);
  const bool unknown = response->outcome() == v1::TRANSACTION_OUTCOME_UNKNOWN;
  return code == kExitOk && unknown ? kExitUnknown : code;
}

}  // namespace sluice::cli
