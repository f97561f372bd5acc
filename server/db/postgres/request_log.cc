#include "server/db/postgres/request_log.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/replay.h"

namespace sluice::postgres {
namespace {

constexpr absl::string_view kDay = "interval '24 hours'";

void AddKey(const db::RequestKey& key, ParameterValues& values) {
  values.Add(key.scope, Format::kBinary);
  values.Add(key.id, Format::kBinary);
  values.Add(absl::StrCat(key.part), Format::kText);
}

}  // namespace

const std::vector<std::string>& RequestLogSchema() {
  static const auto* const schema = new std::vector<std::string>{
      // Two who make it at once would get in each other's way, whatever IF NOT EXISTS says.
      "SELECT pg_catalog.pg_advisory_xact_lock(7163384699740190020)",
      "CREATE TABLE IF NOT EXISTS sluice_request (scope bytea NOT NULL, id bytea NOT NULL, part "
      "bigint NOT NULL, content bytea NOT NULL, reply bytea, kept boolean NOT NULL DEFAULT true, "
      "made timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (scope, id, part))",
      "CREATE INDEX IF NOT EXISTS sluice_request_made ON sluice_request (made)",
  };
  return *schema;
}

std::string ReserveSql() {
  return absl::StrCat(
      "INSERT INTO sluice_request AS r (scope, id, part, content) VALUES ($1::bytea, $2::bytea, "
      "$3::bigint, $4::bytea) ON CONFLICT (scope, id, part) DO UPDATE SET content = "
      "EXCLUDED.content, reply = NULL, kept = true, made = now() WHERE r.made < now() - ",
      kDay, " RETURNING 1");
}

ParameterValues ReserveValues(const db::RequestKey& key) {
  ParameterValues values;
  AddKey(key, values);
  values.Add(key.content, Format::kBinary);
  return values;
}

std::string FindSql() {
  return absl::StrCat(
      "SELECT content, reply, kept FROM sluice_request WHERE scope = $1::bytea AND id = $2::bytea "
      "AND part = $3::bigint AND made >= now() - ",
      kDay);
}

ParameterValues FindValues(const db::RequestKey& key) {
  ParameterValues values;
  AddKey(key, values);
  return values;
}

absl::StatusOr<std::optional<db::BatchResults>> Found(const Result& result,
                                                      const db::RequestKey& key) {
  if (result.rows() == 0) return std::nullopt;
  if (!key.content.empty() && result.text(0, 0) != key.content) return errors::RequestIdReused();
  const bool kept = result.text(0, 2) == absl::string_view("\1", 1);
  if (!kept) return errors::ReplayTooLarge();
  if (result.is_null(0, 1)) {
    if (result.text(0, 0) == kInParts) return db::BatchResults();
    return errors::Internal("A stored answer is missing.");
  }
  TRY(db::BatchResults results, db::UnpackReply(result.text(0, 1)));
  return results;
}

std::string UnreserveSql() {
  return "DELETE FROM sluice_request WHERE scope = $1::bytea AND id = $2::bytea AND part = "
         "$3::bigint";
}

std::string ForgetSql() {
  return absl::StrCat(
      "WITH old AS (SELECT ctid FROM sluice_request WHERE made < now() - ", kDay, " LIMIT ",
      kMostForgotten,
      " FOR UPDATE SKIP LOCKED) DELETE FROM sluice_request AS r USING old WHERE r.ctid = old.ctid");
}

std::string StoreSql() {
  return "UPDATE sluice_request SET reply = $4::bytea, kept = $5::boolean, content = $6::bytea "
         "WHERE scope = $1::bytea "
         "AND id = $2::bytea AND part = $3::bigint";
}

ParameterValues StoreValues(const db::RequestKey& key, const db::BatchResults& results) {
  ParameterValues values;
  AddKey(key, values);
  const std::string packed = db::PackReply(results);
  const bool kept = static_cast<int64_t>(packed.size()) <= db::kMostReplayBytes;
  values.Add(kept ? packed : "", Format::kBinary);
  values.Add(kept ? "t" : "f", Format::kText);
  values.Add(key.content, Format::kBinary);
  return values;
}

}  // namespace sluice::postgres
