#include <cstring>

#include "absl/container/inlined_vector.h"

#include "server/db/postgres/decoding.h"
#include "server/db/postgres/value_wire.h"

namespace sluice::postgres {
namespace {

using absl::string_view;
using Value = pb::Value;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the protocol's numbers are turned over");

constexpr int32_t kNullLength = -1;

uint16_t Swap(uint16_t number) {
  return __builtin_bswap16(number);
}

uint32_t Swap(uint32_t number) {
  return __builtin_bswap32(number);
}

uint64_t Swap(uint64_t number) {
  return __builtin_bswap64(number);
}

// Input: the part of a value that is not read yet. Each method is false where too little is left.
class Input {
 public:
  explicit Input(string_view data) : rest_(data) {}

  size_t left() const { return rest_.size(); }

  string_view rest() const { return rest_; }

  template <typename Unsigned>
  bool Number(Unsigned& number) {
    if (rest_.size() < sizeof(number)) return false;
    std::memcpy(&number, rest_.data(), sizeof(number));
    number = Swap(number);
    rest_.remove_prefix(sizeof(number));
    return true;
  }

  bool Int16(int16_t& number) {
    uint16_t bits = 0;
    const bool is_read = Number(bits);
    number = static_cast<int16_t>(bits);
    return is_read;
  }

  bool Int32(int32_t& number) {
    uint32_t bits = 0;
    const bool is_read = Number(bits);
    number = static_cast<int32_t>(bits);
    return is_read;
  }

  bool Int64(int64_t& number) {
    uint64_t bits = 0;
    const bool is_read = Number(bits);
    number = static_cast<int64_t>(bits);
    return is_read;
  }

  // A length, and as many bytes; `is_null` where the length says so.
  bool Sized(string_view& data, bool& is_null) {
    int32_t length = 0;
    if (!Int32(length)) return false;
    is_null = length == kNullLength;
    if (is_null) return true;
    if (length < 0 || static_cast<size_t>(length) > rest_.size()) return false;
    data = rest_.substr(0, static_cast<size_t>(length));
    rest_.remove_prefix(data.size());
    return true;
  }

 private:
  string_view rest_;
};

// A value that is one number and nothing else.
template <typename Unsigned>
bool Only(string_view data, Unsigned& number) {
  Input in(data);
  return data.size() == sizeof(number) && in.Number(number);
}

bool ReadBool(Decoding&, const Type&, string_view data, std::string& out) {
  if (data.size() != 1) return false;
  PutBool(data[0] != 0, out);
  return true;
}

template <typename Signed, typename Unsigned>
bool ReadInteger(Decoding&, const Type&, string_view data, std::string& out) {
  Unsigned bits = 0;
  if (!Only(data, bits)) return false;
  PutInt64(static_cast<Signed>(bits), out);
  return true;
}

bool ReadXid8(Decoding&, const Type&, string_view data, std::string& out) {
  uint64_t number = 0;
  if (!Only(data, number)) return false;
  AppendUnsigned(number, out);
  return true;
}

bool ReadFloat4(Decoding&, const Type&, string_view data, std::string& out) {
  uint32_t bits = 0;
  if (!Only(data, bits)) return false;
  float number = 0;
  std::memcpy(&number, &bits, sizeof(number));
  PutFloat(number, out);
  return true;
}

bool ReadFloat8(Decoding&, const Type&, string_view data, std::string& out) {
  uint64_t bits = 0;
  if (!Only(data, bits)) return false;
  double number = 0;
  std::memcpy(&number, &bits, sizeof(number));
  PutDouble(number, out);
  return true;
}

// Numeric: base 10000, as it is sent.
struct Numeric {
  enum Sign : uint16_t {
    kPositive = 0x0000,
    kNegative = 0x4000,
    kNaN = 0xC000,
    kInfinity = 0xD000,
    kMinusInfinity = 0xF000
  };

  static constexpr uint16_t kMaxScale = 0x3FFF;

  uint16_t sign = 0;
  int16_t weight = 0;  // of the first group, as a power of 10000
  uint16_t scale = 0;  // decimal digits after the point
  absl::InlinedVector<uint16_t, 16> groups;

