#include "client/row_buffer.h"

#include <cstring>
#include <utility>

#include "sluice/v1/query.pb.h"

namespace sluice::client {
namespace {

// Tags of the wire form: field number and wire type, each a byte.
constexpr int kVarint = 0;
constexpr int kFixed64 = 1;
constexpr int kLengthDelimited = 2;

constexpr char Tag(int field, int type) {
  return static_cast<char>(field << 3 | type);
}

constexpr char kRowTag = Tag(v1::BulkInsertRequest::kRowsFieldNumber, kLengthDelimited);
constexpr char kValueTag = Tag(v1::Row::kValuesFieldNumber, kLengthDelimited);
constexpr char kNullTag = Tag(v1::Value::kNullValueFieldNumber, kVarint);
constexpr char kBoolTag = Tag(v1::Value::kBoolValueFieldNumber, kVarint);
constexpr char kInt64Tag = Tag(v1::Value::kInt64ValueFieldNumber, kVarint);
constexpr char kDoubleTag = Tag(v1::Value::kDoubleValueFieldNumber, kFixed64);
constexpr char kTextTag = Tag(v1::Value::kStringValueFieldNumber, kLengthDelimited);
constexpr char kBytesTag = Tag(v1::Value::kBytesValueFieldNumber, kLengthDelimited);

// Ten bytes are the longest varint of 64 bits.
size_t WriteVarint(uint64_t value, char* out) {
  size_t bytes = 0;
  while (value >= 0x80) {
    out[bytes++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out[bytes++] = static_cast<char>(value);
  return bytes;
}

size_t VarintSize(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

}  // namespace

void RowBuffer::AddNull() {
  const char wire[] = {kValueTag, 2, kNullTag, 0};
  row_.append(wire, sizeof(wire));
}

void RowBuffer::AddBool(bool value) {
  const char wire[] = {kValueTag, 2, kBoolTag, static_cast<char>(value ? 1 : 0)};
  row_.append(wire, sizeof(wire));
}

void RowBuffer::AddInt64(int64_t value) {
  char wire[13] = {kValueTag, 0, kInt64Tag};
  const size_t bytes = WriteVarint(static_cast<uint64_t>(value), wire + 3);
  wire[1] = static_cast<char>(bytes + 1);
  row_.append(wire, bytes + 3);
}

void RowBuffer::AddDouble(double value) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire form is little-endian");
  char wire[11] = {kValueTag, 9, kDoubleTag};
  std::memcpy(wire + 3, &value, sizeof(value));
  row_.append(wire, sizeof(wire));
}

void RowBuffer::AddText(absl::string_view utf8) {
  AddLengthDelimited(kTextTag, utf8);
}

void RowBuffer::AddBytes(absl::string_view bytes) {
  AddLengthDelimited(kBytesTag, bytes);
}

void RowBuffer::AddLengthDelimited(char tag, absl::string_view data) {
  char wire[22] = {kValueTag};
  size_t bytes = 1 + WriteVarint(1 + VarintSize(data.size()) + data.size(), wire + 1);
  wire[bytes++] = tag;
  bytes += WriteVarint(data.size(), wire + bytes);
  row_.append(wire, bytes);
  row_.append(data.data(), data.size());
}

void RowBuffer::AddValue(const v1::Value& value) {
  char wire[11] = {kValueTag};
  row_.append(wire, 1 + WriteVarint(value.ByteSizeLong(), wire + 1));
  value.AppendToString(&row_);
}

void RowBuffer::EndRow() {
  char wire[11] = {kRowTag};
  wire_.append(wire, 1 + WriteVarint(row_.size(), wire + 1));
  wire_.append(row_);
  row_.clear();
  ++rows_;
}

void RowBuffer::Append(RowBuffer* rows) {
  wire_.append(rows->wire_, rows->begin_);
  rows_ += rows->rows_;
  rows->Clear();
}

void RowBuffer::MoveFirstRow(RowBuffer* to) {
  size_t pos = begin_ + 1;  // behind the tag
  size_t size = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(wire_[pos++]);
    size |= static_cast<size_t>(byte & 0x7F) << shift;
    if (byte < 0x80) break;
  }
  to->wire_.append(wire_, begin_, pos + size - begin_);
  ++to->rows_;
  begin_ = pos + size;
  if (--rows_ > 0) return;
  wire_.clear();
  begin_ = 0;
}

void RowBuffer::Clear() {
  row_.clear();
  wire_.clear();
  begin_ = 0;
  rows_ = 0;
}

std::string RowBuffer::Take() {
  rows_ = 0;
  wire_.erase(0, std::exchange(begin_, 0));
  return std::exchange(wire_, std::string());
}

}  // namespace sluice::client
