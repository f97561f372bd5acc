// The PostgreSQL driver's line in the table of drivers.
#ifndef SLUICE_SERVER_DB_POSTGRES_DRIVER_H_
#define SLUICE_SERVER_DB_POSTGRES_DRIVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/async/context.h"
#include "server/async/task.h"
#include "server/db/driver.h"

namespace sluice::postgres {

// Of libpq.
std::string LibraryVersion();

// Answers once a connection was made. Errors: as Judge and Connect.
Task<absl::StatusOr<std::shared_ptr<db::Database>>> Open(const Context& ctx,
                                                         db::Target target,
                                                         db::DriverSettings settings);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_DRIVER_H_
