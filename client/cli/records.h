// What commands print: records of named values, in whatever form was asked for.
#ifndef SLUICE_CLIENT_CLI_RECORDS_H_
#define SLUICE_CLIENT_CLI_RECORDS_H_

#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/duration.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"

#include "client/cli/commands.h"
#include "sluice/v1/connection.pb.h"
#include "sluice/v1/value.pb.h"

namespace sluice::cli {

// One row with named values; all records of a list have the same names.
using Record = std::vector<std::pair<const char*, v1::Value>>;

// To the microsecond.
v1::Value Seconds(const google::protobuf::Duration& duration);
v1::Value Milliseconds(const google::protobuf::Duration& duration);
v1::Value Instant(const google::protobuf::Timestamp& time);
std::string EngineName(v1::Engine engine);

// A list; `header` has the names, for one that is empty.
void PrintRecords(Session& session, const std::vector<Record>& records, const Record& header);

// A single record: for people a line per field, for programs one row.
void PrintRecord(Session& session, const Record& record);

// An answer of the server itself, for the forms that can hold all of it.
bool IsJsonForm(Format format);
void PrintMessage(Session& session, const google::protobuf::Message& message);

}  // namespace sluice::cli

#endif  // SLUICE_CLIENT_CLI_RECORDS_H_
