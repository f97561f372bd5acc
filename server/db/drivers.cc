#include "server/db/driver.h"
#include "server/db/postgres/driver.h"
#include "server/db/sqlite/driver.h"

namespace sluice::db {
namespace {

constexpr Driver kDrivers[] = {
    {"sqlite", EngineKind::kSqlite, sqlite::LibraryVersion, sqlite::Open},
    {"postgresql", EngineKind::kPostgresql, postgres::LibraryVersion, postgres::Open},
};

}  // namespace

absl::Span<const Driver> Drivers() {
  return kDrivers;
}

}  // namespace sluice::db
