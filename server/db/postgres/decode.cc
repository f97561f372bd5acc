#include "server/db/postgres/decode.h"

#include <utility>

#include "absl/strings/str_cat.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/db/postgres/decoding.h"
#include "server/db/postgres/value_wire.h"
#include "server/db/rows.h"
#include "sluice/v1/query.pb.h"

namespace sluice::postgres {
namespace {

static_assert(pb::QueryResponse::kRowsFieldNumber == db::kRowsField);
static_assert(pb::StreamQueryResponse::kRowsFieldNumber == db::kRowsField);

constexpr uint32_t kRowTag = Tag(db::kRowsField, kLength);
constexpr uint32_t kCellTag = Tag(pb::Row::kValuesFieldNumber, kLength);
constexpr size_t kCellOverhead = 4;  // of a small value, about

absl::Status Malformed(absl::string_view where) {
  return errors::Internal(
      absl::StrCat("the server sent bytes that are no value of their type", where));
}

absl::Status MalformedCell(size_t column) {
  return Malformed(absl::StrCat(", in column ", column + 1));
}

absl::string_view Data(const Cell& cell) {
  return {cell.data, static_cast<size_t>(cell.length)};
}

// Whether a Value in wire form is of a kind that may be split.
bool IsSplittable(absl::string_view wire) {
  constexpr auto kRawTag = Tag(pb::Value::kRawValueFieldNumber, kLength);
  const unsigned char tag = wire.empty() ? 0 : static_cast<unsigned char>(wire[0]);
  return tag == Tag(pb::Value::kStringValueFieldNumber, kLength) ||
         tag == Tag(pb::Value::kBytesValueFieldNumber, kLength) || tag == ((kRawTag & 0x7F) | 0x80);
}

// Moves the bytes of a value that may be split out of it.
pb::ValueType TakeBytes(absl::string_view wire, std::string& bytes) {
  pb::Value value;
  value.ParseFromArray(wire.data(), static_cast<int>(wire.size()));
  switch (value.kind_case()) {
    case pb::Value::kStringValue:
      bytes = std::move(*value.mutable_string_value());
      return pb::VALUE_TYPE_STRING;
    case pb::Value::kBytesValue:
      bytes = std::move(*value.mutable_bytes_value());
      return pb::VALUE_TYPE_BYTES;
    default:
      bytes = std::move(*value.mutable_raw_value()->mutable_data());
      return pb::VALUE_TYPE_RAW;
  }
}

// Appends a Value whose cell is larger than what has to be split.
bool ReadLarge(const ValueReader& reader,
               Decoding& decoding,
               absl::string_view data,
               int64_t split_above,
               std::string& out,
               bool& is_split) {
  is_split = reader.IsVerbatim();
  if (is_split) {
    PutSplit(reader.VerbatimType(data), data.size(), out);
    return true;
  }
  const size_t before = out.size();
  if (!reader.Read(decoding, data, out)) return false;
  const absl::string_view wire(out.data() + before, out.size() - before);
  if (!IsSplittable(wire)) return true;
  std::string bytes;
  const pb::ValueType type = TakeBytes(wire, bytes);
  is_split = static_cast<int64_t>(bytes.size()) > split_above;
  if (!is_split) return true;
  out.resize(before);
  PutSplit(type, bytes.size(), out);
  return true;
}

}  // namespace

RowDecoder::RowDecoder(const TypeBook& book, absl::Span<const Column> columns) : book_(book) {
  readers_.reserve(columns.size());
  for (const Column& column : columns) readers_.emplace_back(book, column.type, column.format);
}

RowDecoder::RowDecoder(RowDecoder&&) noexcept = default;
RowDecoder::~RowDecoder() = default;

absl::Status RowDecoder::Append(absl::Span<const Cell> cells,
                                int64_t split_above,
                                std::string& out,
                                std::vector<int>& split) const {
  if (cells.size() != readers_.size()) {
    return errors::Internal("the server sent a row that has not a value per column");
  }
  const size_t before = out.size();
  const size_t split_before = split.size();
  size_t guess = 0;
  for (const Cell& cell : cells) guess += static_cast<size_t>(cell.length) + kCellOverhead;
  Decoding decoding{book_};
  OpenField row(kRowTag, guess, out);
  for (size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].data == nullptr) {
      AppendNestedNull(pb::Row::kValuesFieldNumber, out);
      continue;
    }
    const absl::string_view data = Data(cells[i]);
    OpenField value(kCellTag, StringFieldSize(data.size()), out);
    bool is_read = false;
    bool is_split = false;
    if (static_cast<int64_t>(data.size()) > split_above) [[unlikely]] {
      is_read = ReadLarge(readers_[i], decoding, data, split_above, out, is_split);
    } else {
      is_read = readers_[i].Read(decoding, data, out);
    }
    if (!is_read) [[unlikely]] {
      out.resize(before);
      split.resize(split_before);
      return MalformedCell(i);
    }
    if (is_split) split.push_back(static_cast<int>(i));
    value.Close();
  }
  row.Close();
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> RowDecoder::SplitBytes(int column,
                                                         const Cell& cell,
                                                         std::string& storage) const {
  const size_t index = static_cast<size_t>(column);
  const ValueReader& reader = readers_[index];
  if (reader.IsVerbatim()) return Data(cell);
  Decoding decoding{book_};
  std::string wire;
  if (!reader.Read(decoding, Data(cell), wire) || !IsSplittable(wire)) return MalformedCell(index);
  TakeBytes(wire, storage);
  return absl::string_view(storage);
}

absl::Status AppendValue(
    const TypeBook& book, Oid type, Format format, absl::string_view data, std::string& out) {
  const size_t before = out.size();
  Decoding decoding{book};
  if (ValueReader(book, type, format).Read(decoding, data, out)) return absl::OkStatus();
  out.resize(before);
  return Malformed("");
}

}  // namespace sluice::postgres
