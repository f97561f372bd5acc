#include "client/cli/json_rows.h"

#include <algorithm>
#include <limits>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "client/cli/numbers.h"
#include "client/values.h"

namespace sluice::cli {
namespace {

using client::ToValue;
using Json = nlohmann::ordered_json;

absl::StatusOr<v1::Value> ValueOf(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return ToValue(nullptr);
    case Json::value_t::boolean:
      return ToValue(json.get<bool>());
    case Json::value_t::number_integer:
      return ToValue(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      if (json.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return absl::InvalidArgumentError(
            absl::StrCat("the integer ", json.dump(), " is beyond 64 bits; write it as a string"));
      }
      return ToValue(json.get<int64_t>());
    case Json::value_t::number_float:
      return ToValue(json.get<double>());
    case Json::value_t::string:
      return ToValue(json.get_ref<const std::string&>());
    default: {
      v1::Value value;
      value.set_json_value(json.dump());
      return value;
    }
  }
}

// The end of the string that begins at `pos`.
size_t SkipString(absl::string_view text, size_t pos) {
  for (++pos; pos < text.size() && text[pos] != '"'; ++pos) {
    if (text[pos] == '\\') ++pos;
  }
  return pos + 1;
}

// The parser would make a real of an integer that does not fit.
absl::Status CheckNumber(absl::string_view number) {
  constexpr size_t kShown = 40;
  int64_t whole = 0;
  uint64_t positive = 0;
  const bool fits = SpellingOf(number) != Spelling::kInteger || absl::SimpleAtoi(number, &whole) ||
                    absl::SimpleAtoi(number, &positive);
  if (fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the integer ", number.substr(0, kShown),
                                                 number.size() > kShown ? "…" : "",
                                                 " is beyond 64 bits; write it as a string"));
}

// What the parser does not look at.
absl::Status CheckTokens(absl::string_view text) {
  int depth = 0;
  for (size_t pos = 0; pos < text.size();) {
    const char c = text[pos];
    if (c == '"') {
      pos = SkipString(text, pos);
      continue;
    }
    if (c == '-' || absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      const size_t end = std::min(text.find_first_not_of("+-.0123456789eE", pos), text.size());
      absl::Status status = CheckNumber(text.substr(pos, end - pos));
      if (!status.ok()) return status;
      pos = end;
      continue;
    }
    depth += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
    if (depth > kMaxJsonDepth) {
      return absl::InvalidArgumentError(
          absl::StrCat("arrays and objects lie in each other more than ", kMaxJsonDepth, " deep"));
    }
    ++pos;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseJsonRow(absl::string_view line,
                          std::vector<std::string>* names,
                          std::vector<v1::Value>* values) {
  names->clear();
  values->clear();
  if (absl::Status status = CheckTokens(line); !status.ok()) return status;
  const Json json = Json::parse(line.begin(), line.end(), nullptr, false);
  if (json.is_discarded()) return absl::InvalidArgumentError("it is no JSON");
  if (!json.is_array() && !json.is_object()) {
    return absl::InvalidArgumentError("it is neither a JSON array nor an object");
  }
  if (json.is_object() && json.empty()) {
    return absl::InvalidArgumentError("the object has no keys");
  }
  for (auto member = json.begin(); member != json.end(); ++member) {
    auto value = ValueOf(*member);
    if (!value.ok()) return value.status();
    if (json.is_object()) names->push_back(member.key());
    values->push_back(*std::move(value));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> JsonRowReader::Next() {
  for (;;) {
    ++line_;
    const auto any = TakeLine(&text_);
    if (!input_.status().ok()) return input_.status();
    if (!any.ok() || !*any) return any;
    if (!absl::StripAsciiWhitespace(text_).empty()) break;
  }
  const absl::Status status = ParseJsonRow(text_, &names_, &values_);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", status.message()));
  }
  return true;
}

absl::StatusOr<bool> JsonRowReader::TakeLine(std::string* line) {
  size_t end = input_.View().find('\n');
  while (end == absl::string_view::npos && input_.View().size() <= max_line_bytes_ &&
         input_.More()) {
    end = input_.View().find('\n');
  }
  const absl::string_view text = input_.View();
  if (text.empty()) return false;
  const size_t size = end == absl::string_view::npos ? text.size() : end;
  if (size > max_line_bytes_) {
    return absl::InvalidArgumentError(
        absl::StrCat("line ", line_, ": it takes more than ", SizeText(max_line_bytes_)));
  }
  *line = std::string(text.substr(0, size));
  input_.Consume(end == absl::string_view::npos ? size : size + 1);
  return true;
}

}  // namespace sluice::cli
