// The values of settings as text: what 30s, 16MiB and on mean, and how they are shown.
#ifndef SLUICE_SERVER_BASE_SETTING_VALUE_H_
#define SLUICE_SERVER_BASE_SETTING_VALUE_H_

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

#include "server/base/settings.h"

namespace sluice {

using SettingValue = std::variant<std::string, bool, int64_t, absl::Duration>;

// Understands `text` as the setting's kind and checks choice and range. The message says what would
// be right; it repeats the text, unless the setting is secret.
absl::StatusOr<SettingValue> ParseSetting(const SettingSpec& spec, absl::string_view text);

// REQUIRES: `value` came from ParseSetting of the same setting.
void StoreSetting(const SettingSpec& spec, const SettingValue& value, Settings& settings);

// The setting's value as it would be written in the file, its secret part replaced by ***.
std::string ShowSetting(const SettingSpec& spec, const Settings& settings);

}  // namespace sluice

#endif  // SLUICE_SERVER_BASE_SETTING_VALUE_H_
