#include "client/cli/commands.h"

#include <cerrno>
#include <cstring>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/cli/records.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

using client::ToValue;

std::string StateName(v1::HealthState state) {
  return EnumWord(v1::HealthState_Name(state), "HEALTH_STATE_");
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

ExitCode RunCommand(Session& session) {
  switch (session.options.command) {
    case Command::kQuery:
      return RunQuery(session);
    case Command::kDescribe:
      return RunDescribe(session);
    case Command::kExplain:
      return RunExplain(session);
    case Command::kBatch:
      return RunBatch(session);
    case Command::kImport:
      return RunImport(session);
    case Command::kBackup:
      return RunBackup(session);
    case Command::kSchemaSchemas:
      return RunSchemaSchemas(session);
    case Command::kSchemaTables:
      return RunSchemaTables(session);
    case Command::kSchemaDescribe:
      return RunSchemaDescribe(session);
    case Command::kConnectionsList:
      return RunConnectionsList(session);
    case Command::kConnectionsGet:
      return RunConnectionsGet(session);
    case Command::kConnectionsTest:
      return RunConnectionsTest(session);
    case Command::kConnectionsRegister:
      return RunConnectionsRegister(session);
    case Command::kConnectionsKeepRequests:
      return RunConnectionsKeepRequests(session);
    case Command::kConnectionsClose:
      return RunConnectionsClose(session);
    case Command::kTxBegin:
      return RunTxBegin(session);
    case Command::kTxCommit:
      return RunTxCommit(session);
    case Command::kTxRollback:
      return RunTxRollback(session);
    case Command::kTxSavepoint:
      return RunTxSavepoint(session);
    case Command::kTxRollbackTo:
      return RunTxRollbackTo(session);
    case Command::kTxRelease:
      return RunTxRelease(session);
    case Command::kTxKeep:
      return RunTxKeep(session);
    case Command::kTxGet:
      return RunTxGet(session);
    case Command::kTxList:
      return RunTxList(session);
    case Command::kTxEnd:
      return RunTxEnd(session);
    case Command::kTxOutcome:
      return RunTxOutcome(session);
    case Command::kHealth:
      return RunHealth(session);
    case Command::kStats:
      return RunStats(session);
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

void Complain(const Session& session, absl::string_view text) {
  std::cerr << Painted(session.error_style, Paint::kRed, "error:") << ' ' << text << '\n';
}

ExitCode Fail(Session& session, const absl::Status& status, absl::string_view sql, bool read_only) {
  const client::Error error = client::DecodeError(status);
  CallContext context;
  context.sql = sql;
  context.read_only = read_only;
  return Fail(session, error, context);
}

ExitCode Fail(Session& session, const client::Error& error, CallContext context) {
  context.server = session.options.server;
  std::cerr << Describe(error, context, session.error_style);
  return ExitCodeOf(error, context.read_only);
}

std::string CountOf(int64_t count, absl::string_view noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string ElapsedText(const google::protobuf::Duration& elapsed) {
  const double ms =
      static_cast<double>(elapsed.seconds()) * 1e3 + static_cast<double>(elapsed.nanos()) / 1e6;
  return ms < 1000 ? absl::StrFormat("%.1f ms", ms) : absl::StrFormat("%.2f s", ms / 1000);
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
