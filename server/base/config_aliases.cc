#include "server/base/config_aliases.h"

#include <array>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#include "server/base/settings.h"
#include "server/base/status.h"
#include "server/base/url.h"

namespace sluice {
namespace {

using Environment = std::map<std::string, std::string>;

struct Alias {
  const char* name = nullptr;
  absl::string_view key;
};

constexpr std::array<Alias, 14> kAliases = {{
    {"DATABASE_URL", "database.url"},
    {"DB_MIN_CONNECTIONS", "pool.min"},
    {"DATABASE_POOL_SIZE", "pool.max"},
    {"ASYNC_DATABASE_POOL_SIZE", "pool.max"},
    {"DB_MAX_CONNECTIONS", "pool.max"},
    {"DATABASE_MAX_OVERFLOW", "pool.overflow"},
    {"ASYNC_DATABASE_MAX_OVERFLOW", "pool.overflow"},
    {"DB_CONNECTION_TIMEOUT", "pool.acquire_timeout"},
    {"ASYNC_DATABASE_POOL_TIMEOUT", "pool.acquire_timeout"},
    {"DATABASE_POOL_RECYCLE", "pool.recycle"},
    {"ASYNC_DATABASE_POOL_RECYCLE", "pool.recycle"},
    {"DB_COMMAND_TIMEOUT", "command_timeout"},
    {"DATABASE_ECHO", "log.sql"},
    {"ASYNC_DATABASE_MONITORING_ENABLED", "monitoring"},
}};

// Empty means not set: compose files pass ${NAME} whether it is set or not.
const std::string& Get(const Environment& environment, const std::string& name) {
  static const std::string none;
  const auto found = environment.find(name);
  return found == environment.end() ? none : found->second;
}

std::string InSeconds(absl::string_view key, const std::string& text) {
  double seconds = 0;
  if (FindSetting(key)->kind != SettingKind::kDuration || !absl::SimpleAtod(text, &seconds)) {
    return text;
  }
  // Pools elsewhere say -1 for 'never'.
  if (key == "pool.recycle" && seconds == -1) return "0s";
  return absl::StrCat(absl::StripAsciiWhitespace(text), "s");
}

// POSTGRES_HOST and its companions as a URL; empty if none is set.
absl::StatusOr<std::string> PostgresUrl(const Environment& environment) {
  const std::string& host = Get(environment, "POSTGRES_HOST");
  const std::string& port = Get(environment, "POSTGRES_PORT");
  const std::string& database = Get(environment, "POSTGRES_DATABASE");
  const std::string& user = Get(environment, "POSTGRES_USER");
  const std::string& password = Get(environment, "POSTGRES_PASSWORD");
  if (host.empty() && port.empty() && database.empty() && user.empty() && password.empty()) {
    return "";
  }
  const std::array<std::pair<absl::string_view, bool>, 3> needed = {
      {{"POSTGRES_HOST", host.empty()},
       {"POSTGRES_DATABASE", database.empty()},
       {"POSTGRES_USER", user.empty()}}};
  for (const auto& [name, missing] : needed) {
    if (missing) {
      return absl::InvalidArgumentError(
          absl::StrCat(name,
                       " is not set; POSTGRES_HOST, POSTGRES_DATABASE and POSTGRES_USER go "
                       "together, with POSTGRES_PORT and POSTGRES_PASSWORD where needed"));
    }
  }
  int number = 0;
  if (!port.empty() && (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535)) {
    return absl::InvalidArgumentError("POSTGRES_PORT must be a number from 1 to 65535");
  }
  const bool ipv6 = host.find(':') != std::string::npos;
  return absl::StrCat("postgresql://", PercentEncode(user), ":", PercentEncode(password), "@",
                      ipv6 ? absl::StrCat("[", host, "]") : PercentEncode(host), ":",
                      port.empty() ? "5432" : port, "/", PercentEncode(database));
}

}  // namespace

absl::StatusOr<AliasValues> ReadAliases(const Environment& environment) {
  AliasValues out;
  for (const Alias& alias : kAliases) {
    const std::string& text = Get(environment, alias.name);
    if (text.empty()) continue;
    out.values.push_back({std::string(alias.key), InSeconds(alias.key, text), alias.name});
  }
  TRY(std::string url, PostgresUrl(environment));
  if (!url.empty()) out.values.push_back({"database.url", std::move(url), "POSTGRES_HOST"});
  if (!Get(environment, "DB_MAX_CONNECTIONS").empty()) {
    // A hard cap: nothing may come on top of it.
    out.values.push_back({"pool.overflow", "0", "DB_MAX_CONNECTIONS"});
  }
  if (!Get(environment, "ASYNC_DATABASE_ENABLED").empty()) {
    out.notes.push_back("ASYNC_DATABASE_ENABLED has no effect: Sluice is always asynchronous");
  }
  return out;
}

}  // namespace sluice
