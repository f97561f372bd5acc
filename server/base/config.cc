#include "server/base/config.h"

#include <algorithm>
#include <utility>

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/base/address.h"
#include "server/base/config_aliases.h"
#include "server/base/config_file.h"
#include "server/base/nearest.h"
#include "server/base/setting_value.h"
#include "server/base/status.h"
#include "server/base/utf8.h"

namespace sluice {
namespace {

using Environment = std::map<std::string, std::string>;

constexpr absl::string_view kConfig = "config";
constexpr absl::string_view kConfigName = "SLUICE_CONFIG";
constexpr absl::string_view kClientName = "SLUICE_SERVER";  // of the command-line tool
constexpr absl::string_view kOwnPrefix = "SLUICE_";
constexpr size_t kShownBytes = 80;

std::string Shown(absl::string_view text) {
  return SanitizeForMessage({text.data(), text.size()}, kShownBytes);
}

absl::Status Wrong(absl::string_view origin, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(origin, ": ", what));
}

std::string DidYouMean(absl::string_view name, const std::vector<std::string>& candidates) {
  const std::string nearest = Nearest(name, candidates);
  return nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?");
}

// Layer: what one source says, by key. Later layers are stored over earlier ones.
struct Given {
  SettingValue value;
  std::string origin;  // for --print-config
  std::string name;    // for messages on conflicts
};

using Layer = std::map<std::string, Given>;

// --- file

absl::Status CheckType(const SettingSpec& spec, FileValueType type) {
  const bool size = spec.kind == SettingKind::kSize;
  if (spec.kind == SettingKind::kBoolean) {
    if (type == FileValueType::kBoolean) return absl::OkStatus();
    return absl::InvalidArgumentError("must be true or false, without quotes");
  }
  if (spec.kind == SettingKind::kInteger) {
    if (type == FileValueType::kInteger) return absl::OkStatus();
    return absl::InvalidArgumentError("must be a whole number, without quotes");
  }
  if (type == FileValueType::kString || (size && type == FileValueType::kInteger)) {
    return absl::OkStatus();
  }
  if (size) return absl::InvalidArgumentError("must be a size such as \"16MiB\", or bytes");
  if (spec.kind == SettingKind::kDuration) {
    return absl::InvalidArgumentError("must be a duration in quotes, such as \"30s\"");
  }
  return absl::InvalidArgumentError("must be text in quotes");
}

bool IsSection(const std::string& key) {
  const auto specs = SettingSpecs();
  return std::any_of(specs.begin(), specs.end(), [&key](const SettingSpec& spec) {
    return absl::StartsWith(spec.key, absl::StrCat(key, "."));
  });
}

std::string UnknownKey(const std::string& key) {
  if (IsSection(key)) {
    return absl::StrCat("'", key, "' is a section: write [", key, "] and its keys below");
  }
  std::vector<std::string> keys;
  for (const SettingSpec& spec : SettingSpecs()) keys.emplace_back(spec.key);
  return absl::StrCat("unknown key '", Shown(key), "'", DidYouMean(key, keys));
}

absl::StatusOr<Layer> FileLayer(const std::string& path) {
  Layer layer;
  if (path.empty()) return layer;
  TRY(const std::vector<FileEntry> entries, ReadConfigFile(path));
  for (const FileEntry& entry : entries) {
    const std::string place = absl::StrCat(path, ":", entry.line);
    if (entry.type == FileValueType::kEmptySection && IsSection(entry.key)) continue;
    const SettingSpec* const spec = FindSetting(entry.key);
    if (spec == nullptr) return Wrong(place, UnknownKey(entry.key));
    const std::string origin = absl::StrCat(place, ": ", entry.key);
    if (const auto fits = CheckType(*spec, entry.type); !fits.ok()) {
      return Wrong(origin, fits.message());
    }
    auto value = ParseSetting(*spec, entry.text);
    if (!value.ok()) return Wrong(origin, value.status().message());
    layer[entry.key] = {*std::move(value), absl::StrCat("file ", place), place};
  }
  return layer;
}

// --- environment

absl::Status CheckOwnNames(const Environment& environment) {
  std::vector<std::string> known = {std::string(kConfigName), std::string(kClientName)};
  for (const SettingSpec& spec : SettingSpecs()) known.push_back(spec.environment());
  for (const auto& [name, value] : environment) {
    if (!absl::StartsWith(name, kOwnPrefix)) continue;
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(absl::StrCat("unknown environment variable '", Shown(name),
                                                     "'", DidYouMean(name, known)));
    }
  }
  return absl::OkStatus();
}

// Two spellings of one value do not disagree: 30 and 30s, postgres:// and postgresql+asyncpg://.
bool Agree(const SettingSpec& spec, const SettingValue& a, const SettingValue& b) {
  if (a == b) return true;
  if (!spec.secret) return false;
  const auto first = ParseDatabaseUrl(std::get<std::string>(a));
  const auto second = ParseDatabaseUrl(std::get<std::string>(b));
  return first.ok() && second.ok() && *first == *second;
}

