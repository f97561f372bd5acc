#include "client/cli/parameters.h"

#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "client/cli/json_text.h"
#include "client/cli/numbers.h"
#include "client/cli/utf8.h"
#include "client/values.h"

namespace sluice::cli {
namespace {

using client::ToValue;

absl::Status Wrong(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("parameter `", text, "`: ", why));
}

absl::StatusOr<v1::Value> Integer(absl::string_view text, absl::string_view digits) {
  int64_t value = 0;
  if (absl::SimpleAtoi(digits, &value)) return ToValue(value);
  if (SpellingOf(digits) == Spelling::kInteger) {
    return Wrong(text, "beyond 64 bits; write text:… or real:… if that is meant");
  }
  return Wrong(text, "no integer");
}

absl::StatusOr<v1::Value> Real(absl::string_view text, absl::string_view digits) {
  double value = 0;
  if (!absl::SimpleAtod(digits, &value)) return Wrong(text, "no number");
  const bool overflow = std::isinf(value) && SpellingOf(digits) != Spelling::kNoNumber;
  if (overflow)
    return Wrong(text, "beyond a 64-bit real; write real:inf or text:… if that is meant");
  return ToValue(value);
}

absl::StatusOr<v1::Value> Text(absl::string_view text, absl::string_view content) {
  if (!IsUtf8(content)) return Wrong(text, "not UTF-8; write blob:HEX for bytes");
  return ToValue(content);
}

absl::StatusOr<v1::Value> Blob(absl::string_view text, absl::string_view hex) {
  bool digits = hex.size() % 2 == 0;
  for (const char c : hex) digits = digits && absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (!digits) return Wrong(text, "a blob is an even number of hexadecimal digits");
  return ToValue(client::Bytes{absl::HexStringToBytes(hex)});
}

absl::StatusOr<v1::Value> Json(absl::string_view text, absl::string_view content) {
  if (!IsJson(content)) return Wrong(text, "no JSON");
  v1::Value value;
  value.set_json_value(std::string(content));
  return value;
}

// Splits NAME=VALUE; false if it is none.
bool SplitNamed(absl::string_view text, absl::string_view* name, absl::string_view* value) {
  const size_t equals = text.find('=');
  if (equals == absl::string_view::npos) return false;
  *name = text.substr(0, equals);
  *value = text.substr(equals + 1);
  if (!name->empty() && absl::string_view(":@$").find(name->front()) != absl::string_view::npos) {
    name->remove_prefix(1);
  }
  if (name->empty()) return false;
  for (const char c : *name) {
    const auto byte = static_cast<unsigned char>(c);
    if (!absl::ascii_isalnum(byte) && c != '_' && byte < 0x80) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<v1::Value> ParseParameter(absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "text:")) return Text(text, rest);
  if (absl::ConsumePrefix(&rest, "int:")) return Integer(text, rest);
  if (absl::ConsumePrefix(&rest, "real:")) return Real(text, rest);
  if (absl::ConsumePrefix(&rest, "blob:")) return Blob(text, rest);
  if (absl::ConsumePrefix(&rest, "json:")) return Json(text, rest);
  if (text == "null") return ToValue(nullptr);
  if (text == "true") return ToValue(true);
  if (text == "false") return ToValue(false);
  switch (SpellingOf(text)) {
    case Spelling::kInteger:
      return Integer(text, text);
    case Spelling::kReal:
      return Real(text, text);
    case Spelling::kNoNumber:
      break;
  }
  return Text(text, text);
}

absl::StatusOr<std::pair<std::string, v1::Value>> ParseNamedParameter(absl::string_view text) {
  absl::string_view name;
  absl::string_view rest;
  if (!SplitNamed(text, &name, &rest)) return Wrong(text, "write NAME=VALUE");
  auto value = ParseParameter(rest);
  if (!value.ok()) return value.status();
  return std::make_pair(std::string(name), *std::move(value));
}

bool IsNamedParameter(absl::string_view text) {
  absl::string_view name;
  absl::string_view value;
  return SplitNamed(text, &name, &value);
}

absl::StatusOr<absl::Duration> ParseTimeout(absl::string_view text) {
  absl::Duration duration;
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    duration = absl::ZeroDuration();
  }
  if (duration <= absl::ZeroDuration() || duration == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "timeout `", text, "`: write a time above zero, for example 30s, 250ms or 2m"));
  }
  return duration;
}

}  // namespace sluice::cli
