// `sluice connections`.
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/commands.h"
#include "client/cli/records.h"

namespace sluice::cli {
namespace {

using client::ToValue;

Record ConnectionRecord(const v1::Connection& connection) {
  return {{"name", ToValue(connection.name())},
          {"handle", ToValue(connection.handle())},
          {"engine", ToValue(EngineName(connection.engine()))},
          {"target", ToValue(connection.target())},
          {"read_only", ToValue(connection.read_only())},
          {"create_time", Instant(connection.create_time())}};
}

}  // namespace

ExitCode RunConnectionsList(Session& session) {
  std::vector<Record> records;
  v1::ListConnectionsRequest request;
  do {
    const auto page = session.client.ListConnections(request, session.Call());
    if (!page.ok()) return Fail(session, page.status(), "", true);
    for (const auto& connection : page->connections()) {
      records.push_back(ConnectionRecord(connection));
    }
    request.set_page_token(page->page().next_page_token());
  } while (!request.page_token().empty());
  PrintRecords(session, records, ConnectionRecord({}));
  return FinishOutput(session);
}

ExitCode RunConnectionsGet(Session& session) {
  const auto connection =
      session.client.GetConnection(session.options.connection_id, session.Call());
  if (!connection.ok()) return Fail(session, connection.status(), "", true);
  PrintRecord(session, ConnectionRecord(*connection));
  return FinishOutput(session);
}

ExitCode RunConnectionsTest(Session& session) {
  const auto test = session.client.TestConnection(session.options.connection_id, session.Call());
  if (!test.ok()) return Fail(session, test.status(), "", true);
  PrintRecord(session, {{"response_ms", Milliseconds(test->response_time())},
                        {"engine", ToValue(EngineName(test->engine()))},
                        {"server_version", ToValue(test->server_version())},
                        {"database_name", ToValue(test->database_name())},
                        {"size_bytes", ToValue(test->size_bytes())}});
  return FinishOutput(session);
}

// The id alone goes to standard output, ready for a script's variable.
ExitCode RunConnectionsRegister(Session& session) {
  const RegisterOptions& options = session.options.registration;
  v1::RegisterConnectionRequest request;
  request.set_url(options.url);
  request.set_name(options.name);
  request.set_read_only(options.read_only);
  request.set_must_exist(options.must_exist);
  request.set_keep_requests(options.keep_requests);
  const auto response = session.client.RegisterConnection(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", false);
  const bool id_alone = session.options.format.value_or(Format::kTable) == Format::kTable;
  if (id_alone) {
    absl::StrAppend(&session.out.Buffer(), response->connection_id(), "\n");
  } else {
    Record record = {{"connection_id", ToValue(response->connection_id())}};
    for (const auto& field : ConnectionRecord(response->connection())) record.push_back(field);
    PrintRecord(session, record);
  }
  const ExitCode code = FinishOutput(session);
  Note(session, absl::StrCat("opened ", response->connection().target(), " as ",
                             response->connection().name(),
                             "; keep the id, which is shown only now: whoever has it may use the "
                             "database"));
  return code;
}

ExitCode RunConnectionsKeepRequests(Session& session) {
  const auto response = session.client.KeepRequests(session.options.connection_id, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", false);
  Note(session, "the database keeps the answers of requests with an id");
  return FinishOutput(session);
}

ExitCode RunConnectionsClose(Session& session) {
  v1::CloseConnectionRequest request;
  request.set_connection_id(session.options.connection_id);
  if (const auto timeout = session.options.drain_timeout) {
    request.mutable_drain_timeout()->set_seconds(absl::ToInt64Seconds(*timeout));
    request.mutable_drain_timeout()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(*timeout % absl::Seconds(1))));
  }
  const auto response = session.client.CloseConnection(request, session.Call());
  if (!response.ok()) return Fail(session, response.status(), "", false);
  PrintRecord(session, {{"drained", ToValue(response->drained())},
                        {"database_closed", ToValue(response->database_closed())}});
  return FinishOutput(session);
}

}  // namespace sluice::cli
