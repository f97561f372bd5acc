// Keeps the generated pages of docs/reference true. SLUICE_UPDATE_DOCS=1 in the environment of the
// unit tests writes them anew.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

#include "server/base/config_aliases.h"
#include "server/base/errors.h"
#include "server/base/setting_value.h"
#include "server/base/settings.h"

namespace sluice {
namespace {

// A cell of a table: a bar would end it.
std::string Cell(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"|", "\\|"}});
}

std::string Code(absl::string_view text) {
  return absl::StrCat("`", text, "`");
}

std::string Row(const std::vector<std::string>& cells) {
  return absl::StrCat("| ", absl::StrJoin(cells, " | "), " |\n");
}

std::string Header(const std::vector<std::string>& names) {
  std::string rule = "|";
  for (size_t i = 0; i < names.size(); ++i) rule += "---|";
  return absl::StrCat(Row(names), rule, "\n");
}

constexpr absl::string_view kErrorsIntroduction = R"(# Errors

<!-- Generated from server/base/error_catalogue.cc. To change it, change that file, then run the unit tests with
SLUICE_UPDATE_DOCS=1. -->

An error is a gRPC status; nothing else in a response says that something failed. Its message is one sentence for a
person. Its details (`google.rpc.Status` in the trailer `grpc-status-details-bin`) are for programs:

| Detail | What it holds |
|---|---|
| `google.rpc.ErrorInfo` | Always. `reason` is one of those below, `domain` is `sluice`, `metadata` has the facts. |
| `google.rpc.BadRequest` | The field or parameter that is wrong, for INVALID_ARGUMENT. |
| `google.rpc.RetryInfo` | How long to wait, where a retry makes sense. |
| `google.rpc.RequestInfo` | The request id, by which the server's log knows the call. |
| `sluice.v1.SqlDiagnostic` | What the database said: SQLSTATE, hint, position, table, column, constraint. |

## What became of the statement

`metadata["executed"]` answers it for every error:

| `executed` | Meaning | May it be sent again? |
|---|---|---|
| `no` | It was certainly not applied. | Yes. |
| `rolled_back` | It ran, and nothing of it remains. | Yes, once what the error names is put right. |
| `unknown` | It may have been applied. | Only after a look at the data, unless repeating it does no harm. |

UNAVAILABLE comes with `no` alone, so a client may retry it by itself. DEADLINE_EXCEEDED and UNAVAILABLE can also be made
by the client's own gRPC library, then without details; those say nothing about the statement.

Further keys of `metadata`, where they apply: `sqlstate`, `engine`, `schema`, `table`, `column`, `data_type`,
`constraint`, `position` (in characters of the SQL, from 1), `use` (what to call instead), `field`, `attempts` (of the
server's own retries), `rows_sent` (before a stream failed), `limit`, `limit_bytes`, `queue_limit`; of a call in a
transaction `transaction` (its handle), `transaction_state`, `transaction_expires_in_ms` and `ended_by`; of one that
waited for a database's only writer `held_by` (a handle, or `load`), `held_by_label`, `held_for_ms`; of one that waited
for a connection to the database `pool_waiting` (the others), `pool_limit`, `waited_ms`.

## Reasons

)";

std::string ErrorsReference() {
  std::string page(kErrorsIntroduction);
  page += Header({"Reason", "Status", "What happened", "What to do"});
  for (const errors::Reason& reason : errors::Catalogue()) {
    page += Row({Code(reason.name), Cell(reason.code), Cell(reason.meaning), Cell(reason.remedy)});
  }
  return page;
}

constexpr absl::string_view kConfigurationIntroduction = R"(# Configuration

<!-- Generated from server/base/settings.cc. To change it, change that file, then run the unit tests with
SLUICE_UPDATE_DOCS=1. -->

A setting comes from its flag, else from its environment variable, else from the file that `--config` names (TOML), else
it has its default. `sluiced --print-config` shows every setting with its value and where that came from; secrets are
masked. An unknown key or `SLUICE_` variable stops the start, and so do two names that disagree on one setting.

Sizes are written `512`, `8KiB`, `16MiB`, `1GiB`; durations `250ms`, `30s`, `5m`, `1h30m`.

## Settings

)";

// A bound of a setting, written as a value of it is.
std::string Bound(const SettingSpec& spec, int64_t bound) {
  Settings settings;
  if (spec.kind == SettingKind::kDuration) {
    StoreSetting(spec, absl::Milliseconds(bound), settings);
  } else {
    StoreSetting(spec, bound, settings);
  }
  return ShowSetting(spec, settings);
}

