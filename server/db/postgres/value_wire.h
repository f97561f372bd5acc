// The fields of Value in wire form, each appended to a string; no message is made.
#ifndef SLUICE_SERVER_DB_POSTGRES_VALUE_WIRE_H_
#define SLUICE_SERVER_DB_POSTGRES_VALUE_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

#include "server/db/postgres/types.h"
#include "sluice/v1/value.pb.h"

namespace sluice::postgres {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

constexpr uint32_t Tag(int field, WireType type) {
  return static_cast<uint32_t>(field) << 3 | type;
}

constexpr size_t VarintSize(uint64_t value) {
  // A byte for each begun group of seven bits, and one for zero.
  const int bits = 64 - __builtin_clzll(value | 1);
  return static_cast<size_t>((bits * 9 + 64) >> 6);
}

// Of a string or bytes, as a field whose tag takes one byte.
constexpr size_t StringFieldSize(size_t length) {
  return 1 + VarintSize(length) + length;
}

inline char* PutVarint(char* at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<char>(value);
  return at;
}

// OpenField: a field whose length is not known yet, at the end of `out`. What is appended until
// Close is its content. `guess` is the length that saves moving the content then.
class OpenField {
 public:
  OpenField(uint32_t tag, size_t guess, std::string& out);

  void Close();

 private:
  std::string& out_;
  const size_t reserved_;
  size_t start_ = 0;  // of the length
};

// A string or bytes of `length`, all of which the caller appends next.
void PutHeader(int field, size_t length, std::string& out);

// One kind of Value each.
void PutNull(std::string& out);
void PutBool(bool value, std::string& out);
void PutInt64(int64_t value, std::string& out);
void PutDouble(double value, std::string& out);
void PutFloat(float value, std::string& out);
// `field`: of Value, one whose kind is a string or bytes.
void PutBytes(int field, absl::string_view data, std::string& out);
// `field`: of Value, a date, time or timestamp; they are alike.
void PutMoment(int field, int64_t number, std::string& out);
void PutInfinity(int field, pb::Infinity infinity, std::string& out);
void PutInterval(int32_t months, int32_t days, int64_t micros, std::string& out);
void PutRaw(Oid oid, pb::Raw::Format format, absl::string_view data, std::string& out);
void PutSplit(pb::ValueType type, uint64_t size, std::string& out);

// Text that the server says is text: Raw if it is not valid UTF-8.
void PutText(int field, Oid oid, absl::string_view data, std::string& out);

// Fields of messages inside of a Value.
void PutNumber(int field, uint64_t number, std::string& out);
void PutPacked(int field, absl::Span<const int32_t> numbers, std::string& out);

}  // namespace sluice::postgres

#endif  // SLUICE_SERVER_DB_POSTGRES_VALUE_WIRE_H_
