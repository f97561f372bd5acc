#include "server/base/setting_value.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/base/json.h"
#include "server/base/status.h"
#include "server/base/url.h"
#include "server/base/utf8.h"

namespace sluice {
namespace {

struct Unit {
  absl::string_view name;
  int64_t bytes = 0;
};

constexpr std::array<Unit, 4> kUnits = {
    {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}};

absl::Status Wrong(absl::string_view text, absl::string_view what) {
  const std::string shown = SanitizeForMessage({text.data(), text.size()}, 60);
  return absl::InvalidArgumentError(absl::StrCat("'", shown, "' is no ", what));
}

std::string SizeText(int64_t bytes) {
  for (const Unit& unit : kUnits) {
    if (unit.bytes > 1 && bytes != 0 && bytes % unit.bytes == 0) {
      return absl::StrCat(bytes / unit.bytes, unit.name);
    }
  }
  return absl::StrCat(bytes, "B");
}

std::string DurationText(absl::Duration duration) {
  if (duration == absl::ZeroDuration()) return "0s";
  return absl::FormatDuration(duration);
}

absl::Status OutOfRange(const std::string& min, const std::string& max) {
  return absl::InvalidArgumentError(absl::StrCat("must be from ", min, " to ", max));
}

absl::StatusOr<bool> ParseBoolean(absl::string_view text) {
  const std::string lower = absl::AsciiStrToLower(text);
  for (const absl::string_view yes : {"true", "on", "yes", "1"}) {
    if (lower == yes) return true;
  }
  for (const absl::string_view no : {"false", "off", "no", "0"}) {
    if (lower == no) return false;
  }
  return Wrong(text, "switch; write true or false");
}

absl::StatusOr<int64_t> ParseInteger(absl::string_view text) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) return Wrong(text, "whole number");
  return value;
}

absl::StatusOr<int64_t> ParseSize(absl::string_view text) {
  constexpr absl::string_view kWhat = "size; write bytes, or 8KiB, 16MiB, 1GiB";
  absl::string_view digits = text;
  int64_t unit_bytes = 1;
  for (const Unit& unit : kUnits) {
    if (absl::ConsumeSuffix(&digits, unit.name)) {
      unit_bytes = unit.bytes;
      break;
    }
  }
  int64_t count = 0;
  if (!absl::SimpleAtoi(digits, &count)) return Wrong(text, kWhat);
  if (count > std::numeric_limits<int64_t>::max() / unit_bytes || count < 0) {
    return Wrong(text, kWhat);
  }
  return count * unit_bytes;
}

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  constexpr absl::string_view kWhat = "duration; write 250ms, 30s, 5m or 1h";
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) return Wrong(text, kWhat);
  return duration;
}

absl::StatusOr<SettingValue> ParseText(const SettingSpec& spec, absl::string_view text) {
  if (!IsValidUtf8({text.data(), text.size()}) || text.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError("must be text without zero bytes, in UTF-8");
  }
  if (spec.kind != SettingKind::kChoice) return SettingValue(std::string(text));
  const std::vector<absl::string_view> choices = absl::StrSplit(spec.choices, '|');
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) {
    return SettingValue(std::string(text));
  }
  return Wrong(text, absl::StrCat("known value; there are ", absl::StrJoin(choices, ", ")));
}

std::string ShowSecret(const std::string& url) {
  if (url.empty()) return url;
  const auto parsed = ParseDatabaseUrl(url);
  return parsed.ok() ? parsed->Redacted() : "***";
}

template <class T>
const T& Read(const SettingSpec& spec, const Settings& settings) {
  // The table's accessors give write access; this one only reads.
  return std::get<T& (*)(Settings&)>(spec.field)(const_cast<Settings&>(settings));
}

}  // namespace

absl::StatusOr<SettingValue> ParseSetting(const SettingSpec& spec, absl::string_view text) {
  switch (spec.kind) {
    case SettingKind::kText:
    case SettingKind::kChoice:
      return ParseText(spec, text);
    case SettingKind::kBoolean: {
      TRY(const bool value, ParseBoolean(text));
      return SettingValue(value);
    }
    case SettingKind::kInteger: {
      TRY(const int64_t value, ParseInteger(text));
      if (value < spec.min || value > spec.max) {
        return OutOfRange(absl::StrCat(spec.min), absl::StrCat(spec.max));
      }
      return SettingValue(value);
    }
    case SettingKind::kSize: {
      TRY(const int64_t value, ParseSize(text));
      if (value < spec.min || value > spec.max) {
        return OutOfRange(SizeText(spec.min), SizeText(spec.max));
      }
      return SettingValue(value);
    }
    case SettingKind::kDuration: {
      TRY(const absl::Duration value, ParseDuration(text));
      const absl::Duration min = absl::Milliseconds(spec.min);
      const absl::Duration max = absl::Milliseconds(spec.max);
      if (value < min || value > max) return OutOfRange(DurationText(min), DurationText(max));
      return SettingValue(value);
    }
  }
  return absl::InternalError("a setting of no kind");
}

void StoreSetting(const SettingSpec& spec, const SettingValue& value, Settings& settings) {
  std::visit(
      [&](auto field) {
        auto& target = field(settings);
        target = std::get<std::decay_t<decltype(target)>>(value);
      },
      spec.field);
}

std::string ShowSetting(const SettingSpec& spec, const Settings& settings) {
  switch (spec.kind) {
    case SettingKind::kText:
    case SettingKind::kChoice: {
      const auto& text = Read<std::string>(spec, settings);
      return JsonString(spec.secret ? ShowSecret(text) : text);
    }
    case SettingKind::kBoolean:
      return Read<bool>(spec, settings) ? "true" : "false";
    case SettingKind::kInteger:
      return absl::StrCat(Read<int64_t>(spec, settings));
    case SettingKind::kSize:
      return JsonString(SizeText(Read<int64_t>(spec, settings)));
    case SettingKind::kDuration:
      return JsonString(DurationText(Read<absl::Duration>(spec, settings)));
  }
  return "";
}

}  // namespace sluice
