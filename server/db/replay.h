// Replay: an answer in the form in which it is stored beside its write, to be given again.
#ifndef SLUICE_SERVER_DB_REPLAY_H_
#define SLUICE_SERVER_DB_REPLAY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/db/batch.h"
#include "server/db/rows.h"

namespace sluice::db {

// Stored with databases: what one version packed, every later one reads.
std::string PackReply(const BatchResults& results);

// Error: INTERNAL, for bytes that PackReply never made.
absl::StatusOr<BatchResults> UnpackReply(absl::string_view packed);

}  // namespace sluice::db

#endif  // SLUICE_SERVER_DB_REPLAY_H_