std::string Bounds(const SettingSpec& spec) {
  switch (spec.kind) {
    case SettingKind::kText:
      return "text";
    case SettingKind::kChoice:
      return absl::StrReplaceAll(Code(spec.choices), {{"|", "`, `"}});
    case SettingKind::kBoolean:
      return "`true`, `false`";
    case SettingKind::kInteger:
    case SettingKind::kSize:
    case SettingKind::kDuration:
      return absl::StrReplaceAll(absl::StrCat(Bound(spec, spec.min), " to ", Bound(spec, spec.max)),
                                 {{"\"", ""}});
  }
  return "";
}

// Names that other services of the kind use, with a value that each of them takes.
struct KnownName {
  const char* name;
  const char* value;
};

constexpr KnownName kKnownNames[] = {
    {"DATABASE_URL", "sqlite:///a.db"},
    {"DATABASE_POOL_SIZE", "7"},
    {"ASYNC_DATABASE_POOL_SIZE", "7"},
    {"DB_MIN_CONNECTIONS", "7"},
    {"DB_MAX_CONNECTIONS", "7"},
    {"DATABASE_MAX_OVERFLOW", "7"},
    {"ASYNC_DATABASE_MAX_OVERFLOW", "7"},
    {"DB_CONNECTION_TIMEOUT", "7"},
    {"ASYNC_DATABASE_POOL_TIMEOUT", "7"},
    {"DATABASE_POOL_RECYCLE", "7"},
    {"ASYNC_DATABASE_POOL_RECYCLE", "7"},
    {"DB_COMMAND_TIMEOUT", "7"},
    {"DATABASE_ECHO", "true"},
    {"ASYNC_DATABASE_MONITORING_ENABLED", "true"},
};

constexpr absl::string_view kAliasesIntroduction = R"(
## Names that are understood too

Each means the setting beside it. Durations may be plain numbers here: seconds. `POSTGRES_HOST`, `POSTGRES_PORT`,
`POSTGRES_DATABASE`, `POSTGRES_USER` and `POSTGRES_PASSWORD` together are one `database.url`. `ASYNC_DATABASE_ENABLED` is
accepted and has no effect: Sluice is always asynchronous.

)";

std::string Aliases() {
  std::string table = Header({"Environment variable", "Sets"});
  for (const KnownName& known : kKnownNames) {
    const auto read = ReadAliases({{known.name, known.value}});
    EXPECT_TRUE(read.ok()) << known.name << ": " << read.status();
    if (!read.ok()) continue;
    EXPECT_FALSE(read->values.empty()) << known.name << " sets nothing";
    std::vector<std::string> sets;
    for (const EnvironmentValue& value : read->values) {
      sets.push_back(value.text == known.value || value.key != "pool.overflow"
                         ? Code(value.key)
                         : absl::StrCat(Code(value.key), " to ", value.text));
    }
    table += Row({Code(known.name), absl::StrJoin(sets, ", ")});
  }
  return table;
}

std::string ConfigurationReference() {
  std::string page(kConfigurationIntroduction);
  page += Header({"Key", "Default", "Values", "Flag", "Environment", "What it does"});
  for (const SettingSpec& spec : SettingSpecs()) {
    const std::string preset = ShowSetting(spec, Settings());
    page += Row({Code(spec.key), preset == "\"\"" ? "empty" : Code(preset), Bounds(spec),
                 Code(spec.flag()), Code(spec.environment()), Cell(spec.description)});
  }
  absl::StrAppend(&page, kAliasesIntroduction, Aliases());
  return page;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void ExpectPage(const std::string& name, const std::string& page) {
  const std::string path = absl::StrCat(SLUICE_SOURCE_DIR, "/docs/reference/", name);
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing sets the environment here
  if (std::getenv("SLUICE_UPDATE_DOCS") != nullptr) {
    std::ofstream(path) << page;
  }
  const std::vector<std::string> expected = absl::StrSplit(page, '\n');
  const std::vector<std::string> found = absl::StrSplit(ReadFile(path), '\n');
  for (size_t i = 0; i < std::min(expected.size(), found.size()); ++i) {
    ASSERT_EQ(found[i], expected[i])
        << "docs/reference/" << name << ":" << i + 1 << " is stale; SLUICE_UPDATE_DOCS=1 renews it";
  }
  EXPECT_EQ(found.size(), expected.size()) << "docs/reference/" << name << " is stale";
}

TEST(Reference, ErrorsAreTheCatalogue) {
  ExpectPage("errors.md", ErrorsReference());
}

TEST(Reference, ConfigurationIsTheTableOfSettings) {
  ExpectPage("configuration.md", ConfigurationReference());
}

}  // namespace
}  // namespace sluice
