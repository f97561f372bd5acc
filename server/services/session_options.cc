#include "server/services/session_options.h"

#include <memory>

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice::services {

absl::StatusOr<db::SessionOptionsPtr> SessionOf(const core::Connections::Entry& connection,
                                                const pb::SessionOptions& session) {
  if (connection.engine == db::EngineKind::kSqlite) return errors::FieldNotImplemented("session");
  auto options = std::make_shared<db::SessionOptions>();
  options->search_path.assign(session.search_path().begin(), session.search_path().end());
  options->time_zone = session.time_zone();
  options->role = session.role();
  options->settings.insert(session.settings().begin(), session.settings().end());
  return db::SessionOptionsPtr(std::move(options));
}

absl::StatusOr<db::SessionOptionsPtr> SessionAt(const core::Connections::Entry& connection,
                                                const Venue* venue,
                                                const pb::SessionOptions& session) {
  TRY(db::SessionOptionsPtr options, SessionOf(connection, session));
  if (venue == nullptr) return options;
  if (venue->begun) return db::SessionOptionsPtr();
  return errors::ParameterInvalid("session", "belongs to the request that begins the transaction");
}

}  // namespace sluice::services
