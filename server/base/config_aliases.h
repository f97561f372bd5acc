// Environment names that services of this kind already use, as values of our settings.
#ifndef SLUICE_SERVER_BASE_CONFIG_ALIASES_H_
#define SLUICE_SERVER_BASE_CONFIG_ALIASES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace sluice {

// EnvironmentValue: one setting as one environment name gives it, in the setting's own syntax.
struct EnvironmentValue {
  std::string key;
  std::string text;
  std::string name;  // DATABASE_URL
};

struct AliasValues {
  std::vector<EnvironmentValue> values;
  std::vector<std::string> notes;  // on names that are accepted and have no effect
};

// Durations may be plain numbers here: seconds.
absl::StatusOr<AliasValues> ReadAliases(const std::map<std::string, std::string>& environment);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_CONFIG_ALIASES_H_
