#include "server/base/log_record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "server/base/json.h"
#include "server/base/utf8.h"

namespace sluice::log {
namespace {

constexpr size_t kMaxTextBytes = 4096;  // bounds the queue's bytes, together with its length
constexpr std::string_view kRequestId = "request_id";
constexpr std::array<std::string_view, 4> kOwnKeys = {"timestamp", "level", "logger", "message"};

// Cut at a character where the text is well-formed, else anywhere.
std::string_view Cut(std::string_view text) {
  size_t end = kMaxTextBytes;
  while (end > kMaxTextBytes - 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

void AppendText(std::string_view text, std::string& line) {
  if (text.size() <= kMaxTextBytes) {
    AppendJsonString(text, line);
    return;
  }
  const std::string_view kept = Cut(text);
  AppendJsonString(kept, line);
  line.pop_back();
  line += "… (";
  line += std::to_string(text.size() - kept.size());
  line += " bytes more)\"";
}

template <class Number>
void AppendDigits(Number value, std::string& line) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  line.append(digits.data(), end.ptr);
}

void Append(std::string_view value, std::string& line) {
  AppendText(value, line);
}

void Append(int64_t value, std::string& line) {
  AppendDigits(value, line);
}

void Append(bool value, std::string& line) {
  line += value ? "true" : "false";
}

void Append(double value, std::string& line) {
  if (std::isnan(value)) {
    line += "\"NaN\"";
  } else if (std::isinf(value)) {
    line += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";  // JSON has no such number
  } else {
    AppendDigits(value, line);
  }
}

void AppendField(std::string_view key, const Value& value, std::string& line) {
  const bool taken = std::find(kOwnKeys.begin(), kOwnKeys.end(), key) != kOwnKeys.end();
  line += ',';
  AppendJsonString(taken ? std::string(key) + "_" : std::string(key), line);
  line += ':';
  std::visit([&line](const auto& held) { Append(held, line); }, value.get());
}

}  // namespace

std::string FormatRecord(
    absl::Time time, Level level, Text logger, Text message, std::initializer_list<Field> fields) {
  std::string line = "{\"timestamp\":\"";
  line += absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone());
  line += "\",\"level\":\"";
  line += LevelName(level);
  line += "\",\"logger\":";
  AppendText(logger.view(), line);
  line += ",\"message\":";
  AppendText(message.view(), line);
  for (const Field& field : fields) {
    if (field.key == kRequestId) AppendField(field.key, field.value, line);
  }
  for (const Field& field : fields) {
    if (field.key != kRequestId) AppendField(field.key, field.value, line);
  }
  line += "}\n";
  return line;
}

}  // namespace sluice::log
