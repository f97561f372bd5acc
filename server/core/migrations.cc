#include "server/core/migrations.h"

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

#include "server/base/status.h"

namespace sluice::core {
namespace {

constexpr int64_t kMostRows = 100'000;
constexpr int64_t kMostBytes = 64 << 20;

// Each statement is a transaction of its own, and the number is noted behind the last one: a
// migration that was cut short runs again, so each of its statements can.
struct Migration {
  int64_t number;
  std::vector<absl::string_view> statements;
};

// Never changed once released, only added to.
const std::vector<Migration>& Migrations() {
  static const auto* const migrations = new std::vector<Migration>{
      {1,
       {"CREATE TABLE IF NOT EXISTS connection("
        "key BLOB PRIMARY KEY NOT NULL, handle TEXT NOT NULL, name TEXT NOT NULL UNIQUE, "
        "engine TEXT NOT NULL, target TEXT NOT NULL, options TEXT NOT NULL, "
        "read_only INTEGER NOT NULL, created_micros INTEGER NOT NULL)"}},
      {2,
       {"CREATE TABLE IF NOT EXISTS server_key("
        "purpose TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL)"}},
  };
  return *migrations;
}

absl::Status Newer(int64_t found) {
  return absl::FailedPreconditionError(
      absl::StrCat("the registry of connections was made by a newer sluiced (its version is ",
                   found, ", this one knows ", NewestMigration(),
                   "); start that one, or give this server another data "
                   "folder with --data-dir"));
}

}  // namespace

int64_t NewestMigration() {
  return Migrations().back().number;
}

Task<absl::StatusOr<sluice::v1::QueryResponse>> RunOwn(db::Database& database,
                                                       absl::string_view sql,
                                                       const db::Params& params) {
  const db::NamedParams no_names;
  db::Statement statement(sql, params, no_names);
  statement.max_rows = kMostRows;
  statement.max_bytes = kMostBytes;
  const Context unhurried;
  CO_TRY(const db::Rows rows, co_await database.Execute(unhurried, statement));
  sluice::v1::QueryResponse response;
  if (rows.truncated || !response.ParseFromString(rows.wire)) {
    co_return absl::InternalError("the server's own tables cannot be read");
  }
  co_return response;
}

Task<absl::Status> Migrate(db::Database& database) {
  const db::Params none;
  CO_TRY(auto made, co_await RunOwn(database,
                                    "CREATE TABLE IF NOT EXISTS migration("
                                    "number INTEGER PRIMARY KEY NOT NULL)",
                                    none));
  CO_TRY(made, co_await RunOwn(database, "SELECT coalesce(max(number), 0) FROM migration", none));
  const int64_t found = made.rows(0).values(0).int64_value();
  if (found > NewestMigration()) co_return Newer(found);
  for (const Migration& migration : Migrations()) {
    if (migration.number <= found) continue;
    for (const absl::string_view sql : migration.statements) {
      CO_TRY(made, co_await RunOwn(database, sql, none));
    }
    db::Params number;
    number.Add()->set_int64_value(migration.number);
    CO_TRY(made, co_await RunOwn(database, "INSERT INTO migration VALUES(?1)", number));
  }
  co_return absl::OkStatus();
}

}  // namespace sluice::core
