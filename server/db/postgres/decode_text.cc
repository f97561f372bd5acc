#include <charconv>
#include <cstring>
#include <limits>
#include <optional>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

#include "server/db/postgres/decode_text_nested.h"
#include "server/db/postgres/decoding.h"
#include "server/db/postgres/time_text.h"
#include "server/db/postgres/value_wire.h"

namespace sluice::postgres {
namespace {

using absl::string_view;
using Value = pb::Value;

// All of the text, and a number of the type's range.
template <typename Number>
bool ParseNumber(string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

bool ReadBool(Decoding&, const Type&, string_view text, std::string& out) {
  if (text != "t" && text != "f") return false;
  PutBool(text == "t", out);
  return true;
}

template <typename Number>
bool ReadInteger(Decoding&, const Type&, string_view text, std::string& out) {
  Number number = 0;
  if (!ParseNumber(text, number)) return false;
  PutInt64(number, out);
  return true;
}

bool ReadXid8(Decoding&, const Type&, string_view text, std::string& out) {
  uint64_t number = 0;
  if (!ParseNumber(text, number)) return false;
  AppendUnsigned(number, out);
  return true;
}

bool ReadFloat4(Decoding&, const Type&, string_view text, std::string& out) {
  float number = 0;
  if (!ParseNumber(text, number)) return false;
  PutFloat(number, out);
  return true;
}

bool ReadFloat8(Decoding&, const Type&, string_view text, std::string& out) {
  double number = 0;
  if (!ParseNumber(text, number)) return false;
  PutDouble(number, out);
  return true;
}

bool ReadNumeric(Decoding&, const Type&, string_view text, std::string& out) {
  const bool is_special = text == "NaN" || text == "Infinity" || text == "-Infinity";
  const bool is_number =
      !text.empty() && text.find_first_not_of("0123456789.-") == string_view::npos;
  if (!is_special && !is_number) return false;
  PutBytes(Value::kNumericValueFieldNumber, text, out);
  return true;
}

bool ReadString(Decoding&, const Type& type, string_view text, std::string& out) {
  PutText(Value::kStringValueFieldNumber, type.oid, text, out);
  return true;
}

// The value of a hexadecimal digit; -1: it is none.
int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool AppendHex(string_view digits, std::string& out) {
  if (digits.size() % 2 != 0) return false;
  const size_t before = out.size();
  out.resize(before + digits.size() / 2);
  char* at = out.data() + before;
  for (size_t i = 0; i < digits.size(); i += 2) {
    const int high = HexDigit(digits[i]);
    const int low = HexDigit(digits[i + 1]);
    if (high < 0 || low < 0) return false;
    *at++ = static_cast<char>(high << 4 | low);
  }
  return true;
}

bool IsOctal(char c) {
  return c >= '0' && c <= '7';
}

// The bytes of bytea_output=escape: \\ and \ooo stand for one byte each.
bool Unescape(string_view text, std::string& bytes) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes.push_back(text[i]);
    } else if (i + 1 < text.size() && text[i + 1] == '\\') {
      bytes.push_back('\\');
      i += 1;
    } else if (i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3' &&
               IsOctal(text[i + 2]) && IsOctal(text[i + 3])) {
      const int byte = (text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 | (text[i + 3] - '0');
      bytes.push_back(static_cast<char>(byte));
      i += 3;
    } else {
      return false;
    }
  }
  return true;
}

bool ReadBytes(Decoding&, const Type&, string_view text, std::string& out) {
  if (absl::StartsWith(text, "\\x")) {
    const string_view digits = text.substr(2);
    PutHeader(Value::kBytesValueFieldNumber, digits.size() / 2, out);
    return AppendHex(digits, out);
  }
  std::string bytes;
  if (!Unescape(text, bytes)) return false;
  PutBytes(Value::kBytesValueFieldNumber, bytes, out);
  return true;
}

bool ReadDate(Decoding&, const Type&, string_view text, std::string& out) {
  int32_t days = 0;
  if (!ParseDate(text, days)) return false;
  AppendDate(days, out);
  return true;
}

bool ReadTime(Decoding&, const Type&, string_view text, std::string& out) {
  int64_t micros = 0;
  if (!ParseTime(text, micros)) return false;
  PutMoment(Value::kTimeValueFieldNumber, micros, out);
  return true;
}

template <int kField>
bool ReadTimestamp(Decoding&, const Type& type, string_view text, std::string& out) {
  constexpr bool kHasZone = kField == Value::kTimestamptzValueFieldNumber;
  int64_t micros = 0;
  if (!ParseTimestamp(text, kHasZone, micros)) return false;
  AppendTimestamp(kField, type.oid, micros, out);
  return true;
}

bool ReadInterval(Decoding&, const Type&, string_view text, std::string& out) {
  int32_t months = 0;
  int32_t days = 0;
  int64_t micros = 0;
  if (!ParseInterval(text, months, days, micros)) return false;
  PutInterval(months, days, micros, out);
  return true;
}

bool ReadUuid(Decoding&, const Type&, string_view text, std::string& out) {
  constexpr size_t kDashes[] = {8, 13, 18, 23};
  constexpr size_t kTextSize = 36;
  if (text.size() != kTextSize) return false;
  char digits[kTextSize];
  char* at = digits;
  size_t begin = 0;
  for (const size_t dash : kDashes) {
    if (text[dash] != '-') return false;
    std::memcpy(at, text.data() + begin, dash - begin);
    at += dash - begin;
    begin = dash + 1;
  }
  std::memcpy(at, text.data() + begin, kTextSize - begin);
  PutHeader(Value::kUuidValueFieldNumber, 16, out);
  return AppendHex({digits, 32}, out);
}

bool ReadJson(Decoding&, const Type& type, string_view text, std::string& out) {
  PutText(Value::kJsonValueFieldNumber, type.oid, text, out);
  return true;
}

bool ReadVoid(Decoding&, const Type&, string_view, std::string& out) {
  PutNull(out);
  return true;
}

}  // namespace

DecodeFunction TextDecoder(Form form) {
  switch (form) {
    case Form::kBool:
      return ReadBool;
    case Form::kInt2:
      return ReadInteger<int16_t>;
    case Form::kInt4:
      return ReadInteger<int32_t>;
    case Form::kInt8:
      return ReadInteger<int64_t>;
    case Form::kOid:
      return ReadInteger<uint32_t>;
    case Form::kXid8:
      return ReadXid8;
    case Form::kFloat4:
      return ReadFloat4;
    case Form::kFloat8:
      return ReadFloat8;
    case Form::kNumeric:
      return ReadNumeric;
    case Form::kString:
    case Form::kTextOnly:
      return ReadString;
    case Form::kBytes:
      return ReadBytes;
    case Form::kDate:
      return ReadDate;
    case Form::kTime:
      return ReadTime;
    case Form::kTimestamp:
      return ReadTimestamp<Value::kTimestampValueFieldNumber>;
    case Form::kTimestampTz:
      return ReadTimestamp<Value::kTimestamptzValueFieldNumber>;
    case Form::kInterval:
      return ReadInterval;
    case Form::kUuid:
      return ReadUuid;
    case Form::kJson:
    case Form::kJsonb:
      return ReadJson;
    case Form::kVoid:
      return ReadVoid;
    case Form::kArray:
      return ReadArrayText;
    case Form::kRange:
      return ReadRangeText;
    case Form::kMultirange:
      return ReadMultirangeText;
    case Form::kComposite:
      return ReadCompositeText;
    case Form::kRecord:
    case Form::kUnknown:
    case Form::kDomain:
      return nullptr;
  }
  return nullptr;
}

}  // namespace sluice::postgres
