#include "server/db/sqlite/codec.h"

#include <cstring>

#include <sqlite3.h>

#include "server/base/utf8.h"
#include "server/db/rows.h"
#include "server/db/sqlite/limits.h"
#include "sluice/v1/query.pb.h"

namespace sluice::sqlite {
namespace {

namespace pb = db::pb;

// The wire form is written by hand, so each number that it uses is checked against the contract.
enum WireType { kVarint = 0, kFixed64 = 1, kLength = 2 };

constexpr uint32_t Tag(int field, WireType type) {
  return static_cast<uint32_t>(field) << 3 | type;
}

static_assert(pb::QueryResponse::kColumnsFieldNumber == db::kColumnsField);
static_assert(pb::StreamQueryResponse::kColumnsFieldNumber == db::kColumnsField);
static_assert(pb::QueryResponse::kRowsFieldNumber == db::kRowsField);
static_assert(pb::StreamQueryResponse::kRowsFieldNumber == db::kRowsField);
static_assert(pb::StreamQueryResponse::kPartFieldNumber == db::kPartField);

constexpr char kRowTag = Tag(db::kRowsField, kLength);
constexpr char kValueTag = Tag(pb::Row::kValuesFieldNumber, kLength);
constexpr char kNullTag = Tag(pb::Value::kNullValueFieldNumber, kVarint);
constexpr char kInt64Tag = Tag(pb::Value::kInt64ValueFieldNumber, kVarint);
constexpr char kDoubleTag = Tag(pb::Value::kDoubleValueFieldNumber, kFixed64);
constexpr char kStringTag = Tag(pb::Value::kStringValueFieldNumber, kLength);
constexpr char kBytesTag = Tag(pb::Value::kBytesValueFieldNumber, kLength);
constexpr char kFormatTag = Tag(pb::Raw::kFormatFieldNumber, kVarint);
constexpr char kDataTag = Tag(pb::Raw::kDataFieldNumber, kLength);
constexpr char kSplitTypeTag = Tag(pb::SplitValue::kTypeFieldNumber, kVarint);
constexpr char kSplitSizeTag = Tag(pb::SplitValue::kSizeFieldNumber, kVarint);
// Two bytes long.
constexpr uint32_t kRawTag = Tag(pb::Value::kRawValueFieldNumber, kLength);
constexpr uint32_t kSplitTag = Tag(pb::Value::kSplitValueFieldNumber, kLength);
static_assert(Tag(pb::Value::kBytesValueFieldNumber, kLength) < 0x80);
static_assert(kRawTag >= 0x80 && kRawTag < 0x4000 && kSplitTag >= 0x80 && kSplitTag < 0x4000);
static_assert(pb::VALUE_TYPE_RAW < 0x80 && pb::Raw::FORMAT_TEXT == 1);

constexpr int kInlineCells = 32;

// Cell: a value between the pass that measures a row and the one that writes it.
struct Cell {
  enum class Kind : uint8_t { kNull, kInt64, kDouble, kString, kBytes, kRaw, kSplit };

  Kind kind;
  uint8_t split_type;  // a ValueType
  uint32_t size;       // of the whole Value
  uint32_t length;     // of data

