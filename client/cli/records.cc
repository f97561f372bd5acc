#include "client/cli/records.h"

#include "client/cli/message_json.h"
#include "client/cli/printer.h"
#include "client/cli/value_text.h"

namespace sluice::cli {

using client::ToValue;

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

void PrintRecord(Session& session, const Record& record) {
  const bool for_people = session.format == Format::kTable || session.format == Format::kMarkdown;
  if (!for_people) return PrintRecords(session, {record}, record);
  std::vector<Record> lines;
  for (const auto& [name, value] : record) {
    lines.push_back({{"field", ToValue(name)}, {"value", value}});
  }
  PrintRecords(session, lines, {{"field", {}}, {"value", {}}});
}

bool IsJsonForm(Format format) {
  return format == Format::kJson || format == Format::kNdjson;
}

void PrintMessage(Session& session, const google::protobuf::Message& message) {
  AppendMessageJson(message, &session.out.Buffer());
  session.out.Buffer().push_back('\n');
}

}  // namespace sluice::cli
