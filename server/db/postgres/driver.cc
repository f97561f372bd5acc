#include "server/db/postgres/driver.h"

#include <utility>

#include "server/base/status.h"
#include "server/db/postgres/connector.h"
#include "server/db/postgres/database.h"
#include "server/db/postgres/target.h"

namespace sluice::postgres {

std::string LibraryVersion() {
  return ClientVersion();
}

Task<absl::StatusOr<std::shared_ptr<db::Database>>> Open(const Context& ctx,
                                                         db::Target target,
                                                         db::DriverSettings settings) {
  CO_TRY(ConnectTarget judged, Judge(target));
  const auto database =
      std::make_shared<Database>(std::move(judged), target.egress, settings.postgres);
  const absl::Status opened = co_await database->Opened(ctx);
  if (!opened.ok()) co_return opened;
  co_return std::shared_ptr<db::Database>(database);
}

}  // namespace sluice::postgres
