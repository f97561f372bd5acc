// Where the settings come from: flag before environment before file before default, the origin of
// each kept.
#ifndef SLUICE_SERVER_BASE_CONFIG_H_
#define SLUICE_SERVER_BASE_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

#include "server/base/settings.h"
#include "server/base/url.h"

namespace sluice {

// ConfigSources: what the start of the process gives.
struct ConfigSources {
  std::map<std::string, std::string> flags;        // by key ("listen"), and "config": the file
  std::map<std::string, std::string> environment;  // the whole of it, by name
};

// Config: the settings, and for each where its value came from.
struct Config {
  Settings settings;
  std::map<std::string, std::string> origins;  // by key: "default", "environment DATABASE_URL", …
  std::vector<std::string> notes;              // for the log: accepted, but without effect
};

// The environment of this process.
std::map<std::string, std::string> ProcessEnvironment();

// Merges and checks. A failure is one line that names the origin and never holds a secret:
// a value that cannot be, an unknown key of the file or an unknown SLUICE_ name (with the nearest
// that exists), two environment names that disagree on one setting, an address that others could
// reach. Empty environment variables count as not set.
absl::StatusOr<Config> LoadConfig(const ConfigSources& sources);

// One line per setting, `key = value  # origin`: valid TOML, secrets masked.
std::string PrintConfig(const Config& config);

// What the connection `default` opens: database.url, or the file sluice.db in data_dir.
absl::StatusOr<DatabaseUrl> DefaultDatabase(const Settings& settings);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_CONFIG_H_