  union {
    int64_t integer;
    double real;
    const char* data;
  };
};

inline size_t VarintSize(uint64_t value) {
  // A byte for each begun group of seven bits, and one for zero.
  const int bits = 64 - __builtin_clzll(value | 1);
  return static_cast<size_t>((bits * 9 + 64) >> 6);
}

inline char* PutVarint(char* at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<char>(value);
  return at;
}

inline char* PutBytes(char* at, const char* data, size_t size) {
  if (size > 0) std::memcpy(at, data, size);
  return at + size;
}

// Size of a field of bytes whose tag takes one byte.
inline size_t FieldSize(size_t length) {
  return 1 + VarintSize(length) + length;
}

// Size of a Raw, or of a SplitValue, without the tag and length that it has in its Value.
inline size_t RawSize(size_t length) {
  return 2 + FieldSize(length);
}

inline size_t SplitSize(size_t length) {
  return 2 + 1 + VarintSize(length);
}

// SQLite gives text as it is stored if it is asked for a blob: no copy and no terminating NUL. In
// UTF-16 it has to be converted first.
inline const char* Bytes(sqlite3_value* value, int type, TextEncoding encoding) {
  if (type == SQLITE_TEXT && encoding == TextEncoding::kUtf16) {
    return reinterpret_cast<const char*>(sqlite3_value_text(value));
  }
  return static_cast<const char*>(sqlite3_value_blob(value));
}

pb::ValueType SplitType(Cell::Kind kind) {
  switch (kind) {
    case Cell::Kind::kString:
      return pb::VALUE_TYPE_STRING;
    case Cell::Kind::kBytes:
      return pb::VALUE_TYPE_BYTES;
    default:
      return pb::VALUE_TYPE_RAW;
  }
}

// False if there was no memory for the value.
bool MeasureBytes(
    sqlite3_value* value, int type, TextEncoding encoding, int64_t split_above, Cell& cell) {
  cell.data = Bytes(value, type, encoding);
  const size_t length = static_cast<size_t>(sqlite3_value_bytes(value));
  // An empty value has no address either, but it keeps its type.
  if (cell.data == nullptr && sqlite3_value_type(value) != type) return false;
  cell.length = static_cast<uint32_t>(length);
  cell.kind = Cell::Kind::kBytes;
  if (type == SQLITE_TEXT) {
    cell.kind = IsValidUtf8({cell.data, length}) ? Cell::Kind::kString : Cell::Kind::kRaw;
  }
  if (static_cast<int64_t>(length) > split_above) {
    cell.split_type = static_cast<uint8_t>(SplitType(cell.kind));
    cell.kind = Cell::Kind::kSplit;
    cell.size = static_cast<uint32_t>(1 + FieldSize(SplitSize(length)));
  } else if (cell.kind == Cell::Kind::kRaw) {
    cell.size = static_cast<uint32_t>(1 + FieldSize(RawSize(length)));
  } else {
    cell.size = static_cast<uint32_t>(FieldSize(length));
  }
  return true;
}

inline bool Measure(
    sqlite3_stmt* stmt, int column, TextEncoding encoding, int64_t split_above, Cell& cell) {
  // sqlite3_column_* would look the value up, and the connection's state, for each question. The
  // value is one that no mutex protects; none is needed, since the connection has one thread.
  sqlite3_value* const value = sqlite3_column_value(stmt, column);
  const int type = sqlite3_value_type(value);
  switch (type) {
    case SQLITE_INTEGER:
      cell.kind = Cell::Kind::kInt64;
      cell.integer = sqlite3_value_int64(value);
      cell.size = static_cast<uint32_t>(1 + VarintSize(static_cast<uint64_t>(cell.integer)));
      return true;
    case SQLITE_FLOAT:
      cell.kind = Cell::Kind::kDouble;
      cell.real = sqlite3_value_double(value);
      cell.size = 1 + sizeof(double);
      return true;
    case SQLITE_NULL:
      cell.kind = Cell::Kind::kNull;
      cell.size = 2;
      return true;
    default:
      return MeasureBytes(value, type, encoding, split_above, cell);
  }
}

inline char* PutCell(char* at, const Cell& cell) {
  switch (cell.kind) {
    case Cell::Kind::kNull:
      *at++ = kNullTag;
      *at++ = 0;
      return at;
    case Cell::Kind::kInt64:
      *at++ = kInt64Tag;
      return PutVarint(at, static_cast<uint64_t>(cell.integer));
    case Cell::Kind::kDouble:
      *at++ = kDoubleTag;
      return PutBytes(at, reinterpret_cast<const char*>(&cell.real), sizeof(cell.real));
    case Cell::Kind::kString:
    case Cell::Kind::kBytes:
      *at++ = cell.kind == Cell::Kind::kString ? kStringTag : kBytesTag;
      at = PutVarint(at, cell.length);
      return PutBytes(at, cell.data, cell.length);
    case Cell::Kind::kRaw:
      at = PutVarint(at, kRawTag);
      at = PutVarint(at, RawSize(cell.length));
      *at++ = kFormatTag;
      *at++ = pb::Raw::FORMAT_TEXT;
      *at++ = kDataTag;
      at = PutVarint(at, cell.length);
      return PutBytes(at, cell.data, cell.length);
    case Cell::Kind::kSplit:
      at = PutVarint(at, kSplitTag);
      at = PutVarint(at, SplitSize(cell.length));
      *at++ = kSplitTypeTag;
      *at++ = static_cast<char>(cell.split_type);
      *at++ = kSplitSizeTag;
      return PutVarint(at, cell.length);
  }
  return at;
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "doubles are written as they stand");

}  // namespace

RowFault AppendRow(sqlite3_stmt* stmt,
                   int column_count,
                   TextEncoding encoding,
                   int64_t split_above,
                   std::string& out,
                   std::vector<int>& split) {
  std::vector<Cell> many;
  Cell few[kInlineCells];  // left as it is: only what is measured is read
  Cell* cells = few;
  if (column_count > kInlineCells) {
    many.resize(static_cast<size_t>(column_count));
    cells = many.data();
  }
  const size_t split_before = split.size();
  size_t row_size = 0;
  for (int i = 0; i < column_count; ++i) {
    Cell& cell = cells[i];
    RowFault fault = RowFault::kNone;
    if (!Measure(stmt, i, encoding, split_above, cell)) fault = RowFault::kNoMemory;
    row_size += FieldSize(cell.size);
    if (row_size > kMaxRowBytes) fault = RowFault::kTooLarge;
    if (fault != RowFault::kNone) [[unlikely]] {
      split.resize(split_before);
      return fault;
    }
    if (cell.kind == Cell::Kind::kSplit) split.push_back(i);
  }

  const size_t before = out.size();
  out.resize(before + FieldSize(row_size));
  char* at = out.data() + before;
  *at++ = kRowTag;
  at = PutVarint(at, row_size);
  for (int i = 0; i < column_count; ++i) {
    *at++ = kValueTag;
    at = PutVarint(at, cells[i].size);
    at = PutCell(at, cells[i]);
  }
  return RowFault::kNone;
}

absl::string_view ColumnBytes(sqlite3_stmt* stmt, int column, TextEncoding encoding) {
  sqlite3_value* const value = sqlite3_column_value(stmt, column);
  const char* const data = Bytes(value, sqlite3_value_type(value), encoding);
  const int size = sqlite3_value_bytes(value);
  return data == nullptr ? absl::string_view() : absl::string_view(data, static_cast<size_t>(size));
}

}  // namespace sluice::sqlite
