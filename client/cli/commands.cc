#include "client/cli/commands.h"

#include <cerrno>
#include <cstring>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

using client::ToValue;

// One row with named values; all records of a list have the same names.
using Record = std::vector<std::pair<const char*, v1::Value>>;

// To the microsecond.
v1::Value Seconds(const google::protobuf::Duration& duration) {
  const int64_t micros = duration.seconds() * 1'000'000 + duration.nanos() / 1000;
  return ToValue(static_cast<double>(micros) / 1e6);
}

v1::Value Milliseconds(const google::protobuf::Duration& duration) {
  const int64_t micros = duration.seconds() * 1'000'000 + duration.nanos() / 1000;
  return ToValue(static_cast<double>(micros) / 1e3);
}

v1::Value Instant(const google::protobuf::Timestamp& time) {
  v1::Value value;
  value.mutable_timestamptz_value()->set_micros(time.seconds() * 1'000'000 + time.nanos() / 1000);
  return value;
}

std::string EngineName(v1::Engine engine) {
  return EnumWord(v1::Engine_Name(engine), "ENGINE_");
}

std::string StateName(v1::HealthState state) {
  return EnumWord(v1::HealthState_Name(state), "HEALTH_STATE_");
}

void PrintRecords(Session& session, const std::vector<Record>& records, const Record& header) {
  Columns columns;
  for (const auto& [name, value] : header) columns.Add()->set_name(name);
  const auto printer = MakePrinter(session.format, session.out_style, {}, &session.out);
  printer->Begin(columns);
  for (const Record& record : records) {
    v1::Row row;
    for (const auto& [name, value] : record) *row.add_values() = value;
    printer->Row(row);
  }
  printer->End();
}

// A single record: for people a line per field, for programs one row.
void PrintRecord(Session& session, const Record& record) {
  const bool for_people = session.format == Format::kTable || session.format == Format::kMarkdown;
  if (!for_people) return PrintRecords(session, {record}, record);
  std::vector<Record> lines;
  for (const auto& [name, value] : record) {
    lines.push_back({{"field", ToValue(name)}, {"value", value}});
  }
  PrintRecords(session, lines, {{"field", {}}, {"value", {}}});
}

Record ConnectionRecord(const v1::Connection& connection) {
  return {{"name", ToValue(connection.name())},
          {"handle", ToValue(connection.handle())},
          {"engine", ToValue(EngineName(connection.engine()))},
          {"target", ToValue(connection.target())},
          {"read_only", ToValue(connection.read_only())},
          {"create_time", Instant(connection.create_time())}};
}

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

Record HealthRecord(const v1::ConnectionHealth& health) {
  return {{"part", ToValue(absl::StrCat("connections/", health.name()))},
          {"state", ToValue(StateName(health.state()))},
          {"score", ToValue(health.score())},
          {"response_ms", Milliseconds(health.response_time())},
          {"database", ToValue(health.database_name())},
          {"version", ToValue(health.server_version())},
          {"size_bytes", ToValue(health.size_bytes())},
          {"active", ToValue(health.active())},
          {"queued", ToValue(health.queued())},
          {"message", ToValue(health.message())}};
}

// The server's own line in the list: what has no meaning for it is NULL.
Record ServerRecord(const v1::GetHealthResponse& health, bool serving) {
  Record record = HealthRecord({});
  for (auto& [name, value] : record) value = ToValue(nullptr);
  record[0].second = ToValue("server");
  record[1].second = ToValue(StateName(health.state()));
  record[2].second = ToValue(health.score());
  record.back().second = ToValue(serving ? "serving" : "not serving");
  return record;
}

ExitCode RunHealth(Session& session) {
  const auto serving = session.client.IsServing("", session.Call());
  if (!serving.ok()) return Fail(session, serving.status(), "", true);
  const auto health = session.client.GetHealth(session.options.connection_id, session.Call());
  if (!health.ok()) return Fail(session, health.status(), "", true);
  std::vector<Record> records = {ServerRecord(*health, *serving)};
  for (const auto& connection : health->connections()) records.push_back(HealthRecord(connection));
  PrintRecords(session, records, HealthRecord({}));
  const ExitCode code = FinishOutput(session);
  const bool well = *serving && (health->state() == v1::HEALTH_STATE_HEALTHY ||
                                 health->state() == v1::HEALTH_STATE_DEGRADED);
  return code == kExitOk && !well ? kExitFailed : code;
}

ExitCode RunInfo(Session& session) {
  const auto info = session.client.GetServerInfo(session.Call());
  if (!info.ok()) return Fail(session, info.status(), "", true);
  std::string engines;
  for (const auto& engine : info->engines()) {
    absl::StrAppend(&engines, engines.empty() ? "" : ", ", EngineName(engine.engine()), " ",
                    engine.library_version());
  }
  const v1::ServerLimits& limits = info->limits();
  PrintRecord(session,
              {{"version", ToValue(info->version())},
               {"start_time", Instant(info->start_time())},
               {"uptime_seconds", Seconds(info->uptime())},
               {"engines", ToValue(engines)},
               {"grpc_version", ToValue(info->grpc_version())},
               {"calls_in_flight", ToValue(info->calls_in_flight())},
               {"calls_shed", ToValue(info->calls_shed())},
               {"max_request_bytes", ToValue(limits.max_request_bytes())},
               {"max_metadata_bytes", ToValue(limits.max_metadata_bytes())},
               {"default_max_rows", ToValue(limits.default_max_rows())},
               {"default_max_bytes", ToValue(limits.default_max_bytes())},
               {"chunk_bytes", ToValue(limits.chunk_bytes())},
               {"stream_stall_seconds", Seconds(limits.stream_stall_timeout())},
               {"max_calls", ToValue(limits.max_calls())},
               {"max_streams_per_connection", ToValue(limits.max_streams_per_connection())},
               {"command_timeout_seconds", Seconds(limits.command_timeout())}});
  return FinishOutput(session);
}

}  // namespace

ExitCode RunCommand(Session& session, const std::string& sql) {
  switch (session.options.command) {
    case Command::kQuery:
      return RunQuery(session, sql);
    case Command::kConnectionsList:
      return RunConnectionsList(session);
    case Command::kConnectionsGet:
      return RunConnectionsGet(session);
    case Command::kConnectionsTest:
      return RunConnectionsTest(session);
    case Command::kHealth:
      return RunHealth(session);
    case Command::kInfo:
      return RunInfo(session);
  }
  return kExitUsage;
}

void Note(const Session& session, absl::string_view text) {
  if (session.options.quiet) return;
  std::cerr << Painted(session.error_style, Paint::kDim, text) << '\n';
}

void Warn(const Session& session, absl::string_view text) {
  std::cerr << Painted(session.error_style, Paint::kYellow, "warning:") << ' ' << text << '\n';
}

ExitCode Fail(Session& session, const absl::Status& status, absl::string_view sql, bool read_only) {
  const client::Error error = client::DecodeError(status);
  const CallContext context = {session.options.server, sql, read_only};
  std::cerr << Describe(error, context, session.error_style);
  return ExitCodeOf(error, read_only);
}

ExitCode FinishOutput(Session& session) {
  session.out.Flush();
  if (session.out.Errno() == 0 || session.out.Errno() == EPIPE) return kExitOk;
  std::cerr << Painted(session.error_style, Paint::kRed, "error:")
            << " the result could not be written: "
            << std::strerror(session.out.Errno())  // NOLINT(concurrency-mt-unsafe): main's thread
            << '\n';
  return kExitOutput;
}

}  // namespace sluice::cli