absl::StatusOr<Layer> EnvironmentLayer(const Environment& environment,
                                       std::vector<std::string>& notes) {
  TRY_STATUS(CheckOwnNames(environment));
  std::vector<EnvironmentValue> values;
  for (const SettingSpec& spec : SettingSpecs()) {
    const auto found = environment.find(spec.environment());
    if (found == environment.end() || found->second.empty()) continue;
    values.push_back({std::string(spec.key), found->second, found->first});
  }
  TRY(AliasValues aliases, ReadAliases(environment));
  values.insert(values.end(), aliases.values.begin(), aliases.values.end());
  notes = std::move(aliases.notes);

  Layer layer;
  for (const EnvironmentValue& given : values) {
    const SettingSpec& spec = *FindSetting(given.key);
    auto value = ParseSetting(spec, given.text);
    if (!value.ok()) return Wrong(given.name, value.status().message());
    const auto [entry, fresh] = layer.try_emplace(
        given.key, Given{*value, absl::StrCat("environment ", given.name), given.name});
    if (!fresh && !Agree(spec, entry->second.value, *value)) {
      return absl::InvalidArgumentError(absl::StrCat(entry->second.name, " and ", given.name,
                                                     " disagree on ", given.key,
                                                     "; keep one of them"));
    }
  }
  return layer;
}

// --- flags

absl::StatusOr<Layer> FlagLayer(const std::map<std::string, std::string>& flags) {
  Layer layer;
  for (const auto& [key, text] : flags) {
    if (key == kConfig) continue;
    const SettingSpec* const spec = FindSetting(key);
    if (spec == nullptr) return Wrong(Shown(key), "there is no such setting");
    auto value = ParseSetting(*spec, text);
    if (!value.ok()) return Wrong(spec->flag(), value.status().message());
    layer[key] = {*std::move(value), absl::StrCat("flag ", spec->flag()), spec->flag()};
  }
  return layer;
}

// --- all of them

std::string FilePath(const ConfigSources& sources) {
  if (const auto flag = sources.flags.find(std::string(kConfig)); flag != sources.flags.end()) {
    return flag->second;
  }
  const auto found = sources.environment.find(std::string(kConfigName));
  return found == sources.environment.end() ? "" : found->second;
}

std::string DefaultDataDir(const Environment& environment) {
  const auto xdg = environment.find("XDG_DATA_HOME");
  // A relative path there is to be ignored, says its specification.
  if (xdg != environment.end() && absl::StartsWith(xdg->second, "/")) {
    return absl::StrCat(xdg->second, "/sluice");
  }
  const auto home = environment.find("HOME");
  if (home != environment.end() && !home->second.empty()) {
    return absl::StrCat(home->second, "/.local/share/sluice");
  }
  return Settings().data_dir;
}

void Store(const Layer& layer, Config& config) {
  for (const auto& [key, given] : layer) {
    StoreSetting(*FindSetting(key), given.value, config.settings);
    config.origins[key] = given.origin;
  }
}

// What no single value shows.
absl::Status Check(Config& config) {
  Settings& settings = config.settings;
  const auto wrong = [&config](const std::string& key, absl::string_view what) {
    return Wrong(absl::StrCat(key, " (", config.origins[key], ")"), what);
  };
  const auto listen = ParseListenAddress(settings.listen);
  if (!listen.ok()) return wrong("listen", listen.status().message());
  settings.listen = listen->ToString();
  if (!settings.admin.empty()) {
    return wrong("admin", "this version has no HTTP admin port; leave it empty");
  }
  if (settings.data_dir.empty()) return wrong("data_dir", "must name a folder");
  if (const auto database = DefaultDatabase(settings); !database.ok()) {
    return wrong("database.url", database.status().message());
  }
  if (const auto ports = ParsePorts(settings.egress.ports); !ports.ok()) {
    return wrong("egress.ports", ports.status().message());
  }
  if (settings.pool.min > settings.pool.max) {
    return wrong("pool.min",
                 absl::StrCat("is ", settings.pool.min, ", more than pool.max, which is ",
                              settings.pool.max, " (", config.origins["pool.max"], ")"));
  }
  return absl::OkStatus();
}

}  // namespace

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> out;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const absl::string_view pair(*entry);
    const size_t equals = pair.find('=');
    if (equals != absl::string_view::npos)
      out.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return out;
}

absl::StatusOr<Config> LoadConfig(const ConfigSources& sources) {
  Config config;
  for (const SettingSpec& spec : SettingSpecs()) config.origins[std::string(spec.key)] = "default";
  config.settings.data_dir = DefaultDataDir(sources.environment);
  TRY(const Layer file, FileLayer(FilePath(sources)));
  TRY(const Layer environment, EnvironmentLayer(sources.environment, config.notes));
  TRY(const Layer flags, FlagLayer(sources.flags));
  for (const Layer* layer : {&file, &environment, &flags}) Store(*layer, config);
  TRY_STATUS(Check(config));
  return config;
}

std::string PrintConfig(const Config& config) {
  std::string out;
  for (const SettingSpec& spec : SettingSpecs()) {
    const auto origin = config.origins.find(std::string(spec.key));
    absl::StrAppend(&out, spec.key, " = ", ShowSetting(spec, config.settings), "  # ",
                    origin == config.origins.end() ? "default" : Shown(origin->second), "\n");
  }
  return out;
}

absl::StatusOr<DatabaseUrl> DefaultDatabase(const Settings& settings) {
  if (!settings.database.url.empty()) return ParseDatabaseUrl(settings.database.url);
  DatabaseUrl url;
  url.scheme = "sqlite";
  url.path = absl::StrCat(settings.data_dir, "/sluice.db");
  return url;
}

}  // namespace sluice