  // Those that were not sent are zero.
  int Group(int index) const {
    const bool is_sent = index >= 0 && static_cast<size_t>(index) < groups.size();
    return is_sent ? groups[static_cast<size_t>(index)] : 0;
  }
};

bool ParseNumeric(string_view data, Numeric& number) {
  Input in(data);
  uint16_t count = 0;
  if (!in.Number(count) || !in.Int16(number.weight) || !in.Number(number.sign) ||
      !in.Number(number.scale) || in.left() != count * sizeof(uint16_t)) {
    return false;
  }
  number.groups.resize(count);
  for (uint16_t& group : number.groups) {
    if (!in.Number(group) || group > 9999) return false;
  }
  return number.scale <= Numeric::kMaxScale;
}

char* PutGroup(char* at, int group) {
  at[0] = static_cast<char>('0' + group / 1000);
  at[1] = static_cast<char>('0' + group / 100 % 10);
  at[2] = static_cast<char>('0' + group / 10 % 10);
  at[3] = static_cast<char>('0' + group % 10);
  return at + 4;
}

int DigitsOf(int group) {
  if (group >= 1000) return 4;
  if (group >= 100) return 3;
  return group >= 10 ? 2 : 1;
}

bool ReadFinite(Decoding& decoding,
                const Type& type,
                const Numeric& number,
                string_view data,
                std::string& out) {
  const bool is_negative = number.sign == Numeric::kNegative;
  const int first_width = number.weight < 0 ? 1 : DigitsOf(number.Group(0));
  const int whole = first_width + (number.weight < 0 ? 0 : 4 * number.weight);
  const int fraction = number.scale > 0 ? 1 + number.scale : 0;
  const size_t size = static_cast<size_t>((is_negative ? 1 : 0) + whole + fraction);
  const size_t padding = size > 2 * data.size() ? size - 2 * data.size() : 0;
  if (padding > decoding.padding_left) {
    PutRaw(type.oid, pb::Raw::FORMAT_BINARY, data, out);
    return true;
  }
  decoding.padding_left -= padding;

  PutHeader(Value::kNumericValueFieldNumber, size, out);
  char digits[4];
  if (is_negative) out.push_back('-');
  PutGroup(digits, number.weight < 0 ? 0 : number.Group(0));
  out.append(digits + 4 - first_width, static_cast<size_t>(first_width));
  for (int i = 1; i <= number.weight; ++i) out.append(digits, PutGroup(digits, number.Group(i)));
  if (number.scale == 0) return true;
  out.push_back('.');
  int index = number.weight + 1;
  for (int left = number.scale; left > 0; left -= 4) {
    PutGroup(digits, number.Group(index++));
    out.append(digits, static_cast<size_t>(left < 4 ? left : 4));
  }
  return true;
}

bool ReadNumeric(Decoding& decoding, const Type& type, string_view data, std::string& out) {
  Numeric number;
  if (!ParseNumeric(data, number)) return false;
  switch (number.sign) {
    case Numeric::kPositive:
    case Numeric::kNegative:
      return ReadFinite(decoding, type, number, data, out);
    case Numeric::kNaN:
      PutBytes(Value::kNumericValueFieldNumber, "NaN", out);
      return true;
    case Numeric::kInfinity:
      PutBytes(Value::kNumericValueFieldNumber, "Infinity", out);
      return true;
    case Numeric::kMinusInfinity:
      PutBytes(Value::kNumericValueFieldNumber, "-Infinity", out);
      return true;
    default:
      return false;
  }
}

bool ReadString(Decoding&, const Type& type, string_view data, std::string& out) {
  PutText(Value::kStringValueFieldNumber, type.oid, data, out);
  return true;
}

bool ReadBytes(Decoding&, const Type&, string_view data, std::string& out) {
  PutBytes(Value::kBytesValueFieldNumber, data, out);
  return true;
}

bool ReadDate(Decoding&, const Type&, string_view data, std::string& out) {
  uint32_t bits = 0;
  if (!Only(data, bits)) return false;
  AppendDate(static_cast<int32_t>(bits), out);
  return true;
}

bool ReadTime(Decoding&, const Type&, string_view data, std::string& out) {
  uint64_t micros = 0;
  if (!Only(data, micros) || micros > static_cast<uint64_t>(kMicrosPerDay)) return false;
  PutMoment(Value::kTimeValueFieldNumber, static_cast<int64_t>(micros), out);
  return true;
}

template <int kField>
bool ReadTimestamp(Decoding&, const Type& type, string_view data, std::string& out) {
  uint64_t bits = 0;
  if (!Only(data, bits)) return false;
  AppendTimestamp(kField, type.oid, static_cast<int64_t>(bits), out);
  return true;
}

bool ReadInterval(Decoding&, const Type&, string_view data, std::string& out) {
  Input in(data);
  int64_t micros = 0;
  int32_t days = 0;
  int32_t months = 0;
  if (!in.Int64(micros) || !in.Int32(days) || !in.Int32(months) || in.left() > 0) return false;
  PutInterval(months, days, micros, out);
  return true;
}

bool ReadUuid(Decoding&, const Type&, string_view data, std::string& out) {
  if (data.size() != 16) return false;
  PutBytes(Value::kUuidValueFieldNumber, data, out);
  return true;
}

bool ReadJson(Decoding&, const Type& type, string_view data, std::string& out) {
  PutText(Value::kJsonValueFieldNumber, type.oid, data, out);
  return true;
}

bool ReadJsonb(Decoding& decoding, const Type& type, string_view data, std::string& out) {
  constexpr char kVersion = 1;
  if (data.empty() || data[0] != kVersion) return false;
  return ReadJson(decoding, type, data.substr(1), out);
}

bool ReadVoid(Decoding&, const Type&, string_view, std::string& out) {
  PutNull(out);
  return true;
}

// `count` values, each behind its length.
bool ReadElements(
    Decoding& decoding, const ValueReader& reader, int64_t count, Input& in, std::string& out) {
  for (; count > 0; --count) {
    string_view element;
    bool is_null = false;
    if (!in.Sized(element, is_null)) return false;
    if (is_null) {
      AppendNestedNull(pb::Array::kValuesFieldNumber, out);
    } else if (!reader.ReadNested(decoding, pb::Array::kValuesFieldNumber, element, out)) {
      return false;
    }
  }
  return true;
}

// ArrayHead: what stands before the elements.
struct ArrayHead {
  Oid element = 0;
  absl::InlinedVector<int32_t, kMaxDimensions> dimensions;
  absl::InlinedVector<int32_t, kMaxDimensions> lower_bounds;
  int64_t count = 0;
};

// A count that the rest cannot hold is refused before anything is made for it.
bool ParseArrayHead(Input& in, ArrayHead& head) {
  uint32_t dimensions = 0;
  uint32_t has_nulls = 0;
  if (!in.Number(dimensions) || dimensions > kMaxDimensions || !in.Number(has_nulls) ||
      !in.Number(head.element)) {
    return false;
  }
  const int64_t most = static_cast<int64_t>(in.left() / sizeof(kNullLength));
  head.count = dimensions == 0 ? 0 : 1;
  for (; dimensions > 0; --dimensions) {
    int32_t length = 0;
    int32_t lower_bound = 0;
    if (!in.Int32(length) || !in.Int32(lower_bound) || length < 0) return false;
    head.count *= length;
    if (head.count > most) return false;
    head.dimensions.push_back(length);
    head.lower_bounds.push_back(lower_bound);
  }
  if (head.count == 0) head.dimensions.clear();
  return true;
}

bool ReadArray(Decoding& decoding, const Type&, string_view data, std::string& out) {
  Input in(data);
  ArrayHead head;
  if (!ParseArrayHead(in, head)) return false;
  OpenField array(Tag(Value::kArrayValueFieldNumber, kLength), data.size(), out);
  AppendArrayHead(decoding.book.ValueTypeOf(head.element), head.dimensions, head.lower_bounds, out);
  const ValueReader reader(decoding.book, head.element, Format::kBinary);
  if (!ReadElements(decoding, reader, head.count, in, out)) return false;
  array.Close();
  return in.left() == 0;
}

// One bound of a range, which cannot be NULL.
bool ReadBound(
    Decoding& decoding, const ValueReader& reader, int field, Input& in, std::string& out) {
  string_view bound;
  bool is_null = false;
  if (!in.Sized(bound, is_null) || is_null) return false;
  return reader.ReadNested(decoding, field, bound, out);
}

bool ReadRange(Decoding& decoding, const Type& type, string_view data, std::string& out) {
  enum Flags {
    kEmpty = 0x01,
    kLowerInc = 0x02,
    kUpperInc = 0x04,
    kNoLower = 0x28,
    kNoUpper = 0x50
  };

  if (data.empty()) return false;
  const int flags = static_cast<unsigned char>(data[0]);
  Input in(data.substr(1));
  OpenField range(Tag(Value::kRangeValueFieldNumber, kLength), data.size(), out);
  if ((flags & kEmpty) != 0) {
    PutNumber(pb::Range::kEmptyFieldNumber, 1, out);
  } else {
    const ValueReader reader(decoding.book, type.inner, Format::kBinary);
    const bool has_lower = (flags & kNoLower) == 0;
    const bool has_upper = (flags & kNoUpper) == 0;
    if (has_lower && !ReadBound(decoding, reader, pb::Range::kLowerFieldNumber, in, out)) {
      return false;
    }
    if (has_upper && !ReadBound(decoding, reader, pb::Range::kUpperFieldNumber, in, out)) {
      return false;
    }
    const bool lower_in = has_lower && (flags & kLowerInc) != 0;
    const bool upper_in = has_upper && (flags & kUpperInc) != 0;
    PutNumber(pb::Range::kLowerInclusiveFieldNumber, lower_in ? 1 : 0, out);
    PutNumber(pb::Range::kUpperInclusiveFieldNumber, upper_in ? 1 : 0, out);
  }
  range.Close();
  return in.left() == 0;
}

bool ReadMultirange(Decoding& decoding, const Type& type, string_view data, std::string& out) {
  Input in(data);
  int32_t count = 0;
  if (!in.Int32(count) || count < 0) return false;
  if (static_cast<size_t>(count) > in.left() / sizeof(kNullLength)) return false;
  OpenField array(Tag(Value::kArrayValueFieldNumber, kLength), data.size(), out);
  AppendArrayHead(pb::VALUE_TYPE_RANGE, absl::MakeSpan(&count, count > 0 ? 1 : 0), {}, out);
  const ValueReader reader(decoding.book, type.inner, Format::kBinary);
  if (!ReadElements(decoding, reader, count, in, out)) return false;
  array.Close();
  return in.left() == 0;
}

// A row names the type of each field itself, so a declared one is read as any.
bool ReadRow(Decoding& decoding, const Type&, string_view data, std::string& out) {
  Input in(data);
  int32_t count = 0;
  if (!in.Int32(count) || count < 0) return false;
  OpenField row(Tag(Value::kCompositeValueFieldNumber, kLength), data.size(), out);
  for (; count > 0; --count) {
    Oid oid = 0;
    string_view field;
    bool is_null = false;
    if (!in.Number(oid) || !in.Sized(field, is_null)) return false;
    if (is_null) {
      AppendNestedNull(pb::Composite::kValuesFieldNumber, out);
      continue;
    }
    const ValueReader reader(decoding.book, oid, Format::kBinary);
    if (!reader.ReadNested(decoding, pb::Composite::kValuesFieldNumber, field, out)) return false;
  }
  row.Close();
  return in.left() == 0;
}

}  // namespace

DecodeFunction BinaryDecoder(Form form) {
  switch (form) {
    case Form::kBool:
      return ReadBool;
    case Form::kInt2:
      return ReadInteger<int16_t, uint16_t>;
    case Form::kInt4:
      return ReadInteger<int32_t, uint32_t>;
    case Form::kInt8:
      return ReadInteger<int64_t, uint64_t>;
    case Form::kOid:
      return ReadInteger<uint32_t, uint32_t>;
    case Form::kXid8:
      return ReadXid8;
    case Form::kFloat4:
      return ReadFloat4;
    case Form::kFloat8:
      return ReadFloat8;
    case Form::kNumeric:
      return ReadNumeric;
    case Form::kString:
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
      return ReadJson;
    case Form::kJsonb:
      return ReadJsonb;
    case Form::kVoid:
      return ReadVoid;
    case Form::kArray:
      return ReadArray;
    case Form::kRange:
      return ReadRange;
    case Form::kMultirange:
      return ReadMultirange;
    case Form::kComposite:
    case Form::kRecord:
      return ReadRow;
    case Form::kUnknown:
    case Form::kTextOnly:
    case Form::kDomain:
      return nullptr;
  }
  return nullptr;
}

}  // namespace sluice::postgres
