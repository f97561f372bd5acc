// The SQL echo: the log's record of each statement, for development (setting log.sql).
#ifndef SLUICE_SERVER_SERVICES_ECHO_H_
#define SLUICE_SERVER_SERVICES_ECHO_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/protobuf/map.h"

#include "server/async/context.h"
#include "server/core/connections.h"

namespace sluice::services {

// What became of a statement.
struct Outcome {
  absl::Status status;
  int64_t rows = 0;
  absl::Duration elapsed;
};

// Values are taken out of the statement, as everywhere in the log; at level debug its text as it
// came stands beside, so that setting is for a developer's own data.
void EchoStatement(const Context& ctx,
                   const core::Connections::Entry& connection,
                   absl::string_view sql,
                   const google::protobuf::Map<std::string, std::string>& labels,
                   const Outcome& outcome);

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_ECHO_H_
