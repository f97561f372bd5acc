#include "server/db/postgres/session_settings.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/postgres/names.h"
#include "server/db/postgres/target.h"

namespace sluice::postgres {
namespace {

constexpr size_t kNameBytes = 63;  // the server cuts names there
constexpr size_t kValueBytes = 4096;
constexpr size_t kMostSchemas = 32;
constexpr size_t kMostSettings = 64;

// Settings of the database's own that change how a statement is run, and neither what this server
// relies on nor what it promises.
constexpr absl::string_view kTaken[] = {
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "default_text_search_config",
    "effective_cache_size",
    "effective_io_concurrency",
    "from_collapse_limit",
    "geqo",
    "geqo_threshold",
    "gin_fuzzy_search_limit",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "jit",
    "join_collapse_limit",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "random_page_cost",
    "row_security",
    "seq_page_cost",
    "work_mem",
};

// What to use instead of some that are not taken.
constexpr std::pair<absl::string_view, absl::string_view> kInstead[] = {
    {"search_path", "session.search_path"},
    {"timezone", "session.time_zone"},
    {"role", "session.role"},
    {"session_authorization", "session.role"},
    {"statement_timeout", "the deadline of the call"},
    {"transaction_timeout", "max_life of the transaction"},
    {"idle_in_transaction_session_timeout", "idle_timeout of the transaction"},
    {"transaction_isolation", "isolation of the transaction"},
    {"default_transaction_isolation", "isolation of the transaction"},
    {"transaction_read_only", "read_only"},
    {"default_transaction_read_only", "read_only"},
    {"transaction_deferrable", "deferrable of the transaction"},
    {"application_name", "the connection's option application_name"},
};

bool IsText(const std::string& text, size_t most) {
  return text.size() <= most && IsValidUtf8(text) && !absl::StrContains(text, '\0');
}

absl::Status CheckName(absl::string_view field, const std::string& name) {
  if (!name.empty() && IsText(name, kNameBytes)) return absl::OkStatus();
  return errors::ParameterInvalid(field, absl::StrCat("is no name of 1 to ", kNameBytes, " bytes"));
}

absl::Status CheckSetting(const std::string& name,
                          const std::string& value,
                          const std::vector<std::string>& taken) {
  const std::string field =
      absl::StrCat("session.settings[\"", SanitizeForMessage(name, kNameBytes), "\"]");
  const std::string lower = absl::AsciiStrToLower(name);
  if (absl::StrContains(lower, '.')) {
    if (!IsOwnSetting(lower)) {
      return errors::ParameterInvalid(field, "is no name such as app.tenant");
    }
    const bool listed =
        taken.empty() || std::find(taken.begin(), taken.end(), lower) != taken.end();
    if (!listed) {
      return errors::ParameterInvalid(
          field, absl::StrCat("is not among those that this connection takes: ",
                              absl::StrJoin(taken, ", ")));
    }
  } else if (std::find(std::begin(kTaken), std::end(kTaken), lower) == std::end(kTaken) &&
             !absl::StartsWith(lower, "enable_")) {
    const auto* const instead = std::find_if(std::begin(kInstead), std::end(kInstead),
                                             [&](const auto& each) { return each.first == lower; });
    return errors::ParameterInvalid(
        field, instead == std::end(kInstead)
                   ? "cannot be set by a request; names of your own have a dot, such as app.tenant"
                   : absl::StrCat("cannot be set by a request; use ", instead->second));
  }
  if (IsText(value, kValueBytes)) return absl::OkStatus();
  return errors::ParameterInvalid(field, absl::StrCat("is no text of ", kValueBytes, " bytes"));
}

// In the order of the parameters: $1 its name, $2 its value, $3 …
std::vector<std::pair<std::string, std::string>> AllOf(const db::SessionOptions& options) {
  std::vector<std::pair<std::string, std::string>> all(options.settings.begin(),
                                                       options.settings.end());
  if (!options.time_zone.empty()) all.emplace_back("TimeZone", options.time_zone);
  if (!options.search_path.empty()) {
    std::vector<std::string> names;
    for (const std::string& name : options.search_path) names.push_back(QuotedName(name));
    all.emplace_back("search_path", absl::StrJoin(names, ", "));
  }
  // The last one: the role may have no right to set the others.
  if (!options.role.empty()) all.emplace_back("role", options.role);
  return all;
}

}  // namespace

absl::Status CheckSession(const db::SessionOptions& options,
                          const std::vector<std::string>& taken) {
  if (options.search_path.size() > kMostSchemas) {
    return errors::ParameterInvalid("session.search_path",
                                    absl::StrCat("has more than ", kMostSchemas, " schemas"));
  }
  for (size_t i = 0; i < options.search_path.size(); ++i) {
    TRY_STATUS(CheckName(absl::StrCat("session.search_path[", i, "]"), options.search_path[i]));
  }
  if (!IsText(options.time_zone, kNameBytes)) {
    return errors::ParameterInvalid("session.time_zone", "is no name of a time zone");
  }
  if (!options.role.empty()) {
    TRY_STATUS(CheckName("session.role", options.role));
    if (absl::EqualsIgnoreCase(options.role, "none")) {
      return errors::ParameterInvalid("session.role", "is no role; leave it unset");
    }
  }
  if (options.settings.size() > kMostSettings) {
    return errors::ParameterInvalid("session.settings",
                                    absl::StrCat("has more than ", kMostSettings, " entries"));
  }
  for (const auto& [name, value] : options.settings) {
    TRY_STATUS(CheckSetting(name, value, taken));
  }
  return absl::OkStatus();
}

bool ChangesNames(const db::SessionOptions& options) {
  return !options.search_path.empty() || !options.role.empty();
}

// What is prepared keeps the instants that its text names, which depend on the zone, and the way in
// which it was planned.
bool ChangesPlans(const db::SessionOptions& options) {
  return ChangesNames(options) || !options.time_zone.empty() ||
         std::any_of(options.settings.begin(), options.settings.end(),
                     [](const auto& each) { return !absl::StrContains(each.first, '.'); });
}

std::string EnterSql(const db::SessionOptions& options) {
  std::string sql =
      "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('role')";
  const size_t count = AllOf(options).size();
  for (size_t i = 0; i < count; ++i) {
    absl::StrAppend(&sql, ", pg_catalog.set_config($", 2 * i + 1, ", $", 2 * i + 2, ", true)");
  }
  return sql;
}

ParameterValues EnterValues(const db::SessionOptions& options) {
  ParameterValues values;
  for (const auto& [name, value] : AllOf(options)) {
    values.Add(name, Format::kText);
    values.Add(value, Format::kText);
  }
  return values;
}

std::string LeaveSql() {
  return "SELECT pg_catalog.set_config('role', $1, true), "
         "pg_catalog.set_config('search_path', $2, true)";
}

ParameterValues LeaveValues(absl::string_view search_path, absl::string_view role) {
  ParameterValues values;
  values.Add(role, Format::kText);
  values.Add(search_path, Format::kText);
  return values;
}

}  // namespace sluice::postgres
