#include "client/cli/json_text.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/cli/numbers.h"
#include "client/cli/utf8.h"
#include "client/cli/value_text.h"

namespace sluice::cli {
namespace {

void AppendBase64(absl::string_view bytes, std::string* out) {
  absl::StrAppend(out, "\"", absl::Base64Escape(bytes), "\"");
}

void AppendUtf8OrBase64(absl::string_view bytes, std::string* out) {
  if (IsUtf8(bytes)) return AppendJsonString(bytes, out);
  AppendBase64(bytes, out);
}

template <class Real>
void AppendJsonReal(Real value, std::string* out) {
  const bool finite = std::isfinite(value);
  if (!finite) out->push_back('"');
  AppendReal(value, out);
  if (!finite) out->push_back('"');
}

// Valid JSON has line breaks only between its tokens.
void AppendOnOneLine(absl::string_view json, std::string* out) {
  for (const char c : json) out->push_back(c == '\n' || c == '\r' ? ' ' : c);
}

void AppendDimension(const v1::Array& array, int dimension, int* index, std::string* out) {
  out->push_back('[');
  for (int i = 0; i < array.dimensions(dimension) && *index < array.values_size(); ++i) {
    if (i > 0) out->push_back(',');
    if (dimension + 1 < array.dimensions_size()) {
      AppendDimension(array, dimension + 1, index, out);
    } else {
      AppendJson(array.values((*index)++), out);
    }
  }
  out->push_back(']');
}

void AppendArray(const v1::Array& array, std::string* out) {
  if (array.dimensions_size() == 0) return absl::StrAppend(out, "[]");
  int index = 0;
  AppendDimension(array, 0, &index, out);
}

void AppendAsText(const v1::Value& value, std::string* out) {
  std::string text;
  AppendText(value, &text);
  AppendUtf8OrBase64(text, out);
}

// ISO 8601 as programs read it: 2026-11-21T13:05:00+00:00.
void AppendInstant(const v1::Value& value, std::string* out) {
  std::string text;
  AppendText(value, &text);
  const bool ordinary = !text.empty() && absl::ascii_isdigit(static_cast<unsigned char>(text[0])) &&
                        !absl::EndsWith(text, " BC");
  if (ordinary) {
    text[text.find(' ')] = 'T';
    if (value.has_timestamptz_value()) text.append(":00");
  }
  AppendJsonString(text, out);
}

}  // namespace

bool IsJson(absl::string_view text) {
  return nlohmann::json::accept(text.begin(), text.end());
}

void AppendJsonString(absl::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  size_t plain = 0;  // start of what was not appended yet
  const auto flush = [&](size_t end) { out->append(text.data() + plain, end - plain); };
  for (size_t pos = 0; pos < text.size();) {
    const auto byte = static_cast<unsigned char>(text[pos]);
    if (byte >= 0x20 && byte != '"' && byte != '\\' && byte < 0x7F) {
      ++pos;
      continue;
    }
    const Character character = DecodeAt(text, pos);
    if (byte >= 0x80 && character.valid) {
      pos += character.bytes;
      continue;
    }
    flush(pos);
    switch (byte) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      case '\t':
        out->append("\\t");
        break;
      default:
        if (byte >= 0x80) {
          out->append("\xEF\xBF\xBD");
        } else {
          out->append("\\u00");
          out->push_back(kHex[byte >> 4]);
          out->push_back(kHex[byte & 15]);
        }
    }
    plain = ++pos;
  }
  flush(text.size());
  out->push_back('"');
}

void AppendJson(const v1::Value& value, std::string* out) {
  switch (value.kind_case()) {
    case v1::Value::kNullValue:
    case v1::Value::KIND_NOT_SET:
      return absl::StrAppend(out, "null");
    case v1::Value::kBoolValue:
      return absl::StrAppend(out, value.bool_value() ? "true" : "false");
    case v1::Value::kInt64Value:
      return AppendInteger(value.int64_value(), out);
    case v1::Value::kDoubleValue:
      return AppendJsonReal(value.double_value(), out);
    case v1::Value::kFloatValue:
      return AppendJsonReal(value.float_value(), out);
    case v1::Value::kStringValue:
      return AppendJsonString(value.string_value(), out);
    case v1::Value::kBytesValue:
      return AppendBase64(value.bytes_value(), out);
    case v1::Value::kRawValue:
      if (value.raw_value().format() != v1::Raw::FORMAT_TEXT) {
        return AppendBase64(value.raw_value().data(), out);
      }
      return AppendUtf8OrBase64(value.raw_value().data(), out);
    case v1::Value::kJsonValue:
      if (!IsJson(value.json_value())) return AppendUtf8OrBase64(value.json_value(), out);
      return AppendOnOneLine(value.json_value(), out);
    case v1::Value::kTimestampValue:
    case v1::Value::kTimestamptzValue:
      return AppendInstant(value, out);
    case v1::Value::kArrayValue:
      return AppendArray(value.array_value(), out);
    case v1::Value::kVectorValue:
      out->push_back('[');
      for (int i = 0; i < value.vector_value().values_size(); ++i) {
        if (i > 0) out->push_back(',');
        AppendJsonReal(value.vector_value().values(i), out);
      }
      return out->push_back(']');
    case v1::Value::kCompositeValue:
      out->push_back('[');
      for (int i = 0; i < value.composite_value().values_size(); ++i) {
        if (i > 0) out->push_back(',');
        AppendJson(value.composite_value().values(i), out);
      }
      return out->push_back(']');
    default:
      return AppendAsText(value, out);
  }
}

}  // namespace sluice::cli
