#include "server/db/postgres/value_wire.h"

#include <cstring>

#include "server/base/utf8.h"
#include "server/db/wire.h"

namespace sluice::postgres {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are written as they stand");

// PutMoment and PutInfinity write four kinds of message.
static_assert(pb::Date::kDaysFieldNumber == 1 && pb::Date::kInfinityFieldNumber == 2);
static_assert(pb::TimeOfDay::kMicrosFieldNumber == 1);
static_assert(pb::Timestamp::kMicrosFieldNumber == 1 && pb::Timestamp::kInfinityFieldNumber == 2);
static_assert(pb::TimestampTz::kMicrosFieldNumber == 1);
static_assert(pb::TimestampTz::kInfinityFieldNumber == 2);

constexpr uint32_t kNullTag = Tag(pb::Value::kNullValueFieldNumber, kVarint);
constexpr uint32_t kBoolTag = Tag(pb::Value::kBoolValueFieldNumber, kVarint);
constexpr uint32_t kInt64Tag = Tag(pb::Value::kInt64ValueFieldNumber, kVarint);
constexpr uint32_t kDoubleTag = Tag(pb::Value::kDoubleValueFieldNumber, kFixed64);
constexpr uint32_t kFloatTag = Tag(pb::Value::kFloatValueFieldNumber, kFixed32);
constexpr int kSmall = 48;  // holds any message of three numbers

// A field of plain old data, at `at`; proto3 leaves out a number that is 0.
char* PutField(char* at, int field, uint64_t number) {
  if (number == 0) return at;
  at = PutVarint(at, Tag(field, kVarint));
  return PutVarint(at, number);
}

// A message of Value that is shorter than 128 bytes.
void PutMessage(int field, const char* begin, const char* end, std::string& out) {
  db::AppendVarint(Tag(field, kLength), out);
  out.push_back(static_cast<char>(end - begin));
  out.append(begin, end);
}

uint64_t Unsigned(int64_t number) {
  return static_cast<uint64_t>(number);
}

}  // namespace

OpenField::OpenField(uint32_t tag, size_t guess, std::string& out)
    : out_(out), reserved_(VarintSize(guess)) {
  if (tag < 0x80) {
    out_.push_back(static_cast<char>(tag));
  } else {
    db::AppendVarint(tag, out_);
  }
  start_ = out_.size();
  out_.append(reserved_, '\0');
}

void OpenField::Close() {
  const size_t length = out_.size() - start_ - reserved_;
  const size_t needed = VarintSize(length);
  if (needed > reserved_) out_.insert(start_, needed - reserved_, '\0');
  if (needed < reserved_) out_.erase(start_, reserved_ - needed);
  PutVarint(out_.data() + start_, length);
}

void PutHeader(int field, size_t length, std::string& out) {
  char buffer[kSmall];
  char* at = PutVarint(buffer, Tag(field, kLength));
  at = PutVarint(at, length);
  out.append(buffer, at);
}

void PutNull(std::string& out) {
  out.push_back(static_cast<char>(kNullTag));
  out.push_back(0);
}

void PutBool(bool value, std::string& out) {
  out.push_back(static_cast<char>(kBoolTag));
  out.push_back(value ? 1 : 0);
}

void PutInt64(int64_t value, std::string& out) {
  char buffer[kSmall];
  buffer[0] = static_cast<char>(kInt64Tag);
  out.append(buffer, PutVarint(buffer + 1, Unsigned(value)));
}

void PutDouble(double value, std::string& out) {
  char buffer[1 + sizeof(value)];
  buffer[0] = static_cast<char>(kDoubleTag);
  std::memcpy(buffer + 1, &value, sizeof(value));
  out.append(buffer, sizeof(buffer));
}

void PutFloat(float value, std::string& out) {
  char buffer[1 + sizeof(value)];
  buffer[0] = static_cast<char>(kFloatTag);
  std::memcpy(buffer + 1, &value, sizeof(value));
  out.append(buffer, sizeof(buffer));
}

void PutBytes(int field, absl::string_view data, std::string& out) {
  PutHeader(field, data.size(), out);
  out.append(data.data(), data.size());
}

void PutMoment(int field, int64_t number, std::string& out) {
  char buffer[kSmall];
  PutMessage(field, buffer, PutField(buffer, 1, Unsigned(number)), out);
}

void PutInfinity(int field, pb::Infinity infinity, std::string& out) {
  char buffer[kSmall];
  PutMessage(field, buffer, PutField(buffer, 2, static_cast<uint64_t>(infinity)), out);
}

void PutInterval(int32_t months, int32_t days, int64_t micros, std::string& out) {
  char buffer[kSmall];
  char* at = PutField(buffer, pb::Interval::kMonthsFieldNumber, Unsigned(months));
  at = PutField(at, pb::Interval::kDaysFieldNumber, Unsigned(days));
  at = PutField(at, pb::Interval::kMicrosFieldNumber, Unsigned(micros));
  PutMessage(pb::Value::kIntervalValueFieldNumber, buffer, at, out);
}

void PutRaw(Oid oid, pb::Raw::Format format, absl::string_view data, std::string& out) {
  char buffer[kSmall];
  char* at = PutField(buffer, pb::Raw::kOidFieldNumber, oid);
  at = PutField(at, pb::Raw::kFormatFieldNumber, static_cast<uint64_t>(format));
  if (!data.empty()) {
    at = PutVarint(at, Tag(pb::Raw::kDataFieldNumber, kLength));
    at = PutVarint(at, data.size());
  }
  const size_t head = static_cast<size_t>(at - buffer);
  PutHeader(pb::Value::kRawValueFieldNumber, head + data.size(), out);
  out.append(buffer, head);
  out.append(data.data(), data.size());
}

void PutSplit(pb::ValueType type, uint64_t size, std::string& out) {
  char buffer[kSmall];
  char* at = PutField(buffer, pb::SplitValue::kTypeFieldNumber, static_cast<uint64_t>(type));
  at = PutField(at, pb::SplitValue::kSizeFieldNumber, size);
  PutMessage(pb::Value::kSplitValueFieldNumber, buffer, at, out);
}

void PutText(int field, Oid oid, absl::string_view data, std::string& out) {
  if (IsValidUtf8({data.data(), data.size()})) {
    PutBytes(field, data, out);
  } else {
    PutRaw(oid, pb::Raw::FORMAT_TEXT, data, out);
  }
}

void PutNumber(int field, uint64_t number, std::string& out) {
  char buffer[kSmall];
  out.append(buffer, PutField(buffer, field, number));
}

void PutPacked(int field, absl::Span<const int32_t> numbers, std::string& out) {
  size_t size = 0;
  for (const int32_t number : numbers) size += VarintSize(Unsigned(number));
  PutHeader(field, size, out);
  for (const int32_t number : numbers) db::AppendVarint(Unsigned(number), out);
}

}  // namespace sluice::postgres
