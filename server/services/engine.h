// Engines as the contract names them.
#ifndef SLUICE_SERVER_SERVICES_ENGINE_H_
#define SLUICE_SERVER_SERVICES_ENGINE_H_

#include "server/db/driver.h"
#include "sluice/v1/connection.pb.h"

namespace sluice::services {

inline sluice::v1::Engine EngineOf(db::EngineKind kind) {
  switch (kind) {
    case db::EngineKind::kSqlite:
      return sluice::v1::ENGINE_SQLITE;
    case db::EngineKind::kPostgresql:
      return sluice::v1::ENGINE_POSTGRESQL;
  }
  return sluice::v1::ENGINE_UNSPECIFIED;
}

}  // namespace sluice::services

#endif  // SLUICE_SERVER_SERVICES_ENGINE_H_
