#include "server/db/postgres/copy_rows.h"

#include <cstdint>

#include "absl/strings/string_view.h"

#include "server/db/postgres/encode.h"

namespace sluice::postgres {
namespace {

// A signature, flags, and the length of what may be added to the head one day.
constexpr absl::string_view kHead("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
// Where the number of a row's values would be.
constexpr absl::string_view kTail("\377\377", 2);
constexpr absl::string_view kNull("\377\377\377\377", 4);
constexpr size_t kLengthBytes = 4;
// A guess, with its length; what is larger grows the buffer.
constexpr size_t kValueBytes = 16;

void PutInt32(uint32_t number, char* at) {
  for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<char>(number >> shift);
}

bool AppendBinary(const TypeBook& book, Oid type, const pb::Value& value, std::string& out) {
  const size_t at = out.size();
  out.append(kLengthBytes, '\0');
  Format format = Format::kText;
  const absl::Status encoded = EncodeValue(book, type, value, "rows", 0, out, format);
  if (!encoded.ok() || format != Format::kBinary) return false;
  PutInt32(static_cast<uint32_t>(out.size() - at - kLengthBytes), &out[at]);
  return true;
}

// In COPY's text format these would end a value or a row, or begin an escape.
char EscapeOf(char c) {
  switch (c) {
    case '\\':
      return '\\';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return '\0';
  }
}

void AppendEscaped(absl::string_view text, std::string& out) {
  for (const char c : text) {
    const char escape = EscapeOf(c);
    if (escape != '\0') out.push_back('\\');
    out.push_back(escape != '\0' ? escape : c);
  }
}

bool EncodeBinaryRow(const TypeBook& book,
                     absl::Span<const Oid> types,
                     const pb::Row& row,
                     std::string& out) {
  out.push_back(static_cast<char>(types.size() >> 8));
  out.push_back(static_cast<char>(types.size()));
  for (size_t i = 0; i < types.size(); ++i) {
    const pb::Value& value = row.values(static_cast<int>(i));
    if (value.has_null_value()) {
      out.append(kNull.data(), kNull.size());
    } else if (!AppendBinary(book, types[i], value, out)) {
      return false;
    }
  }
  return true;
}

bool EncodeTextRow(const TypeBook& book,
                   absl::Span<const Oid> types,
                   const pb::Row& row,
                   std::string& text,
                   std::string& out) {
  for (size_t i = 0; i < types.size(); ++i) {
    const pb::Value& value = row.values(static_cast<int>(i));
    if (i > 0) out.push_back('\t');
    if (value.has_null_value()) {
      out += "\\N";
      continue;
    }
    text.clear();
    if (!EncodeText(book, types[i], value, "rows", 0, text).ok()) return false;
    AppendEscaped(text, out);
  }
  out.push_back('\n');
  return true;
}

}  // namespace

bool EncodeRows(const TypeBook& book,
                absl::Span<const Oid> types,
                const google::protobuf::RepeatedPtrField<pb::Row>& rows,
                Format format,
                std::string& out) {
  const bool binary = format == Format::kBinary;
  out.clear();
  out.reserve(static_cast<size_t>(rows.size()) * types.size() * kValueBytes);
  if (binary) out.append(kHead.data(), kHead.size());
  std::string text;
  for (const pb::Row& row : rows) {
    if (static_cast<size_t>(row.values_size()) != types.size()) return false;
    const bool encoded = binary ? EncodeBinaryRow(book, types, row, out)
                                : EncodeTextRow(book, types, row, text, out);
    if (!encoded) return false;
  }
  if (binary) out.append(kTail.data(), kTail.size());
  return true;
}

}  // namespace sluice::postgres
