#include "client/cli/json_rows.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

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

}  // namespace

absl::Status ParseJsonRow(absl::string_view line,
                          std::vector<std::string>* names,
                          std::vector<v1::Value>* values) {
  names->clear();
  values->clear();
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
    const bool any = TakeLine(&text_);
    if (!input_.status().ok()) return input_.status();
    if (!any) return false;
    if (!absl::StripAsciiWhitespace(text_).empty()) break;
  }
  const absl::Status status = ParseJsonRow(text_, &names_, &values_);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_, ": ", status.message()));
  }
  return true;
}

bool JsonRowReader::TakeLine(std::string* line) {
  size_t end = input_.View().find('\n');
  while (end == absl::string_view::npos && input_.More()) end = input_.View().find('\n');
  const absl::string_view text = input_.View();
  if (text.empty()) return false;
  const size_t size = end == absl::string_view::npos ? text.size() : end;
  *line = std::string(text.substr(0, size));
  input_.Consume(end == absl::string_view::npos ? size : size + 1);
  return true;
}

}  // namespace sluice::cli
