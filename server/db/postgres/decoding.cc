#include "server/db/postgres/decoding.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

#include "server/base/utf8.h"
#include "server/db/parameters.h"
#include "server/db/postgres/value_wire.h"

namespace sluice::postgres {
ValueReader::ValueReader(const TypeBook& book, Oid oid, Format format)
    : oid_(oid), format_(format), type_(book.Base(oid)) {
  if (type_ == nullptr) return;
  decode_ = format == Format::kBinary ? BinaryDecoder(type_->form) : TextDecoder(type_->form);
}

bool ValueReader::Read(Decoding& decoding, absl::string_view data, std::string& out) const {
  if (decode_ != nullptr) return decode_(decoding, *type_, data, out);
  AppendRaw(data, out);
  return true;
}

bool ValueReader::ReadNested(Decoding& decoding,
                             int field,
                             absl::string_view data,
                             std::string& out) const {
  OpenField value(Tag(field, kLength), StringFieldSize(data.size()), out);
  bool is_read = true;
  if (decoding.depth == db::kMaxValueDepth) {
    AppendRaw(data, out);
  } else {
    ++decoding.depth;
    is_read = Read(decoding, data, out);
    --decoding.depth;
  }
  value.Close();
  return is_read;
}

bool ValueReader::IsVerbatim() const {
  if (decode_ == nullptr || type_->form == Form::kString) return true;
  return type_->form == (format_ == Format::kBinary ? Form::kBytes : Form::kTextOnly);
}

pb::ValueType ValueReader::VerbatimType(absl::string_view data) const {
  if (decode_ == nullptr) return pb::VALUE_TYPE_RAW;
  if (type_->form == Form::kBytes) return pb::VALUE_TYPE_BYTES;
  return IsValidUtf8({data.data(), data.size()}) ? pb::VALUE_TYPE_STRING : pb::VALUE_TYPE_RAW;
}

void ValueReader::AppendRaw(absl::string_view data, std::string& out) const {
  const bool binary = format_ == Format::kBinary;
  PutRaw(oid_, binary ? pb::Raw::FORMAT_BINARY : pb::Raw::FORMAT_TEXT, data, out);
}

void AppendNestedNull(int field, std::string& out) {
  PutHeader(field, 2, out);
  PutNull(out);
}

void AppendArrayHead(pb::ValueType element_type,
                     absl::Span<const int32_t> dimensions,
                     absl::Span<const int32_t> lower_bounds,
                     std::string& out) {
  PutNumber(pb::Array::kElementTypeFieldNumber, static_cast<uint64_t>(element_type), out);
  if (dimensions.empty()) return;
  PutPacked(pb::Array::kDimensionsFieldNumber, dimensions, out);
  const bool usual =
      std::all_of(lower_bounds.begin(), lower_bounds.end(), [](int32_t b) { return b == 1; });
  if (!usual) PutPacked(pb::Array::kLowerBoundsFieldNumber, lower_bounds, out);
}

void AppendTimestamp(int field, Oid oid, int64_t server_micros, std::string& out) {
  using Limits = std::numeric_limits<int64_t>;
  int64_t micros = 0;
  if (server_micros == Limits::max()) {
    PutInfinity(field, pb::INFINITY_POSITIVE, out);
  } else if (server_micros == Limits::min()) {
    PutInfinity(field, pb::INFINITY_NEGATIVE, out);
  } else if (__builtin_add_overflow(server_micros, kEpochDays * kMicrosPerDay, &micros)) {
    const uint64_t big_endian = __builtin_bswap64(static_cast<uint64_t>(server_micros));
    char bytes[sizeof(big_endian)];
    std::memcpy(bytes, &big_endian, sizeof(bytes));
    PutRaw(oid, pb::Raw::FORMAT_BINARY, {bytes, sizeof(bytes)}, out);
  } else {
    PutMoment(field, micros, out);
  }
}

void AppendDate(int32_t server_days, std::string& out) {
  using Limits = std::numeric_limits<int32_t>;
  if (server_days == Limits::max()) {
    PutInfinity(pb::Value::kDateValueFieldNumber, pb::INFINITY_POSITIVE, out);
  } else if (server_days == Limits::min()) {
    PutInfinity(pb::Value::kDateValueFieldNumber, pb::INFINITY_NEGATIVE, out);
  } else {
    PutMoment(pb::Value::kDateValueFieldNumber, kEpochDays + server_days, out);
  }
}

void AppendUnsigned(uint64_t number, std::string& out) {
  if (number <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    PutInt64(static_cast<int64_t>(number), out);
  } else {
    PutBytes(pb::Value::kNumericValueFieldNumber, absl::StrCat(number), out);
  }
}

}  // namespace sluice::postgres
