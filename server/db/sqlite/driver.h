// The SQLite driver: one Database per file, readers, and a single writer.
#ifndef SLUICE_SERVER_DB_SQLITE_DRIVER_H_
#define SLUICE_SERVER_DB_SQLITE_DRIVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/db/driver.h"

namespace sluice::sqlite {

// Opens the file, or the Database that already has it open: two targets that lead to one file share
// one Database. Errors: CONNECTION_INVALID_TARGET, CONNECTION_IN_USE (another gateway holds it),
// DATABASE_CORRUPT.
Task<absl::StatusOr<std::shared_ptr<db::Database>>> Open(const Context& ctx,
                                                         db::Target target,
                                                         db::DriverSettings settings);

// Version of the SQLite library in use.
std::string LibraryVersion();

}  // namespace sluice::sqlite

#endif  // SLUICE_SERVER_DB_SQLITE_DRIVER_H_
