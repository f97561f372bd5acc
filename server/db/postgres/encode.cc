// The binary form, and the choice between it and text.
#include "server/db/postgres/encode.h"

#include <cstdint>

#include "absl/base/casts.h"
#include "absl/status/statusor.h"

#include "server/base/status.h"
#include "server/db/postgres/fit.h"

namespace sluice::postgres {
namespace {

using As = Fitted::As;

constexpr Oid kXmlOid = 142;
constexpr char kJsonbVersion = 1;
constexpr int32_t kNullLength = -1;

// The flags of a range.
constexpr char kEmpty = 0x01;
constexpr char kLowerInclusive = 0x02;
constexpr char kUpperInclusive = 0x04;
constexpr char kLowerInfinite = 0x08;
constexpr char kUpperInfinite = 0x10;

// In network order.
template <class Int>
void PutInt(Int number, char* at) {
  auto rest = static_cast<uint64_t>(number);
  for (size_t i = sizeof(Int); i-- > 0; rest >>= 8) at[i] = static_cast<char>(rest);
}

template <class Int>
void AppendInt(Int number, std::string& out) {
  out.resize(out.size() + sizeof(Int));
  PutInt(number, &out[out.size() - sizeof(Int)]);
}

// Whether the value has a binary form that is written here.
enum class Written { kYes, kNo };

// BinaryWriter: appends values as the server's receive functions read them. What it appended before
// it found that a part has no binary form is for the caller to take away.
class BinaryWriter {
 public:
  BinaryWriter(const TypeBook& book, std::string& out) : book_(book), out_(out) {}

  absl::StatusOr<Written> Append(Oid type, const pb::Value& value, const Place& place);

 private:
  Written AppendLiteral(const Fitted& fitted);
  Written AppendInteger(const Fitted& fitted);
  Written AppendReal(const Fitted& fitted);
  Written AppendBytes(absl::string_view bytes);
  Written AppendInterval(const pb::Interval& interval);
  absl::StatusOr<Written> AppendArray(const Fitted& fitted, const Place& place);
  Written AppendVector(const Fitted& fitted);
  absl::StatusOr<Written> AppendRange(const Fitted& fitted, const Place& place);
  absl::StatusOr<Written> AppendMultirange(const Fitted& fitted, const Place& place);
  absl::StatusOr<Written> AppendComposite(const Fitted& fitted, const Place& place);

  // With its length before it; NULL is a length of -1.
  absl::StatusOr<Written> AppendPart(Oid type, const pb::Value& value, const Place& place);

