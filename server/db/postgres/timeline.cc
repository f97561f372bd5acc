#include "server/db/postgres/timeline.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "server/base/errors.h"

namespace sluice::postgres {
namespace {

constexpr absl::string_view kForm = "v1";
constexpr size_t kParts = 6;
constexpr size_t kMostToken = 256;
constexpr size_t kRequestBytes = 16;

bool IsNumber(absl::string_view text) {
  return text.size() < 20 && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c));
         });
}

}  // namespace

// Statistics are forgotten in a crash, and keep when that was. What is asked of transactions is
// tried here: there, a server that has no answer would fail them.
const absl::string_view kTimelineSql =
    "SELECT system_identifier::pg_catalog.text, CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN "
    "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END, "
    "pg_catalog.date_part('epoch', "
    "pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::pg_catalog.text, "
    "pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text, "
    "pg_catalog.current_setting('fsync'), "
    "pg_catalog.current_setting('synchronous_commit'), "
    "pg_catalog.current_setting('synchronous_standby_names') FROM pg_catalog.pg_control_system()";

std::optional<Timeline> TimelineIn(const Result& result) {
  if (result.kind() != Result::Kind::kRows || result.rows() != 1 || result.columns() != 7 ||
      result.is_null(0, 1) || result.is_null(0, 2)) {
    return std::nullopt;
  }
  return Timeline{std::string(result.text(0, 0)), std::string(result.text(0, 1)),
                  std::string(result.text(0, 2))};
}

absl::string_view SqlOf(Question question) {
  switch (question) {
    case Question::kNumber:
      return "SELECT pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.text";
    case Question::kDurability:
      return "SELECT pg_catalog.current_setting('fsync'), "
             "pg_catalog.current_setting('synchronous_commit'), "
             "pg_catalog.current_setting('synchronous_standby_names')";
  }
  return "";
}

std::string NumberIn(const Result& result) {
  return result.rows() == 1 ? std::string(result.text(0, 0)) : "";
}

db::Durability DurabilityIn(const Result& result) {
  if (result.rows() != 1 || result.columns() != 3) return db::Durability::kUnknown;
  const absl::string_view waits = result.text(0, 1);
  if (waits == "off" || result.text(0, 0) == "off") return db::Durability::kMemory;
  const bool alone = waits == "local" || result.text(0, 2).empty();
  return alone ? db::Durability::kLocal : db::Durability::kReplicated;
}

std::string Pack(const OutcomeToken& token) {
  return absl::StrCat(kForm, ":", absl::BytesToHexString(token.request), ":", token.number, ":",
                      token.timeline.system, ":", token.timeline.number, ":", token.timeline.start);
}

absl::StatusOr<OutcomeToken> Unpack(absl::string_view text) {
  const absl::Status bad = errors::ParameterInvalid(
      "outcome_token", "is none that an error of this kind of connection has given");
  if (text.size() > kMostToken) return bad;
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() != kParts || parts[0] != kForm) return bad;
  OutcomeToken token;
  token.request = absl::HexStringToBytes(parts[1]);
  token.number = parts[2];
  token.timeline = {parts[3], parts[4], parts[5]};
  const bool keyed =
      token.request.size() == kRequestBytes && absl::BytesToHexString(token.request) == parts[1];
  if ((!keyed && !parts[1].empty()) || !IsNumber(token.number)) return bad;
  if (!keyed && token.number.empty()) return bad;
  return token;
}

const absl::string_view kOutcomeSql =
    "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8), "
    "pg_catalog.date_part('epoch', "
    "pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::pg_catalog.text "
    "FROM pg_catalog.pg_control_system() WHERE system_identifier::pg_catalog.text = $2 AND CASE "
    "WHEN NOT "
    "pg_catalog.pg_is_in_recovery() THEN "
    "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END = $3";

db::Outcome OutcomeIn(const Result& result, absl::string_view start) {
  if (result.rows() != 1 || result.is_null(0, 0)) return db::Outcome::kUnknown;
  const absl::string_view status = result.text(0, 0);
  // One that was lost in a crash was not committed, whoever has its number now.
  if (status == "aborted") return db::Outcome::kRolledBack;
  if (result.text(0, 1) != start) return db::Outcome::kUnknown;
  if (status == "committed") return db::Outcome::kCommitted;
  return status == "in progress" ? db::Outcome::kPending : db::Outcome::kUnknown;
}

}  // namespace sluice::postgres
