// QueryOptions: the server's settings that concern statements.
#ifndef SLUICE_SERVER_SERVICES_QUERY_OPTIONS_H_
#define SLUICE_SERVER_SERVICES_QUERY_OPTIONS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace sluice::services {

// The server's settings that concern queries.
struct QueryOptions {
  int64_t default_max_rows = 1000;
  int64_t max_max_rows = 1'000'000;
  int64_t default_max_bytes = 4 << 20;
  int64_t max_max_bytes = 64 << 20;
  int64_t chunk_bytes = 256 << 10;  // of a stream: the default and the most
  int value_depth = 32;
  absl::Duration command_timeout =
      absl::Seconds(60);  // of a streamed statement, to its first piece
  bool log_sql = false;
};

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_QUERY_OPTIONS_H_
