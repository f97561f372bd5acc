#include "server/services/echo.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/log.h"
#include "server/db/fingerprint.h"
#include "server/db/lexer.h"

namespace sluice::services {
namespace {

std::string Joined(const google::protobuf::Map<std::string, std::string>& labels) {
  std::vector<std::string> pairs;
  pairs.reserve(labels.size());
  for (const auto& [key, value] : labels) pairs.push_back(absl::StrCat(key, "=", value));
  std::sort(pairs.begin(), pairs.end());  // a map of protobuf has another order in each process
  return absl::StrJoin(pairs, ", ");
}

}  // namespace

void EchoStatement(const Context& ctx,
                   const core::Connections::Entry& connection,
                   absl::string_view sql,
                   const google::protobuf::Map<std::string, std::string>& labels,
                   const Outcome& outcome) {
  if (!log::Enabled(log::Level::kInfo)) return;
  const bool sqlite = connection.engine == db::EngineKind::kSqlite;
  const db::Fingerprint fingerprint =
      db::MakeFingerprint(sql, sqlite ? db::Dialect::kSqlite : db::Dialect::kPostgres);
  const std::string code = absl::StatusCodeToString(outcome.status.code());
  const double milliseconds = absl::ToDoubleMilliseconds(outcome.elapsed);
  const std::string attributed_to = Joined(labels);
  if (log::Enabled(log::Level::kDebug)) {
    log::Debug("sql", fingerprint.text,
               {{"request_id", ctx.request_id},
                {"connection", connection.handle},
                {"fingerprint", fingerprint.hash},
                {"code", code},
                {"rows", outcome.rows},
                {"elapsed_ms", milliseconds},
                {"labels", attributed_to},
                {"sql", sql}});
    return;
  }
  log::Info("sql", fingerprint.text,
            {{"request_id", ctx.request_id},
             {"connection", connection.handle},
             {"fingerprint", fingerprint.hash},
             {"code", code},
             {"rows", outcome.rows},
             {"elapsed_ms", milliseconds},
             {"labels", attributed_to}});
}

}  // namespace sluice::services