  const TypeBook& book_;
  std::string& out_;
};

absl::StatusOr<Written> BinaryWriter::Append(Oid type, const pb::Value& value, const Place& place) {
  TRY(const Fitted fitted, Fit(book_, type, value, place));
  switch (fitted.as) {
    case As::kLiteral:
      return AppendLiteral(fitted);
    case As::kBinary:
    case As::kBytes:
    case As::kUuid:
      return AppendBytes(fitted.bytes);
    case As::kBool:
      AppendInt(static_cast<int8_t>(fitted.integer), out_);
      return Written::kYes;
    case As::kInteger:
      return AppendInteger(fitted);
    case As::kFloat4:
    case As::kFloat8:
      return AppendReal(fitted);
    case As::kDate:
      AppendInt(static_cast<int32_t>(fitted.integer), out_);
      return Written::kYes;
    case As::kTime:
    case As::kTimestamp:
    case As::kTimestampTz:
      AppendInt(fitted.integer, out_);
      return Written::kYes;
    case As::kInterval:
      return AppendInterval(value.interval_value());
    case As::kArray:
      return AppendArray(fitted, place);
    case As::kVector:
      return AppendVector(fitted);
    case As::kRange:
      return AppendRange(fitted, place);
    case As::kMultirange:
      return AppendMultirange(fitted, place);
    case As::kComposite:
      return AppendComposite(fitted, place);
  }
  return Written::kNo;
}

Written BinaryWriter::AppendLiteral(const Fitted& fitted) {
  switch (fitted.form) {
    case Form::kString:
      // Read in binary, XML is in the encoding that it declares, and this is UTF-8.
      if (fitted.type->oid == kXmlOid) return Written::kNo;
      return AppendBytes(fitted.bytes);
    case Form::kJson:
      return AppendBytes(fitted.bytes);
    case Form::kJsonb:
      out_.push_back(kJsonbVersion);
      return AppendBytes(fitted.bytes);
    default:
      return Written::kNo;
  }
}

Written BinaryWriter::AppendInteger(const Fitted& fitted) {
  switch (fitted.form) {
    case Form::kInt2:
      AppendInt(static_cast<int16_t>(fitted.integer), out_);
      return Written::kYes;
    case Form::kInt4:
    case Form::kOid:
      AppendInt(static_cast<uint32_t>(fitted.integer), out_);
      return Written::kYes;
    case Form::kInt8:
    case Form::kXid8:
      AppendInt(fitted.integer, out_);
      return Written::kYes;
    default:
      return Written::kNo;  // numeric, whose digits the server reads
  }
}

Written BinaryWriter::AppendReal(const Fitted& fitted) {
  switch (fitted.form) {
    case Form::kFloat4:
      AppendInt(absl::bit_cast<uint32_t>(static_cast<float>(fitted.real)), out_);
      return Written::kYes;
    case Form::kFloat8:
      AppendInt(absl::bit_cast<uint64_t>(fitted.real), out_);
      return Written::kYes;
    default:
      return Written::kNo;
  }
}

Written BinaryWriter::AppendBytes(absl::string_view bytes) {
  out_.append(bytes.data(), bytes.size());
  return Written::kYes;
}

Written BinaryWriter::AppendInterval(const pb::Interval& interval) {
  AppendInt(interval.micros(), out_);
  AppendInt(interval.days(), out_);
  AppendInt(interval.months(), out_);
  return Written::kYes;
}

absl::StatusOr<Written> BinaryWriter::AppendArray(const Fitted& fitted, const Place& place) {
  if (IsVector(*fitted.type)) return Written::kNo;  // it would have to be other than empty
  const pb::Array& array = fitted.value->array_value();
  const bool empty = array.values().empty();
  bool has_null = false;
  for (const pb::Value& value : array.values()) has_null = has_null || IsNull(value);
  AppendInt(int32_t{empty ? 0 : array.dimensions_size()}, out_);
  AppendInt(int32_t{has_null}, out_);
  AppendInt(fitted.type->inner, out_);
  if (empty) return Written::kYes;
  for (int i = 0; i < array.dimensions_size(); ++i) {
    AppendInt(array.dimensions(i), out_);
    AppendInt(array.lower_bounds().empty() ? 1 : array.lower_bounds(i), out_);
  }
  for (int i = 0; i < array.values_size(); ++i) {
    TRY(const Written written,
        AppendPart(fitted.type->inner, array.values(i), Place(place, kArrayValues, i)));
    if (written == Written::kNo) return written;
  }
  return Written::kYes;
}

Written BinaryWriter::AppendVector(const Fitted& fitted) {
  if (fitted.form != Form::kArray) return Written::kNo;
  const auto& numbers = fitted.value->vector_value().values();
  AppendInt(int32_t{numbers.empty() ? 0 : 1}, out_);
  AppendInt(int32_t{0}, out_);
  AppendInt(fitted.type->inner, out_);
  if (numbers.empty()) return Written::kYes;
  AppendInt(int32_t{numbers.size()}, out_);
  AppendInt(int32_t{1}, out_);
  const bool single = book_.Base(fitted.type->inner)->form == Form::kFloat4;
  for (const float number : numbers) {
    if (single) {
      AppendInt(int32_t{sizeof(float)}, out_);
      AppendInt(absl::bit_cast<uint32_t>(number), out_);
    } else {
      AppendInt(int32_t{sizeof(double)}, out_);
      AppendInt(absl::bit_cast<uint64_t>(double{number}), out_);
    }
  }
  return Written::kYes;
}

absl::StatusOr<Written> BinaryWriter::AppendRange(const Fitted& fitted, const Place& place) {
  const pb::Range& range = fitted.value->range_value();
  char flags = range.empty() ? kEmpty : 0;
  if (!range.empty()) {
    flags |= range.has_lower() ? (range.lower_inclusive() ? kLowerInclusive : 0) : kLowerInfinite;
    flags |= range.has_upper() ? (range.upper_inclusive() ? kUpperInclusive : 0) : kUpperInfinite;
  }
  out_.push_back(flags);
  Written written = Written::kYes;
  if (range.has_lower()) {
    TRY(written, AppendPart(fitted.type->inner, range.lower(), Place(place, kLower)));
  }
  if (range.has_upper() && written == Written::kYes) {
    TRY(written, AppendPart(fitted.type->inner, range.upper(), Place(place, kUpper)));
  }
  return written;
}

absl::StatusOr<Written> BinaryWriter::AppendMultirange(const Fitted& fitted, const Place& place) {
  const pb::Array& ranges = fitted.value->array_value();
  AppendInt(int32_t{ranges.values_size()}, out_);
  for (int i = 0; i < ranges.values_size(); ++i) {
    TRY(const Written written,
        AppendPart(fitted.type->inner, ranges.values(i), Place(place, kArrayValues, i)));
    if (written == Written::kNo) return written;
  }
  return Written::kYes;
}

absl::StatusOr<Written> BinaryWriter::AppendComposite(const Fitted& fitted, const Place& place) {
  const auto& fields = fitted.type->fields;
  const auto& values = fitted.value->composite_value().values();
  AppendInt(int32_t{values.size()}, out_);
  for (int i = 0; i < values.size(); ++i) {
    const Oid type = fields[static_cast<size_t>(i)].type;
    AppendInt(type, out_);
    TRY(const Written written, AppendPart(type, values[i], Place(place, kCompositeValues, i)));
    if (written == Written::kNo) return written;
  }
  return Written::kYes;
}

absl::StatusOr<Written> BinaryWriter::AppendPart(Oid type,
                                                 const pb::Value& value,
                                                 const Place& place) {
  if (IsNull(value)) {
    AppendInt(kNullLength, out_);
    return Written::kYes;
  }
  const size_t at = out_.size();
  AppendInt(int32_t{0}, out_);
  const size_t begin = out_.size();
  TRY(const Written written, Append(type, value, place));
  PutInt(static_cast<uint32_t>(out_.size() - begin), &out_[at]);
  return written;
}

}  // namespace

absl::Status EncodeValue(const TypeBook& book,
                         Oid type,
                         const pb::Value& value,
                         absl::string_view path,
                         int position,
                         std::string& out,
                         Format& format) {
  const size_t before = out.size();
  const auto written = BinaryWriter(book, out).Append(type, value, Place(path, position));
  if (written.ok() && *written == Written::kYes) {
    format = Format::kBinary;
    return absl::OkStatus();
  }
  out.resize(before);
  TRY_STATUS(written.status());
  format = Format::kText;
  return EncodeText(book, type, value, path, position, out);
}

}  // namespace sluice::postgres
