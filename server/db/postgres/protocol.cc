#include "server/db/postgres/protocol.h"

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"

namespace sluice::postgres {
namespace {

void AppendInt16(size_t value, std::string& out) {
  const uint16_t bytes = __builtin_bswap16(static_cast<uint16_t>(value));
  out.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
}

void AppendInt32(size_t value, std::string& out) {
  const uint32_t bytes = __builtin_bswap32(static_cast<uint32_t>(value));
  out.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
}

void AppendText(absl::string_view text, std::string& out) {
  out.append(text.data(), text.size());
  out.push_back('\0');
}

// The head of a message whose body the caller appends.
void AppendHead(char type, size_t body, std::string& out) {
  out.push_back(type);
  AppendInt32(body + kLengthSize, out);
}

void AppendEmpty(char type, std::string& out) {
  AppendHead(type, 0, out);
}

// A count may come without sign.
size_t Count(int16_t count) {
  return static_cast<uint16_t>(count);
}

}  // namespace

void ParameterValues::AddNull() {
  formats_.push_back(Format::kText);
  AppendInt32(~size_t{0}, bytes_);
}

void ParameterValues::Add(absl::string_view bytes, Format format) {
  formats_.push_back(format);
  AppendInt32(bytes.size(), bytes_);
  bytes_.append(bytes.data(), bytes.size());
}

void AppendParse(absl::string_view statement,
                 absl::string_view sql,
                 absl::Span<const Oid> types,
                 std::string& out) {
  AppendHead('P', statement.size() + 1 + sql.size() + 1 + 2 + 4 * types.size(), out);
  AppendText(statement, out);
  AppendText(sql, out);
  AppendInt16(types.size(), out);
  for (const Oid type : types) AppendInt32(type, out);
}

void AppendBind(absl::string_view statement,
                const ParameterValues& values,
                Format results,
                std::string& out) {
  const size_t count = values.formats_.size();
  AppendHead('B', 1 + statement.size() + 1 + 2 + 2 * count + 2 + values.bytes_.size() + 2 + 2, out);
  AppendText("", out);
  AppendText(statement, out);
  AppendInt16(count, out);
  for (const Format format : values.formats_) AppendInt16(static_cast<size_t>(format), out);
  AppendInt16(count, out);
  out += values.bytes_;
  AppendInt16(1, out);
  AppendInt16(static_cast<size_t>(results), out);
}

void AppendDescribePortal(std::string& out) {
  AppendHead('D', 2, out);
  out.push_back('P');
  AppendText("", out);
}

void AppendExecute(std::string& out) {
  AppendHead('E', 1 + 4, out);
  AppendText("", out);
  AppendInt32(0, out);  // all rows
}

void AppendDescribeStatement(absl::string_view statement, std::string& out) {
  AppendHead('D', 1 + statement.size() + 1, out);
  out.push_back('S');
  AppendText(statement, out);
}

void AppendSync(std::string& out) {
  AppendEmpty('S', out);
}

void AppendQuery(absl::string_view sql, std::string& out) {
  AppendHead('Q', sql.size() + 1, out);
  AppendText(sql, out);
}

void AppendCopyData(absl::string_view data, std::string& out) {
  AppendHead('d', data.size(), out);
  out.append(data.data(), data.size());
}

void AppendCopyDone(std::string& out) {
  AppendEmpty('c', out);
}

void AppendCopyFail(absl::string_view why, std::string& out) {
  AppendHead('f', why.size() + 1, out);
  AppendText(why, out);
}

char MessageReader::Byte() {
  const absl::string_view byte = Bytes(1);
  return byte.empty() ? '\0' : byte.front();
}

int16_t MessageReader::Int16() {
  const absl::string_view bytes = Bytes(sizeof(uint16_t));
  uint16_t value = 0;
  if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
  return static_cast<int16_t>(__builtin_bswap16(value));
}

int32_t MessageReader::Int32() {
  const absl::string_view bytes = Bytes(sizeof(uint32_t));
  uint32_t value = 0;
  if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
  return static_cast<int32_t>(__builtin_bswap32(value));
}

absl::string_view MessageReader::Bytes(size_t count) {
  ok_ = ok_ && count <= rest_.size();
  if (!ok_) return {};
  const absl::string_view bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return bytes;
}

absl::string_view MessageReader::Text() {
  const size_t end = rest_.find('\0');
  ok_ = ok_ && end != absl::string_view::npos;
  if (!ok_) return {};
  const absl::string_view text = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return text;
}

std::optional<Columns> ReadRowDescription(absl::string_view body) {
  MessageReader reader(body);
  Columns out;
  out.rows = true;
  for (size_t left = Count(reader.Int16()); left > 0 && reader.ok(); --left) {
    Column column;
    column.name = std::string(reader.Text());
    column.table = static_cast<Oid>(reader.Int32());
    column.table_column = reader.Int16();
    column.type = static_cast<Oid>(reader.Int32());
    reader.Int16();  // the type's length
    column.modifier = reader.Int32();
    const int16_t format = reader.Int16();
    if (format != 0 && format != 1) return std::nullopt;
    column.format = static_cast<Format>(format);
    out.columns.push_back(std::move(column));
  }
  if (!reader.AtEnd()) return std::nullopt;
  return out;
}

std::optional<std::vector<Oid>> ReadParameterDescription(absl::string_view body) {
  MessageReader reader(body);
  std::vector<Oid> types;
  for (size_t left = Count(reader.Int16()); left > 0 && reader.ok(); --left) {
    types.push_back(static_cast<Oid>(reader.Int32()));
  }
  if (!reader.AtEnd()) return std::nullopt;
  return types;
}

std::optional<ServerError> ReadError(absl::string_view body) {
  MessageReader reader(body);
  ServerError error;
  while (const char field = reader.Byte()) {
    const absl::string_view text = reader.Text();
    std::string* const into = [&]() -> std::string* {
      switch (field) {
        case 'V':
          return &error.severity;
        case 'C':
          return &error.sqlstate;
        case 'M':
          return &error.message;
        case 'D':
          return &error.detail;
        case 'H':
          return &error.hint;
        case 's':
          return &error.schema;
        case 't':
          return &error.table;
        case 'c':
          return &error.column;
        case 'd':
          return &error.datatype;
        case 'n':
          return &error.constraint;
        case 'R':
          return &error.routine;
        default:
          return nullptr;
      }
    }();
    if (into != nullptr) *into = std::string(text);
    if (field == 'P' && !absl::SimpleAtoi(text, &error.position)) error.position = 0;
  }
  if (!reader.AtEnd()) return std::nullopt;
  return error;
}

bool IsDataRow(absl::string_view body, size_t columns) {
  MessageReader reader(body);
  if (Count(reader.Int16()) != columns) return false;
  for (size_t i = 0; i < columns; ++i) {
    const int32_t length = reader.Int32();
    if (length < -1) return false;
    if (length > 0) reader.Bytes(static_cast<size_t>(length));
  }
  return reader.AtEnd();
}

}  // namespace sluice::postgres
